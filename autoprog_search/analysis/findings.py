"""What a study's trials did and did not show, as numbers: what is unfinished, what was tested, the waiting.

And whether growth can show here what it is worth: where half the training costs full nothing, training shorter is as
good as growing; where the last growth brings nothing, so is never growing.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from autoprog_search.analysis.compare import compare, mean_interval

UNFINISHED = {"stopped early": ("PRUNED",), "failed": ("FAIL",), "not finished": ("RUNNING", "WAITING")}
"""What became of trials that were not trained to their end, and their states."""


TRAINING_PAYS = 1.0  # points of validation accuracy that half the training costs full, where more training pays


@dataclass(frozen=True)
class Halving:
    """What training half as long costs full, over the seeds that have both lengths.

    Attributes:
        epochs: of the whole runs, as scheduled.
        change: validation accuracy of half the length minus that of the whole, mean, points.
        low, high: its 95 % interval (Student's t over seeds), NaN for one seed.
    """

    epochs: float
    seeds: int
    change: float
    low: float
    high: float

    @property
    def training_pays(self) -> bool:
        """Whether half the training loses enough."""
        return self.change <= -TRAINING_PAYS


GROWING_PAYS = 1.0  # points of validation accuracy that a run gains after its last growth, where size is needed


@dataclass(frozen=True)
class LastGrowth:
    """What a method's runs came to just before their last growth, and at their end.

    Attributes:
        before: validation accuracy of the smaller network then, mean over the runs, %.
        end: of the full network at the end. What the decay of the learning rate brings is in it.
    """

    method: str
    runs: int
    before: float
    end: float

    @property
    def gain(self) -> float:
        """Points from there to there."""
        return self.end - self.before


@dataclass(frozen=True)
class Findings:
    """Of a study's trials.

    Attributes:
        trials: how many there are.
        tolerance: within which of full's accuracy the headline trials were picked, points.
        unfinished: how many were not trained to their end, by what became of them (`UNFINISHED`) and method.
        halvings: what half the training costs full, for each of its lengths whose half is one too.
        grown: what the last growth brought, a method that grows each.
        tested: with how many seeds of full each method is paired whose difference to full is tested.
        waited: share of each stage's training time that all finished trials waited for images; NaN where none passed.
        devices: that finished trials ran on.
        versions: how many sets of library versions they ran under.
    """

    trials: int
    tolerance: float
    unfinished: dict[str, dict[str, int]]
    halvings: tuple[Halving, ...]
    grown: tuple[LastGrowth, ...]
    tested: tuple[int, ...]
    waited: tuple[float, ...]
    devices: tuple[str, ...]
    versions: int


def findings(trials: pd.DataFrame, tolerance: float) -> Findings:
    """What a frame of trials shows; the headline trials are picked within the tolerance."""
    rows = compare(trials, tolerance)
    tested = rows[(rows["method"] != "full") & rows["p_margin"].notna()]
    done = trials[trials["state"] == "COMPLETE"]
    unfinished = {what: _methods(trials[trials["state"].isin(states)]) for what, states in UNFINISHED.items()}
    return Findings(
        trials=len(trials),
        tolerance=tolerance,
        unfinished={what: counts for what, counts in unfinished.items() if counts},
        halvings=halvings(done),
        grown=last_growths(done),
        tested=tuple(int(seeds) for seeds in tested["paired"]),
        waited=waited_shares(done),
        devices=tuple(str(device) for device in done["device"].dropna().unique() if device),
        versions=done["versions"].nunique(),
    )


def _methods(trials: pd.DataFrame) -> dict[str, int]:
    return {str(method): count for method, count in trials["method"].value_counts(sort=False).items()}


def halvings(done: pd.DataFrame) -> tuple[Halving, ...]:
    """What half the training costs full, by the lengths of its finished trials, the shortest first."""
    full = done[done["method"] == "full"].pivot_table(index="seed", columns="scheduled_epochs", values="val_top1")
    lengths = [float(epochs) for epochs in full.columns]
    found = []
    for epochs in lengths:
        pairs = (full[epochs / 2] - full[epochs]).dropna().tolist() if epochs / 2 in lengths else []
        if pairs:
            found.append(Halving(epochs, len(pairs), *mean_interval(pairs)))
    return tuple(found)


def last_growths(done: pd.DataFrame) -> tuple[LastGrowth, ...]:
    """What the last growth brought each method that grows, over all of these finished runs."""
    found = []
    for method, runs in done.groupby("method", sort=False):
        grown = [[growth for growth in growths or () if growth] for growths in runs["growth_top1"]]
        pairs = [(growths[-1][0], end) for end, growths in zip(runs["val_top1"], grown, strict=True) if growths]
        if pairs:
            before, ends = zip(*pairs, strict=True)
            found.append(LastGrowth(str(method), len(pairs), fmean(before), fmean(ends)))
    return tuple(found)


def waited_shares(done: pd.DataFrame) -> tuple[float, ...]:
    """How much of each stage's time its training steps waited for images, over all of these trials."""
    pairs = done[["loader_seconds", "stage_seconds"]].dropna().to_numpy().tolist()
    stages = max((len(waited) for waited, _ in pairs), default=0)
    shares = []
    for k in range(stages):
        waited, spent = (sum(pair[side][k] for pair in pairs if k < len(pair[side])) for side in (0, 1))
        shares.append(waited / spent if spent else float("nan"))
    return tuple(shares)
