"""What the elastic model must know of a timm family: where its blocks live and what depends on their position.

A family is one entry in ADAPTERS. A model that fits no entry is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import torch
from timm.layers import (
    PatchDropout,
    PatchDropoutWithIndices,
    resample_abs_pos_embed,
    resample_abs_pos_embed_nhwc,
)
from timm.layers.drop import calculate_drop_path_rates
from timm.models.beit import Beit
from timm.models.beit import Block as BeitBlock
from timm.models.cait import Cait, LayerScaleBlock
from timm.models.eva import Eva, EvaBlock
from timm.models.vision_transformer import Block, VisionTransformer, get_init_weights_vit
from timm.models.vision_transformer_relpos import RelPosBlock, VisionTransformerRelPos
from timm.models.volo import VOLO, Outlooker, Transformer
from torch import nn

from autoprog_search.errors import GrowthError
from autoprog_search.growth.drop_path import DropPath
from autoprog_search.schedule import SubNetwork


class DenseLogits(NamedTuple):
    """What a model with a dense (token) head gives in train mode (VOLO; Jiang et al., token labeling, NeurIPS 2021).

    Attributes:
        logits: (batch, classes) of the class token, for images of which a share may come from the batch's mirror image:
            image i is mixed with image batch - 1 - i.
        token_logits: (batch, tokens, classes), each token's put back to the image that it came from.
        own_share: share of an image's tokens that are its own.
    """

    logits: torch.Tensor
    token_logits: torch.Tensor
    own_share: float


TrainOutput = torch.Tensor | tuple[torch.Tensor, torch.Tensor] | DenseLogits
"""Logits; logits of the class and of the distillation token; or dense logits."""


RESIDUAL_ENDS = ("attn.proj", "mlp.fc2")  # every family's so far


@dataclass(frozen=True)
class Stack:
    """A run of blocks of one kind, which may copy each other.

    Attributes:
        paths: the containers that hold it, in order.
        block: the only block class that is known to be elastic.
        drops: whether timm gives it stochastic depth.
    """

    paths: tuple[str, ...]
    block: type[nn.Module]
    drops: bool = True


@dataclass(frozen=True)
class FamilyAdapter:
    """One timm family.

    Attributes:
        family: the timm class; its subclasses belong to it.
        stacks: its blocks, in the order in which they run.
        description: which models these are, for the docs.
        resolution: how it runs at another one: timm's `dynamic` image size; a position embedding that is `resampled`
            here at every step; or not at all (`fixed`), where that would replace parameters.
        larger_patches: it embeds whole patches by one convolution, and takes them larger, too (`patches_by`).
        patch_dropout: timm's module that drops patches before the blocks, if the family has a place for it.
        initialise: gives block number i (of its stack) fresh parameters, as timm initialised the model's own.
        residual_ends: the last projection of each residual branch of a block; zeroed, the block is the identity.
        drop_paths: a block's stochastic depth modules.
        drop_rule: rates of the blocks that run: from 0 up to the model's rate in equal steps, or all the same.
        prepare: what to do to a model once, before anything else.
        refusal: why a model of this family cannot be elastic all the same, or "".
        train_forward: the forward pass in train mode, where timm keeps another one for it.
    """

    family: type[nn.Module]
    stacks: tuple[Stack, ...]
    description: str
    resolution: Literal["dynamic", "resampled", "fixed"]
    initialise: Callable[[nn.Module, nn.Module, int], None]
    larger_patches: bool = False
    patch_dropout: Callable[..., nn.Module] | None = None
    residual_ends: tuple[str, ...] = RESIDUAL_ENDS
    drop_paths: tuple[str, ...] = ("drop_path1", "drop_path2")
    drop_rule: Literal["linear", "constant"] = "linear"
    prepare: Callable[[nn.Module], None] = lambda model: None
    refusal: Callable[[nn.Module], str] = lambda model: ""
    train_forward: Callable[[nn.Module, torch.Tensor], TrainOutput] | None = None

    def stacks_of(self, model: nn.Module) -> list[list[nn.Module]]:
        """All blocks of a model, stack by stack."""
        return [
            [block for path in stack.paths for block in model.get_submodule(path).children()] for stack in self.stacks
        ]

    def full_size(self, model: nn.Module) -> SubNetwork:
        """The sub-network that is the whole model at its own image size."""
        depth = sum(map(len, self.stacks_of(model)))
        position = getattr(model, "pos_embed", None)
        if isinstance(position, torch.Tensor) and position.dim() == 4:  # VOLO's is a grid
            return SubNetwork(depth, position.shape[1] * position.shape[2])
        patches: int = model.patch_embed.num_patches  # type: ignore[union-attr, assignment]
        return SubNetwork(depth, patches)

    def drop_path_rates(self, rate: float, depth: int) -> list[float]:
        """Stochastic depth rates of the blocks of a network of this depth, those of all stacks counted."""
        if self.drop_rule == "constant":
            return [rate] * depth
        return _linear_rates(rate, depth)

    def drop_path_rate_of(self, block: nn.Module) -> float:
        """A block's current stochastic depth rate."""
        return float(getattr(getattr(block, self.drop_paths[0]), "drop_prob", 0.0))

    def set_drop_path_rate(self, block: nn.Module, rate: float) -> None:
        """Set a block's stochastic depth rate; timm's modules, identities for a rate of 0, make room for ours."""
        for name in self.drop_paths:
            if not isinstance(getattr(block, name), DropPath):
                setattr(block, name, DropPath(device=next(block.parameters()).device).train(block.training))
            getattr(block, name).drop_prob = rate

    def rate_blocks(self, model: nn.Module, rates: Mapping[int, float]) -> None:
        """Set stochastic depth rates of blocks, numbered through all stacks, where timm gives their stack any."""
        stacks = zip(self.stacks, self.stacks_of(model), strict=True)
        for index, (stack, block) in enumerate((stack, block) for stack, blocks in stacks for block in blocks):
            if stack.drops and index in rates:
                self.set_drop_path_rate(block, rates[index])


