"""Hypervolume regret over the compute spent: how soon each method finds good schedules."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from autoprog_search.analysis.regret import RegretCurves
from autoprog_search.report.colours import Look, looks
from autoprog_search.report.layout import styled


def draw_regret(curves: RegretCurves) -> go.Figure:
    """A line and a band a method, up to what its trials took; methods of one trial are a marker where it ends."""
    figure, look_of = go.Figure(), looks(curves.methods)
    for place, method in enumerate(curves.methods):
        look, end = look_of[method], curves.ends[place]
        shown = curves.budgets <= end * (1 + 1e-9)
        x, y = curves.budgets[shown], curves.regret[place][shown]
        figure.add_scatter(**look.entry(method))
        _add_band(figure, method, look, x, curves.low[place][shown], curves.high[place][shown])
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line=look.line(2, shape="hv"),
            legendgroup=method,
            showlegend=False,
            hovertemplate=f"<b>{method}</b> after %{{x:.2f}} full runs: regret %{{y:.3f}}<extra></extra>",
        )
        figure.add_scatter(
            x=[end],
            y=[curves.regret[place][-1]],
            mode="markers",
            marker=look.marker(10),
            legendgroup=method,
            showlegend=False,
            hovertemplate=f"<b>{method}</b>, all trials, %{{x:.2f}} full runs: regret %{{y:.3f}}<extra></extra>",
        )
    figure.update_xaxes(title="compute spent, full runs", rangemode="tozero")
    figure.update_yaxes(title="hypervolume regret", rangemode="tozero")
    return styled(figure, hovermode="closest")


def _add_band(figure: go.Figure, method: str, look: Look, x: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Of one seed there is none."""
    if np.isfinite(low).all():
        figure.add_scatter(
            x=np.concatenate((x, x[::-1])),
            y=np.concatenate((high, low[::-1])),
            fill="toself",
            fillcolor=look.colour,
            opacity=0.15,
            line={"width": 0},
            legendgroup=method,
            showlegend=False,
            hoverinfo="skip",
        )
