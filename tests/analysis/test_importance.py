"""Importance finds what decides accuracy and cost, from drawn schedules alone."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from autoprog_search.analysis.importance import LEAST_TRIALS, drawn_trials, importance
from autoprog_search.errors import StudyError
from autoprog_search.study.results import StudyFrames, stored_frames
from tests.synthetic import synthetic_study

LEVELS = {4: 3, 5: 4, 6: 5, 8: 6}  # the depths of made-up trials, as the space has them


@pytest.fixture
def drawn() -> StudyFrames:
    """Thirty random schedules: accuracy follows stage 2's resolution and the seed, cost stage 1's depth."""
    study = stored_frames(synthetic_study(seeds=6, methods=("full", "linear", "random")))
    trials = study.trials
    trials["depths"] = trials["depths"].map(lambda sizes: [LEVELS[size] for size in sizes])
    accuracy = trials["resolutions"].map(lambda sizes: sizes[1]) + 10.0 * trials["seed"]
    cost = trials["depths"].map(lambda sizes: 1e9 * sizes[0])
    return replace(study, trials=trials.assign(val_top1=accuracy, total_flops=cost))


def test_it_finds_what_decides(drawn):
    found = importance(drawn)
    assert found.trials == 30
    assert found.parameters[0] == (2, "patches")
    assert found.accuracy[0] > 0.8
    assert found.parameters[found.cost.argmax()] == (1, "depth")
    assert found.cost.max() > 0.8
    assert found.accuracy.sum() == pytest.approx(1)
    again = importance(drawn)
    assert (again.accuracy == found.accuracy).all()


def test_where_nothing_differs_nothing_decides(drawn):
    found = importance(replace(drawn, trials=drawn.trials.assign(total_flops=1e9)))
    assert (found.cost == 0).all()


def test_schedules_that_were_not_drawn_do_not_count(drawn):
    assert set(drawn_trials(drawn)["method"]) == {"random"}
    few = pd.concat([drawn.trials[drawn.trials["method"] != "random"]] * 9)
    with pytest.raises(StudyError, match=f"has 0 finished drawn trials; importance takes {LEAST_TRIALS}"):
        importance(replace(drawn, trials=few))


def test_a_free_clock_has_no_stages(drawn):
    space = drawn.config.space.model_copy(update={"clock": "free"})
    with pytest.raises(StudyError, match="may begin at any tick"):
        importance(replace(drawn, config=drawn.config.model_copy(update={"space": space})))
