"""Every method, once: `--methods`, the comparison and the conformance tests read this table."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from autoprog_search.errors import ConfigError, MissingExtraError, shown, there_are
from autoprog_search.methods.fixed import (
    Program,
    efficienttrain,
    full,
    linear,
    one_layer,
    program_of,
    timm_progressive,
)
from autoprog_search.oneshot.candidates import ForceGrowth
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace, to_parameters

if TYPE_CHECKING:
    from nni.nas.strategy import Strategy
    from optuna.samplers import BaseSampler

    from autoprog_search.methods.asha import Curve


NNI_NEEDS = ("nni_node", "pytorch_lightning")  # a folder `nni` stays where NNI was removed: it wrote a module there
INSTALL_NNI = (
    "nni: NNI 3 and pytorch_lightning are not installed; install them with: pip install 'autoprog-search[nni]'"
)


MOST_SCHEDULES = 1_000_000
"""That are put into an order: half a second and 8 MB."""


@dataclass(frozen=True)
class MethodInfo:
    """A method and its traits.

    Attributes:
        description: one line for `--help` and the report.
        program: the fixed schedule, for methods that have one.
        draw: says a trial's parameters before any trial runs, from its number and random numbers by a trial's number.
        sampler: import path of the Optuna sampler that answers.
        strategy: import path of the NNI strategy that proposes; NNI hosts its trials.
        stop: import path of what ends a trial early, from the trials before it (`methods.asha.stops`).
        arguments: of the sampler or the strategy, from the number of trials.
        ranges: how the sampler is asked (`methods.optuna.Ranges`), as measured on toy studies of 50 trials (hypervolume
            over the optimum on two toys): TPE dynamic .943/.951, static .911/.883; GP dynamic .912/.850, static
            .937/.954; NSGA-II static .900/.870.
        distinct: it tries no schedule twice, so it has no more trials than the space has schedules.
        ordered: it goes through an order of all schedules, so the space has no more than `MOST_SCHEDULES`.
        many_trials: it learns or draws over several trials; the others run once a seed unless asked for more.
        sequential: a trial's schedule, or its end, depends on the trials before it.
        population: its trials of a seed train side by side, stage by stage, and copy each other (`methods.pbt`).
        searches_inside: its schedule comes from one-shot estimates of the run that it steers.
        paths: import path of a function that lists the ways its trials are led, a trial each.
        budget_of: the full network is trained to the total cost of that method's first trial of the same seed.
        schedule_of: the schedule that the same trial of that method found is trained without a search.
    """

    description: str
    program: Callable[[GrowthSpace], Program] | None = None
    draw: Callable[[GrowthSpace, int, Callable[[int], Random]], dict[str, int]] | None = None
    sampler: str | None = None
    strategy: str | None = None
    stop: str | None = None
    arguments: Callable[[int], dict[str, Any]] = field(default=lambda trials: {})
    ranges: Literal["dynamic", "static"] = "static"
    distinct: bool = False
    ordered: bool = False
    many_trials: bool = False
    sequential: bool = False
    population: bool = False
    searches_inside: bool = False
    paths: str | None = None
    budget_of: str | None = None
    schedule_of: str | None = None

    def paths_of(self, space: GrowthSpace, force_growth: ForceGrowth) -> Sequence[tuple[SubNetwork, ...]]:
        """Where its trials are led."""
        assert self.paths is not None
        found: Sequence[tuple[SubNetwork, ...]] = _named(self.paths)(space, force_growth)
        return found

    def most_trials(self, space: GrowthSpace, force_growth: ForceGrowth) -> int | None:
        """How many trials there are at most, where none is repeated."""
        if self.paths is not None:
            return len(self.paths_of(space, force_growth))
        return _count(space) if self.distinct else None

    def check_size(self, name: str, space: GrowthSpace) -> None:
        """Whether the space is small enough for it.

        Raises:
            ConfigError: there are too many schedules.
        """
        if self.ordered and (count := _count(space)) > MOST_SCHEDULES:
            raise ConfigError(
                f"methods: {name} goes through all schedules, the space has {count:.1e}, more than "
                f"{MOST_SCHEDULES:,}; take `random`, or fewer stages or levels"
            )

    @property
    def chooses_lengths(self) -> bool:
        """Whether it chooses among several stage lengths, if the space has them."""
        return not (self.hosted or self.searches_inside) and bool(self.draw or self.sampler)

    @property
    def hosted(self) -> bool:
        """Whether all trials of a seed run together, in the worker that takes one of them."""
        return self.strategy is not None or self.population

    def make_sampler(self, seed: int, trials: int, **more: Any) -> BaseSampler:
        """The Optuna sampler, seeded."""
        assert self.sampler is not None
        sampler: BaseSampler = _named(self.sampler)(seed=seed, **self.arguments(trials), **more)
        return sampler

    def make_strategy(self, seed: int, trials: int, **more: Any) -> Strategy:
        """The NNI strategy, seeded.

        Raises:
            MissingExtraError: NNI is not installed.
        """
        assert self.strategy is not None
        strategy: Strategy = _named(self.strategy)(seed=seed, **self.arguments(trials), **more)
        return strategy

    def stops(self, curve: Curve, earlier: Iterable[Curve], full_flops: float) -> bool:
        """Whether a trial ends early, at the last point of its curve (`methods.asha.stops`)."""
        return self.stop is not None and bool(_named(self.stop)(curve, earlier, full_flops))

    def check_installed(self) -> None:
        """Whether what it needs is installed, without importing it.

        Raises:
            MissingExtraError: it is not.
        """
        if self.strategy is not None and not all(map(find_spec, NNI_NEEDS)):
            raise MissingExtraError(INSTALL_NNI)


def _named(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def uniform(space: GrowthSpace, number: int, rng: Callable[[int], Random]) -> dict[str, int]:
    """A schedule drawn uniformly over all of them, and stage lengths likewise."""
    random = rng(number)
    return {**to_parameters(space.sample(random)), **random.choice(space.lengths_parameters())}


def grid(space: GrowthSpace, number: int, rng: Callable[[int], Random]) -> dict[str, int]:
    """The schedule with that number in an order of all of them that is shuffled once a (study, seed)."""
    lengths, place = divmod(_order(_count(space), rng(-1).getstate())[number], space.count())
    return {**to_parameters(space.numbered(place)), **space.lengths_parameters()[lengths]}


def _count(space: GrowthSpace) -> int:
    return space.count() * len(space.lengths_parameters())


@lru_cache(maxsize=4)  # the trials of a (study, seed) are drawn one after the other
def _order(count: int, state: tuple[Any, ...]) -> Sequence[int]:
    """The numbers below `count` as this state of a generator shuffles them."""
    random, numbers = Random(), array("q", range(count))
    random.setstate(state)
    random.shuffle(numbers)
    return numbers


def startup(trials: int) -> int:
    """Random trials before a model answers: Optuna's own 10 would make it random search in a study of this size."""
    return max(3, trials // 4)


def population(trials: int) -> dict[str, Any]:
    """Sizes of an evolution that has so few trials that NNI's own (100, 25) would make it random search.

    Half of the trials found the population; a quarter of it meets in a tournament, as in NNI's defaults and the paper.
    """
    size = max(2, trials // 2)
    return {"population_size": size, "sample_size": max(2, size // 4)}


METHODS: dict[str, MethodInfo] = {
    "full": MethodInfo("the full network from the first step: ordinary training", program=program_of(full)),
    "full-short": MethodInfo(
        "the full network for fewer epochs, to autoprog's total cost: the control", budget_of="autoprog"
    ),
    "linear": MethodInfo(
        "depth and resolution grow linearly (the paper's manual baseline)", program=program_of(linear)
    ),
    "efficienttrain": MethodInfo(
        "EfficientTrain++: ten phases of equal compute, resolution and augmentation grow (Wang et al., TPAMI 2024)",
        program=efficienttrain,
    ),
    "timm-progressive": MethodInfo(
        "resolution grows as timm's progressive train-size schedule moves it (Wightman, timm)", program=timm_progressive
    ),
    "one-layer": MethodInfo(
        "the smallest depth for 80 % of the epochs, then one expansion, WSD learning rate (Bu, arXiv:2511.04981)",
        program=one_layer,
    ),
    "autoprog": MethodInfo(
        "one-shot search inside the run, no other trial (Li et al., CVPR 2022)",
        sampler="autoprog_search.methods.optuna:AutoProgSampler",
        searches_inside=True,
    ),
    "replay": MethodInfo(
        "the schedule that autoprog found, trained without its search: the control of what searching costs",
        schedule_of="autoprog",
    ),
    "random": MethodInfo(
        "schedules drawn uniformly over all monotone ones (Bergstra & Bengio, JMLR 2012)",
        draw=uniform,
        many_trials=True,
    ),
    "tpe": MethodInfo(
        "Optuna's tree-structured Parzen estimator, two objectives (Ozaki et al., GECCO 2020)",
        sampler="optuna.samplers:TPESampler",
        arguments=lambda trials: {"n_startup_trials": startup(trials)},
        ranges="dynamic",
        many_trials=True,
        sequential=True,
    ),
    "grid": MethodInfo(
        "every monotone schedule once, in random order", draw=grid, distinct=True, ordered=True, many_trials=True
    ),
    "nsga2": MethodInfo(
        "Optuna's NSGA-II (Deb et al., 2002)",
        sampler="optuna.samplers:NSGAIISampler",
        # Optuna's own population of 50 would make it random search in a study of this size.
        arguments=lambda trials: {"population_size": max(4, trials // 4)},
        many_trials=True,
        sequential=True,
    ),
    "gp": MethodInfo(
        "Optuna's Gaussian process, two objectives: log-EHVI (Ament et al., NeurIPS 2023)",
        sampler="optuna.samplers:GPSampler",
        arguments=lambda trials: {"n_startup_trials": startup(trials), "warn_independent_sampling": False},
        many_trials=True,
        sequential=True,
    ),
    "asha": MethodInfo(
        "uniform draws, stopped early by accuracy at rungs of cost spent (Li et al., MLSys 2020)",
        draw=uniform,
        stop="autoprog_search.methods.asha:stops",
        many_trials=True,
        sequential=True,
    ),
    "pbt": MethodInfo(
        "a population whose worse half copies the better at stage boundaries and explores (Jaderberg et al., 2017)",
        draw=grid,  # members of one seed and one schedule would be the same run
        distinct=True,
        ordered=True,
        many_trials=True,
        sequential=True,
        population=True,
    ),
    "nni:autoprog": MethodInfo(
        "AutoProg as an NNI strategy: the same one-shot search",
        strategy="autoprog_search.methods.nni:AutoProgStrategy",
        arguments=lambda trials: {"trials": trials},
        sequential=True,
        searches_inside=True,
    ),
    "nni:random": MethodInfo(
        "NNI's random search", strategy="nni.nas.strategy:Random", distinct=True, many_trials=True, sequential=True
    ),
    "nni:evolution": MethodInfo(
        "NNI's regularised evolution (Real et al., AAAI 2019)",
        strategy="nni.nas.strategy:RegularizedEvolution",
        arguments=population,
        distinct=True,
        many_trials=True,
        sequential=True,
    ),
    "nni:grid": MethodInfo(
        "NNI's grid search, in random order",
        strategy="nni.nas.strategy:GridSearch",
        distinct=True,
        many_trials=True,
        sequential=True,
    ),
    "survey": MethodInfo(
        "autoprog's search along every way it can go, a trial each: all estimates it may meet, for tables",
        paths="autoprog_search.methods.survey:survey_paths",
        distinct=True,
        many_trials=True,
        searches_inside=True,
    ),
}


VARIANT = "+"  # between a method's name and what a study calls one of its variants


def method_named(name: str) -> MethodInfo:
    """The entry of that name, or of a variant `NAME+VARIANT`: the same method under other growth settings.

    Raises:
        ConfigError: there is none.
    """
    base = name.split(VARIANT)[0]
    if base not in METHODS:
        raise ConfigError(f"methods: {shown(name)} is unknown; {there_are(base, METHODS)}")
    return METHODS[base]


def w_scale_of(trial: int) -> float:
    """The multiple of the fitted w in autoprog's trial (from 0): 1, 2, 1/2, 4, 1/4, ... trace the Pareto front."""
    return 2.0 ** ((trial + 1) // 2 * (1 if trial % 2 else -1))
