"""When to grow: mixing times fitted to curves that are known, deadlines against their definition."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.choosing import Choice, Moment, StageContext
from autoprog_search.errors import EstimateError
from autoprog_search.oneshot.clock import (
    SPAN,
    ClockRule,
    came_back,
    choose_on_clock,
    deadlines,
    fit_mixing,
    probe_tick,
    span_of,
)
from autoprog_search.oneshot.score import ScoreRule, choose
from autoprog_search.schedule import SubNetwork

WARM, PLATEAU, TICKS = 4, 25, 36  # the learning rate rises over 4 ticks, stays to the 25th, and falls to 0
RATES = (*(k / WARM for k in range(WARM)), *[1.0] * (PLATEAU - WARM), *(1 - k / 11 for k in range(TICKS - PLATEAU)))
SIZES = tuple(SubNetwork(d, n) for d in (2, 4) for n in (9, 25))
COSTS = {s: float(s.depth * s.patches) for s in SIZES}
MOMENT = Moment(0, RATES, {"depth": 1.0, "patches": 1.0}, COSTS, 0.0)


def context(moment: Moment, previous: SubNetwork | None = None) -> StageContext:
    return StageContext(2, SIZES, previous, None, (), (2, 4), (9, 25), clock=moment)


def played(moment: Moment, rule: ScoreRule) -> list[tuple[int, Choice]]:
    """A whole run's choices, with the ticks at which they were made."""
    found, tick, spent, before = [], 0, 0.0, None
    while tick < TICKS - 1:
        choice = choose(context(replace(moment, tick=tick, spent=spent), before), rule)
        found.append((tick, choice))
        assert choice.until is not None
        spent += (choice.until - tick) * COSTS[choice.sub_network]
        tick, before = choice.until, choice.sub_network
    return found


@pytest.mark.parametrize("steps", [40, 80, 300])
@pytest.mark.parametrize("power", [0.5, 0.7, 1.5])
def test_a_known_time_is_found_in_noise_however_long_the_branches(steps, power):
    """The loss is 1, so mixing ends where what it rose by is 0.05."""
    rng = np.random.default_rng(0)
    stayed = 1.0 + 0.05 * rng.standard_normal(steps)  # the noise of a batch, which both see
    grown = stayed + (1 + np.arange(steps) / 2) ** -power + 0.01 * rng.standard_normal(steps)
    assert fit_mixing(grown, stayed) == pytest.approx(2 * (20 ** (1 / power) - 1), rel=0.15)


def test_a_loss_that_does_not_rise_needs_no_time():
    assert fit_mixing([0.5, 0.4, 0.4], [0.5, 0.5, 0.5]) == 0.0


def test_a_loss_that_does_not_come_back_takes_as_long_as_can_be_said():
    assert fit_mixing([1.5] * 10, [1.0] * 10) == 1000


def watched(losses: Sequence[float]) -> tuple[list[float], int]:
    """Losses since a growth as a run keeps them."""
    spans = [0.0] * (span_of(len(losses) - 1) + 1)
    for step, loss in enumerate(losses):
        spans[span_of(step)] += loss
    return spans, len(losses)


def test_spans_are_twice_as_long_each():
    assert [span_of(step) for step in (0, SPAN - 1, SPAN, 2 * SPAN - 1, 2 * SPAN, 4 * SPAN - 1)] == [0, 0, 1, 1, 2, 2]
    assert [watched([1.0] * 100)[0][k] for k in range(4)] == [SPAN, SPAN, 2 * SPAN, 4 * SPAN]


@pytest.mark.parametrize("power", [0.5, 0.7, 1.5])
def test_a_loss_that_comes_back_in_noise_is_seen_to(power):
    """To 5 % above a level of 1, whatever level it ends at."""
    rng = np.random.default_rng(0)
    losses = 1 + (1 + np.arange(4000) / 2) ** -power + 0.05 * rng.standard_normal(4000)
    truth = 2 * (20 ** (1 / power) - 1)
    assert came_back(1.0, *watched(losses)) == pytest.approx(truth, rel=0.35)
    assert came_back(3.0, *watched(3 * losses)) == pytest.approx(truth, rel=0.35)


@given(level=st.floats(0, 10), losses=st.lists(st.floats(0, 10), min_size=1, max_size=200))
def test_a_loss_is_back_while_it_was_watched_or_never(level, losses):
    came = came_back(level, *watched(losses))
    assert came is None or 0 <= came <= len(losses)
    if max(losses) <= level and len(losses) >= SPAN:
        assert came == 0.0
    if min(losses) > 1.06 * level:
        assert came is None


