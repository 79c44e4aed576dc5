"""Cost to target: what training to a given accuracy costs each method, from a sweep of training lengths.

docs/results.md has the rules. A non-decreasing curve meets the target at most once and stays above it, where the first
crossing of the raw means would flatter a lucky length and the last one punish an unlucky one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from autoprog_search.analysis.headline import headline
from autoprog_search.cost import CostKind
from autoprog_search.errors import StudyError

COLUMNS = {
    "study": "study",
    "method": "method",
    "seeds": "seeds with every length of the method and with full's run",
    "lengths": "training lengths of the sweep",
    "split": "test or validation: whose accuracy has to reach the target",
    "cost": "flops (all that finding the schedule took), flops_without_search (the run alone), seconds (as flops)",
    "target": "full's mean accuracy over these seeds minus the margin, %",
    "bound": "empty: the curve crosses the target; at most: its cheapest point is above; more than: its dearest below",
    "share": "cost to target over the cost of full at the recipe's epochs; with a bound, of that point",
    "share_low": "95 % interval (bootstrap over seeds), lower end",
    "share_high": "upper end; infinite where resamples do not reach the target",
    "speedup": "1 / share: so many times cheaper than full",
    "speedup_low": "1 / share_high",
    "speedup_high": "1 / share_low",
    "reached": "resamples that reach the target, %",
}
SPLITS = {"test": "top1", "validation": "val_top1"}
COSTS = ("flops", "flops_without_search", "seconds")
MARGIN = 0.2  # points below full
DRAWS = 2000  # bootstrap resamples of the seeds
ROUNDING = 1e-9  # points: full reaches its own accuracy whichever way its mean was summed


@dataclass(frozen=True)
class Sweep:
    """A method's runs at each of its lengths, cheapest first, and full's at the recipe's epochs, on the same seeds.

    Attributes:
        seeds: (seeds,).
        epochs: scheduled length, (points,).
        accuracy: per cent, (seeds, points).
        cost: FLOPs or seconds, (seeds, points).
        full_accuracy, full_cost: (seeds,).
    """

    method: str
    seeds: np.ndarray
    epochs: np.ndarray
    accuracy: np.ndarray
    cost: np.ndarray
    full_accuracy: np.ndarray
    full_cost: np.ndarray


def cost_to_target(trials: pd.DataFrame, epochs: float, margin: float = MARGIN) -> pd.DataFrame:
    """One row a (method, split, cost) with the columns of `COLUMNS`, from a study's trials table.

    Args:
        epochs: the recipe's: full's run of that length sets target and unit.

    Raises:
        StudyError: full has no finished trial of that length.
    """
    heads = headlines_by_length(trials, margin)
    table = pd.DataFrame(
        [
            {"study": trials["study"].iloc[0], "method": sweep.method, "split": split, "cost": cost}
            | meet_target(sweep, margin)
            for split in SPLITS
            for cost in COSTS
            for sweep in sweeps(heads, epochs, split, cost)
        ],
        columns=list(COLUMNS),
    )
    return _as_in(trials, table)


def headlines_by_length(trials: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """The one trial that stands for each (method, seed, length), as `headline` picks it on validation accuracy.

    Returns:
        `headline`'s columns, in the order of the trials table: `spent_*` charge the length with all of its trials.
    """
    lengths = [headline(group, margin) for _, group in trials.groupby("scheduled_epochs")]
    heads = pd.concat(lengths) if lengths else headline(trials, margin)
    return _as_in(trials, heads)


def _as_in(trials: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with a `method`, in the order of the methods in the trials table."""
    place = {method: i for i, method in enumerate(trials["method"].unique())}
    return rows.sort_values("method", key=lambda names: names.map(place), kind="stable", ignore_index=True)


def sweeps(heads: pd.DataFrame, epochs: float, split: str = "test", cost: str = "flops") -> list[Sweep]:
    """Every method's sweep over the seeds that have finished all its lengths, in the order of `headlines_by_length`.

    Args:
        epochs: of full's run, with which the methods' runs are paired.
        split: one of `SPLITS`.
        cost: one of `COSTS`.

    Raises:
        StudyError: full has no finished trial of that length.
    """
    column = {"flops": "spent_flops", "flops_without_search": "train_flops", "seconds": "spent_seconds"}[cost]
    runs = heads.assign(accuracy=heads[SPLITS[split]], paid=heads[column]).dropna(subset=["accuracy", "paid"])
    full = runs[(runs["method"] == "full") & (runs["scheduled_epochs"] == epochs)].set_index("seed")
    if full.empty:
        raise StudyError(f"cost to target: there is no finished trial of full at {epochs:g} epochs, so no target")
    found = []
    for method, group in runs.groupby("method", sort=False):
        points = group.pivot(index="seed", columns="scheduled_epochs", values=["accuracy", "paid"]).dropna()
        points = points[points.index.isin(full.index)]
        if len(points):
            cheapest = np.argsort(points["paid"].to_numpy(float).mean(axis=0), kind="stable")
            accuracy, paid = (points[name].to_numpy(float)[:, cheapest] for name in ("accuracy", "paid"))
            base = full.loc[points.index]
            found.append(
                Sweep(
                    method=str(method),
                    seeds=points.index.to_numpy(int),
                    epochs=points["paid"].columns.to_numpy(float)[cheapest],
                    accuracy=accuracy,
                    cost=paid,
                    full_accuracy=base["accuracy"].to_numpy(float),
                    full_cost=base["paid"].to_numpy(float),
                )
            )
    return found


