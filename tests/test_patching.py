"""Sizes of images and patches at every grid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.patching import Patching
from autoprog_search.schedule import SubNetwork

KINDS = ("resolution", "patch_size")


@pytest.mark.parametrize(
    ("grid", "patch", "side"),
    [(8, 28, 224), (10, 23, 230), (12, 19, 228), (14, 16, 224)],  # DeiT's levels
)
def test_larger_patches_see_all_pixels(grid, patch, side):
    sub_network = SubNetwork(12, grid**2)
    by_size = Patching("patch_size", 224, 16)
    assert (by_size.patch_size(sub_network), by_size.image_side(sub_network)) == (patch, side)
    by_resolution = Patching("resolution", 224, 16)
    assert (by_resolution.patch_size(sub_network), by_resolution.image_side(sub_network)) == (16, 16 * grid)


@given(grid=st.integers(1, 40), patch=st.integers(1, 40), data=st.data())
def test_the_full_network_is_the_same_and_no_image_loses_a_pixel(grid, patch, data):
    full = SubNetwork(1, grid**2)
    smaller = SubNetwork(1, data.draw(st.integers(1, grid)) ** 2)
    for by in KINDS:
        patching = Patching(by, grid * patch, patch)
        assert (patching.patch_size(full), patching.image_side(full)) == (patch, grid * patch)
        assert patching.image_side(smaller) == smaller.grid * patching.patch_size(smaller)
    larger = Patching("patch_size", grid * patch, patch)
    assert 0 <= larger.image_side(smaller) - grid * patch < smaller.grid
