"""Validation accuracy against the cost spent so far: what a run would have been worth, stopped at any time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from autoprog_search.analysis.curves import growth_points
from autoprog_search.report.colours import Look, looks
from autoprog_search.report.layout import joined, styled
from autoprog_search.report.units import flops_text, unit_for

RING, GREY = 8, "#777777"
MARKS = 3  # on a trial's line


def draw_curves(curves: Mapping[tuple[str, int, int], pd.DataFrame]) -> go.Figure:
    """A thin line a trial (method, seed, trial), one colour a method; a ring where its network grows."""
    figure = go.Figure()
    unit = unit_for(max((float(c["flops"].max()) for c in curves.values()), default=0.0), "FLOPs")
    look_of = looks(method for method, _, _ in curves)
    for method in dict.fromkeys(method for method, _, _ in curves):
        look = look_of[method]
        own = {(seed, trial): curve for (name, seed, trial), curve in curves.items() if name == method}
        figure.add_scatter(
            x=joined(curve["flops"] for curve in own.values()) / unit.factor,
            y=joined(curve["val_top1"] for curve in own.values()),
            mode="lines+markers",
            line=look.line(),
            marker=look.marker(6, maxdisplayed=MARKS * len(own)),
            name=method,
            legendgroup=method,
            text=[said for key, curve in own.items() for said in [*_epochs(*key, curve), ""]],
            hovertemplate=f"<b>{method}</b> %{{text}}: validation %{{y:.2f}} %<extra></extra>",
        )
        figure.add_scatter(**_growths(pd.concat(map(growth_points, own.values())), method, look, unit.factor))
    if curves:
        ring = {"symbol": "circle-open", "size": RING, "color": GREY}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=ring, name="the network grows")
    figure.update_xaxes(title=f"cost so far, {unit.name}", rangemode="tozero")
    figure.update_yaxes(title="validation top-1, %")
    return styled(figure, hovermode="closest")


def _epochs(seed: int, trial: int, curve: pd.DataFrame) -> list[str]:
    points = zip(curve["epoch"].astype(float), curve["flops"].astype(float), strict=True)
    return [f"seed {seed} trial {trial}<br>epoch {epoch:.4g}, {flops_text(flops)}" for epoch, flops in points]


def _growths(points: pd.DataFrame, method: str, look: Look, factor: float) -> dict[str, Any]:
    sizes = zip(points["to_depth"], points["to_patches"], strict=True)
    return {
        "x": points["flops"].to_numpy(float) / factor,
        "y": points["val_top1"].to_numpy(float),
        "mode": "markers",
        "marker": {"symbol": "circle-open", "size": RING, "color": look.colour},
        "legendgroup": method,
        "showlegend": False,
        "text": [f"grows to {depth:.0f} blocks, {patches:.0f} patches" for depth, patches in sizes],
        "hovertemplate": f"<b>{method}</b> %{{text}}<extra></extra>",
    }
