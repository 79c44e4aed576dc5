"""Where a searching run may still end, against plain enumeration of its ways; and choices that keep to a target."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.choosing import StageContext
from autoprog_search.oneshot.candidates import candidates
from autoprog_search.oneshot.estimate import search_steps
from autoprog_search.oneshot.outlook import Outlook
from autoprog_search.oneshot.score import ScoreRule, choose, on_target
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace
from autoprog_search.testing.methods import synthetic_estimates

DIGITS = GrowthSpace.load("digits")
STEPS = (155, 155, 155, 155)
SHARE = 0.08


def cost(sub_network: SubNetwork) -> float:
    return float(sub_network.depth * sub_network.patches * (100 + sub_network.patches))


def outlook(force="patches", steps=STEPS) -> Outlook:
    return Outlook(DIGITS, steps, cost, estimating, SHARE, force)


def estimating(stage: int, allowed: tuple[SubNetwork, ...]) -> float:
    return 0.03 * STEPS[0] * sum(map(cost, allowed)) / len(allowed)


def ways(force, stage: int, previous: SubNetwork | None) -> Iterator[float]:
    """The cost of every way through the stages from here on, one by one."""
    if stage == len(STEPS):
        yield STEPS[-1] * cost(DIGITS.full)
        return
    allowed = candidates(DIGITS, stage, previous, force)
    searching = search_steps(stage, STEPS[stage - 1], len(allowed), SHARE) if len(allowed) > 1 else 0
    search_cost = searching * sum(map(cost, allowed)) / len(allowed) + (searching > 0) * estimating(stage, allowed)
    for chosen in allowed:
        for rest in ways(force, stage + 1, chosen):
            yield search_cost + (STEPS[stage - 1] - searching) * cost(chosen) + rest


@pytest.mark.parametrize("force", ["none", "any", "depth", "patches"])
def test_every_way_is_found_and_no_other(force):
    full = sum(STEPS) * cost(DIGITS.full)
    expected = {way / full for way in ways(force, 1, None)}
    found = [end / 1000 for end in outlook(force).from_stage(1, None)]
    assert all(min(abs(way - end) for end in found) <= 0.002 for way in expected)  # rounded once a stage
    assert all(min(abs(way - end) for way in expected) <= 0.002 for end in found)


def test_many_stages_take_no_time():
    long = DIGITS.model_copy(update={"stages": 12})
    ends = Outlook(long, (40,) * 12, cost, estimating, SHARE, "none").from_stage(1, None)
    assert 100 < len(ends) <= 1001


def test_ends_count_what_was_spent_and_what_is_left_of_the_stage():
    seen = outlook()
    full = sum(STEPS) * cost(DIGITS.full)
    (end,) = seen.ends(0.25 * full, 3, 0, DIGITS.full)
    assert end == pytest.approx(0.25 + 0.25, abs=0.001)  # the last stage is a quarter of the full run
    assert seen.ends(0.25 * full, 3, 155, DIGITS.full)[0] == pytest.approx(0.75, abs=0.001)


@given(target=st.floats(0.4, 1.0), seed=st.integers(0, 100))
def test_a_run_that_keeps_to_a_target_ends_there(target, seed):
    """Played as the trainer does."""
    seen, previous, spent = outlook(), None, 0.0
    rule = ScoreRule(target_speedup=1 / target)
    for stage, steps in enumerate(STEPS[:-1], start=1):
        allowed = candidates(DIGITS, stage, previous, "patches")
        if len(allowed) == 1:
            (previous,) = allowed
            spent += steps * cost(previous)
            continue
        searching = search_steps(stage, steps, len(allowed), SHARE)
        mean = sum(map(cost, allowed)) / len(allowed)
        spent += searching * mean + estimating(stage, allowed)
        ends = tuple(seen.ends(spent, stage, steps - searching, chosen) for chosen in allowed)
        estimates = synthetic_estimates(allowed, Random(seed + stage))
        context = StageContext(stage, allowed, previous, estimates, (), DIGITS.depths, DIGITS.patches, ends)
        previous = choose(context, rule).sub_network
        spent += (steps - searching) * cost(previous)
    total = (spent + STEPS[-1] * cost(DIGITS.full)) / seen.full_cost
    reachable = [end / 1000 for end in seen.from_stage(1, None)]
    nearest = min(reachable, key=lambda end: abs(end - target))
    assert abs(total - target) <= abs(nearest - target) + 0.02 * target  # twice the slack


def test_the_score_decides_between_candidates_that_lead_there():
    allowed = (SubNetwork(3, 9), SubNetwork(4, 9), SubNetwork(6, 9))
    estimates = synthetic_estimates(allowed, Random(0))
    free = StageContext(1, allowed, None, estimates, (), DIGITS.depths, DIGITS.patches)
    everywhere = StageContext(1, allowed, None, estimates, (), DIGITS.depths, DIGITS.patches, ((0.5, 0.6),) * 3)
    assert choose(everywhere, ScoreRule(target_speedup=2.0)) == choose(free, ScoreRule())
    for i, other in enumerate(allowed):
        ends = tuple((0.5,) if k == i else (0.7, 0.9) for k in range(3))
        context = StageContext(1, allowed, None, estimates, (), DIGITS.depths, DIGITS.patches, ends)
        choice = choose(context, ScoreRule(target_speedup=2.0))
        assert choice.sub_network == other
        assert choice.margin is None  # no other could have been chosen


def test_the_nearest_leads_there_where_none_ends_there():
    assert on_target([(0.7,), (0.6, 0.9), (0.3,)], 0.5) == [1]
    assert on_target([(0.502,), (0.6,), (0.4951,)], 0.5) == [0, 2]  # within the slack of a hundredth
