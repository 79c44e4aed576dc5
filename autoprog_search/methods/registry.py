"""Every method, once: `--methods`, studies, engines, the comparison and the conformance tests read this table."""

from __future__ import annotations

from typing import Any

from autoprog_search.errors import ConfigError, shown, there_are
from autoprog_search.methods.draws import grid, uniform
from autoprog_search.methods.fixed import (
    efficienttrain,
    full,
    hand_timed,
    linear,
    one_layer,
    program_of,
    timm_progressive,
)
from autoprog_search.methods.kind import Kind
from autoprog_search.methods.kinds import (
    Drawn,
    Fixed,
    Following,
    Hosted,
    HostedOneShot,
    Led,
    Matched,
    OneShot,
    Population,
    Sampled,
)


def startup(trials: int) -> int:
    """Random trials before a model answers: Optuna's own 10 would make it random search in a study of this size."""
    return max(3, trials // 4)


def evolving(trials: int) -> dict[str, Any]:
    """Sizes of an evolution that has so few trials that NNI's own (100, 25) would make it random search.

    Half of the trials found the population; a quarter of it meets in a tournament, as in NNI's defaults and the paper.
    """
    size = max(2, trials // 2)
    return {"population_size": size, "sample_size": max(2, size // 4)}


METHODS: dict[str, Kind] = {  # colours go by this order, so new ones come last
    "full": Fixed("the full network from the first step: ordinary training", program_of(full)),
    "full-short": Matched("the full network for fewer epochs, to autoprog's total cost: the control", "autoprog"),
    "linear": Fixed("depth and resolution grow linearly (the paper's manual baseline)", program_of(linear)),
    "efficienttrain": Fixed(
        "EfficientTrain++: ten phases of equal compute, resolution and augmentation grow (Wang et al., TPAMI 2024)",
        efficienttrain,
    ),
    "timm-progressive": Fixed(
        "resolution grows as timm's progressive train-size schedule moves it (Wightman, timm)", timm_progressive
    ),
    "one-layer": Fixed(
        "the smallest depth for 80 % of the epochs, then one expansion, WSD learning rate (Bu, arXiv:2511.04981)",
        one_layer,
    ),
    "autoprog": OneShot("one-shot search inside the run, no other trial (Li et al., CVPR 2022)"),
    "replay": Following(
        "the schedule that autoprog found, trained without its search: the control of what searching costs", "autoprog"
    ),
    "random": Drawn("schedules drawn uniformly over all monotone ones (Bergstra & Bengio, JMLR 2012)", uniform),
    "tpe": Sampled(
        "Optuna's tree-structured Parzen estimator, two objectives (Ozaki et al., GECCO 2020)",
        "optuna.samplers:TPESampler",
        arguments=lambda trials: {"n_startup_trials": startup(trials)},
        ranges="dynamic",
    ),
    "grid": Drawn("every monotone schedule once, in random order", grid, once=True),
    "nsga2": Sampled(
        "Optuna's NSGA-II (Deb et al., 2002)",
        "optuna.samplers:NSGAIISampler",
        # Optuna's own population of 50 would make it random search in a study of this size.
        arguments=lambda trials: {"population_size": max(4, trials // 4)},
    ),
    "gp": Sampled(
        "Optuna's Gaussian process, two objectives: log-EHVI (Ament et al., NeurIPS 2023)",
        "optuna.samplers:GPSampler",
        arguments=lambda trials: {"n_startup_trials": startup(trials), "warn_independent_sampling": False},
    ),
    "asha": Drawn(
        "uniform draws, stopped early by accuracy at rungs of cost spent (Li et al., MLSys 2020)",
        uniform,
        stop="autoprog_search.methods.asha:stops",
    ),
    "pbt": Population(
        "a population whose worse half copies the better at stage boundaries and explores (Jaderberg et al., 2017)",
        grid,  # members of one seed and one schedule would be the same run
        once=True,
    ),
    "nni:autoprog": HostedOneShot(
        "AutoProg as an NNI strategy: the same one-shot search",
        "autoprog_search.methods.nni:AutoProgStrategy",
        arguments=lambda trials: {"trials": trials},
    ),
    "nni:random": Hosted("NNI's random search", "nni.nas.strategy:Random"),
    "nni:evolution": Hosted(
        "NNI's regularised evolution (Real et al., AAAI 2019)",
        "nni.nas.strategy:RegularizedEvolution",
        arguments=evolving,
    ),
    "nni:grid": Hosted("NNI's grid search, in random order", "nni.nas.strategy:GridSearch"),
    "survey": Led(
        "autoprog's search along every way it can go, a trial each: all estimates it may meet, for tables",
        "autoprog_search.methods.oneshot:survey_paths",
    ),
    "hand-timed": Fixed(
        "what the clock starts with for 75 % of the epochs, then the full network: the best time found by hand, held",
        hand_timed,
    ),
}


VARIANT = "+"  # between a method's name and what a study calls one of its variants


def method_named(name: str) -> Kind:
    """The entry of that name, or of a variant `NAME+VARIANT`: the same method under other growth settings.

    Raises:
        ConfigError: there is none.
    """
    base = name.split(VARIANT)[0]
    if base not in METHODS:
        raise ConfigError(f"methods: {shown(name)} is unknown; {there_are(base, METHODS)}")
    return METHODS[base]
