"""Is one-shot estimation right? What proxies say of a search's candidates, against what training them came to.

Truth comes from a table of all schedules: a candidate's validation accuracy at the end of the stage that it trains, and
at the end of the run, mean over all schedules that begin with the stages before and with it. For a search of seed s it
is the mean over the *other* seeds, so that a proxy is not judged by the noise of the run that it was taken from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from autoprog_search.errors import ConfigError
from autoprog_search.schedule import SubNetwork
from autoprog_search.tables.table import GrowthTable, Walk

COLUMNS = {
    "stage": "stage that the searches open",
    "proxy": "what ranks the candidates",
    "searches": "searches judged: paths x seeds",
    "tau_stage": "Kendall's tau (b) with the accuracy at the end of the stage, mean over seeds",
    "tau_stage_se": "its standard error over seeds",
    "tau_end": "the same with the accuracy at the end of the run",
    "tau_end_se": "its standard error",
    "regret_stage": "accuracy at the end of the stage: the best candidate's minus the one's that the proxy puts first",
    "regret_stage_se": "its standard error, points",
    "regret_end": "the same at the end of the run",
    "regret_end_se": "its standard error, points",
}
LOSS, COST, RANDOM = "one-shot loss", "cost alone (the dearest)", "at random"
TRAINED = "loss after the stage, trained alone"


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a proxy says of the candidates of one search; the more the better."""

    proxy: str
    seed: int
    walk: Walk
    values: Mapping[SubNetwork, float]


@dataclass(frozen=True)
class Truth:
    """What training came to, from a table."""

    table: GrowthTable

    def at_stage(self, walk: Walk, seed: int, column: str = "epoch_val_top1") -> float:
        """Of a run of that seed, when the last stage of the walk ends; all schedules that begin so agree."""
        stage_ends = list(accumulate(self.table.info.stage_steps))
        curve = self._of(walk, seed, column)[0]
        epochs = stage_ends[len(walk) - 1] * len(curve) / stage_ends[-1]
        return float(curve[max(1, int(epochs + 1e-9)) - 1])

    def at_end(self, walk: Walk, seed: int) -> float:
        """Of runs of that seed, at their end: mean over the schedules that begin so."""
        return fmean(self._of(walk, seed, "val_top1"))

    def of_others(self, measure: Callable[[Walk, int], float], walk: Walk, seed: int) -> float:
        """Mean over all seeds but this one."""
        others = [other for other in range(self.table.info.seeds) if other != seed]
        return fmean(measure(walk, other) for other in others)

    def _of(self, walk: Walk, seed: int, column: str) -> list[Any]:
        space = self.table.info.space
        begun = tuple(space.levels_of(s) for s in walk)
        return [self.table.runs[seed, s][column] for s in space.enumerate() if s[: len(begun)] == begun]


def validity(table: GrowthTable, surveyed: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a (stage, proxy), the columns of `COLUMNS`.

    Args:
        table: with at least two seeds, and estimates of all candidates (`growth.force_growth=none`).
        surveyed: the estimates of another study's surveys on the table's seeds: each method of it is a proxy, judged by
            the decrease of its losses where it has them, else by its losses.

    Raises:
        ConfigError: the table lacks one of these.
    """
    if table.info.seeds < 2 or not any(key[0] == "none" for key in table.searches):
        raise ConfigError(
            f"table {table.name}: it takes two seeds or more and estimates under growth.force_growth 'none', it has "
            f"{table.info.seeds} and {sorted({key[0] for key in table.searches}) or 'none'}"
        )
    truth = Truth(table)
    rankings = [*_of_table(table, truth), *(searches_of(surveyed) if surveyed is not None else ())]
    judged = pd.DataFrame([_judge(truth, ranking) for ranking in rankings])
    rows = []
    for (stage, proxy), group in judged.groupby(["stage", "proxy"], sort=False):
        by_seed = group.groupby("seed")[["tau_stage", "tau_end", "regret_stage", "regret_end"]].mean()
        measured = pd.concat([by_seed.mean(), by_seed.sem().add_suffix("_se")])
        rows.append({"stage": stage, "proxy": proxy, "searches": len(group), **measured.to_dict()})
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values("stage", kind="stable", ignore_index=True)


def axis_shares(table: GrowthTable) -> tuple[float, float]:
    """What the paths in depth and in patches each explain of the schedules' test accuracies (means over the seeds).

    Returns:
        Shares of their variance between groups of one path (eta squared), 0 to 1.
    """
    schedules = list(table.info.space.enumerate())
    top1 = pd.Series([fmean(table.runs[seed, s]["top1"] for seed in range(table.info.seeds)) for s in schedules])
    shares = []
    for axis in range(2):
        path = np.array(["-".join(str(pair[axis]) for pair in s) for s in schedules])
        shares.append(float(top1.groupby(path).transform("mean").var(ddof=0) / top1.var(ddof=0)))
    return shares[0], shares[1]


def _of_table(table: GrowthTable, truth: Truth) -> Iterator[Ranking]:
    for (force_growth, seed, walk), search in table.searches.items():
        if force_growth != "none":
            continue
        estimates = {e.sub_network: e for e in search.estimates}
        yield Ranking(LOSS, seed, walk, {c: -e.loss for c, e in estimates.items()})
        yield Ranking(COST, seed, walk, {c: e.cost for c, e in estimates.items()})
        yield Ranking(RANDOM, seed, walk, dict.fromkeys(estimates, 0.0))
        yield Ranking(TRAINED, seed, walk, {c: -truth.at_stage((*walk, c), seed, "epoch_val_loss") for c in estimates})


def searches_of(surveyed: pd.DataFrame) -> Iterator[Ranking]:
    """The searches in a study's estimates, ranked by its methods: as `validity` judges them.

    Trials share the searches of the paths that they share: each is taken once.
    """
    seen = set()
    for _, trial in surveyed.groupby(["method", "seed", "trial"], sort=False):
        walk: Walk = ()
        method, seed = str(trial["method"].iloc[0]), int(trial["seed"].iloc[0])
        for _, search in trial.groupby("stage"):
            rows = search.to_dict("records")
            values = {_candidate(r): float(-r["loss"] if pd.isna(r["decrease"]) else r["decrease"]) for r in rows}
            if (method, seed, walk) not in seen:
                seen.add((method, seed, walk))
                yield Ranking(method, seed, walk, values)
            walk = (*walk, *(_candidate(row) for row in rows if row["chosen"]))


def _candidate(row: Mapping[Any, Any]) -> SubNetwork:
    return SubNetwork(int(row["depth"]), int(row["patches"]))


def _judge(truth: Truth, ranking: Ranking) -> dict[str, object]:
    values = list(ranking.values.values())
    row: dict[str, object] = {"stage": len(ranking.walk) + 1, "proxy": ranking.proxy, "seed": ranking.seed}
    for name, measure in (("stage", truth.at_stage), ("end", truth.at_end)):
        trained = [truth.of_others(measure, (*ranking.walk, c), ranking.seed) for c in ranking.values]
        row[f"tau_{name}"] = _tau(values, trained)
        row[f"regret_{name}"] = max(trained) - fmean(_firsts(values, trained))
    return row


def _tau(values: Sequence[float], trained: Sequence[float]) -> float:
    """0 where nothing is ranked."""
    return float(stats.kendalltau(values, trained).statistic) if len(set(values)) > 1 else 0.0


def _firsts(values: Sequence[float], trained: Sequence[float]) -> list[float]:
    """The accuracy of what comes first, of all where they tie."""
    best = max(values)
    return [accuracy for value, accuracy in zip(values, trained, strict=True) if value == best]
