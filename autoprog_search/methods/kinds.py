"""The kinds of methods: one class each, whose instances are the entries of the method table.

They answer the questions of `methods.kind.Kind`. What is slow to import, or may be missing (Optuna's samplers, NNI), is
named by its import path, `module:name`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pkgutil import resolve_name
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from autoprog_search.errors import ConfigError, MissingExtraError, shown
from autoprog_search.methods.draws import Draw, check_order
from autoprog_search.methods.fixed import Program, through
from autoprog_search.methods.kind import STEERED, Kind
from autoprog_search.methods.plan import Course, TrialInfo
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace

if TYPE_CHECKING:
    from nni.nas.strategy import Strategy
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

    from autoprog_search.methods.asha import Curve
    from autoprog_search.methods.plan import Planned
    from autoprog_search.settings.growth import GrowthSettings

NNI_NEEDS = ("nni_node", "pytorch_lightning")  # a folder `nni` stays where NNI was removed: it wrote a module there
INSTALL_NNI = (
    "nni: NNI 3 and pytorch_lightning are not installed; install them with: pip install 'autoprog-search[nni]'"
)


@dataclass(frozen=True)
class Fixed(Kind):
    """A schedule that anybody can write down, the same in every trial."""

    schedule: Callable[[GrowthSpace], Program]
    _one_schedule = _known = True

    def program(self, space: GrowthSpace) -> Program:
        return self.schedule(space)

    def course(self, info: TrialInfo, trial: Trial, followed: Mapping[str, Any]) -> Course:
        program = self.schedule(info.space)
        return Course(program, program)

    def paid_for(self, best: Any, trials: list[Any]) -> list[Any]:
        return [best]  # the others are repetitions


@dataclass(frozen=True)
class Following(Kind):
    """The schedule that the same trial of another method found, without a search."""

    leader: str
    _one_schedule = True

    def follows(self, trial: int) -> tuple[str, int]:
        return self.leader, trial

    def check(self, planned: Planned) -> None:
        name, own, leading = planned.name, planned.own, planned.plans.get(self.leader)
        if leading is None or leading.seeds < own.seeds:
            raise ConfigError(f"methods: {name} follows {self.leader}, which must be there for the same seeds")
        if self._one_schedule and (own.epochs or planned.epochs) != (leading.epochs or planned.epochs):
            raise ConfigError(f"methods, {name}, epochs: {list(own.epochs)} are not those of {self.leader}")
        if self._one_schedule and own.space != leading.space:
            raise ConfigError(f"methods, {name}, space: {shown(dict(own.space))} is not that of {self.leader}")
        super().check(planned)

    def check_on_table(self, planned: Planned, data: str, surveyed: Collection[str]) -> None:
        following = f"{planned.name} follows {self.leader}"
        raise ConfigError(f"methods: {following}; {data} answers methods that choose on their own")

    def course(self, info: TrialInfo, trial: Trial, followed: Mapping[str, Any]) -> Course:
        pairs = zip(followed["depths"], followed["patches"], strict=True)
        lengths = followed["stage_epochs"] if info.space.clock == "free" else ()
        shares = tuple(length / sum(lengths) for length in lengths)
        program = Program(tuple(SubNetwork(*pair) for pair in pairs), shares=shares)
        return Course(program, program)

    def searched_by(self) -> str | None:
        return self.leader


@dataclass(frozen=True)
class Matched(Following):
    """The full network, for as many steps as the total cost of another method's first trial of the seed allows."""

    _one_schedule = False

    def follows(self, trial: int) -> tuple[str, int]:
        return self.leader, 0

    def check_epochs(self, space: GrowthSpace, epochs: float) -> None:
        pass  # it has one stage

    def course(self, info: TrialInfo, trial: Trial, followed: Mapping[str, Any]) -> Course:
        affordable = round(followed["total_flops"] / followed["step_flops_full"])
        program = Program((info.space.full,), steps=max(1, affordable))
        return Course(program, program)

    def searched_by(self) -> None:
        return None  # it follows a cost alone


