"""Growth schedules in NNI: the space as a model space, AutoProg as a strategy, a training run as the evaluator.

A schedule is the integers that it is in Optuna, under the same names (`GrowthSpace.parameter_names`). NNI's own
strategies propose whole schedules; `AutoProgStrategy` runs the training itself and chooses while it runs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import RandomState

from autoprog_search.errors import ConfigError, MissingExtraError, RunFailedError
from autoprog_search.interrupt import Interrupted
from autoprog_search.methods.kind import w_scale_of
from autoprog_search.methods.kinds import INSTALL_NNI
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.methods.runs import FinishedRun, Runs
from autoprog_search.monotone import Monotone
from autoprog_search.oneshot.score import ScoreRule
from autoprog_search.space import GrowthSpace

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch classes and old interfaces, at import: nobody can do anything
        import nni
        from nni.mutable import Categorical, ExpressionConstraint, Sample, ensure_frozen
        from nni.nas.evaluator import Evaluator
        from nni.nas.execution import ExecutionEngine
        from nni.nas.nn.pytorch import ModelSpace
        from nni.nas.space import ExecutableModelSpace, model_context
        from nni.nas.strategy import Strategy
except ModuleNotFoundError as error:
    raise MissingExtraError(INSTALL_NNI) from error

_logger = logging.getLogger(__name__)
# Said once for every constraint of the space: that the portal does not draw it.
logging.getLogger("nni.nas.experiment.experiment").addFilter(lambda record: "legacy format" not in record.getMessage())


# ── the space ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Number(Categorical):
    """A number of an axis' sequence (`GrowthSpace.sequences`); it is no less than the one before, where that is known.

    So what NNI draws or lists never shrinks, and needs no second draw. Draws are uniform over *schedules*: a number
    weighs as many as there are ways on from it (stars and bars), as in `GrowthSpace.sample`.

    Args:
        count: of numbers to choose from, from 0 on.
        before: label of the one before, None of the first.
        left: how many follow.
    """

    def __init__(self, count: int, *, label: str, before: str | None, left: int) -> None:
        super().__init__(list(range(count)), label=label)
        self.before, self.left = before, left

    def random(self, memo: Sample | None = None, random_state: RandomState | None = None) -> int:
        """A number, unless `memo` has one; NNI calls the mutables in their order with one `memo`."""
        memo = {} if memo is None else memo
        if self.label not in memo:
            allowed = self._allowed(memo)
            ways = [Monotone(self.left, len(self.values) - number).count() for number in allowed]
            draw = (random_state or RandomState()).choice(len(allowed), p=np.divide(ways, sum(ways)))
            memo[self.label] = allowed[draw]
        return int(self.freeze(memo))

    def grid(self, memo: Sample | None = None, granularity: int | None = None) -> Iterator[int]:
        """All numbers, unless `memo` has one."""
        memo = {} if memo is None else memo
        if self.label in memo:
            yield self.freeze(memo)
            return
        for number in self._allowed(memo):
            memo[self.label] = number
            yield self.freeze(memo)
        del memo[self.label]

    def _allowed(self, memo: Sample) -> range:
        return range(memo.get(self.before, 0), len(self.values))


class GrowthModelSpace(ModelSpace):
    """A growth space as an NNI model space: a categorical mutable a number of its sequences, monotone by constraints.

    Frozen, it is one schedule, `levels`; it has no weights: what trains is the timm model that the evaluator builds.

    Args:
        space: a `GrowthSpace` as plain data, since NNI sends it to other processes.
    """

    def __init__(self, space: Mapping[str, Any]) -> None:
        super().__init__()
        self.space = GrowthSpace.model_validate(space)
        frozen = {}
        for names, sequence in zip(self.space.parameter_names, self.space.sequences, strict=True):
            mutables: list[Number] = []
            for left, name in zip(reversed(range(sequence.length)), names, strict=True):
                before = mutables[-1].label if mutables else None
                mutables.append(self.add_mutable(Number(sequence.values, label=name, before=before, left=left)))
                frozen[name] = ensure_frozen(mutables[-1])
            # For samples made otherwise: by evolution, which changes one number of a parent, or by hand.
            for smaller, larger in pairwise(mutables):
                self.add_mutable(ExpressionConstraint(smaller <= larger, label=f"{larger.label}_never_shrinks"))
        self.levels = self.space.from_parameters(frozen)

    def freeze(self, sample: Sample) -> GrowthModelSpace:
        """The schedule of a sample."""
        self.validate(sample)
        with model_context(sample):
            return GrowthModelSpace(**self.trace_kwargs)


def growth_model_space(space: GrowthSpace) -> GrowthModelSpace:
    """The growth space, for `nni.nas.experiment.NasExperiment`."""
    return GrowthModelSpace(space=space.model_dump(mode="json"))


def hpo_search_space(space: GrowthSpace) -> dict[str, dict[str, Any]]:
    """The growth space as NNI's `search_space` of hyperparameter tuning, for `nni.experiment.Experiment`.

    It has no constraints: `space.from_parameters` makes a schedule of whatever a tuner proposes, the running maximum.
    """
    return {
        name: {"_type": "randint", "_value": [distribution.low, distribution.high + 1]}
        for name, distribution in space.distributions().items()
    }


# ── the evaluators ──────────────────────────────────────────────────────────────────────────────────────────────────


class GrowthEvaluator(Evaluator):
    """Trains under a schedule and reports to NNI: accuracy after each epoch, then the metric.

    Args:
        runs: where runs are kept and found again; nothing runs twice.
    """

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    def evaluate(self, model: GrowthModelSpace) -> float:
        """Train, or look the run up.

        Raises:
            RunFailedError: the run did not end well.
            KeyboardInterrupt: it was asked to stop, and has written its checkpoint; NNI then stops the experiment.
        """
        try:
            return report(self.runs.of_schedule(model.levels))
        except Interrupted:
            raise KeyboardInterrupt from None

    def extra_repr(self) -> str:
        """What `repr` shows: the runs."""
        return repr(self.runs)

    def _dump(self) -> dict[str, Any]:
        return {"runs": self.runs}

    @classmethod
    def _load(cls, **fields: Any) -> GrowthEvaluator:
        return cls(**fields)


class FinishedEvaluator(GrowthEvaluator):
    """Looks up the run that AutoProg steered, which has ended when its schedule is known.

    Args:
        stages: what each stage's search saw and chose, kept with the model in the experiment.
    """

    def __init__(self, runs: Runs, trial: int, stages: list[dict[str, Any]]) -> None:
        super().__init__(runs)
        self.trial, self.stages = trial, stages

    def evaluate(self, model: GrowthModelSpace) -> float:
        """Report the finished run."""
        return report(self.runs.of_trial(self.trial))

    def _dump(self) -> dict[str, Any]:
        return {"runs": self.runs, "trial": self.trial, "stages": self.stages}


def report(run: FinishedRun) -> float:
    """Tell NNI of a run: its accuracies as intermediate results, its metric as the final one."""
    for accuracy in run.curve:
        nni.report_intermediate_result(accuracy)
    nni.report_final_result(run.metric)
    return run.metric


# ── the strategy ────────────────────────────────────────────────────────────────────────────────────────────────────


class AutoProgStrategy(Strategy):
    """Chooses each stage of a growth schedule from one-shot estimates of the run in progress (CVPR 2022, section 4).

    One-shot in NNI's sense: the strategy itself runs the training, through the experiment's `GrowthEvaluator`, and no
    model is trained for the search. When the run has ended it submits the one model that came of it, frozen, with an
    evaluator that looks the run up; so the experiment holds the schedule, its metric and the estimates.

    Args:
        seed: of the run. It is the evaluator that trains, so both must say the same; None: the evaluator's.
        trials: how many runs, each with a multiple of w, which trace the Pareto front: 1, 2, 1/2, 4, ...
        rule: how the score weighs cost; the default is a study's own.
    """

    def __init__(self, seed: int | None = None, *, trials: int = 1, rule: ScoreRule = ScoreRule()) -> None:
        super().__init__()
        self.seed = seed
        self.rules = [replace(rule, w_scale=rule.w_scale * w_scale_of(k)) for k in range(trials)]
        self.finished: dict[int, FinishedRun] = {}
        """The runs that were submitted, by trial, with the estimates of every stage."""

    def _initialize(self, model_space: ExecutableModelSpace, engine: ExecutionEngine) -> ExecutableModelSpace:
        evaluator = model_space.evaluator
        if not isinstance(evaluator, GrowthEvaluator):
            raise ConfigError(f"evaluator: AutoProgStrategy trains through a GrowthEvaluator, not {evaluator!r}")
        if self.seed not in (None, evaluator.runs.seed):
            raise ConfigError(f"seed: AutoProgStrategy has {self.seed}, its evaluator's runs {evaluator.runs.seed}")
        return model_space

    def _run(self) -> None:
        runs: Runs = self.model_space.evaluator.runs
        for trial, rule in enumerate(self.rules):
            if trial in self.finished:
                continue
            try:
                run = runs.of_method(trial, OneShotMethod(rule))
            except RunFailedError as error:
                _logger.warning("trial %d failed: %s", trial, error)
                continue
            except Interrupted:
                raise KeyboardInterrupt from None  # NNI then stops the experiment
            model = self.model_space.freeze(run.parameters)
            model.evaluator = FinishedEvaluator(runs, trial, list(run.stages))
            if not self.wait_for_resource():
                return
            self.engine.submit_models(model)
            self.finished[trial] = run

    def state_dict(self) -> dict[str, Any]:
        """What was submitted, with its estimates: plain data."""
        return {"finished": [asdict(run) for run in self.finished.values()]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after what was submitted before."""
        self.finished = {fields["trial"]: FinishedRun(**fields) for fields in state_dict["finished"]}

    def extra_repr(self) -> str:
        """What `repr` shows: the seed, and how many trials it makes."""
        return f"seed={self.seed}, trials={len(self.rules)}"
