"""Tiny timm models of the elastic families: 6 blocks, 24 px in patches of 4, at most 16 wide."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

BLOCKS, SIZE, PATCH, CLASSES = 6, 24, 4, 5
TINY: dict[str, Any] = {"img_size": SIZE, "patch_size": PATCH, "embed_dim": 16, "num_heads": 2, "num_classes": CLASSES}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit with a class token": ("vit_tiny_patch16_224", {}),
    "vit without a class token": ("vit_tiny_patch16_224", {"class_token": False, "global_pool": "avg"}),
    "deit": ("deit_tiny_patch16_224", {}),
    "distilled deit": ("deit_tiny_distilled_patch16_224", {}),
    "deit3, with layer scale": ("deit3_small_patch16_224", {}),
    "registers and qk norm": ("vit_tiny_patch16_224", {"reg_tokens": 2, "qk_norm": True}),
}


def tiny(kind: str, depth: int = BLOCKS, seed: int = 0, **arguments: Any) -> nn.Module:
    """A tiny timm model with weights large enough that every block and position shows in the output."""
    name, own = MODELS[kind]
    arguments = {"dynamic_img_size": True, **TINY, **own, **arguments}
    model: nn.Module = timm.create_model(name, depth=depth, **arguments)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model


def images(side: int = SIZE, batch: int = 3) -> torch.Tensor:
    """Images of that side, always the same."""
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(side))
