"""Successive halving over cost, against decisions made by hand: rungs at 100, 200, 400, 800 of full's 1,000 FLOPs."""

from __future__ import annotations

import pytest

from autoprog_search.methods.asha import stops

FULL = 1000


def curve(*points: tuple[int, float]) -> list[dict[str, float]]:
    return [{"flops": flops, "val_top1": accuracy} for flops, accuracy in points]


FIRST = curve((100, 50.0), (250, 60.0), (500, 70.0), (1000, 90.0))


def test_the_first_trial_is_compared_with_nobody():
    assert not any(stops(FIRST[:n], [], FULL) for n in range(1, 5))


@pytest.mark.parametrize(
    ("points", "stopped"),
    [
        ([(99, 1.0)], False),  # no rung yet
        ([(150, 49.9)], True),  # of two at the rung of 100 only the best goes on
        ([(150, 50.0)], False),  # a tie is no loss
        ([(150, 50.0), (199, 1.0)], False),  # between rungs nobody is compared
        ([(150, 50.0), (200, 59.9)], True),  # the rung of 200
        ([(210, 60.0)], False),  # an expensive epoch passes two rungs at once, and is compared at both
        ([(210, 59.9)], True),
        ([(150, 50.0), (250, 60.0), (399, 1.0)], False),  # a schedule that ends below a rung never meets it
    ],
)
def test_the_second_trial_meets_the_first_at_rungs_of_cost(points, stopped):
    assert stops(curve(*points), [FIRST], FULL) == stopped


@pytest.mark.parametrize(("accuracy", "stopped"), [(45.1, False), (44.9, True)])
def test_the_better_half_of_all_that_reached_a_rung_goes_on(accuracy, stopped):
    stopped_there = [curve((120, 40.0)), curve((130, 45.0))]
    assert stops(curve((100, accuracy)), [FIRST, *stopped_there], FULL) == stopped
    # They never reached the rung of 200, where the first is still the only one to compare with.
    assert stops(curve((100, 50.0), (200, 59.0)), [FIRST, *stopped_there], FULL)


def test_the_rungs_are_shares_of_fulls_cost():
    assert stops(curve((150, 40.0)), [FIRST], FULL)
    assert not stops(curve((150, 40.0)), [FIRST], 2 * FULL)
