"""What a study asks of a method: before it runs, of each of its trials, and of their results.

`Kind` answers for a method that runs once a seed, by itself, and learns from no other trial. The kinds of methods
(`methods.kinds`) say where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from autoprog_search.errors import ConfigError
from autoprog_search.methods.fixed import Program, linear, through
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

    from autoprog_search.methods.asha import Curve
    from autoprog_search.methods.plan import Course, Planned, TrialInfo

STEERED = "steers its runs from outside"


def w_scale_of(trial: int) -> float:
    """The multiple of the fitted w in autoprog's trial (from 0): 1, 2, 1/2, 4, 1/4, ... trace the Pareto front."""
    return 2.0 ** ((trial + 1) // 2 * (1 if trial % 2 else -1))


@dataclass(frozen=True)
class Kind:
    """A method, and what a study asks of it.

    Attributes:
        description: one line for `--help` and the report.
        host: what runs all trials of a seed together, in the worker that takes one of them; None: each runs by itself.
    """

    description: str
    host: ClassVar[Literal["nni", "population"] | None] = None
    _several: ClassVar[bool] = False  # it draws, or learns, over several trials
    _learns: ClassVar[bool] = False  # from its trials before
    _by_number: ClassVar[bool] = False  # which schedules it tries depends on how many trials it has
    _by_stages: ClassVar[bool] = False  # it needs given ones
    _one_schedule: ClassVar[bool] = False  # which can be trained at several lengths
    _known: ClassVar[bool] = False  # its schedule, before the trial runs
    _one_shot: ClassVar[bool] = False  # its schedule comes from one-shot estimates of the run that it steers
    _scales_w: ClassVar[bool] = False  # from trial to trial

    # ── before it runs ──────────────────────────────────────────────────────────────────────────────────────────

    def check_installed(self) -> None:
        """Whether what it needs is installed, without importing it.

        Raises:
            MissingExtraError: it is not.
        """

    def check(self, planned: Planned) -> None:
        """Whether it can run as a study plans it.

        Raises:
            ConfigError: it cannot.
        """
        where = f"methods, {planned.name}"
        if planned.own.epochs and not self._one_schedule:
            raise ConfigError(f"{where}, epochs: one schedule can be trained at several lengths, no search")
        if planned.own.space and self.host:
            raise ConfigError(f"{where}, space: its trials run together, on the study's own space")
        if planned.space.clock == "free" and self._by_stages:
            raise ConfigError(f"{where}: it goes by given stages; leave it out, or give space.clock: stages")
        if planned.space.equal_compute and not self._known:
            raise ConfigError(f"{where}: stages of equal compute (space.equal_compute) need a schedule that is known")

    def check_epochs(self, space: GrowthSpace, epochs: float) -> None:
        """Whether so many epochs are enough for its stages.

        Raises:
            SpaceError: a stage would be left without an epoch.
        """
        if (program := self.program(space)) is not None:
            program.check_epochs(space, epochs)
        else:
            space.part_epochs(epochs)  # whatever is in them

    def check_on_table(self, planned: Planned, data: str, surveyed: Collection[str]) -> None:
        """Whether a table can answer it.

        Args:
            data: the table, in words.
            surveyed: values of `growth.force_growth` that the table has estimates for.

        Raises:
            ConfigError: it cannot.
        """
        if planned.space.clock == "free":
            raise ConfigError(f"space.clock: 'free' has schedules that {data} does not hold; leave it at 'stages'")
        if self.host:
            raise ConfigError(f"methods: {planned.name} {STEERED}; {data} holds runs that are left alone")
        program = self.program(planned.space)
        if planned.own.epochs or (program is not None and (program.shares or program.augment or program.sched)):
            raise ConfigError(f"methods: {planned.name} trains other stages than the space's; {data} holds no such run")

    def trials_wanted(self, asked: int) -> int:
        """How many trials a seed, of so many asked for."""
        return asked if self._several else 1

    def settings_that_matter(self, trials: int, cost_lambda: float) -> dict[str, Any]:
        """Of a study's further settings, those on which the schedules that it tries depend."""
        return {"trials": trials} if self._by_number else {}

    def program(self, space: GrowthSpace) -> Program | None:
        """Its schedule, if that follows from the space alone."""
        return None

    def sub_networks(self, space: GrowthSpace) -> tuple[SubNetwork, ...]:
        """All that its trials may train."""
        program = self.program(space)
        return program.sub_networks if program is not None else space.sub_networks

    def needs_estimates(self, stage: int) -> bool:
        """Whether its trials' stages open with a one-shot search."""
        return self._one_shot

    # ── its trials ──────────────────────────────────────────────────────────────────────────────────────────────

    def parameters(self, space: GrowthSpace, number: int, rng: Callable[[int], Random]) -> dict[str, int]:
        """A trial's parameters, as far as they are drawn before any trial runs."""
        return {}

    def learns_from(self, trial: int) -> range:
        """Its own earlier trials of the same seed, on which a trial's schedule or its end depends."""
        return range(trial if self._learns else 0)

    def follows(self, trial: int) -> tuple[str, int] | None:
        """Another method and its trial of the same seed, which has to end first."""
        return None

    def w_scale(self, trial: int) -> float:
        """The multiple of AutoProg's exponent w in a trial."""
        return w_scale_of(trial) if self._scales_w else 1.0

    def expected(self, space: GrowthSpace, parameters: Mapping[str, Any]) -> Program | None:
        """A trial's schedule as it is known or guessed before it runs; None: the mean of uniform draws is the guess."""
        return self.program(space) or (None if self._several else through(space, linear(space)))

    def sampler_for(self, info: TrialInfo, parameter: str = "") -> BaseSampler | None:
        """The Optuna sampler that answers, seeded for that trial and parameter; None: no sampler is asked."""
        return None

    def course(self, info: TrialInfo, trial: Trial, followed: Mapping[str, Any]) -> Course:
        """How a trial goes.

        Args:
            trial: as Optuna has it, begun, with `sampler_for`'s sampler.
            followed: the row of the trial that it follows.
        """
        raise NotImplementedError(f"{info.method}: its host says how its trials go")

    def stops(self, curve: Curve, earlier: Callable[[], Iterable[Curve]], full_flops: float) -> bool:
        """Whether a trial ends early, at the last point of its curve (`methods.asha.stops`)."""
        return False

    # ── its results ─────────────────────────────────────────────────────────────────────────────────────────────

    def paid_for(self, best: Any, trials: list[Any]) -> list[Any]:
        """Of a seed's finished trials, those that finding the best of them took: it was chosen among all."""
        return trials

    def searched_by(self) -> str | None:
        """The method whose trials found its schedules by a search that its own cost leaves out."""
        return None
