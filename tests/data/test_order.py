"""The order of training images: an epoch shows each at most once, and where a run begins makes no difference."""

from __future__ import annotations

import random

from autoprog_search.data.data_set import steps_in_order

SIZE, BATCH = 23, 5  # 4 whole batches; 3 images are left out


def shuffled(seed: int) -> list[int]:
    return random.Random(seed).sample(range(SIZE), SIZE)


def batches(start: int, stop: int, seed: int = 0) -> list[list[int]]:
    return [[order[i] for i in places] for _, order, places in steps_in_order(seed, start, stop, SIZE, BATCH, shuffled)]


def test_an_epoch_shows_no_image_twice_and_the_next_is_another():
    first, second = batches(0, 4), batches(4, 8)
    for epoch in (first, second):
        shown = [image for batch in epoch for image in batch]
        assert len(shown) == len(set(shown)) == 20
    assert first != second
    assert first != batches(0, 4, seed=1)


def test_a_run_that_begins_anywhere_sees_what_the_whole_run_sees_there():
    whole = batches(0, 12)
    assert all(batches(start, 12) == whole[start:] for start in range(12))
    assert [step for step, _, _ in steps_in_order(0, 3, 6, SIZE, BATCH, shuffled)] == [3, 4, 5]
