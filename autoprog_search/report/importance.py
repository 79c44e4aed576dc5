"""Which of a schedule's numbers decide: a bar a level for accuracy, another for cost."""

from __future__ import annotations

import plotly.graph_objects as go

from autoprog_search.analysis.importance import Importance
from autoprog_search.analysis.sizes import Sizes
from autoprog_search.report.layout import styled

INKS = {"validation accuracy": "#222222", "FLOPs": "#BBBBBB"}  # no method's colours


def draw_importance(found: Importance, sizes: Sizes) -> go.Figure:
    """Bars from the left, the most important for accuracy on top. `sizes`: what is said of patches."""
    figure = go.Figure()
    named = {"depth": "depth", "patches": sizes.name}
    names = [f"{named[axis]}, stage {stage}" for stage, axis in found.parameters]
    shares = (found.accuracy, found.cost)
    for (name, ink), share in reversed([*zip(INKS.items(), shares, strict=True)]):  # the first on top
        figure.add_bar(
            x=100 * share[::-1],
            y=names[::-1],
            orientation="h",
            name=name,
            marker={"color": ink},
            hovertemplate=f"%{{y}}: %{{x:.0f}} % of the variance of {name}<extra></extra>",
        )
    figure.update_xaxes(title=f"% of the variance, {found.trials} trials", rangemode="tozero")
    figure.update_yaxes(automargin=True)
    return styled(figure, height=150 + 44 * len(names), legend_traceorder="reversed")
