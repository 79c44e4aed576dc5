"""When to grow: how long a growth takes to mix, fitted inside the run, by when it has to begin, what came (no torch).

A growth from a to b raises the loss, which then comes back: what b has taken over has to mix with what is new. That
takes a number of steps that hardly depends on the run's length; so longer runs may stay small for a larger share of
their time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoprog_search.choosing import Choice, Moment, StageContext
from autoprog_search.errors import EstimateError
from autoprog_search.schedule import SubNetwork

TOLERANCE = 0.05  # of the loss: a growth whose loss is nearer to the trend has mixed
ONSET = 2.0  # steps, in which the loss begins to fall; fits of 76, 152 and 300 steps then agree (docs/LOG.md)
POWERS = np.linspace(0.05, 4.0, 160)
SLOWEST = 100.0
LEAST = 1.0  # ticks of the full learning rate that full depth trains: some operators leave the loss as it was
LEAST_SHARE = 0.05  # of a run, by learning rate, on all patches: what the longest run leaves that was tried
SPAN = 8  # steps, of which the first mean of the losses after a growth is
PLATEAU = 0.999  # of the largest learning rate: before this the rate warms up, after it it decays


@dataclass(frozen=True, slots=True)
class ClockRule:
    """How much of a run has to be left when an axis grows.

    Resolution, or patches that get smaller, grow so many mixing times before the learning rate begins to decay. Depth
    may grow inside the decay: there a step counts as its learning rate over the largest. So do patches of which stages
    dropped some: the loss as the full network is then there to be seen before and after, and what is left to mix took
    as many steps wherever it was looked for. Defaults: docs/LOG.md.

    Attributes:
        depth, patches: how many mixing times, of each axis.
        all_patches: how many steps on all patches, where stages dropped some; at least `LEAST_SHARE` of the run.
    """

    depth: float = 12.0
    patches: float = 3.0
    all_patches: float = 350.0


def fit_mixing(grown: Sequence[float], stayed: Sequence[float]) -> float:
    """Steps after a growth until the loss is back, but for a share `TOLERANCE`, at that of the run that did not grow.

    The differences of two branches that trained on the same images fall quickly at first, then more and more slowly; no
    exponential follows them, and one that is fitted knows the length of the branches rather than the growth. Least
    squares of `a (1 + s / ONSET)^-p` do, and may be asked beyond the branches' end.

    Args:
        grown, stayed: losses of the branches, step by step since the growth.

    Returns:
        The steps, 0.0 where the loss hardly rose, up to `SLOWEST` times as many as the branches have.
    """
    excess = np.asarray(grown, dtype=float) - np.asarray(stayed, dtype=float)
    shapes = (1 + np.arange(len(excess)) / ONSET) ** -POWERS[:, None]
    heights = shapes @ excess / (shapes**2).sum(axis=1)
    best = int(((excess - heights[:, None] * shapes) ** 2).sum(axis=1).argmin())
    height, allowed = heights[best], TOLERANCE * float(np.mean(stayed))
    if height <= allowed:
        return 0.0
    return float(min(ONSET * ((height / allowed) ** (1 / POWERS[best]) - 1), SLOWEST * len(excess)))


def span_of(step: int) -> int:
    """The span of a step after a growth, both from 0: the first two have `SPAN` steps, each other twice the last's."""
    return (step // SPAN).bit_length()


def came_back(level: float, spans: Sequence[float], watched: int) -> float | None:
    """Steps after a growth until the run's own training loss was back, but for a share `TOLERANCE`, where it had been.

    The first of the spans' means that is, straight in the logarithm of the steps between the middles of two spans. What
    comes of it is seen, not fitted, and costs nothing; but it takes the loss before the growth for what it would have
    been without. So it says too little where the loss falls quickly anyway, as early in a run and while the learning
    rate decays, and little at all where a stage changes the regularisation. `fit_mixing` compares with a network that
    trains on.

    Args:
        level: mean training loss just before the growth.
        spans: sums of the losses since, a span (`span_of`) each.
        watched: steps since.

    Returns:
        0.0 where the loss had hardly risen over the first span; None where it was not back by the end.
    """
    edges = [0, *(SPAN << k for k in range(len(spans)))]
    last = middle = 0.0
    for k, (total, begin, end) in enumerate(zip(spans, edges, edges[1:], strict=False)):
        steps = min(end, watched) - begin
        if steps < SPAN:  # the last one has just begun
            break
        above, centre = total / steps - (1 + TOLERANCE) * level, begin + steps / 2
        if above <= 0:
            return 0.0 if k == 0 else middle * (centre / middle) ** (last / (last - above))
        last, middle = above, centre
    return None


def deadline(moment: Moment, rule: ClockRule, axis: str, scale: float = 1.0, earlier: int = 0) -> int:
    """The last tick at which the growth of an axis to full size may begin.

    Args:
        scale: multiplies what has to be left.
        earlier: ticks by which it is moved to the front.

    Returns:
        The tick that begins now where it is too late, and one before the last, where nobody is asked.
    """
    rates = np.asarray(moment.rates) / max(moment.rates)
    during = (rates + np.append(rates[1:], rates[-1])) / 2  # a tick begins and ends at these rates
    left = np.cumsum(during[::-1])[::-1]  # ticks of full learning rate from the beginning of each tick on
    if axis == "patches" and not moment.dropped:
        plateau = int(np.flatnonzero(rates >= PLATEAU)[-1]) + 1
        latest = plateau - scale * rule.patches * moment.mixing["patches"]
    else:
        if axis == "patches":
            needed = scale * max(rule.all_patches / moment.tick_steps, LEAST_SHARE * float(left[0]))
        else:
            needed = max(LEAST, scale * rule.depth * moment.mixing["depth"])
        latest = float((left >= needed).nonzero()[0].max(initial=0))
    return int(min(max(latest - earlier, moment.tick), moment.ticks - 2))


def probe_tick(rates: Sequence[float]) -> int:
    """The tick at which mixing is measured: the first one with the full learning rate, but not the run's first."""
    return max(1, next(tick for tick, rate in enumerate(rates) if rate >= PLATEAU * max(rates)))


def first_of(sub_networks: Sequence[SubNetwork]) -> SubNetwork:
    """What a run starts as: the fewest patches on all blocks; fewer blocks only where every size has as many patches.

    Few patches make blocks cheap, so that fewer of them save little more; and depth that is added late is not made up
    for, however soon the loss is back (docs/LOG.md).

    Args:
        sub_networks: those that may be chosen, the least first, the full one last.
    """
    least, full = sub_networks[0], sub_networks[-1]
    return SubNetwork(full.depth if least.patches < full.patches else least.depth, least.patches)


def axis_of(small: SubNetwork, full: SubNetwork) -> str:
    """The one axis along which a run grows that starts as `first_of` says."""
    return "patches" if small.patches < full.patches else "depth"


def branches(small: SubNetwork, full: SubNetwork) -> dict[str, SubNetwork]:
    """What a probe trains: the network that stays small, and the full one, under the name of the axis that grows."""
    return {"stayed": small, axis_of(small, full): full}


def has_to_mix(axis: str, dropped: bool) -> bool:
    """Whether a growth of that axis raises the loss, so that its mixing has to be measured before it can be timed."""
    return not (dropped and axis == "patches")


def choose_on_clock(context: StageContext, rule: ClockRule, w_scale: float, target_speedup: float | None) -> Choice:
    """The network that a run starts as until the deadline of what it lacks, the full one from there on.

    A smaller weight of cost, or a lower target, moves the deadline to an earlier tick.

    Raises:
        EstimateError: the context knows no mixing time where one has to be there.
    """
    moment, small, full = context.clock, first_of(context.candidates), context.candidates[-1]
    assert moment is not None, "asked under a free clock"
    if small == full:
        return Choice(full, until=moment.ticks)
    axis = axis_of(small, full)
    if has_to_mix(axis, moment.dropped):
        if moment.tick < probe_tick(moment.rates):
            return Choice(small, until=probe_tick(moment.rates))
        if axis not in moment.mixing:
            raise EstimateError(f"mixing: stage {context.stage} has that of {sorted(moment.mixing)}, and grows {axis}")
    earlier = 0 if target_speedup is None else _earlier_for(target_speedup, context, rule, 1 / w_scale)
    due = deadline(moment, rule, axis, 1 / w_scale, earlier)
    if moment.tick < due:
        return Choice(small, until=due, deadlines={axis: due})
    return Choice(full, until=moment.ticks, deadlines={axis: due})


def _earlier_for(target_speedup: float, context: StageContext, rule: ClockRule, scale: float) -> int:
    """By how many ticks the deadline has to move for the run to cost what it is to, search included."""
    moment, small, full = context.clock, first_of(context.candidates), context.candidates[-1]
    assert moment is not None, "asked under a free clock"
    axis = axis_of(small, full)

    def cost(earlier: int) -> float:
        due = deadline(moment, rule, axis, scale, earlier)
        return moment.spent + (due - moment.tick) * moment.costs[small] + (moment.ticks - due) * moment.costs[full]

    wanted = moment.ticks * moment.costs[full] / target_speedup
    return min(range(-moment.ticks, moment.ticks + 1), key=lambda earlier: (abs(cost(earlier) - wanted), abs(earlier)))
