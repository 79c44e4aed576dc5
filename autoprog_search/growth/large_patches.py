"""The embedding of patches that are larger than the full network's (`patches_by: patch_size`).

A small stage's kernel is a weight of its own, W of P x P px, P the side of the largest patches. Why not a function of
the full model's own kernel w of p x p px, resized to P x P px at every step, which would need no second weight? Because
any linear resize <X, Aw> is <A'X, w>: such a kernel sees p x p numbers of a patch X, and so no more of an image than
`patches_by: resolution` shows it. The second weight sees every pixel.

W serves all grids below the full one: theirs is W, PI-resized on the fly to their patch size, gradients flowing through
(as FlexiViT trains), so that candidates of a search share it and growing between them writes nothing. The full grid
always has timm's own `patch_embed.proj.weight`, which a growth to it overwrites, by a growth operator for patches, as
one overwrites blocks that come in: in the network and in each EMA from its own W; the optimiser's state of it starts
anew, since moments of P * P numbers have no map to p * p that keeps what they mean. Networks at full size, and what is
exported, are timm's; W rests then, without a gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.patch_embed import PatchEmbedResamplerFixedOrigSize, resample_patch_embed
from torch import nn

from autoprog_search.errors import GrowthError
from autoprog_search.growth.adapters import FamilyAdapter
from autoprog_search.growth.patch_operators import patch_operator_named
from autoprog_search.growth.patch_projection import embeds_whole_patches
from autoprog_search.patching import Patching
from autoprog_search.schedule import SubNetwork

KERNEL = "patch_embed.proj.weight"
"""Name of the full grid's kernel in a timm model."""

Elastic = Any
"""An `ElasticModel` that cuts large patches: its module imports this one."""


class LargePatches(nn.Module):
    """The kernel of patches that are larger than the full network's.

    It starts as the full network's own kernel, PI-resized: on smooth images both embed alike, and no draw is spent.

    Args:
        model: the timm model whose images are cut into larger patches.
        side: P, of the largest patches, px.
        operator: name of the growth operator for patches (`growth/patch_operators.py`).

    Attributes:
        weight: W, (width, channels, P, P).
        operator: that operator.

    Raises:
        GrowthError: there is no such operator.
    """

    def __init__(self, model: nn.Module, side: int, operator: str) -> None:
        super().__init__()
        self.operator = patch_operator_named(operator)
        self.weight = nn.Parameter(resample_patch_embed(model.get_parameter(KERNEL).detach().clone(), [side, side]))
        self._resample = PatchEmbedResamplerFixedOrigSize((side, side))

    def forward(self, side: int) -> torch.Tensor:
        """The kernel of patches of that side, px: (width, channels, side, side), a function of W."""
        kernel: torch.Tensor = self._resample(self.weight, [side, side])
        return kernel

    @staticmethod
    def set_size(model: nn.Module, side: int) -> None:
        """Tell a timm model's patch embedding how large patches are: it checks images and counts features by that."""
        model.patch_embed.patch_size = (side, side)  # type: ignore[union-attr]

    @torch.no_grad()
    def write(self, kernel: torch.Tensor, images: torch.Tensor | None) -> None:
        """Overwrite a kernel of smaller patches by the growth operator.

        Args:
            kernel: (width, channels, p, p).
            images: real ones (n, channels, side, side), for an operator that is fitted.
        """
        large = self.weight.shape[-1]
        patches = cut(images, large) if images is not None and self.operator.fits else None
        resize = self.operator.map(large, kernel.shape[-1], patches).to(kernel)
        kernel.copy_((self.weight.flatten(2) @ resize.T).view_as(kernel))


def cut(images: torch.Tensor, side: int) -> torch.Tensor:
    """Images (n, channels, height, width) as patches of that side, each channel's apart: (patches, side * side)."""
    flat = F.unfold(images.flatten(0, 1)[:, None], side, stride=side)
    return flat.transpose(1, 2).flatten(0, 1)


def large_patches_of(
    model: nn.Module, adapter: FamilyAdapter, patching: Patching, levels: Iterable[int], operator: str
) -> LargePatches | None:
    """What embeds a timm model's patches on the fewest of these numbers of them, where that makes them larger.

    Raises:
        GrowthError: its positions are of one grid, or it embeds by more than one convolution of whole patches.
    """
    if patching.by != "patch_size":
        return None
    if not adapter.larger_patches or not embeds_whole_patches(model):
        raise GrowthError(
            f"patches_by: {type(model).__name__} takes no larger patches, its positions are of one grid or it embeds "
            "patches by more than one convolution; give resolution"
        )
    sides = [patching.patch_size(SubNetwork(1, patches)) for patches in levels]
    return LargePatches(model, max(sides, default=patching.patch), operator)


def grows_own_kernel(elastic: Elastic, to: SubNetwork, images: torch.Tensor | None) -> bool:
    """Whether a growth to that sub-network leaves the large patches behind, so that `write_kernels` is due.

    Raises:
        GrowthError: it does, and its operator lacks the images that it is fitted to.
    """
    due = elastic.large_patches is not None and elastic.sub_network.patches < to.patches == elastic.full.patches
    if due and elastic.large_patches.operator.fits and images is None:
        raise GrowthError("images: this growth operator for patches is fitted to real ones, pass images=")
    return due


def write_kernels(
    networks: Iterable[Elastic], images: torch.Tensor | None, optimizer: torch.optim.Optimizer | None
) -> None:
    """Overwrite each network's own kernel from its W, and let the optimiser's state of it start anew."""
    for network in networks:
        kernel = network.model.get_parameter(KERNEL)
        network.large_patches.write(kernel, images)
        if optimizer is not None:
            getattr(optimizer, "_base_optimizer", optimizer).state.pop(kernel, None)
