"""Parts of a batch and of a split: together the whole, and pairs stay pairs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.data.part import WHOLE, Part

counts, sizes = st.integers(1, 9), st.integers(0, 200)


@given(counts, sizes)
def test_parts_of_a_split_follow_each_other(count, size):
    parts = [Part(index, count).of_split(size) for index in range(count)]
    assert [place for part in parts for place in part] == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(counts, st.integers(1, 40))
def test_parts_of_a_batch_are_all_of_it_and_as_large(count, own):
    parts = [Part(index, count).of_batch(own * count) for index in range(count)]
    assert sorted(place for part in parts for place in part) == list(range(own * count))
    assert {len(part) for part in parts} == {own}


@given(counts, st.integers(1, 20))
def test_pairs_that_mixup_takes_are_pairs_of_the_part(count, half):
    """timm mixes a batch with itself, turned round."""
    size = 2 * half * count
    for index in range(count):
        part = list(Part(index, count).of_batch(size))
        assert [size - 1 - place for place in part] == part[::-1]


def test_the_whole_is_the_batch_in_its_order():
    assert list(WHOLE.of_batch(7)) == list(WHOLE.of_split(7)) == list(range(7))
