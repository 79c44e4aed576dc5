"""Validation accuracy against the cost spent so far: what a run would have been worth, stopped at any time."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from autoprog_search.report.colours import colour_of, dash_of
from autoprog_search.report.layout import styled
from autoprog_search.report.units import flops_text, unit_for


def draw_curves(curves: Mapping[tuple[str, int, int], pd.DataFrame]) -> go.Figure:
    """A thin line a trial (method, seed, trial), one colour a method."""
    figure = go.Figure()
    unit = unit_for(max((float(c["flops"].max()) for c in curves.values()), default=0.0), "FLOPs")
    seen: set[str] = set()
    for (method, seed, trial), c in curves.items():
        epochs, costs = c["epoch"].to_numpy(float), c["flops"].to_numpy(float)
        figure.add_scatter(
            x=costs / unit.factor,
            y=c["val_top1"].to_numpy(float),
            mode="lines",
            line={"color": colour_of(method), "width": 1.5, "dash": dash_of(method)},
            name=method,
            legendgroup=method,
            showlegend=method not in seen,
            text=[f"epoch {epoch:.4g}, {flops_text(cost)}" for epoch, cost in zip(epochs, costs, strict=True)],
            hovertemplate=f"<b>{method}</b> seed {seed} trial {trial}<br>%{{text}}: validation %{{y:.2f}} %"
            "<extra></extra>",
        )
        seen.add(method)
    figure.update_xaxes(title=f"training and search cost so far, {unit.name}", rangemode="tozero")
    figure.update_yaxes(title="validation top-1, %")
    return styled(figure, hovermode="closest")