@dataclass(frozen=True)
class Drawn(Kind):
    """Schedules that are drawn when the study is created.

    Attributes:
        once: it draws from an order of all schedules, each once, so there are no more trials than these.
        stop: import path of what ends a trial early, from the trials before it.
    """

    draw: Draw
    once: bool = False
    stop: str | None = None
    _several = _known = True

    def check(self, planned: Planned) -> None:
        if self.once:
            check_order(planned.name, planned.space)
            planned.check_trials(planned.space.count(), "schedules")
        super().check(planned)

    def check_on_table(self, planned: Planned, data: str, surveyed: Collection[str]) -> None:
        if self.stop:
            raise ConfigError(f"methods: {planned.name} {STEERED}; {data} holds runs that are left alone")
        super().check_on_table(planned, data, surveyed)

    def parameters(self, space: GrowthSpace, number: int, rng: Callable[[int], Random]) -> dict[str, int]:
        return self.draw(space, number, rng)

    def learns_from(self, trial: int) -> range:
        return range(trial if self.stop or self._learns else 0)

    def expected(self, space: GrowthSpace, parameters: Mapping[str, Any]) -> Program:
        return through(space, space.from_parameters(parameters))

    def course(self, info: TrialInfo, trial: Trial, followed: Mapping[str, Any]) -> Course:
        from autoprog_search.methods.optuna import OptunaMethod

        method = OptunaMethod(trial)  # its parameters were enqueued: no sampler is asked
        if info.space.clock == "free":
            program = method.whole(info.space)
            return Course(program, program)
        stored = trial.study.get_trials(deepcopy=False)[trial.number]
        return Course(method, self.expected(info.space, stored.system_attrs["fixed_params"]))

    def stops(self, curve: Curve, earlier: Callable[[], Iterable[Curve]], full_flops: float) -> bool:
        return self.stop is not None and bool(resolve_name(self.stop)(curve, earlier(), full_flops))


@dataclass(frozen=True)
class Population(Drawn):
    """Trials of a seed that train side by side, stage by stage, and copy each other (`methods.pbt`)."""

    host = "population"
    _by_stages = True
    _known = False
    _learns = _by_number = True

    def check(self, planned: Planned) -> None:
        super().check(planned)
        if (size := planned.own.trials) < 2:
            raise ConfigError(f"methods, {planned.name}, trials: {size} is no population; give it 2 or more")


@dataclass(frozen=True)
class Sampled(Kind):
    """An Optuna sampler answers at each stage boundary, from the trials before.

    Attributes:
        sampler: its import path.
        arguments: of the sampler, from the number of trials.
        ranges: how it is asked (`methods.optuna.Ranges`), as measured on toy studies of 50 trials (hypervolume over the
            optimum on two toys): TPE dynamic .943/.951, static .911/.883; GP dynamic .912/.850, static .937/.954;
            NSGA-II static .900/.870.
    """

    sampler: str
    arguments: Callable[[int], dict[str, Any]] = field(default=lambda trials: {})
    ranges: Literal["dynamic", "static"] = "static"
    _several = _learns = _by_number = True

    def sampler_for(self, info: TrialInfo, parameter: str = "") -> BaseSampler:
        seed = info.random_seed(info.number, parameter)
        sampler: BaseSampler = resolve_name(self.sampler)(seed=seed, **self.arguments(info.trials))
        return sampler

    def course(self, info: TrialInfo, trial: Trial, followed: Mapping[str, Any]) -> Course:
        from autoprog_search.methods.optuna import OptunaMethod

        # Made anew for every parameter, what the sampler suggests depends on the stored trials only.
        method = OptunaMethod(trial, ranges=self.ranges, sampler_for=partial(self.sampler_for, info))
        if info.space.clock == "free":
            program = method.whole(info.space)
            return Course(program, program)
        return Course(method)


