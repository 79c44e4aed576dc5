"""Performance profile over several studies: how often each method is within a factor of the cheapest that is as good.

A problem is a seed of a study. A method solves it if its headline is no more than a margin less accurate than full, on
the test split; what that costs is all that finding the headline took. Source: Dolan and More, Mathematical Programming
91, 2002.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoprog_search.analysis.headline import headline
from autoprog_search.analysis.margin import MARGIN, check_margin
from autoprog_search.cost import CostKind
from autoprog_search.errors import StudyError
from autoprog_search.methods.registry import method_named
from autoprog_search.study.results import StudyFrames

ROUNDING = 1e-9  # points: a difference of accuracies that is the margin comes out this close
ENDED = ("COMPLETE", "PRUNED", "FAIL")


@dataclass(frozen=True)
class PerformanceProfile:
    """Of the methods that all the studies have.

    Attributes:
        ratios: costs over the cheapest solution's, ascending from 1, (ratios,).
        solved: by method, share of the problems that it solves at that ratio or less, (ratios,).
        problems: how many: seeds on which every trial of these methods has ended, and full's well.
        margin: points of test accuracy that a solution may lose.
    """

    ratios: np.ndarray
    solved: Mapping[str, np.ndarray]
    problems: int
    margin: float


def performance_profile(studies: Sequence[StudyFrames], cost: CostKind, margin: float = MARGIN) -> PerformanceProfile:
    """The profile over studies, in the order of the first one's methods.

    A method whose own cost leaves a search out (`replay`) is not compared.

    Raises:
        ConfigError: no such margin.
        StudyError: the studies share no other method than full, or have no seed on which these have ended.
    """
    check_margin(margin)
    names = ", ".join(study.config.name for study in studies)
    shared = set.intersection(*(set(study.trials["method"]) for study in studies))
    methods = [m for m in studies[0].trials["method"].unique() if m in shared and not method_named(m).searched_by()]
    if "full" not in methods or len(methods) < 2:
        raise StudyError(f"profile: {names} do not share full and another method")
    costs = np.array([problem for study in studies for problem in _problems(study, methods, cost, margin)])
    if not len(costs):
        raise StudyError(f"profile: {names} have no seed on which {', '.join(methods)} have all ended")
    relative = costs / costs.min(axis=1, keepdims=True)
    ratios = np.unique(relative[np.isfinite(relative)])
    solved = (relative[:, :, None] <= ratios).mean(axis=0)
    return PerformanceProfile(ratios, dict(zip(methods, solved, strict=True)), len(costs), margin)


def _problems(study: StudyFrames, methods: Sequence[str], cost: CostKind, margin: float) -> Iterator[list[float]]:
    """The methods' costs on each seed of a study, infinite where the problem is not solved."""
    trials = study.trials[study.trials["method"].isin(methods)]
    spent = "spent_flops" if cost == "flops" else "spent_seconds"
    heads = headline(trials, study.config.tolerance)
    found = {
        (str(method), int(seed)): (float(top1), float(paid))
        for method, seed, top1, paid in heads[["method", "seed", "top1", spent]].itertuples(index=False)
    }
    for seed, group in trials.groupby("seed"):
        ended = group["state"].isin(ENDED).all() and set(group["method"]) == set(methods)
        of_seed = {method: pair for (method, other), pair in found.items() if other == seed}
        if ended and "full" in of_seed:
            least = of_seed["full"][0] - margin - ROUNDING
            yield [of_seed[m][1] if m in of_seed and of_seed[m][0] >= least else float("inf") for m in methods]
