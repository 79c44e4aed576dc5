"""Every entry of PATCH_OPERATORS under the suite that ships; and what each of them is, by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from timm.layers.patch_embed import resample_patch_embed

from autoprog_search.errors import GrowthError
from autoprog_search.growth.patch_operators import PATCH_OPERATORS, PatchOperator, patch_operator_named
from autoprog_search.testing.patch_operators import PatchOperatorCase

LARGE, SMALL = 7, 4


class TestPatchOperators(PatchOperatorCase):
    @pytest.fixture(params=PATCH_OPERATORS.values(), ids=PATCH_OPERATORS.keys())
    def operator(self, request: pytest.FixtureRequest) -> PatchOperator:
        return request.param


def random_patches(count: int, side: int) -> torch.Tensor:
    return torch.randn(count, side**2, generator=torch.Generator().manual_seed(side))


def smaller(patches: torch.Tensor) -> torch.Tensor:
    images = patches.view(-1, 1, LARGE, LARGE)
    return F.interpolate(images, size=(SMALL, SMALL), mode="bilinear", antialias=True).flatten(1)


def test_pi_resize_is_timms():
    kernels = random_patches(5, LARGE)
    expected = resample_patch_embed(kernels.view(5, 1, LARGE, LARGE), [SMALL, SMALL]).flatten(1)
    torch.testing.assert_close(kernels @ PATCH_OPERATORS["pi_resize"].map(LARGE, SMALL, None).T, expected)


def test_upsample_sees_what_the_old_kernel_sees_of_an_image_made_larger():
    kernel, patches = random_patches(1, LARGE), random_patches(9, SMALL)
    larger = F.interpolate(patches.view(9, 1, SMALL, SMALL), size=(LARGE, LARGE), mode="bilinear").flatten(1)
    mapped = kernel @ PATCH_OPERATORS["upsample"].map(LARGE, SMALL, None).T
    torch.testing.assert_close(patches @ mapped.T, larger @ kernel.T)


def test_no_other_kernel_fits_real_patches_better_than_least_squares():
    """Nor does PI-resize, whose patches are white noise; and on white noise they are nearly the same."""
    ramps = random_patches(400, LARGE).view(400, LARGE, LARGE).cumsum(dim=2).flatten(1)
    kernel = random_patches(1, LARGE)

    def error(mapped: torch.Tensor) -> float:
        return float((smaller(ramps) @ mapped.T - ramps @ kernel.T).square().mean())

    fitted = kernel @ PATCH_OPERATORS["least_squares"].map(LARGE, SMALL, ramps).T
    best = error(fitted)
    for other in (PATCH_OPERATORS["pi_resize"], PATCH_OPERATORS["upsample"]):
        assert best < 0.95 * error(kernel @ other.map(LARGE, SMALL, None).T)
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        assert best < error(fitted + 0.1 * torch.randn(fitted.shape, generator=generator))


def test_pixels_that_never_change_have_no_weight_of_their_own():
    """Least squares has its ridge: images with a black border, or all black, give finite kernels."""
    patches = random_patches(50, LARGE).view(50, LARGE, LARGE)
    patches[:, :3] = 0
    for these in (patches, torch.zeros_like(patches)):
        resize = PATCH_OPERATORS["least_squares"].map(LARGE, SMALL, these.flatten(1))
        assert bool(resize.isfinite().all())
        assert float(resize.abs().max()) < 10


def test_an_operator_that_is_none():
    with pytest.raises(GrowthError, match=r"patch_operator: 'pi_resise' is unknown; .*pi_resize"):
        patch_operator_named("pi_resise")
