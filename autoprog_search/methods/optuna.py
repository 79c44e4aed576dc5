"""Growth schedules as Optuna parameters: AutoProg as a sampler, and any sampler as a method.

A stage's choice is two integers, `stage{k}_depth_level` and `stage{k}_patches_level`, suggested when the stage opens
(define-by-run). Under a free clock a schedule is, of each axis, the tick at which each level begins,
`{axis}_level{l}_tick`, suggested when it does, or all at once. `AutoProgSampler` answers from the run in progress;
other samplers from earlier trials.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal

from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from autoprog_search.choosing import Choice, StageContext
from autoprog_search.errors import EstimateError
from autoprog_search.methods.fixed import Program, through
from autoprog_search.oneshot.score import ScoreRule, choose
from autoprog_search.parameters import AXES, is_tick, parameter_name, parse_parameter, ticks_begun
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace

Ranges = Literal["dynamic", "static"]
"""Whether a stage's range begins at the previous stage's level, or at 0 with a running maximum taken afterwards."""


class AutoProgSampler(BaseSampler):
    """Chooses each stage of a growth schedule from one-shot estimates of the run in progress (CVPR 2022, section 4).

    It needs no trial besides the one it steers: no other trial is created or read. The run hands it what it may look at
    with `offer(trial.number, context)`, then suggests the stage's two parameters; one joint choice serves both.
    Anything else, such as a user's own parameters or a study that is no growth run, is answered by the base sampler.
    It pickles, and serves threads.

    Args:
        seed: of the base sampler.
        base_sampler: default: `TPESampler(seed=seed)`, Optuna's own default.
        rule: how the score weighs cost; the default is a study's own.
    """

    def __init__(
        self, seed: int | None = None, base_sampler: BaseSampler | None = None, rule: ScoreRule = ScoreRule()
    ) -> None:
        self.rule = rule
        self._base = base_sampler if base_sampler is not None else TPESampler(seed=seed)
        self._offered: dict[tuple[int, int], StageContext] = {}  # by trial and stage
        self._ticks: dict[int, int] = {}  # by trial, of a free clock: what it is at, as its parameters know no stage
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def offer(self, trial_number: int, context: StageContext) -> None:
        """Let the stage's parameters of that trial be answered from this context."""
        with self._lock:
            self._offered[trial_number, context.stage] = context
            if context.clock is not None:
                self._ticks[trial_number] = context.clock.tick

    def decide(self, context: StageContext) -> Choice:
        """The joint choice for a stage: a pure function of its estimates.

        Raises:
            EstimateError: they are missing, or no numbers to compare.
        """
        return choose(context, self.rule)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Answer a stage's two parameters from the run in progress, as one joint choice.

        Not `sample_relative`: Optuna calls that once a trial, before stage 2 has candidates. Where nothing was offered,
        and for parameters that are not ours, the base sampler answers.

        Raises:
            ValueError: the chosen level lies outside the range that was asked for.
            EstimateError: as `decide`, or a candidate that is on none of the context's levels.
        """
        ours = parse_parameter(param_name)
        with self._lock:
            tick = self._ticks.get(trial.number) if is_tick(param_name) else None
            context = self._offered.get((trial.number, ours[0])) if ours else None
        if tick is not None:
            return checked(param_name, tick, param_distribution)  # what is suggested begins now
        if ours is None or context is None:
            return self._base.sample_independent(study, trial, param_name, param_distribution)
        choice = self.decide(context).sub_network
        _, axis = ours
        own, levels = (choice.depth, context.depths) if axis == "depth" else (choice.patches, context.patches)
        if own not in levels:
            raise EstimateError(f"candidate {choice}: {own} is none of the context's {axis} levels {levels}")
        return checked(param_name, levels.index(own), param_distribution)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The base sampler's, without our parameters."""
        space = self._base.infer_relative_search_space(study, trial)
        return {
            name: distribution
            for name, distribution in space.items()
            if parse_parameter(name) is None and not is_tick(name)
        }

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._base.sample_relative(study, trial, search_space)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._base.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Forget what was offered for the trial; passed on to the base sampler."""
        with self._lock:
            self._offered = {key: c for key, c in self._offered.items() if key[0] != trial.number}
            self._ticks.pop(trial.number, None)
        self._base.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self._base.reseed_rng()


def checked(name: str, level: int, distribution: BaseDistribution) -> int:
    """The level, if the range allows it; Optuna itself checks no integer.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(distribution, IntDistribution) or not distribution.low <= level <= distribution.high:
        raise ValueError(f"{name}: AutoProg chose level {level}, outside {distribution}")
    return level


class OptunaMethod:
    """Asks an Optuna trial at each stage boundary; whatever sampler its study has answers.

    Args:
        trial: a running trial.
        ranges: see `Ranges`; what each sampler searches best with is in the METHODS table.
        sampler_for: makes the sampler for a parameter. A sampler made anew for every parameter, with a seed from its
            name, answers the same after any interruption. Default: the study's own sampler answers.
    """

    def __init__(
        self, trial: Trial, *, ranges: Ranges = "static", sampler_for: Callable[[str], BaseSampler] | None = None
    ) -> None:
        self._trial, self._ranges, self._sampler_for = trial, ranges, sampler_for

    def needs_estimates(self, stage: int) -> bool:
        """Only AutoProg looks at estimates."""
        return isinstance(self._trial.study.sampler, AutoProgSampler)

    def whole(self, space: GrowthSpace) -> Program:
        """Suggest all of a schedule at once, before the run."""
        parameters: dict[str, int] = {}
        for names, sequence in zip(space.parameter_names, space.sequences, strict=True):
            least = 0
            for name in names:
                lowest = least if self._ranges == "dynamic" else 0
                parameters[name] = self._suggest(name, lowest, sequence.values - 1)
                least = max(least, parameters[name])
        return through(space, space.from_parameters(parameters))

    def choose(self, context: StageContext) -> Choice:
        """Suggest the stage's two levels; under a free clock the ticks at which what is chosen begins."""
        before = context.previous
        lows = (context.depths.index(before.depth), context.patches.index(before.patches)) if before else (0, 0)
        explained = None
        sampler = self._trial.study.sampler
        if isinstance(sampler, AutoProgSampler):
            sampler.offer(self._trial.number, context)
            explained = sampler.decide(context)
            if context.clock is not None:
                chosen = explained.sub_network
                reached = (context.depths.index(chosen.depth), context.patches.index(chosen.patches))
                for name in ticks_begun(lows, reached):
                    self._suggest(name, 0, context.clock.ticks - 1)
                return explained
        levels = []
        for axis, values, low in zip(AXES, (context.depths, context.patches), lows, strict=True):
            lowest = low if self._ranges == "dynamic" else 0
            levels.append(max(self._suggest(parameter_name(context.stage, axis), lowest, len(values) - 1), low))
        chosen = SubNetwork(context.depths[levels[0]], context.patches[levels[1]])
        return explained if explained is not None and explained.sub_network == chosen else Choice(chosen)

    def _suggest(self, name: str, low: int, high: int) -> int:
        if self._sampler_for is not None:
            self._trial.study.sampler = self._sampler_for(name)
        return self._trial.suggest_int(name, low, high)


def steered_by(trial: Trial, space: GrowthSpace) -> OptunaMethod | Program:
    """A trial as the method of a run: asked as it goes on; under a free clock any sampler but AutoProg once, before."""
    method = OptunaMethod(trial)
    return method if space.clock == "stages" or method.needs_estimates(1) else method.whole(space)
