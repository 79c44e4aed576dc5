"""The teacher of a distilled model: a timm network that only looks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from torch import nn

from autoprog_search.data.data_set import ChannelStatistics
from autoprog_search.data.transforms import data_config_of
from autoprog_search.errors import ConfigError, why
from autoprog_search.growth.create import nearest_models
from autoprog_search.growth.flops import forward_flops
from autoprog_search.growth.weights import check_readable, create_with_weights
from autoprog_search.settings.recipe import Recipe


class Teacher(nn.Module):
    """A timm network in eval mode that gives its logits of the student's images, at its own size and normalisation.

    Args:
        name: timm model name. checkpoint: file of its weights; default: timm's own.
        normalisation: (mean, deviation) per channel that the images come with.

    Attributes:
        forward_flops: of one image.

    Raises:
        ConfigError: timm does not know it, or its weights cannot be had or do not fit the classes.
    """

    def __init__(self, name: str, checkpoint: str, normalisation: ChannelStatistics, num_classes: int) -> None:
        super().__init__()
        in_chans = len(normalisation[0])
        if not timm.is_model(name):
            raise ConfigError(f"recipe, teacher: timm has no {name!r}; {nearest_models(name)}")
        cfg = timm.get_pretrained_cfg(name)
        if not checkpoint and cfg is not None and cfg.num_classes != num_classes:
            raise ConfigError(
                f"recipe, teacher: timm's weights of {name} know {cfg.num_classes} classes, the data have "
                f"{num_classes}; give recipe.teacher_checkpoint"
            )
        network = _network(name, checkpoint, num_classes, in_chans)
        self.network = network.eval().requires_grad_(False)
        own = data_config_of(name, in_chans)
        self.side: int = own["input_size"][-1]
        # x * std + mean is the plain image; both steps in one: x * scale + shift is what the teacher expects.
        mean, std = (torch.tensor(own[kind]) for kind in ("mean", "std"))
        its_mean, its_std = (torch.tensor(values) for values in normalisation)
        self.scale = nn.Buffer((its_std / std).view(1, -1, 1, 1), persistent=False)
        self.shift = nn.Buffer(((its_mean - mean) / std).view(1, -1, 1, 1), persistent=False)
        self.forward_flops = forward_flops(self.network, torch.zeros(1, in_chans, self.side, self.side))

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of the student's normalised images (batch, channels, side, side)."""
        if images.shape[-1] != self.side:
            images = F.interpolate(images, size=(self.side, self.side), mode="bilinear", align_corners=False)
        return self.network(images * self.scale + self.shift)


def build_teacher(
    recipe: Recipe, model: nn.Module, normalisation: ChannelStatistics, num_classes: int
) -> Teacher | None:
    """The recipe's teacher, if it has one; the model then answers with both of its tokens in train mode.

    Raises:
        ConfigError: the model has no distillation token, or as `Teacher`.
    """
    if not recipe.teacher:
        return None
    if not hasattr(model, "set_distilled_training"):
        raise ConfigError(f"recipe, teacher: {type(model).__name__} has no distillation token; take a distilled model")
    model.set_distilled_training(True)  # type: ignore[operator]
    return Teacher(recipe.teacher, recipe.teacher_checkpoint, normalisation, num_classes)


def _network(name: str, checkpoint: str, num_classes: int, in_chans: int) -> nn.Module:
    create = partial(timm.create_model, name, num_classes=num_classes, in_chans=in_chans)
    if not checkpoint:
        try:
            return create(pretrained=True)
        except Exception as error:  # noqa: BLE001 - no network, no weights, a cache that is damaged: each its own
            raise ConfigError(f"recipe, teacher: weights of {name} cannot be had: {why(error)}") from None
    path = Path(checkpoint).expanduser()
    try:
        check_readable(path)
    except ValueError as error:
        raise ConfigError(f"recipe, teacher_checkpoint: {error}") from None
    try:
        return create_with_weights(create, path, num_classes, with_classifier=True)
    except Exception as error:  # noqa: BLE001 - shapes, arguments: whatever timm and torch raise on them
        raise ConfigError(f"recipe, teacher_checkpoint: {checkpoint} does not fit {name}: {why(error)}") from None
