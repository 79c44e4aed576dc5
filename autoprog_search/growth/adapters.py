"""What the elastic model must know of a timm family: where its blocks live and what depends on their position.

A family is one entry in ADAPTERS. A model that fits no entry is refused with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from timm.layers.drop import DropPath
from timm.models.vision_transformer import Block, VisionTransformer, get_init_weights_vit
from torch import nn

from autoprog_search.cost import ModelCost
from autoprog_search.errors import GrowthError
from autoprog_search.schedule import SubNetwork


@dataclass(frozen=True)
class FamilyAdapter:
    """One timm family.

    Attributes:
        family: the timm class; its subclasses belong to it.
        block: the only block class that is known to be elastic.
        residual_ends: the last projection of each residual branch of a block; zeroed, the block is the identity.
        drop_paths: a block's stochastic depth modules, whose rate depends on the position in the stack.
    """

    family: type[nn.Module]
    block: type[nn.Module]
    residual_ends: tuple[str, ...]
    drop_paths: tuple[str, ...]


ADAPTERS = {
    # Also DeiT, distilled DeiT and DeiT-3, which are VisionTransformers to timm.
    "vit": FamilyAdapter(VisionTransformer, Block, ("attn.proj", "mlp.fc2"), ("drop_path1", "drop_path2")),
}


def adapter_of(model: nn.Module) -> FamilyAdapter:
    """The family of a timm model, if it can be made elastic.

    Raises:
        GrowthError: an unknown family, other blocks than the family's plain ones, or a model that cannot run at
            another resolution.
    """
    name = type(model).__name__
    adapter = next((a for a in ADAPTERS.values() if isinstance(model, a.family)), None)
    if adapter is None:
        known = ", ".join(a.family.__name__ for a in ADAPTERS.values())
        raise GrowthError(f"model: {name} cannot be made elastic, growth/adapters.py has no entry for it ({known})")
    other = next((b for b in blocks_of(model) if type(b) is not adapter.block), None)
    if other is not None:
        raise GrowthError(f"model: {name} has {type(other).__name__} blocks, only {adapter.block.__name__} is elastic")
    if not getattr(model, "dynamic_img_size", False):
        raise GrowthError(f"model: {name} runs at one resolution only; create it with dynamic_img_size=True")
    if not isinstance(getattr(model, "patch_drop", None), nn.Identity):
        raise GrowthError(f"model: {name} drops patches (patch_drop_rate); growth sets the patch count itself")
    return adapter


def blocks_of(model: nn.Module) -> nn.Sequential:
    """The stack of blocks that growth acts on."""
    blocks = model.blocks
    assert isinstance(blocks, nn.Sequential)
    return blocks


def model_cost(model: nn.Module) -> ModelCost:
    """Read the closed-form cost off a timm ViT's layers (see `cost.py` for the counting rule)."""
    block = blocks_of(model)[0]
    linears = [m for m in block.modules() if isinstance(m, nn.Linear)]
    heads = [getattr(model, name, None) for name in ("head", "head_dist")]
    width: int = block.attn.num_heads * block.attn.head_dim  # type: ignore[union-attr, operator, assignment]
    patch_weight: nn.Parameter = model.patch_embed.proj.weight  # type: ignore[union-attr, assignment]
    prefix: int = model.num_prefix_tokens  # type: ignore[assignment]
    return ModelCost(
        per_patch=2 * patch_weight.numel(),
        per_token=sum(2 * m.weight.numel() for m in linears),
        per_token_pair=2 * 2 * width,  # queries with keys, then weights with values
        per_image=sum(2 * head.weight.numel() for head in heads if isinstance(head, nn.Linear)),
        prefix_tokens=prefix,
    )


def full_size(model: nn.Module) -> SubNetwork:
    """The sub-network that is the whole model at its own image size."""
    patches: int = model.patch_embed.num_patches  # type: ignore[union-attr, assignment]
    return SubNetwork(len(blocks_of(model)), patches)


def patch_size_of(model: nn.Module) -> int:
    """Side of a patch in pixels."""
    size: tuple[int, int] = model.patch_embed.patch_size  # type: ignore[union-attr, assignment]
    return size[0]


def initialise_block(model: nn.Module, block: nn.Module) -> None:
    """Give a block fresh parameters, as timm initialised the model's own (draws from torch's global generator)."""
    mode: str = model.weight_init_mode  # type: ignore[assignment]
    initialise = get_init_weights_vit(mode)
    for name, module in block.named_modules():
        if not any(True for _ in module.children()):
            initialise(module, name)


def make_drop_paths_adjustable(adapter: FamilyAdapter, block: nn.Module) -> None:
    """Replace the identities that timm builds for a rate of 0, on which a rate cannot be set later."""
    for name in adapter.drop_paths:
        if isinstance(getattr(block, name), nn.Identity):
            setattr(block, name, DropPath(0.0))


def drop_path_rate_of(adapter: FamilyAdapter, block: nn.Module) -> float:
    """A block's current stochastic depth rate."""
    return float(getattr(getattr(block, adapter.drop_paths[0]), "drop_prob", 0.0))


def set_drop_path_rate(adapter: FamilyAdapter, block: nn.Module, rate: float) -> None:
    """Set a block's stochastic depth rate."""
    for name in adapter.drop_paths:
        getattr(block, name).drop_prob = rate
