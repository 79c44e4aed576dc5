"""What trained when: the headline trials' depth and resolution over the epochs."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoprog_search.analysis.schedules import Staircase
from autoprog_search.report.colours import colour_of
from autoprog_search.report.layout import styled

SHIFT = 0.015  # of an axis's span, between the lines of two methods


def draw_schedules(stairs: list[Staircase]) -> go.Figure:
    """Two panels, depth above resolution. Lines are shifted a little, so that no method hides another."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    methods = list(dict.fromkeys(s.method for s in stairs))
    panels = (("depth", "depth, blocks"), ("resolution", "resolution, px"))
    for row, (axis, title) in enumerate(panels, start=1):
        levels = np.unique(np.concatenate([getattr(s, axis) for s in stairs])) if stairs else np.array([0])
        step = SHIFT * max(float(levels[-1] - levels[0]), 1.0)
        seen: set[str] = set()
        for s in stairs:
            shift = step * (methods.index(s.method) - (len(methods) - 1) / 2)
            figure.add_scatter(
                x=s.epochs,
                y=getattr(s, axis) + shift,
                mode="lines",
                line={"color": colour_of(s.method), "width": 2, "shape": "hv"},
                opacity=0.85,
                name=s.method,
                legendgroup=s.method,
                showlegend=row == 1 and s.method not in seen,
                customdata=getattr(s, axis),
                hovertemplate=f"<b>{s.method}</b> seed {s.seed} trial {s.trial}<br>from epoch %{{x:.4g}}: "
                f"{axis} %{{customdata}}<extra></extra>",
                row=row,
                col=1,
            )
            seen.add(s.method)
        figure.update_yaxes(title=title, tickvals=levels, row=row, col=1)
    figure.update_xaxes(title="epoch", row=2, col=1)
    return styled(figure, height=560, hovermode="closest")
