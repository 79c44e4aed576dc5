"""When the networks of a study grew under a free clock, and what the learning rate was then."""

from __future__ import annotations

from math import cos, pi

import numpy as np
import pandas as pd

from autoprog_search.settings.recipe import Recipe
from autoprog_search.space import TICKS


def clocks(clock: pd.DataFrame, heads: pd.DataFrame) -> dict[tuple[str, int, int], pd.DataFrame]:
    """The clocks (`study.results.clock_frame`) of the headline trials that grew under one.

    Returns:
        By (method, seed, trial), in the order of `heads`: an axis of a stage a row (`runs.row.ClockRow`), and two
        columns more, `expected` and `came`: the ticks at which a growth was to have mixed, and had.
    """
    if clock.empty:
        return {}
    of_trial = {key: _ends(rows) for key, rows in clock.groupby(["method", "seed", "trial"]) if rows["grew"].any()}
    wanted = zip(heads["method"], heads["seed"], heads["trial"], strict=True)
    return {trial: of_trial[trial] for trial in wanted if trial in of_trial}


def _ends(rows: pd.DataFrame) -> pd.DataFrame:
    last = rows.iloc[-1]
    tick_steps = last["step"] / last["tick"]  # a run that grew has a stage that begins after its first step
    ends = {"expected": rows["tick"] + rows["mixing"] / tick_steps, "came": rows["tick"] + rows["mixed"] / tick_steps}
    return rows.assign(**{name: end.where(rows["grew"]).clip(upper=TICKS) for name, end in ends.items()})


def rates(recipe: Recipe) -> pd.DataFrame:
    """The learning rate over a run, as `training.optim.build_scheduler` has timm make it, which needs torch.

    Returns:
        `tick`, of the run, and `rate`, over the largest.
    """
    ticks = np.linspace(0, TICKS, 10 * TICKS + 1)
    return pd.DataFrame({"tick": ticks, "rate": [_rate(recipe, tick / TICKS) for tick in ticks]})


def _rate(recipe: Recipe, share: float) -> float:
    """At that share of the run's steps."""
    least, warmup = recipe.min_lr / recipe.scaled_lr, recipe.warmup_share
    if share < warmup:
        return 0.01 + 0.99 * share / warmup
    if recipe.sched == "cosine":
        return least + (1 - least) * (1 + cos(pi * share)) / 2
    return least + (1 - least) * min(1.0, (1 - share) / min(recipe.decay_share, 1 - warmup))
