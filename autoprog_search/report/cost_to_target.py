"""Accuracy against cost over each method's sweep of training lengths, and where it meets full's accuracy."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from autoprog_search.analysis.targets import TargetCurve
from autoprog_search.report.colours import FULL, colour_of, dash_of, symbol_of
from autoprog_search.report.layout import styled
from autoprog_search.report.texts import target_text

TICKS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10)
WINDOW = 3.0  # points below the target: what is further away would squeeze the rest


def draw_target_curves(curves: list[TargetCurve], unit: str) -> go.Figure:
    """Points with standard errors, the curve through them, the target, and a ring where a curve meets it.

    Args:
        unit: of the cost, for the axis: FLOPs or seconds.
    """
    figure = go.Figure()
    target = next((c.target for c in curves if c.method == "full"), None)
    if target is not None:
        figure.add_hline(y=target, line={"color": FULL, "width": 1.5, "dash": "dash"}, layer="below")
        figure.add_annotation(
            x=0, xref="x domain", y=target, text=f"target {target:.2f} %", showarrow=False, xanchor="left", yshift=9
        )
    for curve in curves:
        _add_points(figure, curve)
    for curve in curves:  # last, above every line
        _add_crossing(figure, curve)
    costs = np.concatenate([c.cost for c in curves])
    ends = np.log10([costs.min() / 1.1, costs.max() * 1.1])
    figure.update_xaxes(
        title=f"training and search {unit}, full training at the recipe's epochs = 1 (log scale)",
        type="log",
        range=ends.tolist(),
        tickvals=TICKS,
        ticktext=[f"{tick:g}" for tick in TICKS],
    )
    figure.update_yaxes(title="test top-1, %")
    tops = np.concatenate([c.top1 for c in curves])
    if target is not None and tops.min() < target - WINDOW:
        figure.update_yaxes(range=[target - WINDOW, max(target, tops.max()) + 0.5])
    return styled(figure, height=520, hovermode="closest")


def _add_points(figure: go.Figure, c: TargetCurve) -> None:
    colour = colour_of(c.method)
    figure.add_scatter(
        x=c.cost,
        y=c.fitted,
        mode="lines",
        line={"color": colour, "width": 1.5, "dash": dash_of(c.method)},
        legendgroup=c.method,
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=c.cost,
        y=c.top1,
        error_y={"array": c.top1_se, "color": colour, "thickness": 1, "width": 3},
        mode="markers",
        name=f"{c.method} {_speedup(c)}",
        legendgroup=c.method,
        marker={"color": colour, "size": 8, "symbol": symbol_of(c.method)},
        text=[f"{epochs:g} epochs" for epochs in c.epochs],
        hovertemplate=f"<b>{c.method}</b> %{{text}}: test %{{y:.2f}} % at %{{x:.3g}} of full's cost<extra></extra>",
    )


def _add_crossing(figure: go.Figure, c: TargetCurve) -> None:
    if c.crossing is not None:
        figure.add_scatter(
            x=[c.crossing],
            y=[c.target],
            mode="markers",
            marker={"color": colour_of(c.method), "size": 15, "symbol": "circle-open", "line": {"width": 2.5}},
            legendgroup=c.method,
            showlegend=False,
            hovertemplate=f"<b>{c.method}</b> meets the target at %{{x:.3g}} of full's cost<extra></extra>",
        )


def _speedup(curve: TargetCurve) -> str:
    return "not reached" if curve.bound == "more than" else target_text(curve.bound, curve.share, curve.speedup)
