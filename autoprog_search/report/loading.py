"""Which share of their training time runs waited for images."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from autoprog_search.report.colours import looks
from autoprog_search.report.layout import styled


def draw_loading(waiting: pd.DataFrame) -> go.Figure:
    """A line over the stages a method."""
    figure, look = go.Figure(), looks(waiting["method"])
    for name, rows in waiting.groupby("method", sort=False):
        method = str(name)
        figure.add_scatter(
            x=[f"stage {stage}" for stage in rows["stage"]],
            y=rows["share"].to_numpy(float),
            mode="lines+markers",
            line=look[method].line(),
            marker=look[method].marker(),
            name=method,
            hovertemplate=f"<b>{method}</b> %{{x}}: waited %{{y:.1f}} % of the time<extra></extra>",
        )
    figure.update_yaxes(title="waited for images, % of the time", rangemode="tozero")
    return styled(figure, height=360)
