"""Training on a random part of an image's patches (`patches_by: dropout`), by timm's own patch dropout.

Every patch keeps its size, its place and its position embedding, so that growth in patches changes no input of a block
but their number: what was learned on some of them holds on all. Evaluation sees all patches, whatever trains. Source:
Liu et al., PatchDropout, WACV 2023; Li et al., FLIP, CVPR 2023, trains so and on all patches at the end.
"""

from __future__ import annotations

from torch import nn

from autoprog_search.errors import GrowthError
from autoprog_search.growth.adapters import FamilyAdapter
from autoprog_search.growth.patch_projection import embeds_whole_patches
from autoprog_search.patching import Patching
from autoprog_search.schedule import SubNetwork


def make_droppable(model: nn.Module, adapter: FamilyAdapter, patching: Patching) -> None:
    """Give a timm model what drops patches, where that is how it runs on fewer; it has no parameter.

    Raises:
        GrowthError: its family has no place for it, or embeds patches by more than one convolution, of which those that
            are dropped have a part, too.
    """
    if patching.by != "dropout":
        return
    if adapter.patch_dropout is None or not embeds_whole_patches(model):
        raise GrowthError(
            f"patches_by: {type(model).__name__} has no patch dropout in timm, or it embeds patches by more than one "
            "convolution; give resolution"
        )
    dropout = adapter.patch_dropout(0.0, num_prefix_tokens=model.num_prefix_tokens)
    model.patch_drop = dropout.train(model.training)


def check_patches(patching: Patching, patches: int, full: SubNetwork) -> None:
    """Raise GrowthError where a model has fewer patches than it is to keep."""
    if patching.by == "dropout" and patches > full.patches:
        raise GrowthError(f"patches: {patches} are more than the {full.patches} that there are to keep")


def keep_patches(model: nn.Module, sub_network: SubNetwork, full: SubNetwork) -> None:
    """Train on as many patches of each image as the sub-network has, drawn anew at every step."""
    share = (sub_network.patches + 0.5) / full.patches  # timm rounds down what it keeps
    model.patch_drop.prob = max(0.0, 1 - share)  # type: ignore[union-attr]


def check_whole(model: nn.Module) -> None:
    """Raise GrowthError where patches are dropped, so that features are of no grid."""
    if model.training and getattr(getattr(model, "patch_drop", None), "prob", 0.0) > 0:
        raise GrowthError("forward_intermediates: patches are dropped in train mode; call eval() first")
