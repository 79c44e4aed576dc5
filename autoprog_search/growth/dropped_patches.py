"""Training on a random part of an image's patches (`patches_by: dropout`), by timm's own patch dropout.

Every patch keeps its size, its place and its position embedding, so that growth in patches changes no input of a block
but their number: what was learned on some of them holds on all. Evaluation sees all patches, whatever trains. Source:
Liu et al., PatchDropout, WACV 2023; Li et al., FLIP, CVPR 2023, trains so and on all patches at the end.
"""

from __future__ import annotations

from torch import nn

from autoprog_search.errors import GrowthError
from autoprog_search.growth.adapters import FamilyAdapter
from autoprog_search.patching import Patching
from autoprog_search.schedule import SubNetwork


def make_droppable(model: nn.Module, adapter: FamilyAdapter, patching: Patching) -> None:
    """Give a timm model what drops patches, where that is how it runs on fewer; it has no parameter.

    Raises:
        GrowthError: its family has no place for it.
    """
    if patching.by != "dropout":
        return
    if adapter.patch_dropout is None:
        raise GrowthError(f"patches_by: {type(model).__name__} has no patch dropout in timm; give resolution")
    model.patch_drop = adapter.patch_dropout(0.0, num_prefix_tokens=model.num_prefix_tokens)


def keep_patches(model: nn.Module, sub_network: SubNetwork, full: SubNetwork) -> None:
    """Train on as many patches of each image as the sub-network has, drawn anew at every step."""
    share = (sub_network.patches + 0.5) / full.patches  # timm rounds down what it keeps
    model.patch_drop.prob = max(0.0, 1 - share)  # type: ignore[union-attr]
