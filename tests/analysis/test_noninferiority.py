"""The test of no loss beyond a margin: against scipy's own t test, textbook sample sizes, quadrature and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from autoprog_search.analysis.compare import mean_interval
from autoprog_search.analysis.noninferiority import (
    LEVEL,
    MOST_SEEDS,
    POWER,
    noninferiority,
    power,
    seeds_needed,
)
from autoprog_search.errors import ConfigError


@pytest.mark.parametrize("differences", [[-0.4, -0.2, -0.8], [0.1, 0.3], [-2.0, -2.5, -1.4, -1.9, -2.2]])
@pytest.mark.parametrize("margin", [0.1, 0.5, 2.0])
def test_p_is_scipys_and_agrees_with_the_interval(differences, margin):
    found = noninferiority(differences, margin)
    assert found.p == pytest.approx(stats.ttest_1samp(differences, -margin, alternative="greater").pvalue)
    assert (found.p < LEVEL) == (mean_interval(differences)[1] > -margin)
    assert found.spread == pytest.approx(np.std(differences, ddof=1))


@pytest.mark.parametrize(("room", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_seeds_are_the_tables(room, seeds):
    """Cohen's effect sizes, a paired t test at 5 % (two-sided), power 80 %: as G*Power and statsmodels give them."""
    assert seeds_needed(room, spread=1.0) == seeds
    assert seeds_needed(2.5 * room, spread=2.5) == seeds


@pytest.mark.parametrize("seeds", [2, 3, 7, 40])
@pytest.mark.parametrize("room", [0.1, 0.7, 3.0])
def test_power_is_the_integral_over_the_spreads_that_seeds_may_show(seeds, room):
    """Given a spread the mean is normal; what spread is seen is a chi distribution."""
    critical, degrees = stats.t.ppf(1 - LEVEL, seeds - 1), seeds - 1

    def shown(seen: float) -> float:
        return (
            stats.norm.cdf(room * np.sqrt(seeds) - critical * seen)
            * stats.chi.pdf(seen * np.sqrt(degrees), degrees)
            * np.sqrt(degrees)
        )

    expected, _ = integrate.quad(shown, 0, 10, points=[1.0])
    assert power(seeds, room, spread=1.0) == pytest.approx(expected, abs=1e-6)


def test_so_many_simulated_studies_show_it():
    """At the number of seeds that is named, of methods that lose nothing; and one seed fewer shows it too seldom."""
    spread, margin = 0.4, 0.5
    seeds = int(seeds_needed(margin, spread))
    draws = np.random.default_rng(0).normal(0, spread, (20_000, seeds))
    shown = [
        np.mean(stats.ttest_1samp(draws[:, :count], -margin, axis=1, alternative="greater").pvalue <= LEVEL)
        for count in (seeds, seeds - 1)
    ]
    assert shown[0] > POWER - 0.01
    assert shown[1] < POWER
    lost = np.random.default_rng(1).normal(-margin, spread, (20_000, seeds))
    wrong = np.mean(stats.ttest_1samp(lost, -margin, axis=1, alternative="greater").pvalue <= LEVEL)
    assert wrong == pytest.approx(LEVEL, abs=0.004)


def test_the_least_number_that_has_the_power():
    for room in (0.03, 0.3, 1.7, 4.0, 9.0):
        seeds = int(seeds_needed(room, spread=1.0))
        assert power(seeds, room, 1.0) >= POWER
        assert seeds == 2 or power(seeds - 1, room, 1.0) < POWER


def test_what_no_number_of_seeds_would_show():
    assert seeds_needed(0.0, 0.3) == seeds_needed(-1.0, 0.3) == float("inf")
    assert seeds_needed(0.01, 0.5) == float("inf")  # it is more than MOST_SEEDS
    assert seeds_needed(0.02, 0.5) < MOST_SEEDS
    assert seeds_needed(5.0, 1e-6) == 2
    found = noninferiority([-0.7, -0.9, -0.6], 0.5)
    assert found.seeds_if_measured == float("inf") > found.seeds_if_equal


def test_one_seed_or_no_spread_test_nothing():
    for differences in ([], [-0.4], [98.4 - 98.8, 97.6 - 98.0, 96.2 - 96.6]):
        found = noninferiority(differences)
        assert found.seeds == len(differences)
        assert np.isnan([found.p, found.seeds_if_equal, found.seeds_if_measured]).all()


@pytest.mark.parametrize("margin", [0, -0.5, float("nan"), float("inf"), 101])
def test_margins_that_are_none(margin):
    with pytest.raises(ConfigError, match=rf"margin: {margin:g} is not above 0 and at most 100 points"):
        noninferiority([0.1, 0.2], margin)