@cache
def _linear_rates(rate: float, depth: int) -> list[float]:
    """timm's, which takes them out of a tensor one by one; a search asks at every step."""
    return [float(r) for r in calculate_drop_path_rates(rate, depth)]  # type: ignore[arg-type]


# ── what the families do differently ────────────────────────────────────────────────────────────────────────────────


def _initialise_vit(model: nn.Module, block: nn.Module, index: int) -> None:
    mode: str = model.weight_init_mode  # type: ignore[assignment]
    initialise = get_init_weights_vit(mode)
    for name, module in block.named_modules():
        if not any(True for _ in module.children()):
            initialise(module, name)
    if getattr(model, "fix_init", False):
        _shrink_branches(block, index)


def _initialise_by_modules(model: nn.Module, block: nn.Module, index: int) -> None:
    """Every module's own reset, then the model's rule for linear layers."""
    for module in block.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]
    for module in block.modules():
        if isinstance(module, nn.Linear):
            model._init_weights(module)  # type: ignore[operator]


def _initialise_beit(model: nn.Module, block: nn.Module, index: int) -> None:
    _initialise_by_modules(model, block, index)
    _shrink_branches(block, index)


def _shrink_branches(block: nn.Module, index: int) -> None:
    """timm's `fix_init_weight`: the branches of later blocks start smaller."""
    for end in RESIDUAL_ENDS:
        weight: nn.Parameter = block.get_submodule(end).weight  # type: ignore[assignment]
        weight.div_((2.0 * (index + 1)) ** 0.5)


def _initialise_cait(model: nn.Module, block: nn.Module, index: int) -> None:
    _initialise_by_modules(model, block, index)
    for name in ("gamma_1", "gamma_2"):
        getattr(block, name).copy_(model.init_values)


def _prepare_cait(model: nn.Module) -> None:
    model.patch_embed.strict_img_size = False  # type: ignore[union-attr] # the position embedding is resampled here
    # LayerScale starts constant, and timm keeps the constant nowhere.
    model.init_values = model.blocks[-1].gamma_1.detach()[0].clone()  # type: ignore[index, union-attr]


def _refuse_dropped_patches(model: nn.Module) -> str:
    if getattr(getattr(model, "patch_drop", None), "prob", 0.0) > 0:
        return "drops patches (patch_drop_rate); growth sets the patch count itself"
    return ""


def _refuse_eva(model: nn.Module) -> str:
    if getattr(model, "rope_mixed", False):
        return "has one rotary embedding per block (rope_mixed), which belongs to the block's place in the stack"
    return _refuse_dropped_patches(model)


def _refuse_mixed_tokens_alone(model: nn.Module) -> str:
    if getattr(model, "mix_token", False) and model.aux_head is None:
        return "mixes tokens (use_mix_token) without an auxiliary head to say which"
    return ""


