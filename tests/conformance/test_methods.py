"""Every method of the table, under the suite that ships."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import optuna
import pytest

from autoprog_search.choosing import Method
from autoprog_search.errors import ConfigError
from autoprog_search.methods.fixed import Program
from autoprog_search.methods.kind import w_scale_of
from autoprog_search.methods.kinds import Hosted, Sampled
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.methods.optuna import OptunaMethod
from autoprog_search.methods.plan import TrialInfo
from autoprog_search.methods.registry import METHODS, method_named
from autoprog_search.parameters import parameter_name
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.space import GrowthSpace
from autoprog_search.testing.methods import MethodCase, play

EARLIER = 6  # trials before the one that is looked at: beyond TPE's start-up trials, so that its model is what answers


def begun(name: str, space: GrowthSpace) -> Method:
    """Who chooses in a trial of that method; where it learns, after trials that have ended."""
    kind = METHODS[name]
    if isinstance(kind, Hosted):
        return OneShotMethod() if kind.needs_estimates(1) else Program(tuple(proposed_by_nni(name, space)))
    study = optuna.create_study(directions=["minimize", "maximize"])
    for number in kind.learns_from(EARLIER):
        levels = space.sample(Random(number))
        played = play(asked(study, name, space, space.to_parameters(levels)), space)
        cost = sum(choice.sub_network.depth * choice.sub_network.patches for _, choice in played)
        study.tell(number, [float(cost), 90 + cost**0.1])
    return asked(study, name, space, kind.parameters(space, 0, Random))


def asked(study: optuna.Study, name: str, space: GrowthSpace, parameters: dict[str, int]) -> Method:
    """Who chooses in the study's next trial, with parameters that are settled before it."""
    info = TrialInfo("conformance", name, 7, len(study.trials), EARLIER + 1, space, GrowthSettings())
    study.sampler = METHODS[name].sampler_for(info) or study.sampler
    study.enqueue_trial(parameters)
    return METHODS[name].course(info, study.ask(), {}).method


def proposed_by_nni(name: str, space: GrowthSpace) -> list[SubNetwork]:
    """The first schedule that an NNI strategy proposes."""
    pytest.importorskip("nni_node")
    pytest.importorskip("pytorch_lightning")
    from nni.nas.evaluator import FunctionalEvaluator
    from nni.nas.execution import SequentialExecutionEngine
    from nni.nas.space import SimplifiedModelSpace

    from autoprog_search.methods.nni import growth_model_space

    model_space = SimplifiedModelSpace.from_model(growth_model_space(space), FunctionalEvaluator(int))
    engine = SequentialExecutionEngine(max_model_count=1, continue_on_failure=True)
    info = TrialInfo("conformance", name, 7, 0, 1, space, GrowthSettings())
    METHODS[name].strategy_for(info)(model_space, engine)
    (model,) = engine.list_models()
    return [space.at(*levels) for levels in space.from_parameters(model.sample)]


def chooses_in_the_spaces_stages(name: str) -> bool:
    """Not those with stages of their own (tests/methods/test_fixed.py has them), nor those that take another's."""
    kind, space = METHODS[name], GrowthSpace.load("digits")
    program = kind.program(space)
    return kind.follows(0) is None and (program is None or not program.shares)


@pytest.fixture(params=filter(chooses_in_the_spaces_stages, METHODS))
def make_method(request: pytest.FixtureRequest) -> Callable[[GrowthSpace], Method]:
    """Each method that chooses in the space's stages."""
    return partial(begun, request.param)


class TestMethods(MethodCase):
    seeds = range(3)

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


@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if isinstance(kind, Sampled)])
def test_what_optuna_stores_is_the_schedule_that_ran(name):
    space = GrowthSpace.load("digits")
    study = optuna.create_study(directions=["minimize", "maximize"])
    for number in range(8):
        played = play(asked(study, name, space, {}), space)
        stored = [space.at(*pair) for pair in space.from_parameters(study.trials[number].params)]
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
def test_every_entry_describes_itself_and_follows_another_that_is_there(name):
    kind = method_named(name)
    assert kind.description
    assert kind.follows(3) is None or kind.follows(3)[0] in METHODS


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigError, match=r"methods: 'hyperband' .*autoprog"):
        method_named("hyperband")


def test_the_w_scales_of_a_studys_trials_are_distinct_and_begin_with_the_fitted_w():
    scales = [w_scale_of(trial) for trial in range(12)]
    assert scales[:5] == [1, 2, 0.5, 4, 0.25]
    assert len(set(scales)) == len(scales)
    assert all(scale > 0 for scale in scales)
