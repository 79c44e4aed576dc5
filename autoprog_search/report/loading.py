"""Which share of their training time runs waited for images."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from autoprog_search.report.colours import colour_of
from autoprog_search.report.layout import styled


def draw_loading(waiting: pd.DataFrame) -> go.Figure:
    """A group of bars a stage, a bar a method."""
    figure = go.Figure()
    for method, rows in waiting.groupby("method", sort=False):
        figure.add_bar(
            x=[f"stage {stage}" for stage in rows["stage"]],
            y=rows["share"].to_numpy(float),
            name=str(method),
            marker={"color": colour_of(str(method))},
            hovertemplate=f"<b>{method}</b> %{{x}}: waited %{{y:.1f}} % of the time<extra></extra>",
        )
    figure.update_yaxes(title="waited for images, % of the time", rangemode="tozero")
    return styled(figure, height=360)