@dataclass(frozen=True)
class OneShot(Kind):
    """AutoProg: each stage from one-shot estimates of the run that it steers."""

    _one_shot = _scales_w = _one_schedule = _by_number = True

    def check_on_table(self, planned: Planned, data: str, surveyed: Collection[str]) -> None:
        from autoprog_search.oneshot.score import SCORES

        super().check_on_table(planned, data, surveyed)
        growth = planned.growth
        if SCORES[growth.search.score].decrease:
            raise ConfigError(
                f"growth.search.score: {growth.search.score} takes how fast losses fall; {data} holds the losses alone"
            )
        if not {growth.force_growth, "none"} & set(surveyed):
            needs = f"{planned.name} needs estimates under growth.force_growth {growth.force_growth!r} or 'none'"
            raise ConfigError(f"methods: {needs}; {data} has neither")

    def sampler_for(self, info: TrialInfo, parameter: str = "") -> BaseSampler | None:
        from autoprog_search.methods.optuna import AutoProgSampler

        return AutoProgSampler(seed=info.seed, rule=info.growth.rule(info.w_scale))

    def course(self, info: TrialInfo, trial: Trial, followed: Mapping[str, Any]) -> Course:
        from autoprog_search.methods.optuna import OptunaMethod

        return Course(OptunaMethod(trial))


@dataclass(frozen=True)
class Led(OneShot):
    """AutoProg's search, led along a path: every trial another one.

    Attributes:
        paths: import path of a function that lists the paths, from the space and `growth.force_growth`.
    """

    paths: str
    _several = _by_stages = True
    _scales_w = _one_schedule = _by_number = False

    def paths_of(self, space: GrowthSpace, growth: GrowthSettings) -> Sequence[tuple[SubNetwork, ...]]:
        """Where its trials are led."""
        found: Sequence[tuple[SubNetwork, ...]] = resolve_name(self.paths)(space, growth.force_growth)
        return found

    def check(self, planned: Planned) -> None:
        planned.check_trials(len(self.paths_of(planned.space, planned.growth)), "ways to go")
        super().check(planned)

    def sampler_for(self, info: TrialInfo, parameter: str = "") -> None:
        return None

    def course(self, info: TrialInfo, trial: Trial, followed: Mapping[str, Any]) -> Course:
        from autoprog_search.methods.oneshot import OneShotMethod

        path = self.paths_of(info.space, info.growth)[info.number]
        return Course(OneShotMethod(info.growth.rule(), path))


@dataclass(frozen=True)
class Hosted(Kind):
    """An NNI strategy proposes schedules, each once, in an experiment that NNI hosts.

    Attributes:
        strategy: its import path.
        arguments: of the strategy, from the number of trials.
    """

    strategy: str
    arguments: Callable[[int], dict[str, Any]] = field(default=lambda trials: {})
    host = "nni"
    _several = _learns = _by_number = True

    def strategy_for(self, info: TrialInfo) -> Strategy:
        """The strategy of all trials of a seed, seeded.

        Raises:
            MissingExtraError: NNI is not installed.
        """
        strategy: Strategy = resolve_name(self.strategy)(**self._decided(info), **self.arguments(info.trials))
        return strategy

    def _decided(self, info: TrialInfo) -> dict[str, Any]:
        return {"seed": info.random_seed()}

    def check_installed(self) -> None:
        if not all(map(find_spec, NNI_NEEDS)):
            raise MissingExtraError(INSTALL_NNI)

    def check(self, planned: Planned) -> None:
        if self._several:
            planned.check_trials(planned.space.count(), "schedules")
        super().check(planned)

    def settings_that_matter(self, trials: int, cost_lambda: float) -> dict[str, Any]:
        return {**super().settings_that_matter(trials, cost_lambda), "cost_lambda": cost_lambda}


@dataclass(frozen=True)
class HostedOneShot(Hosted):
    """AutoProg as an NNI strategy: NNI hosts the runs that it steers."""

    _several = False
    _one_shot = _scales_w = True

    def _decided(self, info: TrialInfo) -> dict[str, Any]:
        return {"seed": info.seed, "rule": info.growth.rule()}
