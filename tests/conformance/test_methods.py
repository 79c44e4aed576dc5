"""Every method of the table, under the suite that ships, built by the entry's traits."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from zlib import crc32

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, create_trial

from autoprog_search.choosing import Method
from autoprog_search.errors import ConfigError
from autoprog_search.methods.fixed import FixedMethod
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.methods.optuna import AutoProgSampler, OptunaMethod, Ranges
from autoprog_search.methods.registry import METHODS, MethodInfo, method_named, w_scale_of
from autoprog_search.methods.survey import SurveyMethod
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace, Levels, parameter_name, to_parameters
from autoprog_search.testing.methods import MethodCase, play

FINISHED_TRIALS = 6  # beyond TPE's start-up trials, so that its model is what answers


def build(info: MethodInfo, space: GrowthSpace) -> Method:
    if info.program is not None:
        return FixedMethod(info.program(space).sub_networks)
    if info.strategy is not None:
        return OneShotMethod() if info.searches_inside else FixedMethod(proposed_by_nni(info, space))
    if info.paths is not None:
        return SurveyMethod(info.paths_of(space, "any")[-1])
    study = optuna.create_study(directions=["minimize", "maximize"])
    if info.draw is not None:
        study.enqueue_trial(info.draw(space, 0, Random))
        return OptunaMethod(study.ask())

    def method() -> OptunaMethod:
        study.sampler = sampler = info.make_sampler(7, FINISHED_TRIALS + 1)
        trial = study.ask()
        if isinstance(sampler, AutoProgSampler):
            return OptunaMethod(trial, ranges=info.ranges)
        seed = trial.number
        return OptunaMethod(
            trial,
            ranges=info.ranges,
            sampler_for=lambda name: info.make_sampler(crc32(f"{seed}/{name}".encode()), FINISHED_TRIALS + 1),
        )

    for number in range(FINISHED_TRIALS):
        study.add_trial(finished_trial(space, space.sample(Random(number)), info.ranges))
    return method()


def finished_trial(space: GrowthSpace, levels: Levels, ranges: Ranges) -> FrozenTrial:
    """A trial as `OptunaMethod` would have left it."""
    lows = to_parameters(((0, 0), *levels)) if ranges == "dynamic" else {}
    static = space.distributions()
    distributions = {name: IntDistribution(lows.get(name, 0), static[name].high) for name in static}
    cost = sum(s.depth * s.patches for s in (space.at(*pair) for pair in levels))
    return create_trial(params=to_parameters(levels), distributions=distributions, values=[float(cost), 90 + cost**0.1])


def proposed_by_nni(info: MethodInfo, space: GrowthSpace) -> list[SubNetwork]:
    """The first schedule that an NNI strategy proposes."""
    pytest.importorskip("nni_node")
    pytest.importorskip("pytorch_lightning")
    from nni.nas.evaluator import FunctionalEvaluator
    from nni.nas.execution import SequentialExecutionEngine
    from nni.nas.space import SimplifiedModelSpace

    from autoprog_search.methods.nni import growth_model_space

    model_space = SimplifiedModelSpace.from_model(growth_model_space(space), FunctionalEvaluator(int))
    engine = SequentialExecutionEngine(max_model_count=1, continue_on_failure=True)
    info.make_strategy(7, 1)(model_space, engine)
    (model,) = engine.list_models()
    return [space.at(*levels) for levels in space.from_parameters(model.sample)]


# Methods with stages of their own choose nothing in the space's (tests/methods/test_fixed.py has their schedules), nor
# do those that take another's budget or schedule.
OWN_STAGES = {"efficienttrain", "timm-progressive", "one-layer"}


@pytest.fixture(params=[n for n, i in METHODS.items() if not (i.budget_of or i.schedule_of or n in OWN_STAGES)])
def make_method(request: pytest.FixtureRequest) -> Callable[[GrowthSpace], Method]:
    """Each method that chooses in the space's stages."""
    info = METHODS[request.param]
    return lambda space: build(info, space)


class TestMethods(MethodCase):
    @pytest.fixture
    def make_method(self, make_method):
        return make_method


class TestMethodsOnADegenerateSpace(MethodCase):
    """One level of depth: parameters with a single value, of which Optuna asks no sampler."""

    seeds = range(2)

    @pytest.fixture
    def make_method(self, make_method):
        return make_method

    @pytest.fixture
    def space(self) -> GrowthSpace:
        fields = {"depth": 4, "resolution": 24, "patch_size": 4, "depths": [4], "resolutions": [12, 24], "stages": 3}
        return GrowthSpace.model_validate({"name": "one depth", "model": "vit_tiny_patch16_224", **fields})


@pytest.mark.parametrize("name", [n for n, info in METHODS.items() if info.sampler and info.many_trials])
def test_what_optuna_stores_is_the_schedule_that_ran(name):
    space = GrowthSpace.load("digits")
    info = METHODS[name]
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=info.make_sampler(3, 8))
    for number in range(8):
        trial = study.ask()
        played = play(OptunaMethod(trial, ranges=info.ranges), space)
        stored = [space.at(*pair) for pair in space.from_parameters(trial.params)]
        assert stored[:-1] == [choice.sub_network for _, choice in played]
        study.tell(number, [1.0, 1.0])


def test_static_ranges_run_as_their_running_maximum():
    space = GrowthSpace.load("digits")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    repaired = 0
    for _ in range(20):
        trial = study.ask()
        ran = [space.levels_of(choice.sub_network) for _, choice in play(OptunaMethod(trial, ranges="static"), space)]
        asked = [
            (trial.params[parameter_name(k, "depth")], trial.params[parameter_name(k, "patches")])
            for k in range(1, space.stages)
        ]
        full = (len(space.depths) - 1, len(space.patches) - 1)
        assert (*ran, full) == space.repair([*asked, full])
        repaired += asked != ran
    assert repaired  # the control: some draw did shrink


@pytest.mark.parametrize("name", METHODS)
def test_every_entry_says_how_it_chooses_once(name):
    info = method_named(name)
    assert info.description
    ways = (info.program, info.draw, info.sampler, info.strategy, info.paths, info.budget_of, info.schedule_of)
    assert sum(way is not None for way in ways) == 1
    assert {info.budget_of, info.schedule_of} - {None} <= set(METHODS)


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigError, match=r"methods: 'hyperband' .*autoprog"):
        method_named("hyperband")


def test_the_w_scales_of_a_studys_trials_are_distinct_and_begin_with_the_fitted_w():
    scales = [w_scale_of(trial) for trial in range(12)]
    assert scales[:5] == [1, 2, 0.5, 4, 0.25]
    assert len(set(scales)) == len(scales)
    assert all(scale > 0 for scale in scales)
