"""What the kinds of methods answer to a study."""

from __future__ import annotations

import pytest

from autoprog_search.errors import ConfigError
from autoprog_search.methods.kinds import Hosted
from autoprog_search.methods.plan import MethodPlan, Planned, TrialInfo
from autoprog_search.methods.registry import METHODS
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.space import GrowthSpace

SPACE = GrowthSpace.load("digits")
NNI = {name for name, kind in METHODS.items() if isinstance(kind, Hosted)}
ONE_SHOT = {"autoprog", "nni:autoprog", "survey"}


def planned(name: str, **more) -> Planned:
    return Planned(name, {name: MethodPlan(trials=2, **more)}, SPACE, GrowthSettings(), epochs=8)


def those(answer) -> set[str]:
    """Methods whose answer is anything."""
    return {name for name, kind in METHODS.items() if answer(kind)}


def test_trials_wait_for_those_that_they_learn_from():
    assert those(lambda kind: kind.learns_from(2) == range(2)) == {"tpe", "gp", "nsga2", "asha", "pbt"} | NNI
    assert those(lambda kind: kind.learns_from(2)) == those(lambda kind: kind.learns_from(1))


def test_some_train_what_another_found_or_spent():
    assert METHODS["replay"].follows(2) == ("autoprog", 2)
    assert METHODS["full-short"].follows(2) == ("autoprog", 0)
    assert those(lambda kind: kind.follows(0)) == {"replay", "full-short"}


def test_one_trial_is_enough_where_nothing_is_chosen_among_several():
    once = those(lambda kind: kind.program(SPACE)) | {"full-short", "replay", "autoprog", "nni:autoprog"}
    assert those(lambda kind: kind.trials_wanted(8) == 1) == once
    assert those(lambda kind: kind.trials_wanted(8) == 8) == set(METHODS) - once


def test_searches_inside_a_run_are_those_of_autoprog():
    assert those(lambda kind: kind.needs_estimates(1)) == ONE_SHOT
    assert those(lambda kind: kind.w_scale(1) == 2) == ONE_SHOT - {"survey"}


def test_the_number_of_trials_is_part_of_what_decides_a_search():
    depending = {"autoprog", "tpe", "gp", "nsga2", "pbt"} | NNI
    assert those(lambda kind: kind.settings_that_matter(4, 1.0)) == depending
    assert METHODS["tpe"].settings_that_matter(4, 1.0) == {"trials": 4}
    assert METHODS["nni:random"].settings_that_matter(4, 1.0) == {"trials": 4, "cost_lambda": 1.0}


def test_fixed_schedules_pay_for_one_trial_and_all_others_for_all():
    assert METHODS["linear"].paid_for("b", ["a", "b"]) == ["b"]
    assert METHODS["autoprog"].paid_for("b", ["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("asha", "steers its runs"),
        ("pbt", "steers its runs"),
        ("nni:grid", "steers its runs"),
        ("replay", "follows autoprog"),
        ("one-layer", "other stages"),
        ("autoprog", "needs estimates"),
    ],
)
def test_a_table_cannot_answer_all(name, said):
    with pytest.raises(ConfigError, match=said):
        METHODS[name].check_on_table(planned(name), "the table", ())
    METHODS["tpe"].check_on_table(planned("tpe"), "the table", ())


@pytest.mark.parametrize("name", sorted(NNI | {"pbt"}))
def test_trials_that_run_together_have_no_space_of_their_own(name):
    with pytest.raises(ConfigError, match=f"methods, {name}, space: its trials run together"):
        METHODS[name].check(planned(name, space={"stages": 2}))


def test_samplers_are_seeded_by_trial_and_parameter():
    def draws(number: int, parameter: str) -> list[int]:
        sampler = METHODS["tpe"].sampler_for(TrialInfo("s", "tpe", 0, number, 8, SPACE, GrowthSettings()), parameter)
        return sampler._rng.rng.randint(10**9, size=3).tolist()

    assert draws(0, "a") == draws(0, "a")
    assert draws(0, "a") != draws(0, "b")
    assert draws(0, "a") != draws(1, "a")
