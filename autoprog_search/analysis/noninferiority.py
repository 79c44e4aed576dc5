"""No loss beyond a margin: a test over differences of the same seeds, and how many seeds it takes.

The null hypothesis is a mean difference of -margin or worse; Student's t, one-sided at 2.5 %, so that it is rejected
where the 95 % interval of the difference lies above -margin. Power is the noncentral t's. It speaks of other seeds on
the same test images. Source: Julious, Statistics in Medicine 23, 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special  # not stats, which takes a second to import

from autoprog_search.analysis.margin import MARGIN, check_margin

LEVEL = 0.025  # one-sided
POWER = 0.8
MOST_SEEDS = 10_000  # beyond, the number says only that it is hopeless
LARGEST = 36.0  # noncentrality: beyond, scipy says NaN, and from three seeds on the power is 1 (of two 0.995)
SAME = 1e-9  # points: differences of accuracies that are equal come out this close


@dataclass(frozen=True)
class NonInferiority:
    """Whether a method loses no more than a margin; NaN where there are no two seeds, or no spread to test by.

    Attributes:
        seeds: that both have.
        spread: standard deviation of the differences over seeds, points.
        p: one-sided p-value against a loss of the margin or more.
        seeds_if_equal: seeds that show it with `POWER` if in truth nothing is lost; infinite above `MOST_SEEDS`.
        seeds_if_measured: the same if the true difference is the measured one; infinite too where that is the margin
            or worse.
    """

    seeds: int
    spread: float
    p: float
    seeds_if_equal: float
    seeds_if_measured: float


def noninferiority(differences: Sequence[float], margin: float = MARGIN) -> NonInferiority:
    """The test, over differences to full's accuracy of the same seed, points.

    Raises:
        ConfigError: no such margin.
    """
    check_margin(margin)
    values, nan = np.asarray(differences, dtype=float), float("nan")
    count = len(values)
    spread = float(values.std(ddof=1)) if count > 1 else nan
    if not spread > SAME:
        return NonInferiority(count, spread, nan, nan, nan)
    room = float(values.mean()) + margin
    return NonInferiority(
        seeds=count,
        spread=spread,
        p=float(special.stdtr(count - 1, -room / (spread / np.sqrt(count)))),
        seeds_if_equal=seeds_needed(margin, spread),
        seeds_if_measured=seeds_needed(room, spread),
    )


def power(seeds: int, room: float, spread: float) -> float:
    """Probability that the test over so many seeds shows it.

    Args:
        room: by how much the true mean difference lies above -margin, points.
        spread: true standard deviation of the differences, points.
    """
    critical = special.stdtrit(seeds - 1, 1 - LEVEL)
    noncentrality = min(room / spread * np.sqrt(seeds), LARGEST)
    return float(1 - special.nctdtr(seeds - 1, noncentrality, critical))


def seeds_needed(room: float, spread: float) -> float:
    """The least number of seeds, 2 at least, whose `power` is `POWER`; infinite above `MOST_SEEDS`."""
    if room <= 0:
        return float("inf")
    spread = max(spread, room / 20)  # at 20 times the spread two seeds are enough, below `LARGEST`
    low, high = 1, MOST_SEEDS  # too few; enough
    if power(high, room, spread) < POWER:
        return float("inf")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, room, spread) >= POWER else (middle, high)
    return float(high)
