"""The score L * T^w: synthetic losses over costs, of which the right choice is known."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log, nan

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autoprog_search.choosing import Choice, Estimate, StageContext
from autoprog_search.errors import ConfigError
from autoprog_search.oneshot.score import ScoreRule, choose, fit_weight, loss_cost, weight_of
from autoprog_search.schedule import SubNetwork
from tests.oneshot.made_up import PAPER, context, estimated
from tests.strategies import estimates

COSTS = [1e9, 2e9, 3e9, 5e9, 8e9, 13e9]


def power_law(a: float, b: float = 2.5, costs: list[float] = COSTS) -> tuple[Estimate, ...]:
    """L = b * (T / 1e9)^a."""
    return estimated([b * (c / 1e9) ** a for c in costs], costs)


# ── fitting w ───────────────────────────────────────────────────────────────────────────────────────────────────────


@given(w=st.floats(0.001, 3), b=st.floats(0.01, 100), scale=st.sampled_from([1e-6, 1.0, 1e9]))
def test_on_exact_power_law_data_the_fitted_w_is_right(w, b, scale):
    costs = [c / 1e9 * scale for c in COSTS]
    fitted = fit_weight([b * (c / scale) ** -w for c in costs], costs)
    assert fitted == pytest.approx(w, abs=1e-6)


def test_the_fit_is_least_squares_in_log_log():
    rng = np.random.default_rng(0)
    losses = [2 * (c / 1e9) ** -0.3 * rng.uniform(0.8, 1.2) for c in COSTS]
    x, y = np.log(COSTS), np.log(losses)
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert fit_weight(losses, COSTS) == pytest.approx(-slope, rel=1e-9)


def test_a_rising_trend_fits_w_0():
    assert fit_weight([1.0, 1.1, 1.2], [1.0, 2.0, 3.0]) == 0.0


@pytest.mark.parametrize(
    ("costs", "fits"),
    [([1], False), ([1, 2], False), ([1, 1, 1], False), ([1, 2, 2, 1], False), ([1, 2, 3], True), ([1, 2, 2, 3], True)],
)
def test_a_fit_takes_three_distinct_costs(costs, fits):
    assert (fit_weight([1.0 + 0.1 * i for i in range(len(costs))], costs) is not None) == fits


# ── choosing ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("planted", range(len(COSTS)))
@pytest.mark.parametrize("a", [-0.4, -0.05])
def test_the_candidate_planted_below_the_trend_is_picked(planted, a):
    found = list(power_law(a))
    found[planted] = replace(found[planted], loss=0.8 * found[planted].loss)
    assert choose(context(tuple(found)), PAPER()).sub_network == found[planted].sub_network


@given(w=st.floats(0.01, 2), order=st.permutations(COSTS))
def test_on_the_trend_all_tie_and_the_cheapest_wins(w, order):
    found = power_law(-w, costs=order)
    choice = choose(context(found), PAPER())
    cheapest = min(found, key=lambda e: e.cost)
    assert choice.sub_network == cheapest.sub_network
    assert choice.w == pytest.approx(w, abs=1e-6)
    assert choice.margin == pytest.approx(0, abs=1e-9)


def test_scores_that_differ_by_more_than_the_tie_do_not_tie():
    dear_but_better = estimated([1.0, 1.0 - 1e-8], [1.0, 2.0])
    assert choose(context(dear_but_better), PAPER(w=0.0)).sub_network == SubNetwork(2, 4)
    dear_and_as_good = estimated([1.0, 1.0 - 1e-10], [1.0, 2.0])
    assert choose(context(dear_and_as_good), PAPER(w=0.0)).sub_network == SubNetwork(1, 4)


def test_losses_that_their_errors_do_not_tell_apart_tie_and_the_cheapest_wins():
    found = tuple(
        replace(e, loss_se=se)
        for e, se in zip(estimated([2.06, 2.03, 2.0], [1.0, 2.0, 4.0]), (0.03, 0.03, 0.04), strict=True)
    )
    rules = {tie_se: ScoreRule(w=0.0, tie_se=tie_se) for tie_se in (0.0, 0.5, 1.0, 2.0)}
    chosen = {tie_se: choose(context(found), rule).sub_network.depth for tie_se, rule in rules.items()}
    # The differences are 0.06 and 0.03, their errors 0.05 (3-4-5): 1.2 and 0.6 of them.
    assert chosen == {0.0: 3, 0.5: 3, 1.0: 2, 2.0: 1}


def test_decreases_tie_within_the_errors_of_the_losses_that_they_end_at():
    costs = [1.0, 2.0]
    found = tuple(
        replace(e, loss_se=0.04, decrease=decrease)
        for e, decrease in zip(estimated([2.0, 1.9], costs), (0.10, 0.30), strict=True)
    )
    # Per cost (relative to the dearest) they are 0.20 ± 0.08 and 0.30 ± 0.04: 0.1 apart, the error 0.089.
    rules = [ScoreRule(score="slope", tie_se=tie_se) for tie_se in (0.0, 1.1, 1.2)]
    assert [choose(context(found), rule).sub_network.depth for rule in rules] == [2, 2, 1]


def test_with_w_0_the_least_loss_wins_and_a_large_w_takes_the_cheapest():
    found = estimated([2.0, 1.5, 1.0], [1.0, 2.0, 4.0])
    assert choose(context(found), PAPER(w=0.0)).sub_network == SubNetwork(3, 4)
    assert choose(context(found), PAPER(w=10.0)).sub_network == SubNetwork(1, 4)


def test_on_a_rising_trend_the_least_loss_wins():
    found = estimated([1.0, 1.1, 1.2, 1.3], [1.0, 2.0, 3.0, 4.0])
    choice = choose(context(found), PAPER())
    assert choice == Choice(SubNetwork(1, 4), w=0.0, margin=pytest.approx(0.1))


# ── where w cannot be fitted ────────────────────────────────────────────────────────────────────────────────────────

UNFITTABLE = {
    "two candidates": estimated([1.0, 0.9], [1.0, 2.0]),
    "equal costs": estimated([1.0, 0.9, 0.8], [2.0, 2.0, 2.0]),
}
EARLIER, LATER = power_law(-0.7), power_law(-0.2)


@pytest.mark.parametrize("found", UNFITTABLE.values(), ids=UNFITTABLE.keys())
def test_the_last_fitted_w_is_taken_else_the_default(found):
    rule = PAPER(w_default=0.11)
    assert weight_of(context(found), rule) == 0.11
    assert weight_of(context(found, EARLIER), rule) == pytest.approx(0.7)
    assert weight_of(context(found, EARLIER, LATER), rule) == pytest.approx(0.2)
    assert weight_of(context(found, EARLIER, *UNFITTABLE.values()), rule) == pytest.approx(0.7)  # the last that *could*
    assert weight_of(context(found, *UNFITTABLE.values()), rule) == 0.11
    assert weight_of(context(LATER, EARLIER), rule) == pytest.approx(0.2)  # its own comes first


def test_no_trend_is_fitted_through_what_has_no_logarithm():
    three = estimated([2.0, 1.9, 1.8], [1.0, 2.0, 3.0])
    for losses, costs in (([1, nan, 2], [1, 2, 3]), ([1, 0, 2], [1, 2, 3]), ([1, 1, 2], [1, 2, inf])):
        assert fit_weight(losses, costs) is None
    assert weight_of(
        context(UNFITTABLE["two candidates"], EARLIER, (*three[:2], replace(three[2], loss=nan))), PAPER()
    ) == (pytest.approx(0.7))


def test_a_fitted_w_of_0_is_a_fit_and_no_reason_to_look_further():
    rising = estimated([1.0, 1.1, 1.2], [1.0, 2.0, 3.0])
    assert weight_of(context(rising, EARLIER), PAPER(w_default=0.5)) == 0.0
    assert weight_of(context(UNFITTABLE["two candidates"], EARLIER, rising), PAPER(w_default=0.5)) == 0.0


def test_two_candidates_by_hand():
    two = UNFITTABLE["two candidates"]  # the second halves nothing: 0.9 / 1.0 against 2^w
    break_even = log(1 / 0.9) / log(2)
    assert choose(context(two), PAPER(w_default=break_even - 0.01)).sub_network == SubNetwork(2, 4)
    assert choose(context(two), PAPER(w_default=break_even + 0.01)).sub_network == SubNetwork(1, 4)
    assert choose(context(two, EARLIER), PAPER()).sub_network == SubNetwork(1, 4)  # w = 0.7, of the stage before


def test_equal_costs_leave_the_least_loss():
    assert choose(context(UNFITTABLE["equal costs"], EARLIER), PAPER()).sub_network == SubNetwork(3, 4)


def test_a_given_w_is_not_fitted_and_every_w_is_scaled():
    fitted = power_law(-0.4)
    assert weight_of(context(fitted), PAPER(w=0.1)) == 0.1
    assert weight_of(context(fitted), PAPER(w=0.1, w_scale=3.0)) == pytest.approx(0.3)
    assert weight_of(context(fitted), PAPER(w_scale=0.5)) == pytest.approx(0.2)
    two = UNFITTABLE["two candidates"]
    assert weight_of(context(two), PAPER(w_default=0.2, w_scale=2.0)) == pytest.approx(0.4)
    assert weight_of(context(two, fitted), PAPER(w_scale=2.0)) == pytest.approx(0.8)


def test_a_larger_scale_never_picks_a_dearer_candidate():
    rng = np.random.default_rng(1)
    for _ in range(50):
        found = estimated([2 * (c / 1e9) ** -0.2 * rng.uniform(0.9, 1.1) for c in COSTS], COSTS)
        cost = {e.sub_network: e.cost for e in found}
        rules = [PAPER(w_scale=scale) for scale in (0.125, 0.25, 0.5, 1, 2, 4, 8)]
        chosen = [cost[choose(context(found), rule).sub_network] for rule in rules]
        assert chosen == sorted(chosen, reverse=True)


# ── margin ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_margin_is_how_far_the_runner_up_lies_above():
    found = estimated([1.2, 1.0, 1.5], [1.0, 2.0, 4.0])
    assert choose(context(found), PAPER(w=0.0)).margin == pytest.approx(0.2)
    scores = [1.2 * 0.25**0.5, 1.0 * 0.5**0.5, 1.5]
    assert choose(context(found), PAPER(w=0.5)).margin == pytest.approx((scores[1] - scores[0]) / scores[0])


def test_a_single_candidate_needs_no_estimate():
    only = SubNetwork(8, 36)
    lone = StageContext(3, (only,), only, None, (), (8,), (36,))
    assert choose(lone, PAPER()) == Choice(only, w=None, margin=None)


@given(found=estimates(), w=st.none() | st.floats(0, 2))
def test_no_score_lies_below_the_winners_and_the_margin_says_by_how_much(found, w):
    choice = choose(context(found), PAPER(w=w))
    assert choice.w is not None
    assert choice.margin is not None
    values = loss_cost(np.array([e.loss for e in found]), np.array([e.cost for e in found]), choice.w)
    scores = dict(zip((e.sub_network for e in found), values, strict=True))
    won = scores.pop(choice.sub_network)
    assert min(scores.values()) / won - 1 == pytest.approx(choice.margin, abs=1e-12)
    assert choice.margin >= -2e-9  # a tie may go to the cheaper one of the last bits' difference


# ── invariances ─────────────────────────────────────────────────────────────────────────────────────────────────────


@given(found=estimates(), rule=st.builds(PAPER, w=st.none() | st.floats(0, 2)), unit=st.floats(1e-12, 1e12))
def test_the_unit_of_cost_changes_no_choice(found, rule, unit):
    choice = choose(context(found), rule)
    assume(choice.margin is not None and choice.margin > 1e-6)
    scaled = tuple(replace(e, cost=e.cost * unit) for e in found)
    again = choose(context(scaled), rule)
    assert again.sub_network == choice.sub_network
    assert again.w == pytest.approx(choice.w, abs=1e-6)


@given(found=estimates(), rule=st.builds(PAPER, w=st.none() | st.floats(0, 2)), data=st.data())
def test_the_order_of_the_estimates_changes_no_choice(found, rule, data):
    shuffled = tuple(data.draw(st.permutations(found)))
    choice = choose(context(found), rule)
    assume(choice.margin is not None and choice.margin > 1e-6)
    assert choose(context(shuffled), rule).sub_network == choice.sub_network


@given(order=st.permutations(power_law(-0.3)))
def test_nor_does_it_in_a_tie(order):
    assert choose(context(tuple(order)), PAPER()).sub_network == SubNetwork(1, 4)


@given(found=estimates(min_size=3), rule=st.builds(PAPER, w=st.none() | st.floats(0, 1)))
def test_the_loss_of_whom_decides(found, rule):
    """Estimates that belong to other candidates change the choice: a search that mixed them up would show."""
    moved = tuple(
        replace(e, loss=other.loss, cost=other.cost) for e, other in zip(found, (*found[1:], found[0]), strict=True)
    )
    choice = choose(context(found), rule)
    assume(choice.margin is not None and choice.margin > 1e-6)
    assert choose(context(moved), rule).sub_network != choice.sub_network


def test_an_unknown_score_is_refused():
    with pytest.raises(ConfigError, match=r"score: 'luck' .*loss_cost"):
        PAPER(score="luck")


# ── how fast the loss falls ─────────────────────────────────────────────────────────────────────────────────────────


def falling(*rows: tuple[float, float]) -> tuple[Estimate, ...]:
    """Of (decrease, cost); the losses would say the opposite."""
    return tuple(
        Estimate(SubNetwork(depth, 4), loss=1 + d, loss_se=0.01, cost=c, decrease=d)
        for depth, (d, c) in enumerate(rows, start=1)
    )


@pytest.mark.parametrize("score", ["loss_decrease_per_flop", "slope"])
def test_the_largest_decrease_for_its_cost_wins(score):
    found = falling((0.3, 1e9), (0.7, 2e9), (1.0, 4e9))  # 0.30, 0.35 and 0.25 per 1e9
    choice = choose(context(found), PAPER(score=score))
    assert choice.sub_network == SubNetwork(2, 4)
    assert choice.w == 1.0
    assert choice.margin == pytest.approx((0.35 - 0.30) / 0.35)
    assert choose(context(found), PAPER(score=score, w=0.0)).sub_network == SubNetwork(3, 4)  # cost does not count
    assert choose(context(found), PAPER(score=score, w_scale=4.0)).sub_network == SubNetwork(1, 4)


def test_a_candidate_whose_loss_rose_loses_against_one_whose_fell():
    found = falling((-0.1, 1.0), (0.001, 9.0), (-0.2, 4.0))
    assert choose(context(found), PAPER(score="slope")).sub_network == SubNetwork(2, 4)


def test_where_no_loss_fell_at_all_the_cheapest_wins_and_there_is_no_margin():
    found = falling((0.0, 2.0), (0.0, 1.0))
    assert choose(context(found), PAPER(score="slope")) == Choice(SubNetwork(2, 4), w=1.0, margin=None)
