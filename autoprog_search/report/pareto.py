"""Accuracy against cost: which trials nobody beats at their price."""

from __future__ import annotations

import plotly.graph_objects as go

from autoprog_search.analysis.pareto import ParetoFront
from autoprog_search.report.colours import Look, looks
from autoprog_search.report.layout import styled
from autoprog_search.report.units import cost_text, unit_for


def draw_pareto_front(front: ParetoFront) -> go.Figure:
    """Trials as points (filled on their method's front), each method's front as steps, the front of all behind them.

    Cost is in a unit that suits it, test top-1 in per cent.
    """
    figure = go.Figure()
    unit = unit_for(front.cost.max(initial=0.0), front.unit)
    figure.add_scatter(
        x=front.cost[front.on_front] / unit.factor,
        y=front.top1[front.on_front],
        mode="lines",
        line={"color": "#888888", "width": 7, "shape": "hv"},
        opacity=0.25,
        name="front of all",
        hoverinfo="skip",
    )
    for method, look in looks(front.methods).items():
        _add_method(figure, front, method, look, unit.factor)
    figure.update_xaxes(title=f"training and search cost, {unit.name}", rangemode="tozero")
    figure.update_yaxes(title="test top-1, %")
    return styled(figure, hovermode="closest")


def _add_method(figure: go.Figure, front: ParetoFront, method: str, look: Look, factor: float) -> None:
    ours = front.method == method
    cost = front.cost / factor
    line = ours & front.on_method_front
    figure.add_scatter(
        x=cost[line],
        y=front.top1[line],
        mode="lines",
        line=look.line(shape="hv"),
        legendgroup=method,
        showlegend=False,
        hoverinfo="skip",
    )
    parts = (front.seed, front.trial, front.cost, front.top1, front.val_top1, front.schedule)
    rows = zip(*(part[ours] for part in parts), strict=True)
    figure.add_scatter(
        x=cost[ours],
        y=front.top1[ours],
        mode="markers",
        name=method,
        legendgroup=method,
        marker={
            "color": look.colour,
            "size": 10,
            "symbol": [look.symbol if kept else f"{look.symbol}-open" for kept in front.on_method_front[ours]],
            "line": {"color": look.colour, "width": 1.5},
        },
        text=[_hover(method, front.unit, *row) for row in rows],
        hovertemplate="%{text}<extra></extra>",
    )


def _hover(
    method: str, unit: str, seed: int, trial: int, cost: float, top1: float, val_top1: float, schedule: str
) -> str:
    return (
        f"<b>{method}</b> seed {seed} trial {trial}<br>test {top1:.2f} %, validation {val_top1:.2f} %<br>"
        f"{cost_text(cost, unit)}<br>{schedule}"
    )
