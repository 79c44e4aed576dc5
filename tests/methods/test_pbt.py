"""Who copies whom, and where a copy explores, by hand."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.methods.pbt import exploit, explore
from tests.tiny import tiny_config

SPACE = tiny_config().space  # 3 levels on each axis, 3 stages
FULL = (2, 2)


@pytest.mark.parametrize(
    ("accuracies", "parents"),
    [
        ((90, 80, 70, 60), (0, 1, 0, 1)),
        ((60, 90, 70, 80), (3, 1, 1, 3)),  # ranked 1, 3, 2, 0
        ((80, 80, 80, 80), (0, 1, 0, 1)),  # of equal members the lower number counts as better
        ((70, 90, 80), (1, 1, 2)),  # of three, the one in the middle keeps its own
        ((70, 90), (1, 1)),
        ((70,), (0,)),
    ],
)
def test_the_worse_half_copies_the_better_rank_by_rank(accuracies, parents):
    assert exploit(dict(enumerate(map(float, accuracies)))) == dict(enumerate(parents))


def test_members_that_left_are_no_part_of_it():
    assert exploit({1: 50.0, 4: 60.0, 7: 40.0}) == {1: 1, 4: 4, 7: 4}


@pytest.mark.parametrize(
    ("levels", "reached"),
    [
        (((0, 0), (1, 1), FULL), {(0, 1), (2, 1), (1, 0), (1, 2)}),
        (((1, 1), (1, 1), FULL), {(2, 1), (1, 2)}),  # never below the stage before
        (((0, 2), (0, 2), FULL), {(1, 2)}),
        (((2, 2), (2, 2), FULL), {(2, 2)}),  # nothing is left to explore
    ],
)
def test_a_copy_takes_one_step_on_one_axis(levels, reached):
    explored = {explore(SPACE, levels, 2, Random(seed)) for seed in range(50)}
    assert explored == {(levels[0], pair, FULL) for pair in reached}


@given(seed=st.integers(0, 1000), stage=st.sampled_from([2, 3]))
def test_what_is_explored_is_a_schedule_of_the_space(seed, stage):
    space = SPACE.model_copy(update={"stages": 4})
    levels = space.sample(Random(seed))
    explored = explore(space, levels, stage, Random(seed))
    assert explored in set(space.enumerate())
    assert explored[: stage - 1] == levels[: stage - 1]  # what has been trained stays
    assert explored == explore(space, levels, stage, Random(seed))