def test_a_loss_that_is_not_back_says_so():
    assert came_back(1.0, *watched([1.2] * 500)) is None
    assert came_back(1.0, *watched([1.2] * (SPAN + 3))) is None
    assert came_back(1.0, *watched([0.5] * (SPAN - 1))) is None  # too few to say


@given(
    depth=st.floats(0, 20),
    patches=st.floats(0, 20),
    tick=st.integers(0, TICKS - 2),
    rule=st.builds(ClockRule, st.floats(0, 30), st.floats(0, 30)),
)
def test_deadlines_leave_the_mixing_times_they_promise(depth, patches, tick, rule):
    due = deadlines(replace(MOMENT, tick=tick, mixing={"depth": depth, "patches": patches}), rule)
    assert all(tick <= due[axis] <= TICKS - 2 for axis in due)
    if due["patches"] > tick:
        assert due["patches"] + rule.patches * patches <= PLATEAU + 1
    if due["depth"] > tick:
        assert sum(RATES[due["depth"] :]) >= rule.depth * depth


@given(
    depth=st.floats(0, 5),
    patches=st.floats(0, 5),
    rule=st.builds(ClockRule, st.floats(0, 8), st.floats(0, 8)),
    w_scale=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
)
def test_a_run_grows_to_full_size_and_no_axis_after_its_deadline(depth, patches, rule, w_scale):
    moment = replace(MOMENT, mixing={"depth": depth, "patches": patches})
    choices = played(moment, ScoreRule(clock=rule, w_scale=w_scale))
    assert choices[0] == (0, Choice(SIZES[0], until=WARM))
    due = deadlines(replace(moment, tick=WARM), rule, 1 / w_scale)
    grown = {"depth": TICKS - 1, "patches": TICKS - 1}
    for tick, choice in reversed(choices):
        grown |= {"depth": tick} if choice.sub_network.depth == 4 else {}
        grown |= {"patches": tick} if choice.sub_network.patches == 25 else {}
    assert grown == dict(due)
    for (tick, choice), (_, last) in itertools.pairwise(choices):
        left = {axis for axis, grown_at in grown.items() if grown_at >= choice.until}
        assert tick == 0 or left <= set(choice.deadlines)  # of what has still to grow, known at each decision
        assert all(due >= tick for due in choice.deadlines.values())
        assert last.sub_network != SIZES[-1] or set(last.deadlines)
    sizes = [choice.sub_network for _, choice in choices]
    assert all(a.depth <= b.depth and a.patches <= b.patches for a, b in itertools.pairwise(sizes))


def test_longer_runs_stay_small_for_longer():
    """The same steps to mix are fewer ticks of a longer run."""
    short, long = (deadlines(replace(MOMENT, mixing={"depth": t, "patches": t}), ClockRule()) for t in (1.0, 0.25))
    assert all(long[axis] > short[axis] for axis in short)


@pytest.mark.parametrize("target", [1.2, 1.6, 2.0])
def test_a_target_moves_the_deadlines(target):
    def cost(rule: ScoreRule) -> float:
        choices = [*played(MOMENT, rule), (TICKS, None)]
        spans = itertools.pairwise(choices)
        until_last = sum((min(end, TICKS - 1) - begin) * COSTS[c.sub_network] for (begin, c), (end, _) in spans)
        return until_last + COSTS[SIZES[-1]]

    assert TICKS * COSTS[SIZES[-1]] / cost(ScoreRule(target_speedup=target)) == pytest.approx(target, rel=0.1)


def test_mixing_has_to_be_there_once_it_can_be_measured():
    assert probe_tick(RATES) == WARM
    assert choose_on_clock(context(replace(MOMENT, mixing={})), ClockRule(), 1.0, None).until == WARM
    with pytest.raises(EstimateError, match="mixing"):
        choose_on_clock(context(replace(MOMENT, tick=WARM, mixing={})), ClockRule(), 1.0, None)


def test_many_moments_have_one_choice_each():
    """A pure function of what it is given: asked again after an interruption, it says the same."""
    rng = Random(0)
    for _ in range(50):
        moment = replace(
            MOMENT, tick=rng.randrange(WARM, TICKS - 1), mixing={"depth": rng.random(), "patches": rng.random()}
        )
        first, again = (choose(context(moment), ScoreRule()) for _ in range(2))
        assert first == again
