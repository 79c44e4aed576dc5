"""The plain timm model of a growth space, fresh or from a file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import build_sincos2d_pos_embed
from timm.models import load_state_dict
from torch import nn

from autoprog_search.errors import GrowthError
from autoprog_search.growth.adapters import adapter_of
from autoprog_search.space import GrowthSpace


def create_timm_model(
    space: GrowthSpace, *, num_classes: int, in_chans: int = 3, drop_path_rate: float = 0.0, checkpoint: str = ""
) -> nn.Module:
    """The plain timm model of a growth space, at full size.

    Args:
        checkpoint: file of weights to start from. A classifier for other classes and an input layer for other channels
            are left fresh or adapted, positions of another image size are resampled, all by timm.

    Raises:
        GrowthError: timm does not know the model or its arguments, it cannot be made elastic, or the weights are not of
            this model.
    """
    if not timm.is_model(space.model):
        raise GrowthError(f"model: timm has no {space.model!r}; timm.list_models() lists what it has")
    arguments = {"in_chans": in_chans, **space.model_args, "num_classes": num_classes, "drop_path_rate": drop_path_rate}
    weights: set[str] = set()
    if checkpoint:
        overlay, weights = _overlay(space.model, Path(checkpoint).expanduser())
        arguments |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    try:
        try:
            model: nn.Module = timm.create_model(space.model, dynamic_img_size=True, **arguments)
        except TypeError as error:
            if "dynamic_img_size" not in str(error):
                raise
            model = timm.create_model(space.model, **arguments)  # the family takes other sizes another way, or not
    except (TypeError, AssertionError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GrowthError(f"model: timm cannot build an elastic {space.model} ({reason})") from None
    except RuntimeError as error:  # load_state_dict's many lines
        reason = " ".join(str(error).split())[:200]
        what = f"init_checkpoint: {checkpoint} does not fit" if checkpoint else "model: timm cannot build an elastic"
        raise GrowthError(f"{what} {space.model}: {reason}") from None
    adapter_of(model)
    # Where a classifier is left out, timm asks for no key in particular; weights of something else would pass unseen.
    missing = [name for name in model.state_dict() if name not in weights and not name.startswith(("head", "aux_head"))]
    if checkpoint and missing:
        raise GrowthError(f"init_checkpoint: {checkpoint} does not fit {space.model}: it has no {missing[0]}")
    if space.pos_embed == "sincos" and not checkpoint:
        _set_sincos(model)
    return model


def _overlay(name: str, path: Path) -> tuple[dict[str, Any], set[str]]:
    """What timm must know of a file of weights (where it is, how many classes its classifier has), and its keys."""
    try:
        state = load_state_dict(str(path), weights_only=True)
    except FileNotFoundError:
        raise GrowthError(f"init_checkpoint: there is no file {path}") from None
    except Exception as error:  # noqa: BLE001 - pickle, zip and safetensors each raise their own
        raise GrowthError(f"init_checkpoint: {path} holds no weights: {' '.join(str(error).split())[:200]}") from None
    cfg = timm.get_pretrained_cfg(name)
    classifier = (cfg.classifier if cfg is not None else None) or "head"
    weight = state.get(f"{classifier if isinstance(classifier, str) else classifier[0]}.weight")
    return {"file": str(path), "num_classes": len(weight) if weight is not None else 0}, set(state)


@torch.no_grad()
def _set_sincos(model: nn.Module) -> None:
    position: nn.Parameter = model.pos_embed  # type: ignore[assignment]
    if position.device.type == "meta":
        return  # only its cost is wanted
    grid: tuple[int, int] = model.patch_embed.grid_size  # type: ignore[union-attr, assignment]
    table = build_sincos2d_pos_embed(list(grid), dim=position.shape[-1])
    position[:, position.shape[1] - table.shape[0] :] = table  # class tokens keep timm's