def non_decreasing(values: np.ndarray) -> np.ndarray:
    """The nearest non-decreasing sequence in least squares (isotonic regression) along the last axis, (..., points)."""
    count = values.shape[-1]
    sums = np.concatenate([np.zeros_like(values[..., :1]), np.cumsum(values, axis=-1)], axis=-1)
    first, last = np.indices((count, count))
    means = (sums[..., last + 1] - sums[..., first]) / np.maximum(last + 1 - first, 1)  # of the points first to last
    at = (means[..., : i + 1, i:].min(axis=-1).max(axis=-1) for i in range(count))  # the max-min formula
    return np.stack(list(at), axis=-1)


def crossing(accuracy: np.ndarray, cost: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where non-decreasing curves, straight in log(cost), reach their target.

    Args:
        accuracy, cost: (draws, points), cheapest first.
        target: (draws,).

    Returns:
        Cost to target, (draws,), infinite where the dearest point is below; and the first point at or above the target,
        (draws,), the number of points where there is none.
    """
    draws, points = np.arange(len(target)), accuracy.shape[1]
    above = accuracy >= target[:, None] - ROUNDING
    reached = above[:, -1]
    point = np.where(reached, above.argmax(axis=1), points)
    upper = np.minimum(point, points - 1)
    lower = np.maximum(upper - 1, 0)
    rise = accuracy[draws, upper] - accuracy[draws, lower]
    part = np.divide(target - accuracy[draws, lower], rise, out=np.ones(len(target)), where=rise > 0).clip(0, 1)
    log = np.log(cost)
    between = np.exp(log[draws, lower] + part * (log[draws, upper] - log[draws, lower]))
    at = np.where(point == 0, cost[:, 0], between)
    return np.where(reached, at, np.inf), point


def resampled(sweep: Sweep, seeds: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The `crossing` of resamples of the seeds, in full's cost, and each resample's target.

    Args:
        seeds: places of seeds, (draws, size of a resample); the method's and full's runs are drawn together.
    """
    target = sweep.full_accuracy[seeds].mean(axis=1) - margin
    share = sweep.cost[seeds].mean(axis=1) / sweep.full_cost[seeds].mean(axis=1)[:, None]
    return *crossing(non_decreasing(sweep.accuracy[seeds].mean(axis=1)), share, target), target


def meet_target(sweep: Sweep, margin: float = MARGIN) -> dict[str, Any]:
    """Where a sweep meets the target, with its bootstrap interval: the columns of `COLUMNS` from `seeds` on."""
    count, lengths = sweep.cost.shape
    (cost,), (point,), (target,) = resampled(sweep, np.arange(count)[None], margin)
    dearest = float(sweep.cost[:, -1].mean() / sweep.full_cost.mean())
    share = float(cost) if point < lengths else dearest
    low = high = reached = float("nan")
    if count > 1:
        # The same draws for every method with as many seeds: one number of generator, the same everywhere.
        drawn = np.random.default_rng(0).integers(count, size=(DRAWS, count))
        costs, _, _ = resampled(sweep, drawn, margin)
        low, high = np.quantile(costs, [0.025, 0.975], method="inverted_cdf")  # observed values: some are infinite
        reached = 100 * float(np.isfinite(costs).mean())
    return {
        "seeds": count,
        "lengths": lengths,
        "target": float(target),
        "bound": "more than" if point == lengths else "at most" if point == 0 else "",
        "share": share,
        "share_low": low,
        "share_high": high,
        "speedup": 1 / share,
        "speedup_low": 1 / high,
        "speedup_high": 1 / low,
        "reached": reached,
    }


def target_curves(
    trials: pd.DataFrame, epochs: float, cost: CostKind, margin: float = MARGIN
) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
    """The curves of a study's trials table on the test split, by method, in its order.

    Returns:
        Points, a length each, cheapest first: `epochs`, as scheduled; `cost`, search included, mean over seeds over
        that of full at the recipe's epochs; `top1`, mean over seeds, %, and `top1_se`, its standard error, NaN for one
        seed; `fitted`, the non-decreasing curve through them. And where that meets the target, as `meet_target`.

    Raises:
        StudyError: full has no finished trial of `epochs` epochs.
    """
    curves = {}
    for sweep in sweeps(headlines_by_length(trials, margin), epochs, "test", cost):
        top1, seeds = sweep.accuracy.mean(axis=0), len(sweep.seeds)
        spread = sweep.accuracy.std(axis=0, ddof=1) if seeds > 1 else np.full(len(top1), np.nan)
        points = {"epochs": sweep.epochs, "cost": sweep.cost.mean(axis=0) / sweep.full_cost.mean(), "top1": top1}
        points |= {"top1_se": spread / np.sqrt(seeds), "fitted": non_decreasing(top1)}
        curves[sweep.method] = pd.DataFrame(points), meet_target(sweep, margin)
    return curves
