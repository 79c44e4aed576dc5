"""How soon methods find good schedules: hypervolume regret against the compute spent (docs/table.md).

On a table a schedule is worth what it is in truth, and regret is against all schedules. Elsewhere it is worth what its
own run came to in validation, noise included, and regret is against all trials of the seed, of whatever method.

Aggregates over seeds: interquartile mean and percentile bootstrap (Agarwal et al., NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from autoprog_search.analysis.headline import of_full_length
from autoprog_search.errors import StudyError
from autoprog_search.schedule import SubNetwork
from autoprog_search.study.results import StudyFrames
from autoprog_search.study.store import ENDED_WELL
from autoprog_search.tables.loading import load_table
from autoprog_search.tables.table import GrowthTable

REFERENCE = (1.1, -0.1)  # normalised cost and accuracy: both ends of the front count
SINGLE = "autoprog"  # whose first trial the others are to match
BUDGETS = 121
RESAMPLES = 1000

COLUMNS = {
    "method": "method",
    "seeds": "seeds with a finished trial",
    "trials": "finished trials a seed, mean",
    "spent": "FLOPs of all of a seed's trials, over full's of one run, mean",
    "regret": "hypervolume regret after all trials, interquartile mean over seeds",
    "regret_low": "95 % bootstrap interval of it, lower end",
    "regret_high": "upper end",
    "rank": "rank by that regret among the study's methods, 1 is best, mean over seeds",
    "match": "FLOPs, over full's, until a trial is as accurate in truth as autoprog's run of this seed and no dearer: "
    "median over seeds, infinite (missing in files) where most never do",
    "match_never": "seeds that never do, %",
    "volume": "the same until the hypervolume of the trials so far is that of autoprog's run",
    "volume_never": "seeds that never do, %",
}


@dataclass(frozen=True)
class RegretCurves:
    """Regret over compute, interquartile mean over seeds.

    Attributes:
        methods: in the study's order.
        budgets: (budgets,) FLOPs spent over full's of one run.
        regret, low, high: (methods, budgets) mean and 95 % bootstrap band; no band for a single seed (NaN).
        ends: (methods,) what a seed's trials took in all, mean; the curve is flat from there.
    """

    methods: tuple[str, ...]
    budgets: np.ndarray
    regret: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ends: np.ndarray


def hypervolume(costs: np.ndarray, values: np.ndarray, reference: tuple[float, float] = REFERENCE) -> float:
    """The area that points dominate: costs to be small, values large, as far as the reference point."""
    volume, best = 0.0, reference[1]
    order = np.lexsort((-values, costs))
    for cost, value in zip(costs[order], values[order], strict=True):
        if cost < reference[0] and value > best:
            volume += (reference[0] - cost) * (value - best)
            best = value
    return float(volume)


def scored(study: StudyFrames) -> pd.DataFrame:
    """The study's finished trials with what they are worth, in the order they ran.

    Returns:
        method, seed, trial; `cost` and `truth`, normalised; `spent`: FLOPs of the (method, seed)'s trials up to this
        one, over full's of one run; `regret` after this trial.

    Raises:
        StudyError: no trial has finished; or, on no table, full has not, or no seed has one of every method.
    """
    done = study.trials[study.trials["state"] == "COMPLETE"]
    if done.empty:
        raise StudyError(f"study {study.config.name!r} has no finished trial yet; run it first")
    if study.config.data.table is not None:
        return _scored(done, load_table(study.config.data.table))
    ended = of_full_length(study.trials[study.trials["state"].isin(ENDED_WELL)])
    by_method = [set(group["seed"]) for _, group in ended[ended["state"] == "COMPLETE"].groupby("method")]
    seeds = set.intersection(*by_method)
    if not seeds or "full" not in set(ended["method"]):
        missing = "a finished trial of every method" if "full" in set(ended["method"]) else "full, the unit of compute"
        raise StudyError(f"study {study.config.name!r} has no seed with {missing}, so no regret")
    shared = ended[ended["seed"].isin(seeds)]
    return pd.concat([_measured(group) for _, group in shared.groupby("seed")]).sort_index()


def _scored(done: pd.DataFrame, table: GrowthTable) -> pd.DataFrame:
    space, full_flops = table.info.space, table.full_flops
    costs, truths = (np.array(column) for column in zip(*table.truth.values(), strict=True))
    cheapest, worst, best = costs.min(), truths.min(), truths.max()

    def cost_of(flops: np.ndarray) -> np.ndarray:
        return (flops - cheapest) / max(full_flops - cheapest, 1.0)

    def worth_of(truth: np.ndarray) -> np.ndarray:
        return (truth - worst) / (best - worst if best > worst else 1.0)

    def truth_of(depths: list[int], patches: list[int]) -> float:
        pairs = zip(depths, patches, strict=True)
        return table.truth[tuple(space.levels_of(SubNetwork(*pair)) for pair in pairs)][1]

    truth = np.array([truth_of(*pair) for pair in zip(done["depths"], done["patches"], strict=True)])
    rows = done[["method", "seed", "trial"]].assign(cost=cost_of(done["total_flops"].to_numpy()), truth=worth_of(truth))
    rows["spent"] = done.groupby(["method", "seed"], sort=False)["total_flops"].cumsum() / full_flops
    return _with_regret(rows, hypervolume(cost_of(costs), worth_of(truths)))


def _measured(ended: pd.DataFrame) -> pd.DataFrame:
    """A seed's trials against each other: those stopped early only count in what was spent."""
    done = ended[ended["state"] == "COMPLETE"]
    full_flops = float(done[done["method"] == "full"]["total_flops"].iloc[0])
    cost, worth = done["total_flops"].astype(float), done["val_top1"].astype(float)
    rows = done[["method", "seed", "trial"]].assign(
        cost=(cost - cost.min()) / max(full_flops - cost.min(), 1.0),
        truth=(worth - worth.min()) / (worth.max() - worth.min() or 1.0),
        spent=ended.groupby("method", sort=False)["own_flops"].cumsum() / full_flops,
    )
    return _with_regret(rows, hypervolume(rows["cost"].to_numpy(), rows["truth"].to_numpy()))


