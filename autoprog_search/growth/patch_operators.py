"""Growth operators for patches: how an embedding of large patches becomes one of smaller patches.

An operator is a linear map of kernels, the same for every channel and every output; it knows no stage, no optimiser and
no EMA. Each answers what a patch x of p x p px, a smaller copy of what a large patch X shows, should be embedded as.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers.patch_embed import resample_patch_embed

from autoprog_search.errors import GrowthError, shown, there_are

RIDGE = 1e-3  # of the mean variance of a pixel: border pixels that never change would have any weight

MapOfKernels = Callable[[int, int, torch.Tensor | None], torch.Tensor]
"""(P, p, patches) -> (p * p, P * P): what a kernel of P x P px is multiplied by, its pixels in rows.

`patches` (n, P * P) are real ones, all channels' alike; None where the operator fits nothing.
"""


@dataclass(frozen=True)
class PatchOperator:
    """A growth operator for patches and its traits.

    Attributes:
        map: gives the linear map of kernels.
        description: one line for the docs.
        fits: it is fitted to real patches.
    """

    map: MapOfKernels
    description: str
    fits: bool = False


def pi_resize(large: int, small: int, patches: torch.Tensor | None = None) -> torch.Tensor:
    """The kernel w that comes closest to <X, W> = <BX, w>, B the resize to p x p px, on patches of white noise.

    Source: FlexiViT (Beyer et al., CVPR 2023), section 3.4; timm's, bicubic and filtered.
    """
    pixels = torch.eye(large**2).view(-1, 1, large, large)
    return resample_patch_embed(pixels, [small, small]).flatten(1).T


def upsample(large: int, small: int, patches: torch.Tensor | None = None) -> torch.Tensor:
    """The kernel w with <x, w> = <Ux, W>, U the bilinear resize to P x P px: the old kernel on an image made larger."""
    return resized(torch.eye(small**2).view(-1, 1, small, small), large)


def least_squares(large: int, small: int, patches: torch.Tensor | None = None) -> torch.Tensor:
    """The kernel w that comes closest to <X, W> = <BX, w> on real patches; B is the bilinear resize, filtered.

    PI-resize with the patches' own second moments S in place of white noise's: w = (B S B' + ridge)^-1 B S W. Source:
    the general case of FlexiViT's equation for the kernel (section 3.4, appendix).
    """
    assert patches is not None, "grow asks for images where an operator fits"
    patches = patches.double()
    small_ones = resized(patches.view(-1, 1, large, large), small)
    moments = small_ones.T @ small_ones
    ridge = RIDGE * moments.diagonal().mean().clamp(min=torch.finfo(moments.dtype).tiny)
    moments.diagonal().add_(ridge)
    return torch.linalg.solve(moments, small_ones.T @ patches).float()


def resized(patches: torch.Tensor, side: int) -> torch.Tensor:
    """Patches (n, 1, P, P), bilinearly resized, filtered where they become smaller, as rows (n, side * side)."""
    return F.interpolate(patches, size=(side, side), mode="bilinear", antialias=True).flatten(1)


PATCH_OPERATORS: dict[str, PatchOperator] = {
    "pi_resize": PatchOperator(pi_resize, "FlexiViT's pseudo-inverse resize of the kernel"),
    "least_squares": PatchOperator(least_squares, "the kernel that fits real patches best", fits=True),
    "upsample": PatchOperator(upsample, "the kernel that sees what the old one sees of an image made larger"),
}


def patch_operator_named(name: str) -> PatchOperator:
    """The entry of that name.

    Raises:
        GrowthError: there is none.
    """
    if name not in PATCH_OPERATORS:
        raise GrowthError(f"patch_operator: {shown(name)} is unknown; {there_are(name, PATCH_OPERATORS)}")
    return PATCH_OPERATORS[name]
