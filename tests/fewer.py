"""Fewer digits to validate and to test with: evaluating on all took more than a quarter of a tiny run's time.

Runs train on the same digits as ever, so their weights are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

from autoprog_search.data.arrays import ARRAYS, ArraySets, digits_arrays

LEFT = 75  # of 297 and of 500; a batch of 40 leaves a part of one


def evaluate_on_fewer() -> None:
    """From here on, in this process and in those that are forked from it."""
    ARRAYS["digits"] = _fewer_digits


@contextmanager
def all_digits() -> Iterator[None]:
    """All of them meanwhile: a process that is started anew has them, and what is stored was made on them."""
    with mock.patch.dict(ARRAYS, {"digits": digits_arrays}):
        yield


def _fewer_digits(root: str = "") -> ArraySets:
    digits = digits_arrays()
    sets = {
        name: (images, labels) if name == "train" else (images[:LEFT], labels[:LEFT])
        for name, (images, labels) in digits.sets.items()
    }
    return replace(digits, sets=sets)
