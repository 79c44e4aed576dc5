"""Checkpoints and exported weights: whole or absent, whenever the process dies."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors

from autoprog_search.files import write_atomic


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, atomically."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, or None where there is none."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


def export_weights(path: Path, state_dict: dict[str, torch.Tensor]) -> None:
    """Write a full model's weights, as `timm.create_model(name, checkpoint_path=...)` loads them."""
    write_atomic(path, to_safetensors({k: v.detach().cpu().contiguous() for k, v in state_dict.items()}))
