"""Which images of many a process takes, where several processes train one run together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """The part of process `index` of `count`: all parts together are the whole, and no two overlap."""

    index: int = 0
    count: int = 1

    def of_split(self, size: int) -> range:
        """Its places among images that are looked at in order; sizes of parts differ by one at most, some may be 0."""
        return range(self.index * size // self.count, (self.index + 1) * size // self.count)

    def of_batch(self, size: int) -> Sequence[int]:
        """Its places in a training batch, of which every part has as many.

        Images n and size - 1 - n, which mixup, cutmix and VOLO's mixed tokens take as a pair, are in the same part
        wherever a part has an even number, and stand in it as they do in the batch. So what they mix is the same
        however many processes there are.

        Args:
            size: a multiple of `count`.
        """
        own = size // self.count
        if self.count == 1 or own % 2:
            return range(self.index * own, (self.index + 1) * own)
        front = range(self.index * own // 2, (self.index + 1) * own // 2)
        return [*front, *(size - 1 - n for n in reversed(front))]


WHOLE = Part()
