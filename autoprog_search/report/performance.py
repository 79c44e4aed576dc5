"""Performance profile: on how many problems each method is within a factor of the cheapest."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from autoprog_search.analysis.performance import PerformanceProfile
from autoprog_search.report.colours import looks
from autoprog_search.report.layout import MARKS, styled


def draw_performance(found: PerformanceProfile, unit: str) -> go.Figure:
    """A line of steps a method, over the ratio on a logarithmic axis.

    Args:
        unit: of the cost, for the axis: FLOPs or seconds.
    """
    figure = go.Figure()
    look = looks(found.solved)
    end = max(float(found.ratios[-1]) * 1.05, 2.0)
    for method, solved in found.solved.items():
        figure.add_scatter(
            x=np.append(found.ratios, end),
            y=100 * np.append(solved, solved[-1]),
            mode="lines+markers",
            line=look[method].line(2, shape="hv"),
            marker=look[method].marker(7, maxdisplayed=MARKS),
            name=method,
            hovertemplate=f"<b>{method}</b> within %{{x:.3g}}× the cheapest: %{{y:.0f}} %<extra></extra>",
        )
    problems = f"{found.problems} problem{'s' * (found.problems > 1)}"
    figure.update_xaxes(
        title=f"{unit} over those of the cheapest solution (log scale)", type="log", range=[0, float(np.log10(end))]
    )
    figure.update_yaxes(title=f"solved of {problems}, %", range=[-2, 102])
    return styled(figure, hovermode="closest")
