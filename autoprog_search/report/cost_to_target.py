"""Accuracy against cost over each method's sweep of training lengths, and where it meets full's accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from autoprog_search.report.colours import FULL, Look, looks
from autoprog_search.report.layout import styled
from autoprog_search.report.texts import target_text

TICKS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10)
WINDOW = 3.0  # points below the target: what is further away would squeeze the rest


def draw_target_curves(curves: Mapping[str, tuple[pd.DataFrame, Mapping[str, Any]]], unit: str) -> go.Figure:
    """Points with standard errors, the curve through them, the target, and a ring where a curve meets it.

    Args:
        curves: as `target_curves` gives them.
        unit: of the cost, for the axis: FLOPs or seconds.
    """
    figure = go.Figure()
    target = curves["full"][1]["target"] if "full" in curves else None
    if target is not None:
        figure.add_hline(y=target, line={"color": FULL, "width": 1.5, "dash": "dash"}, layer="below")
        figure.add_annotation(
            x=0, xref="x domain", y=target, text=f"target {target:.2f} %", showarrow=False, xanchor="left", yshift=9
        )
    look = looks(curves)
    for method, (points, met) in curves.items():
        reached = met["bound"] != "more than"
        text = target_text(met["bound"], met["share"], met["speedup"]) if reached else "not reached"
        _add_points(figure, method, look[method], points, text)
    for method, (_, met) in curves.items():  # last, above every line
        if not met["bound"]:
            _add_crossing(figure, method, look[method].colour, met["share"], met["target"])
    costs = np.concatenate([points["cost"] for points, _ in curves.values()])
    ends = np.log10([costs.min() / 1.1, costs.max() * 1.1])
    figure.update_xaxes(
        title=f"training and search {unit}, full training at the recipe's epochs = 1 (log scale)",
        type="log",
        range=ends.tolist(),
        tickvals=TICKS,
        ticktext=[f"{tick:g}" for tick in TICKS],
    )
    figure.update_yaxes(title="test top-1, %")
    tops = np.concatenate([points["top1"] for points, _ in curves.values()])
    if target is not None and tops.min() < target - WINDOW:
        figure.update_yaxes(range=[target - WINDOW, max(target, tops.max()) + 0.5])
    return styled(figure, height=520, hovermode="closest")


def _add_points(figure: go.Figure, method: str, look: Look, points: pd.DataFrame, met: str) -> None:
    cost = points["cost"].to_numpy()
    figure.add_scatter(
        x=cost,
        y=points["fitted"].to_numpy(),
        mode="lines",
        line=look.line(),
        legendgroup=method,
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=cost,
        y=points["top1"].to_numpy(),
        error_y={"array": points["top1_se"].to_numpy(), "color": look.colour, "thickness": 1, "width": 3},
        mode="markers",
        name=f"{method} {met}",
        legendgroup=method,
        marker=look.marker(),
        text=[f"{epochs:g} epochs" for epochs in points["epochs"]],
        hovertemplate=f"<b>{method}</b> %{{text}}: test %{{y:.2f}} % at %{{x:.3g}} of full's cost<extra></extra>",
    )


def _add_crossing(figure: go.Figure, method: str, colour: str, cost: float, target: float) -> None:
    figure.add_scatter(
        x=[cost],
        y=[target],
        mode="markers",
        marker={"color": colour, "size": 15, "symbol": "circle-open", "line": {"width": 2.5}},
        legendgroup=method,
        showlegend=False,
        hovertemplate=f"<b>{method}</b> meets the target at %{{x:.3g}} of full's cost<extra></extra>",
    )
