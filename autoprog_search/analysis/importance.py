"""Which of a schedule's numbers decide accuracy and cost, by the schedules that were drawn: Optuna's fANOVA.

A random forest is fitted to a stage's levels, and the variance of its predictions is taken apart. Source: Hutter, Hoos
and Leyton-Brown, ICML 2014. It takes the levels for independent, which those of monotone schedules are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from autoprog_search.errors import StudyError
from autoprog_search.methods.kinds import Drawn, Hosted, HostedOneShot, Sampled
from autoprog_search.methods.registry import method_named
from autoprog_search.parameters import parse_parameter
from autoprog_search.schedule import SubNetwork
from autoprog_search.study.results import StudyFrames

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LEAST_TRIALS = 24  # drawn; fewer tell six or eight numbers apart by chance
MOST_TRIALS = 500  # the forest of more takes seconds and says the same
TREES, DEEPEST = 16, 16


@dataclass(frozen=True)
class Importance:
    """Of the levels that a search may choose, the most important for accuracy first.

    Attributes:
        parameters: (stage, axis), stages from 1.
        accuracy: share of the variance of validation accuracy, seeds' means taken out, (parameters,).
        cost: share of the variance of FLOPs, (parameters,).
        trials: how many say it.
    """

    parameters: tuple[tuple[int, str], ...]
    accuracy: np.ndarray
    cost: np.ndarray
    trials: int


def importance(study: StudyFrames) -> Importance:
    """What the finished trials of methods that draw or learn over several trials say, on the study's own space.

    Raises:
        StudyError: they are fewer than `LEAST_TRIALS`, or stages are not given.
    """
    name, space = study.config.name, study.config.space
    if space.clock == "free":
        raise StudyError(f"study {name!r}: importance is that of given stages, these may begin at any tick")
    drawn = drawn_trials(study)
    if len(drawn) < LEAST_TRIALS:
        raise StudyError(f"study {name!r} has {len(drawn)} finished drawn trials; importance takes {LEAST_TRIALS}")
    if len(drawn) > MOST_TRIALS:
        drawn = drawn.sample(MOST_TRIALS, random_state=0)
    pairs = zip(drawn["depths"], drawn["patches"], strict=True)
    schedules = [tuple(space.levels_of(SubNetwork(*pair)) for pair in zip(*lists, strict=True)) for lists in pairs]
    levels = [space.to_parameters(schedule) for schedule in schedules]
    accuracy = drawn["val_top1"] - drawn.groupby("seed")["val_top1"].transform("mean")
    shares = [_shares(levels, values.tolist(), space.distributions()) for values in (accuracy, drawn["total_flops"])]
    order = sorted(shares[0], key=lambda name: -shares[0][name])
    parameters = tuple(parameter for parameter in map(parse_parameter, order) if parameter)
    of_accuracy, of_cost = (np.array([share[name] for name in order]) for share in shares)
    return Importance(parameters, of_accuracy, of_cost, len(drawn))


def drawn_trials(study: StudyFrames) -> pd.DataFrame:
    """The finished trials of methods that draw or learn over several trials, on the study's own space."""
    config = study.config
    methods = [method for method in config.methods if _draws(method) and config.space_of(method) == config.space]
    return study.trials[(study.trials["state"] == "COMPLETE") & study.trials["method"].isin(methods)]


def _draws(method: str) -> bool:
    kind = method_named(method)
    return isinstance(kind, Drawn | Sampled | Hosted) and not isinstance(kind, HostedOneShot)


def _shares(
    levels: Sequence[Mapping[str, int]], values: Sequence[float], ranges: Mapping[str, BaseDistribution]
) -> dict[str, float]:
    """By parameter; as Optuna has them they sum to 1, and are 0 where all values are the same."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if max(values) == min(values):
        return dict.fromkeys(ranges, 0.0)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study in memory is announced like any other
    study = optuna.create_study()
    optuna.logging.set_verbosity(verbosity)
    for parameters, value in zip(levels, values, strict=True):
        trial = optuna.trial.create_trial(params=dict(parameters), distributions=dict(ranges), value=float(value))
        study.add_trial(trial)
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEEPEST, seed=0))
