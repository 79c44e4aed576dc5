"""Whose turn it is: the candidate that trains at each step of a search. Pure functions, so all ranks draw the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from autoprog_search.schedule import SubNetwork


@dataclass(frozen=True)
class DrawRule:
    """How candidates take turns.

    Attributes:
        draw: (candidates, seed, step of the search from 0) -> who trains.
        turns: candidates, as often as each trains in the long run: their mean cost is that of a supernet step.
    """

    draw: Callable[[Sequence[SubNetwork], int, int], SubNetwork]
    turns: Callable[[Sequence[SubNetwork]], Sequence[SubNetwork]]


def shuffled(candidates: Sequence[SubNetwork], seed: int, step: int) -> SubNetwork:
    """A fresh permutation of all candidates a pass.

    Every candidate trains equally often (strict fairness: Chu et al., FairNAS, ICCV 2021): in searches of a few steps a
    candidate, independent draws would miss some altogether.
    """
    turn, position = divmod(step, len(candidates))
    return Random(f"{seed}/{turn}").sample(candidates, len(candidates))[position]


def sandwich(candidates: Sequence[SubNetwork], seed: int, step: int) -> SubNetwork:
    """The largest, the smallest, one of the others; and again.

    The sandwich rule (Yu and Huang, "Universally slimmable networks", ICCV 2019), which takes the three in one step;
    here they take turns, so that a step costs what it costs under the other rules. The others are `shuffled`.
    """
    largest, smallest, others = _sandwiched(candidates)
    turn, position = divmod(step, 3)
    return (largest, smallest, shuffled(others, seed, turn))[position]


def _sandwiched(candidates: Sequence[SubNetwork]) -> tuple[SubNetwork, SubNetwork, Sequence[SubNetwork]]:
    by_size = sorted(candidates, key=lambda c: (c.depth * c.patches, c.depth))
    return by_size[-1], by_size[0], by_size[1:-1] or by_size


def _sandwich_turns(candidates: Sequence[SubNetwork]) -> Sequence[SubNetwork]:
    largest, smallest, others = _sandwiched(candidates)
    return [*others, *([largest, smallest] * len(others))]


SUPERNET_DRAWS: dict[str, DrawRule] = {
    "shuffled": DrawRule(shuffled, turns=lambda candidates: candidates),
    "sandwich": DrawRule(sandwich, turns=_sandwich_turns),
}
