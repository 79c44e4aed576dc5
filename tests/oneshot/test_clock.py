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
    LEAST_SHARE,
    SPAN,
    ClockRule,
    came_back,
    choose_on_clock,
    deadline,
    fit_mixing,
    probe_tick,
    span_of,
)
from autoprog_search.oneshot.score import ScoreRule, choose
from autoprog_search.schedule import SubNetwork

WARM, PLATEAU, TICKS = 4, 25, 36  # the learning rate rises over 4 ticks, stays to the 25th, and falls to 0
RATES = (*(k / WARM for k in range(WARM)), *[1.0] * (PLATEAU - WARM), *(1 - k / 11 for k in range(TICKS - PLATEAU)))
SIZES = tuple(SubNetwork(d, n) for d in (2, 4) for n in (9, 25))
DEEPER = SIZES[1::2]  # all of them on 25 patches
COSTS = {s: float(s.depth * s.patches) for s in SIZES}
MOMENT = Moment(0, RATES, {"depth": 1.0, "patches": 1.0}, COSTS, 0.0, tick_steps=10)


def context(moment: Moment, previous: SubNetwork | None = None, sizes: Sequence[SubNetwork] = SIZES) -> StageContext:
    patches = tuple(sorted({s.patches for s in sizes}))
    return StageContext(2, tuple(sizes), previous, None, (), (2, 4), patches, clock=moment)


def played(moment: Moment, rule: ScoreRule, sizes: Sequence[SubNetwork] = SIZES) -> list[tuple[int, Choice]]:
    """A whole run's choices, with the ticks at which they were made."""
    found, tick, spent, before = [], 0, 0.0, None
    while tick < TICKS - 1:
        allowed = [s for s in sizes if before is None or (s.depth >= before.depth and s.patches >= before.patches)]
        choice = choose(context(replace(moment, tick=tick, spent=spent), before, allowed), rule)
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
    axis=st.sampled_from(["depth", "patches"]),
    mixing=st.floats(0, 20),
    tick=st.integers(0, TICKS - 2),
    rule=st.builds(ClockRule, st.floats(0, 30), st.floats(0, 30), st.floats(0, 400)),
    dropped=st.booleans(),
)
def test_a_deadline_leaves_what_it_promises(axis, mixing, tick, rule, dropped):
    due = deadline(replace(MOMENT, tick=tick, mixing={axis: mixing}, dropped=dropped), rule, axis)
    assert tick <= due <= TICKS - 2
    if due == tick:
        return
    if axis == "depth":
        assert left_from(due) >= rule.depth * mixing
    elif dropped:
        assert 10 * left_from(due) >= rule.all_patches
    else:
        assert due + rule.patches * mixing <= PLATEAU + 1


def left_from(tick: int) -> float:
    """Ticks of the full learning rate from there on; the rates are straight between ticks, and constant in the last."""
    return float(np.trapezoid([*RATES[tick:], RATES[-1]]))


def dropped_in(tick_steps: float) -> int:
    """When a run grows whose ticks have so many steps."""
    return deadline(replace(MOMENT, dropped=True, tick_steps=tick_steps, mixing={}), ClockRule(), "patches")


def test_patches_that_were_dropped_grow_inside_the_decay_of_a_long_run():
    """A tick of it is more steps, of which as many are enough."""
    assert dropped_in(10) < WARM
    assert PLATEAU < dropped_in(80) < TICKS - 2


def test_however_long_a_run_is_a_share_of_it_sees_all_patches():
    due = [dropped_in(10**k) for k in range(1, 9)]
    assert due == sorted(due)
    assert due[-1] == due[-2] < TICKS - 2
    assert left_from(due[-1]) >= LEAST_SHARE * left_from(0) > left_from(due[-1] + 1)


