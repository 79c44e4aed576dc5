"""AutoProgSampler: Optuna's own conformance suite, one joint choice a stage, and a guest in anybody's study."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Container
from dataclasses import replace
from itertools import product
from threading import Barrier
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import FrozenTrial, Trial, TrialState

from autoprog_search.choosing import Estimate, StageContext
from autoprog_search.errors import EstimateError
from autoprog_search.methods.optuna import AutoProgSampler, OptunaMethod
from autoprog_search.oneshot.score import ScoreRule, choose
from autoprog_search.parameters import parse_parameter
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.space import GrowthSpace
from autoprog_search.testing.methods import play

DEPTHS, PATCHES = (4, 6, 8), (9, 16, 36)
DIGITS = GrowthSpace.load("digits")

# ── Optuna's suite, no test left out ────────────────────────────────────────────────────────────────────────────────


class TestAloneWithOptuna(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: AutoProgSampler(seed=0)


class TestOnARelativeSampler(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: AutoProgSampler(base_sampler=TPESampler(seed=0, multivariate=True, n_startup_trials=0))


# ── the run in progress answers ─────────────────────────────────────────────────────────────────────────────────────


def context_choosing(winner: SubNetwork, stage: int = 1) -> StageContext:
    """A stage whose estimates leave no doubt; no other candidate shares both levels with the winner."""
    candidates = tuple(SubNetwork(d, n) for d, n in product(DEPTHS, PATCHES))
    estimates = tuple(Estimate(c, 0.1 if c == winner else 2.0, 0.01, float(c.depth * c.patches)) for c in candidates)
    return StageContext(stage, candidates, None, estimates, (), DEPTHS, PATCHES)


def level_of(sub_network: SubNetwork) -> tuple[int, int]:
    return DEPTHS.index(sub_network.depth), PATCHES.index(sub_network.patches)


class RecordingSampler(RandomSampler):
    """Which parameters the base sampler was asked for, and what else was passed on to it."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.asked: list[str] = []
        self.calls: list[str] = []

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
        self.asked.append(name)
        return super().sample_independent(study, trial, name, distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.calls.append("before")

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self.calls.append("after")

    def reseed_rng(self) -> None:
        self.calls.append("reseed")


@pytest.mark.parametrize("winner", [SubNetwork(d, n) for d, n in product(DEPTHS, PATCHES)], ids=str)
@pytest.mark.parametrize("order", [("depth", "patches"), ("patches", "depth")])
def test_one_joint_choice_answers_both_parameters(winner, order):
    base = RecordingSampler()
    sampler = AutoProgSampler(base_sampler=base, rule=ScoreRule(w=0.0))
    trial = optuna.create_study(sampler=sampler).ask()
    sampler.offer(trial.number, context_choosing(winner))
    levels = {axis: trial.suggest_int(f"stage1_{axis}_level", 0, 2) for axis in order}
    assert (levels["depth"], levels["patches"]) == level_of(winner)
    assert base.asked == []


@pytest.mark.parametrize("rule", [{}, {"w": 0.3}, {"w_scale": 4.0}, {"w_default": 0.5}])
def test_a_growth_run_stores_what_the_score_chose(rule):
    sampler = AutoProgSampler(rule=ScoreRule(**rule))
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
    trial = study.ask()
    played = play(OptunaMethod(trial, ranges="dynamic"), DIGITS, seed=4)
    study.tell(trial, [1.0, 1.0])
    assert len(played) == DIGITS.stages - 1
    for context, choice in played:
        assert choice == choose(context, ScoreRule(**rule))
        stored = [study.trials[0].params[f"stage{context.stage}_{axis}_level"] for axis in ("depth", "patches")]
        assert DIGITS.at(*stored) == choice.sub_network


def test_it_needs_estimates_and_other_samplers_do_not():
    for sampler, needs in ((AutoProgSampler(), True), (TPESampler(), False), (RandomSampler(), False)):
        method = OptunaMethod(optuna.create_study(sampler=sampler).ask())
        assert [method.needs_estimates(stage) for stage in (1, 2, 3)] == [needs] * 3


class SpyStorage(InMemoryStorage):
    """Which trials are read and created, while `watching`."""

    def __init__(self) -> None:
        super().__init__()
        self.watching = False
        self.read: set[int] = set()
        self.all_read = self.created = 0

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if self.watching:
            self.read.add(trial_id)
        return super().get_trial(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        self.all_read += self.watching
        return super().get_all_trials(study_id, deepcopy, states)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        self.created += self.watching
        return super().create_new_trial(study_id, template_trial)


@pytest.mark.parametrize("sampler", [AutoProgSampler(seed=0), TPESampler(seed=0)], ids=["autoprog", "tpe"])
def test_no_other_trial_is_created_or_read(sampler):
    storage = SpyStorage()
    study = optuna.create_study(storage=storage, directions=["minimize", "maximize"], sampler=sampler)
    for number in range(12):  # finished ones, more than TPE's start-up trials: there is something to read
        trial = study.ask()
        play(OptunaMethod(trial), DIGITS, seed=number)
        study.tell(trial, [float(number), 1.0])
    trial = study.ask()
    storage.watching = True
    play(OptunaMethod(trial), DIGITS, seed=99)
    storage.watching = False
    assert storage.created == 0
    assert storage.read <= {trial._trial_id}
    assert (storage.all_read == 0) == isinstance(sampler, AutoProgSampler)  # the control: TPE does read them
    study.tell(trial, [1.0, 1.0])
    assert len(study.trials) == 13


def test_its_rule_is_a_studys_unless_told_another():
    assert AutoProgSampler(seed=0).rule == GrowthSettings().rule() == ScoreRule()
    growth = GrowthSettings.model_validate({"tie_se": 0, "w": 0.3, "search": {"score": "slope", "points": 2}})
    assert growth.rule(2.0) == ScoreRule("slope", w=0.3, w_scale=2.0, tie_se=0.0)


def test_a_level_outside_the_range_raises():
    sampler = AutoProgSampler(rule=ScoreRule(w=0.0))
    study = optuna.create_study(sampler=sampler)
    for distribution in (IntDistribution(1, 2), FloatDistribution(0, 2)):
        trial = study.ask()
        sampler.offer(trial.number, context_choosing(SubNetwork(4, 36)))
        with pytest.raises(ValueError, match=r"stage1_depth_level: .*level 0, outside .*Distribution"):
            trial._suggest("stage1_depth_level", distribution)


def test_where_nothing_is_offered_the_base_sampler_answers():
    base = RecordingSampler()
    sampler = AutoProgSampler(base_sampler=base)
    trial = optuna.create_study(sampler=sampler).ask()
    sampler.offer(trial.number + 1, context_choosing(SubNetwork(4, 9)))  # another trial's
    sampler.offer(trial.number, context_choosing(SubNetwork(4, 9), stage=2))  # another stage's
    names = ["lr", "stage1_depth_level", "stage1_patches_level", "stage2_width_level", "xstage2_depth_level"]
    assert all(0 <= trial.suggest_int(name, 0, 9) <= 9 for name in names)
    assert base.asked == names
    assert trial.suggest_int("stage2_depth_level", 0, 2) == 0
    assert base.asked == names


@pytest.mark.parametrize("ending", ["complete", "fail", "pruned"])
def test_offers_are_forgotten_after_the_trial_however_it_ends(ending):
    base = RecordingSampler()
    sampler = AutoProgSampler(base_sampler=base)

    def objective(trial: Trial) -> float:
        for stage in (1, 2):
            sampler.offer(trial.number, context_choosing(SubNetwork(8, 36), stage))
        assert trial.suggest_int("stage1_depth_level", 0, 2) == 2
        if ending == "fail":
            raise RuntimeError
        if ending == "pruned":
            raise optuna.TrialPruned
        return 1.0

    study = optuna.create_study(sampler=sampler)
    sampler.offer(1, context_choosing(SubNetwork(8, 36)))  # a trial that is still running keeps its own
    study.optimize(objective, n_trials=1, catch=RuntimeError)
    for name in ("stage1_depth_level", "stage2_patches_level"):
        sampler.sample_independent(study, study.trials[0], name, IntDistribution(0, 2))
    assert base.asked == ["stage1_depth_level", "stage2_patches_level"]
    assert study.ask().suggest_int("stage1_depth_level", 0, 2) == 2


def test_what_optuna_tells_a_sampler_reaches_the_base_sampler():
    base = RecordingSampler()
    sampler = AutoProgSampler(base_sampler=base)
    optuna.create_study(sampler=sampler).optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    sampler.reseed_rng()
    assert base.calls == ["before", "after", "reseed"]


def test_it_pickles_with_what_is_offered():
    rule = ScoreRule(w=0.25, w_scale=2.0, w_default=0.1)
    sampler = AutoProgSampler(seed=3, rule=rule)
    sampler.offer(0, context_choosing(SubNetwork(6, 16)))
    twin = pickle.loads(pickle.dumps(sampler))
    assert twin.rule == sampler.rule == rule
    for each in (sampler, twin):
        trial = optuna.create_study(sampler=each).ask()
        assert [trial.suggest_int(f"stage1_{axis}_level", 0, 2) for axis in ("depth", "patches")] == [1, 1]
        each.offer(1, context_choosing(SubNetwork(4, 9)))  # its lock works
    # The base sampler's random state travels along: both go on alike.
    drawn = [optuna.create_study(sampler=each).ask().suggest_float("x", 0, 1) for each in (sampler, twin)]
    assert drawn[0] == drawn[1]


def test_threads_share_it():
    sampler, both_offered = AutoProgSampler(seed=0, rule=ScoreRule(w=0.0)), Barrier(2, timeout=30)
    winners = [SubNetwork(4, 36), SubNetwork(8, 9), SubNetwork(6, 16), SubNetwork(8, 36)]

    def objective(trial: Trial) -> float:
        for stage in (1, 2, 3):
            sampler.offer(trial.number, context_choosing(winners[trial.number % 4], stage))
            both_offered.wait()  # the other thread's trial has offered too, before either asks
            trial.suggest_int(f"stage{stage}_depth_level", 0, 2)
            trial.suggest_int(f"stage{stage}_patches_level", 0, 2)
        return trial.suggest_float("lr", 0, 1)

    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=8, n_jobs=2)
    assert len(study.trials) == 8
    for trial in study.trials:
        expected = level_of(winners[trial.number % 4])
        for stage in (1, 2, 3):
            assert (trial.params[f"stage{stage}_depth_level"], trial.params[f"stage{stage}_patches_level"]) == expected


# ── a guest in a user's own study ───────────────────────────────────────────────────────────────────────────────────

BASES = {
    "Optuna's default": lambda: TPESampler(seed=5, n_startup_trials=4),
    "random": lambda: RandomSampler(seed=5),
    "multivariate TPE": lambda: TPESampler(seed=5, n_startup_trials=4, multivariate=True),
    "grouped TPE": lambda: TPESampler(seed=5, n_startup_trials=4, multivariate=True, group=True),
    "NSGA-II": lambda: optuna.samplers.NSGAIISampler(seed=5, population_size=4),
}


def user_study(sampler: BaseSampler, objectives: int, growth: bool, trials: int = 12) -> list[dict[str, Any]]:
    """A user's learning rate and optimiser, with or without a growth run beside them; returns their parameters."""

    def objective(trial: Trial) -> float | tuple[float, float]:
        lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        if growth:
            played = play(OptunaMethod(trial), DIGITS, seed=trial.number)
            rule = ScoreRule()
            for context, choice in played:
                assert choice == choose(context, rule)
                stored = [trial.params[f"stage{context.stage}_{axis}_level"] for axis in ("depth", "patches")]
                assert DIGITS.at(*stored) == choice.sub_network
        optimiser = trial.suggest_categorical("optimiser", ["adamw", "sgd", "lion"])
        loss = abs(lr - 0.01) + len(optimiser)
        return loss if objectives == 1 else (loss, lr)

    study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    study.optimize(objective, n_trials=trials)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * trials
    return [{k: v for k, v in trial.params.items() if parse_parameter(k) is None} for trial in study.trials]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("objectives", [1, 2])
@pytest.mark.parametrize("base", BASES)
def test_a_users_own_parameters_are_answered_as_if_no_growth_run_was_there(base, objectives):
    beside = user_study(AutoProgSampler(base_sampler=BASES[base]()), objectives, growth=True)
    assert beside == user_study(BASES[base](), objectives, growth=False)


def test_its_own_default_base_is_optunas_default():
    assert user_study(AutoProgSampler(seed=8), 1, growth=True) == user_study(TPESampler(seed=8), 1, growth=False)


@pytest.mark.parametrize(
    ("name", "stage", "axis"), [("stage1_depth_level", 1, "depth"), ("stage12_patches_level", 12, "patches")]
)
def test_our_parameters_are_known_by_name(name, stage, axis):
    assert parse_parameter(name) == (stage, axis)


@pytest.mark.parametrize(
    "name", ["lr", "stage_depth_level", "stage1_width_level", "stage1_depth_level2", "Stage1_depth"]
)
def test_other_names_are_not_ours(name):
    assert parse_parameter(name) is None


# ── what cannot be chosen from ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": float("nan")}, r"estimate of 4 blocks x 9 patches, loss: nan cannot be"),
        ({"cost": 0.0}, r"estimate of 4 blocks x 9 patches, cost: 0\.0 cannot be"),
    ],
)
def test_an_offer_of_no_numbers_fails_the_trial_with_one_line(change, words):
    study = optuna.create_study(sampler=AutoProgSampler(seed=0))
    context = context_choosing(SubNetwork(6, 16))
    first, *others = context.estimates
    trial = study.ask()
    study.sampler.offer(trial.number, replace(context, estimates=(replace(first, **change), *others)))
    with pytest.raises(EstimateError, match=words):
        trial.suggest_int("stage1_depth_level", 0, 2)


def test_an_offer_without_estimates_or_levels_says_so():
    study = optuna.create_study(sampler=AutoProgSampler(seed=0))
    context = context_choosing(SubNetwork(6, 16))
    for changed, words in (
        (replace(context, estimates=None), "9 candidates and 0"),
        (replace(context, depths=(1, 2)), "6 is none"),
    ):
        trial = study.ask()
        study.sampler.offer(trial.number, changed)
        with pytest.raises(EstimateError, match=words):
            trial.suggest_int("stage1_depth_level", 0, 2)
