"""Accuracy against cost: which trials nobody beats at their price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from autoprog_search.cost import CostKind
from autoprog_search.report.colours import colour_of, symbol_of
from autoprog_search.report.layout import styled
from autoprog_search.report.units import cost_text, unit_for


@dataclass(frozen=True)
class ParetoFront:
    """A study's finished trials, cheapest first; of equal cost the most accurate first.

    Attributes:
        method, seed, trial: which trial, (trials,).
        cost: training and search, (trials,), see `unit`.
        top1: test accuracy of the recipe's eval_weights, (trials,), per cent.
        val_top1: validation accuracy of the same weights, (trials,), per cent.
        schedule: depths and resolutions in words, (trials,).
        on_front: no other trial is as cheap and as accurate, (trials,) bool; of equal trials the first.
        on_method_front: the same among the method's own trials, all seeds together.
        unit: of `cost`.
        methods: those of the trials, in the order of the table.
    """

    method: np.ndarray
    seed: np.ndarray
    trial: np.ndarray
    cost: np.ndarray
    top1: np.ndarray
    val_top1: np.ndarray
    schedule: np.ndarray
    on_front: np.ndarray
    on_method_front: np.ndarray
    unit: Literal["FLOPs", "s"]
    methods: tuple[str, ...]


def pareto_front(trials: pd.DataFrame, cost: CostKind) -> ParetoFront:
    """The front of a study's trials table (`study.results.trials_frame`).

    Trials that have not finished, and those without a cost or an accuracy, are left out.
    """
    done = trials[trials["state"] == "COMPLETE"]
    costs = done["total_flops"] if cost == "flops" else done["train_seconds"] + done["search_seconds"]
    done = done.assign(cost=costs.astype(float)).dropna(subset=["cost", "top1"])
    methods = tuple(dict.fromkeys(done["method"]))
    # The place in the table is the last key: of equal trials the first comes first.
    done = done.iloc[np.lexsort((np.arange(len(done)), -done["top1"].to_numpy(float), done["cost"].to_numpy(float)))]
    method, top1 = done["method"].to_numpy(object), done["top1"].to_numpy(float)
    own = np.zeros(len(done), dtype=bool)
    for name in methods:
        own[method == name] = _above_all_before(top1[method == name])
    return ParetoFront(
        method=method,
        seed=done["seed"].to_numpy(int),
        trial=done["trial"].to_numpy(int),
        cost=done["cost"].to_numpy(float),
        top1=top1,
        val_top1=done["val_top1"].to_numpy(float),
        schedule=np.array([schedule_text(*r) for r in zip(done["depths"], done["resolutions"], strict=True)], object),
        on_front=_above_all_before(top1),
        on_method_front=own,
        unit="FLOPs" if cost == "flops" else "s",
        methods=methods,
    )


def _above_all_before(top1: np.ndarray) -> np.ndarray:
    before = np.concatenate(([-np.inf], np.maximum.accumulate(top1)[:-1])) if len(top1) else top1
    return np.asarray(top1 > before)


def schedule_text(depths: Any, resolutions: Any) -> str:
    """For example `depth 6 → 12, 16 → 28 px`, from the table's lists."""
    if not isinstance(depths, list) or not isinstance(resolutions, list):
        return "schedule not stored"
    arrows = [" → ".join(map(str, levels)) for levels in (depths, resolutions)]
    return f"depth {arrows[0]}; {arrows[1]} px"


def draw_pareto_front(front: ParetoFront) -> go.Figure:
    """Trials as points (filled on their method's front), each method's front as steps, the front of all dashed."""
    figure = go.Figure()
    unit = unit_for(front.cost.max(initial=0.0), front.unit)
    cost = front.cost / unit.factor
    figure.add_scatter(
        x=cost[front.on_front],
        y=front.top1[front.on_front],
        mode="lines",
        line={"color": "#888888", "width": 7, "shape": "hv"},
        opacity=0.25,
        name="front of all",
        hoverinfo="skip",
    )
    for method in front.methods:
        colour, symbol, ours = colour_of(method), symbol_of(method), front.method == method
        line = ours & front.on_method_front
        figure.add_scatter(
            x=cost[line],
            y=front.top1[line],
            mode="lines",
            line={"color": colour, "width": 1.5, "shape": "hv"},
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
                "color": colour,
                "size": 10,
                "symbol": [symbol if kept else f"{symbol}-open" for kept in front.on_method_front[ours]],
                "line": {"color": colour, "width": 1.5},
            },
            text=[_hover(method, front.unit, *row) for row in rows],
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_xaxes(title=f"training and search cost, {unit.name}", rangemode="tozero")
    figure.update_yaxes(title="test top-1, %")
    return styled(figure, hovermode="closest")


def _hover(
    method: str, unit: str, seed: int, trial: int, cost: float, top1: float, val_top1: float, schedule: str
) -> str:
    return (
        f"<b>{method}</b> seed {seed} trial {trial}<br>test {top1:.2f} %, validation {val_top1:.2f} %<br>"
        f"{cost_text(cost, unit)}<br>{schedule}"
    )