@given(
    mixing=st.floats(0, 5),
    rule=st.builds(ClockRule, st.floats(0, 8), st.floats(0, 8), st.floats(0, 300)),
    w_scale=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    dropped=st.booleans(),
    sizes=st.sampled_from([SIZES, DEEPER]),
)
def test_a_run_grows_once_to_full_size_and_not_after_its_deadline(mixing, rule, w_scale, dropped, sizes):
    """In patches where it can, on all blocks; else in depth."""
    axis, first = ("depth", sizes[0]) if sizes == DEEPER else ("patches", SubNetwork(4, 9))
    timed = dropped and axis == "patches"  # without a measurement, so from the first tick on
    moment = replace(MOMENT, mixing={} if timed else {axis: mixing}, dropped=dropped)
    choices = played(moment, ScoreRule(clock=rule, w_scale=w_scale), sizes)
    begin = 0 if timed else WARM
    due = deadline(replace(moment, tick=begin), rule, axis, 1 / w_scale)
    small = [] if timed else [(0, Choice(first, until=WARM))]
    if due > begin:
        small.append((begin, Choice(first, until=due, deadlines={axis: due})))
    assert choices == [*small, (due, Choice(sizes[-1], until=TICKS, deadlines={axis: due}))]


@pytest.mark.parametrize("dropped", [False, True])
def test_a_heavier_cost_grows_later(dropped):
    moment = replace(MOMENT, tick=WARM, mixing={"patches": 3.0}, dropped=dropped, tick_steps=30)
    due = [
        choose_on_clock(context(moment), ClockRule(), w_scale, None).deadlines["patches"] for w_scale in (0.7, 1.0, 2.0)
    ]
    assert due == sorted(set(due))


@pytest.mark.parametrize("axis", ["depth", "patches"])
def test_longer_runs_stay_small_for_longer(axis):
    """The same steps to mix are fewer ticks of a longer run."""
    short, long = (deadline(replace(MOMENT, mixing={axis: mixing}), ClockRule(), axis) for mixing in (1.0, 0.25))
    assert long > short


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("target", [1.2, 1.6, 2.0])
def test_a_target_moves_the_deadline(target, dropped):
    def cost(rule: ScoreRule) -> float:
        choices = [*played(replace(MOMENT, dropped=dropped), rule), (TICKS, None)]
        spans = itertools.pairwise(choices)
        until_last = sum((min(end, TICKS - 1) - begin) * COSTS[c.sub_network] for (begin, c), (end, _) in spans)
        return until_last + COSTS[SIZES[-1]]

    assert TICKS * COSTS[SIZES[-1]] / cost(ScoreRule(target_speedup=target)) == pytest.approx(target, rel=0.1)


def test_mixing_has_to_be_there_once_it_can_be_measured():
    assert probe_tick(RATES) == WARM
    assert choose_on_clock(context(replace(MOMENT, mixing={})), ClockRule(), 1.0, None).until == WARM
    unmeasured = replace(MOMENT, tick=WARM, mixing={})
    with pytest.raises(EstimateError, match=r"mixing: stage 2 has that of \[\], and grows patches"):
        choose_on_clock(context(unmeasured), ClockRule(), 1.0, None)
    dropped = replace(unmeasured, dropped=True)
    assert choose_on_clock(context(dropped), ClockRule(), 1.0, None).deadlines == {"patches": WARM}
    with pytest.raises(EstimateError, match="grows depth"):  # blocks have to mix whatever becomes of patches
        choose_on_clock(context(dropped, sizes=DEEPER), ClockRule(), 1.0, None)


def test_many_moments_have_one_choice_each():
    """A pure function of what it is given: asked again after an interruption, it says the same."""
    rng = Random(0)
    for _ in range(50):
        moment = replace(
            MOMENT, tick=rng.randrange(WARM, TICKS - 1), mixing={"depth": rng.random(), "patches": rng.random()}
        )
        first, again = (choose(context(moment), ScoreRule()) for _ in range(2))
        assert first == again
