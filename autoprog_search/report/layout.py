"""How every figure looks: font, margins, legend, grid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import plotly.graph_objects as go

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
BUTTONS = [["toImage", "resetScale2d"]]  # dragging zooms; more buttons would lie over the legend on small screens
CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtons": BUTTONS}  # of plotly.js, for HTML

MARKS = 6  # markers on a line of many points


def styled(figure: go.Figure, height: int = 460, **layout: Any) -> go.Figure:
    """Give a figure the common look, in place."""
    figure.update_layout(
        template="plotly_white",
        height=height,
        font={"family": FONT, "size": 13, "color": "#222222"},
        margin={"l": 64, "r": 16, "t": 40, "b": 56},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0},
        hoverlabel={"align": "left"},
        **layout,
    )
    axis = {"showline": True, "linecolor": "#999999", "ticks": "outside", "tickcolor": "#999999", "zeroline": False}
    figure.update_xaxes(**axis, title_font_size=13)
    figure.update_yaxes(**axis, title_font_size=13)
    return figure


def joined(lines: Iterable[Any]) -> np.ndarray:
    """Several lines as one trace, with a gap after each: a figure of many traces is large and slow."""
    return np.concatenate([np.append(np.asarray(line, dtype=float), np.nan) for line in lines] or [np.empty(0)])
