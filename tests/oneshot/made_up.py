"""Estimates with given losses and costs, and what a method is told of them."""

from __future__ import annotations

from functools import partial

from autoprog_search.choosing import Estimate, StageContext
from autoprog_search.oneshot.score import ScoreRule
from autoprog_search.schedule import SubNetwork

PAPER = partial(ScoreRule, tie_se=0.0)  # every estimate as it is


def estimated(losses: list[float], costs: list[float]) -> tuple[Estimate, ...]:
    rows = enumerate(zip(losses, costs, strict=True), start=1)
    return tuple(Estimate(SubNetwork(depth, 4), loss, 0.01, cost) for depth, (loss, cost) in rows)


def context(found: tuple[Estimate, ...] | None, *history: tuple[Estimate, ...]) -> StageContext:
    names = tuple(e.sub_network for e in found or ())
    return StageContext(2, names, None, found, history, tuple(range(1, 10)), (4,))
