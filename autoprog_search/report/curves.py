"""Validation accuracy against the cost spent so far: what a run would have been worth, stopped at any time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from autoprog_search.cost import CostKind
from autoprog_search.errors import ConfigError
from autoprog_search.report.colours import colour_of, dash_of
from autoprog_search.report.layout import styled
from autoprog_search.report.units import flops_text, unit_for


@dataclass(frozen=True)
class Curve:
    """One trial's epochs.

    Attributes:
        epoch: epochs done, (points,).
        flops: training and search FLOPs so far, (points,).
        val_top1: validation accuracy then, (points,), per cent.
    """

    method: str
    seed: int
    trial: int
    epoch: np.ndarray
    flops: np.ndarray
    val_top1: np.ndarray


def validation_curves(curves: pd.DataFrame, heads: pd.DataFrame, cost: CostKind) -> list[Curve]:
    """The curves (`study.results.curves_frame`) of the headline trials, in their order.

    Raises:
        ConfigError: `cost` is not "flops".
    """
    if cost != "flops":
        raise ConfigError(f"cost: curves are stored against FLOPs only, got {cost!r}; use flops")
    if curves.empty:
        return []
    groups = {key: group.sort_values("epoch") for key, group in curves.groupby(["method", "seed", "trial"])}
    found = []
    for method, seed, trial in zip(heads["method"], heads["seed"], heads["trial"], strict=True):
        if (method, seed, trial) in groups:
            group = groups[method, seed, trial]
            arrays = (group[name].to_numpy(float) for name in ("epoch", "flops", "val_top1"))
            found.append(Curve(str(method), int(seed), int(trial), *arrays))
    return found


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
