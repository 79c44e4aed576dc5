"""What trained when: the headline trials' depth and resolution, or patches, over the epochs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoprog_search.analysis.sizes import PATCHES, RESOLUTION
from autoprog_search.report.colours import looks
from autoprog_search.report.layout import joined, styled

SHIFT = 0.015  # of an axis's span, between the lines of two methods


def draw_schedules(stairs: Mapping[tuple[str, int, int], pd.DataFrame]) -> go.Figure:
    """Two panels, depth above the sizes of images. Lines are shifted a little, so that no method hides another."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    methods = list(dict.fromkeys(method for method, _, _ in stairs))
    look = looks(methods)
    sizes = PATCHES if any(PATCHES.name in stair for stair in stairs.values()) else RESOLUTION
    panels = (("depth", "depth, blocks"), (sizes.name, sizes.title))
    for row, (axis, title) in enumerate(panels, start=1):
        levels = np.unique(np.concatenate([s[axis] for s in stairs.values()])) if stairs else np.array([0])
        step = SHIFT * max(float(levels[-1] - levels[0]), 1.0)
        for place, method in enumerate(methods):
            own = {key: stair for key, stair in stairs.items() if key[0] == method}
            levels_at = joined(stair[axis] for stair in own.values())
            figure.add_scatter(
                x=joined(stair["epochs"] for stair in own.values()),
                y=levels_at + step * (place - (len(methods) - 1) / 2),
                mode="lines+markers",
                line=look[method].line(2, shape="hv"),
                marker=look[method].marker(7),
                opacity=0.85,
                name=method,
                legendgroup=method,
                showlegend=row == 1,
                customdata=levels_at,
                text=[f"seed {seed} trial {trial}" for (_, seed, trial), s in own.items() for _ in range(len(s) + 1)],
                hovertemplate=f"<b>{method}</b> %{{text}}<br>from epoch %{{x:.4g}}: {axis} %{{customdata}}"
                "<extra></extra>",
                row=row,
                col=1,
            )
        figure.update_yaxes(title=title, tickvals=levels, row=row, col=1)
    figure.update_xaxes(title="epoch", row=2, col=1)
    return styled(figure, height=560, hovermode="closest")
