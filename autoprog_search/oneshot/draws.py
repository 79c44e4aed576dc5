"""Whose turn it is: the candidate that trains at each step of a search. Pure functions, so all ranks draw the same."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from autoprog_search.schedule import SubNetwork


def shuffled(candidates: Sequence[SubNetwork], seed: int, step: int) -> SubNetwork:
    """A fresh permutation of all candidates a pass.

    Every candidate trains equally often (strict fairness: Chu et al., FairNAS, ICCV 2021): in searches of a few steps a
    candidate, independent draws would miss some altogether.
    """
    turn, position = divmod(step, len(candidates))
    return Random(f"{seed}/{turn}").sample(candidates, len(candidates))[position]
