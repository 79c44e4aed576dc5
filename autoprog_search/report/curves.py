"""Validation accuracy against the cost spent so far: what a run would have been worth, stopped at any time."""

from __future__ import annotations

import plotly.graph_objects as go

from autoprog_search.analysis.curves import Curve
from autoprog_search.report.colours import colour_of, dash_of
from autoprog_search.report.layout import styled
from autoprog_search.report.units import flops_text, unit_for


def draw_curves(curves: list[Curve]) -> go.Figure:
    """A thin line a trial, one colour a method."""
    figure = go.Figure()
    unit = unit_for(max((c.flops.max(initial=0.0) for c in curves), default=0.0), "FLOPs")
    seen: set[str] = set()
    for c in curves:
        figure.add_scatter(
            x=c.flops / unit.factor,
            y=c.val_top1,
            mode="lines",
            line={"color": colour_of(c.method), "width": 1.5, "dash": dash_of(c.method)},
            name=c.method,
            legendgroup=c.method,
            showlegend=c.method not in seen,
            text=[f"epoch {epoch:.4g}, {flops_text(flops)}" for epoch, flops in zip(c.epoch, c.flops, strict=True)],
            hovertemplate=f"<b>{c.method}</b> seed {c.seed} trial {c.trial}<br>%{{text}}: validation %{{y:.2f}} %"
            "<extra></extra>",
        )
        seen.add(c.method)
    figure.update_xaxes(title=f"training and search cost so far, {unit.name}", rangemode="tozero")
    figure.update_yaxes(title="validation top-1, %")
    return styled(figure, hovermode="closest")