def _with_regret(rows: pd.DataFrame, whole: float) -> pd.DataFrame:
    """The rows with what each (method, seed)'s trials so far leave out of the whole hypervolume."""
    rows["regret"] = np.nan
    for _, group in rows.groupby(["method", "seed"], sort=False):
        points = group[["cost", "truth"]].to_numpy()
        volumes = [hypervolume(*points[: n + 1].T) for n in range(len(points))]
        rows.loc[group.index, "regret"] = 1 - np.array(volumes) / whole
    return rows


def regret_curves(rows: pd.DataFrame, budgets: int = BUDGETS) -> RegretCurves:
    """Regret over compute, of `scored` trials: 1 before a seed's first trial has ended."""
    methods = tuple(dict.fromkeys(rows["method"]))
    ends = rows.groupby(["method", "seed"], sort=False)["spent"].max()
    grid = np.linspace(0.0, float(ends.max()), budgets)
    regret, low, high = (np.full((len(methods), budgets), np.nan) for _ in range(3))
    for place, method in enumerate(methods):
        seeds = [_steps(group, grid) for _, group in rows[rows["method"] == method].groupby("seed")]
        regret[place], low[place], high[place] = interquartile(np.array(seeds))
    return RegretCurves(methods, grid, regret, low, high, np.array([ends[m].mean() for m in methods]))


def _steps(group: pd.DataFrame, grid: np.ndarray) -> np.ndarray:
    """A seed's regret at each budget."""
    finished = np.searchsorted(group["spent"].to_numpy(), grid * (1 + 1e-12), side="right")
    return np.concatenate(([1.0], group["regret"].to_numpy()))[finished]


def interquartile(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interquartile mean over the first axis and its 95 % percentile bootstrap interval, NaN for a single value."""
    mean = stats.trim_mean(values, 0.25, axis=0)
    if len(values) < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(stats.trim_mean(values[draws], 0.25, axis=1), [2.5, 97.5], axis=0)
    return mean, low, high


def regret_summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a method, of `scored` trials, with the columns of `COLUMNS`."""
    last = rows.groupby(["method", "seed"], sort=False).last()["regret"].unstack("method")
    ranks = last.dropna().rank(axis="columns").mean()
    single = rows[(rows["method"] == SINGLE) & (rows["trial"] == 0)].set_index("seed")
    table = []
    for method in dict.fromkeys(rows["method"]):
        own = rows[rows["method"] == method]
        mean, low, high = interquartile(last[method].dropna().to_numpy()[:, None])
        groups = [(group, single.loc[seed]) for seed, group in own.groupby("seed") if seed in single.index]
        match = [_spent(group, (group["truth"] >= to["truth"]) & (group["cost"] <= to["cost"])) for group, to in groups]
        volume = [_spent(group, group["regret"] <= to["regret"]) for group, to in groups]
        table.append(
            {
                "method": method,
                "seeds": own["seed"].nunique(),
                "trials": len(own) / own["seed"].nunique(),
                "spent": own.groupby("seed")["spent"].max().mean(),
                "regret": mean[0],
                "regret_low": low[0],
                "regret_high": high[0],
                "rank": ranks.get(method, np.nan),
                "match": _median(match),
                "match_never": _never(match),
                "volume": _median(volume),
                "volume_never": _never(volume),
            }
        )
    return pd.DataFrame(table, columns=list(COLUMNS))


def _spent(group: pd.DataFrame, reached: pd.Series[bool]) -> float:
    """What had been spent when it was reached first; infinite if it never was."""
    return float(group["spent"][reached].min()) if reached.any() else np.inf


def _median(values: Sequence[float]) -> float:
    # The lower of the two middle ones: a mean of a number and infinity would hide the number.
    return float(np.percentile(values, 50, method="lower")) if values else np.nan


def _never(values: Sequence[float]) -> float:
    return 100 * float(np.isinf(values).mean()) if values else np.nan
