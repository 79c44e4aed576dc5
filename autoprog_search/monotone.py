"""Non-decreasing sequences of whole numbers: counted, listed, numbered, drawn. What a schedule is, axis by axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb
from random import Random


@dataclass(frozen=True, slots=True)
class Monotone:
    """All non-decreasing sequences of `length` whole numbers below `values`: multisets, in order."""

    length: int
    values: int

    def count(self) -> int:
        """How many there are ("stars and bars")."""
        return comb(self.values + self.length - 1, self.length)

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        """All of them, the smallest first."""
        return combinations_with_replacement(range(self.values), self.length)

    def numbered(self, place: int) -> tuple[int, ...]:
        """The one at that place of them all, without the others."""
        chosen: list[int] = []
        least = 0
        for left in reversed(range(self.length)):
            while place >= (ways := comb(self.values - least + left - 1, left)):  # on from here, with this one next
                place -= ways
                least += 1
            chosen.append(least)
        return tuple(chosen)

    def sample(self, rng: Random) -> tuple[int, ...]:
        """One drawn uniformly: drawing number by number would pile up at the largest."""
        chosen = sorted(rng.sample(range(self.values + self.length - 1), self.length))
        return tuple(c - k for k, c in enumerate(chosen))