def _train_volo(model: nn.Module, images: torch.Tensor) -> TrainOutput:
    """timm's `forward_train` (mixed tokens, dense output) ends before the head."""
    out = model.forward_train(images)  # type: ignore[operator]
    features = out if isinstance(out, torch.Tensor) else out[0]
    logits: torch.Tensor = model.head(model.head_drop(features))  # type: ignore[operator]
    if isinstance(out, torch.Tensor):
        return logits
    _, token_logits, (x1, y1, x2, y2) = out
    return DenseLogits(logits, token_logits, 1 - (x2 - x1) * (y2 - y1) / token_logits.shape[1])


ADAPTERS = {
    "vit": FamilyAdapter(
        VisionTransformer,
        (Stack(("blocks",), Block),),
        "ViT, DeiT, distilled DeiT, DeiT-3",
        resolution="dynamic",
        larger_patches=True,
        patch_dropout=PatchDropout,
        initialise=_initialise_vit,
        refusal=_refuse_dropped_patches,
    ),
    "eva": FamilyAdapter(
        Eva,
        (Stack(("blocks",), EvaBlock),),
        "EVA, EVA-02 and other ViTs with rotary embeddings",
        resolution="dynamic",
        larger_patches=True,
        patch_dropout=PatchDropoutWithIndices,
        initialise=_initialise_beit,
        refusal=_refuse_eva,
    ),
    "cait": FamilyAdapter(
        Cait,
        (Stack(("blocks",), LayerScaleBlock),),
        "CaiT; its class attention always runs",
        resolution="resampled",
        larger_patches=True,
        initialise=_initialise_cait,
        prepare=_prepare_cait,
        drop_paths=("drop_path",),
        drop_rule="constant",
    ),
    "volo": FamilyAdapter(
        VOLO,
        (
            Stack(("network.0",), Outlooker, drops=False),
            Stack(("network.2", "network.3", "network.4"), Transformer),
        ),
        "VOLO-D1 to D5: outlookers and transformers grow, class attention always runs",
        resolution="resampled",
        initialise=_initialise_by_modules,
        refusal=_refuse_mixed_tokens_alone,
        train_forward=_train_volo,
    ),
    "beit": FamilyAdapter(
        Beit,
        (Stack(("blocks",), BeitBlock),),
        "BEiT, BEiT v2",
        resolution="fixed",
        initialise=_initialise_beit,
    ),
    "relpos": FamilyAdapter(
        VisionTransformerRelPos,
        (Stack(("blocks",), RelPosBlock),),
        "ViT with relative positions",
        resolution="fixed",
        initialise=_initialise_vit,
    ),
}


# ── reading a model ─────────────────────────────────────────────────────────────────────────────────────────────────


def adapter_of(model: nn.Module) -> FamilyAdapter:
    """The family of a timm model, if it can be made elastic.

    Raises:
        GrowthError: an unknown family, other blocks than the family's plain ones, or something else that growth would
            break.
    """
    name, adapter = type(model).__name__, family_of(model)
    for stack, blocks in zip(adapter.stacks, adapter.stacks_of(model), strict=True):
        other = next((b for b in blocks if type(b) is not stack.block), None)
        if other is not None:
            raise GrowthError(
                f"model: {name} has {type(other).__name__} blocks, only {stack.block.__name__} is elastic"
            )
    if adapter.resolution == "dynamic" and not getattr(model, "dynamic_img_size", False):
        raise GrowthError(f"model: {name} runs at one resolution only; create it with dynamic_img_size=True")
    if reason := adapter.refusal(model):
        raise GrowthError(f"model: {name} {reason}")
    return adapter


def family_of(model: nn.Module) -> FamilyAdapter:
    """The entry of a timm model's family, whether or not this model can be made elastic.

    Raises:
        GrowthError: there is none.
    """
    adapter = next((a for a in ADAPTERS.values() if isinstance(model, a.family)), None)
    if adapter is None:
        name, known = type(model).__name__, ", ".join(a.family.__name__ for a in ADAPTERS.values())
        raise GrowthError(f"model: {name} cannot be made elastic, growth/adapters.py has no entry for it ({known})")
    return adapter


def patch_size_of(model: nn.Module) -> int:
    """Pixels along the side of a patch, as the last blocks see it."""
    reduction: int = model.feature_info[-1]["reduction"]  # type: ignore[index, assignment]
    return reduction


def resampled_position(model: nn.Module, grid: int) -> torch.Tensor:
    """The position embedding for a grid of patches of that side: a function of the parameter, which stays the same."""
    position: nn.Parameter = model.pos_embed  # type: ignore[assignment]
    if position.dim() == 4:
        return resample_abs_pos_embed_nhwc(position, [grid, grid])
    return resample_abs_pos_embed(position, [grid, grid], num_prefix_tokens=0)
