"""A VOLO small enough for tests, known to timm by name."""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from timm.models._builder import build_model_with_cfg
from timm.models.volo import VOLO


@register_model
def volo_tiny_for_tests(pretrained: bool = False, **arguments: Any) -> VOLO:
    """timm's own VOLOs cannot be made smaller through `create_model`: it knows `layers` already."""
    sizes = {"layers": (2, 2, 1, 1), "embed_dims": (8, 16, 16, 16), "num_heads": (2, 2, 2, 2), "stem_hidden_dim": 8}
    return build_model_with_cfg(VOLO, "volo_d1_224", pretrained, **sizes, **arguments)
