"""Parallel coordinates: every trial a line through its stages' sizes, its cost and its accuracy."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from autoprog_search.analysis.schedules import ParallelSchedules
from autoprog_search.report.colours import looks
from autoprog_search.report.layout import styled
from autoprog_search.report.units import unit_for

SPREAD = 0.05  # of an axis: lines of equal levels lie side by side
GOLDEN = (5**0.5 - 1) / 2  # its multiples fill an interval evenly, in any number


def draw_parallel(found: ParallelSchedules) -> go.Figure:
    """Axes of equal height, a line a trial, one colour a method; where lines meet an axis in levels, side by side."""
    figure = go.Figure()
    heights, texts = zip(*map(_scaled, found.values.T, found.levels, found.axes), strict=True)
    y = np.column_stack(heights)
    beside = SPREAD * ((np.arange(len(y)) * GOLDEN) % 1 - 0.5)
    y = y + beside[:, None] * [levels is not None for levels in found.levels]
    x = np.append(np.arange(y.shape[1], dtype=float), np.nan)  # a gap ends a line
    for method, look in looks(found.method).items():
        own = found.method == method
        figure.add_scatter(**look.entry(method))
        figure.add_scatter(
            x=np.tile(x, own.sum()),
            y=np.column_stack([y[own], np.full(own.sum(), np.nan)]).ravel(),
            mode="lines",
            line=look.line(),
            opacity=max(0.15, min(0.8, 12 / own.sum())),
            legendgroup=method,
            showlegend=False,
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=np.full(own.sum(), y.shape[1] - 1),
            y=y[own, -1],
            mode="markers",
            marker=look.marker(6),
            legendgroup=method,
            showlegend=False,
            text=[f"seed {seed} trial {trial}" for seed, trial in zip(found.seed[own], found.trial[own], strict=True)],
            customdata=found.values[own, -1],
            hovertemplate=f"<b>{method}</b> %{{text}}: validation %{{customdata:.2f}} %<extra></extra>",
        )
    beside_axis = {"showarrow": False, "xanchor": "right", "xshift": -3, "font": {"size": 11}}
    for place, (marks, _) in enumerate(texts):
        figure.add_vline(x=place, line={"color": "#999999", "width": 1}, layer="below")
        for height, mark in marks:
            figure.add_annotation(x=place, y=height, text=mark, **beside_axis)
    names = [name for _, name in texts]
    figure.update_xaxes(
        title="stage, and what of it; cost; accuracy",
        tickvals=[*range(len(names))],
        ticktext=names,
        range=[-0.4, len(names) - 0.8],
        tickangle=0,
        tickfont_size=11,
    )
    figure.update_yaxes(visible=False, range=[-0.06, 1.06])
    styled(figure, hovermode="closest")
    return figure.update_xaxes(showgrid=False, showline=False, ticks="")


def _scaled(
    values: np.ndarray, levels: np.ndarray | None, name: str
) -> tuple[np.ndarray, tuple[list[tuple[float, str]], str]]:
    """Heights from 0 to 1 on an axis; where its marks stand and what they say; its name."""
    if levels is not None:  # evenly, so that no two are too close
        what, _, stage = name.partition(", ")
        marks = list(zip(np.linspace(0, 1, len(levels)), [f"{level:.0f}" for level in levels], strict=True))
        return np.searchsorted(levels, values) / (len(levels) - 1), (marks, f"{stage.removeprefix('stage ')}<br>{what}")
    unit = unit_for(float(values.max(initial=0.0)), name)
    low, high = values.min(), values.max()
    span = high - low or 1.0
    marks = [(share, f"{(low + share * span) / unit.factor:.3g}") for share in (0.0, 0.5, 1.0)]
    return (values - low) / span, (marks, f"<br>{unit.name}")
