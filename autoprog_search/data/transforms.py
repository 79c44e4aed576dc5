"""From an image file to a tensor: decoded at a stage's resolution, then timm's transforms."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from autoprog_search.data.strength import FULL, Strength
from autoprog_search.errors import ConfigError
from autoprog_search.settings.recipe import Recipe

# A JPEG is decoded to at least so many times the side that is wanted: less would leave the random crops, a good half of
# the side on average, blurred; 375 px photographs are decoded whole at 224 px, to a half at 128 px.
DECODED_OVER_WANTED = 1.25
BITS_PER_SAMPLE = 258  # TIFF's tag
STEPS = {"La": "LA", "LAB": "RGB"}  # modes that PIL converts to grey by a step in between only
MAGNITUDE = re.compile(r"(?<=-m)\d+(\.\d+)?")


@dataclass(frozen=True)
class Normalisation:
    """What a model expects of its images: timm's configuration of the model."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float
    crop_mode: str

    @classmethod
    def of(cls, model: str, in_chans: int) -> Normalisation:
        """Of a timm model name."""
        config = data_config_of(model, in_chans)
        mean, std = (tuple(config[kind]) for kind in ("mean", "std"))
        return cls(mean, std, config["interpolation"], config["crop_pct"], config["crop_mode"])


@dataclass(frozen=True)
class Transforms:
    """timm's transforms of a recipe, for any side, but normalisation and random erasing: those are done on the device
    (prefetch.py). Plain data, so that loader processes can be given it.

    Attributes:
        strength: of the augmentation of training images.
        train: whether images are augmented.
        full_resolution: evaluation at this side decodes images whole, as everybody else's evaluation does.
    """

    recipe: Recipe
    normalisation: Normalisation
    train: bool
    full_resolution: int
    strength: Strength = FULL
    _made: dict[int, Callable[[Image.Image], torch.Tensor]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def erasing(self) -> float:
        """Probability of random erasing (erasing.py)."""
        return self.recipe.random_erasing * self.strength.erasing if self.train else 0.0

    def decode(self, image: Image.Image, resolution: int) -> Image.Image:
        """The image that was opened, read from its file in the model's channels.

        Raises:
            Exception: any that PIL raises for a file that is no image, or is cut off; see `unreadable`.
        """
        if self.train or resolution < self.full_resolution:
            # libjpeg computes no more than is enough, at 1/2, 1/4 or 1/8; other formats are decoded whole.
            side = round(DECODED_OVER_WANTED * resolution)
            image.draft(None, (side, side))
        if not self.train:
            self._check_side(image, resolution)
        return in_channels(image, len(self.normalisation.mean))

    def __call__(self, image: Image.Image, resolution: int) -> torch.Tensor:
        """A decoded image as a tensor (channels, resolution, resolution), uint8."""
        if resolution not in self._made:
            self._made[resolution] = self._make(resolution)
        return self._made[resolution](image)

    def _check_side(self, image: Image.Image, resolution: int) -> None:
        """Raise ValueError where the image, made so large that its shorter side fits, would take all memory."""
        shorter, longer = sorted(image.size)
        side = resolution / self.normalisation.crop_pct
        if Image.MAX_IMAGE_PIXELS and side * side * longer / max(shorter, 1) > Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels are too long and narrow for {resolution} px")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": {}}

    def check(self) -> None:
        """Make the full-size transform once.

        Raises:
            ConfigError: timm does not know the augmentation.
        """
        try:
            self._make(self.full_resolution)
        except (AssertionError, ValueError, KeyError) as error:
            reason, name = " ".join(str(error).split()), self.recipe.auto_augment
            raise ConfigError(f"recipe, auto_augment: {name!r} is none of timm's ({reason})") from None

    def _make(self, resolution: int) -> Callable[[Image.Image], torch.Tensor]:
        n, recipe, strength = self.normalisation, self.recipe, self.strength
        shape = (len(n.mean), resolution, resolution)
        # `mean` is the colour that augmentation fills with.
        common: dict[str, Any] = {"mean": n.mean, "crop_pct": n.crop_pct, "normalize": False}
        if not self.train:
            return create_transform(shape, interpolation=n.interpolation, crop_mode=n.crop_mode, **common)
        policy = scaled_policy(recipe.auto_augment, strength.augment)
        least, most = recipe.crop_scale
        made = create_transform(
            shape,
            is_training=True,
            interpolation=recipe.train_interpolation,
            scale=(1 - strength.crop * (1 - least), most),
            hflip=recipe.hflip,
            auto_augment=policy,
            color_jitter=recipe.color_jitter * (strength.augment if policy is None else 1.0),
            **common,
        )
        _keep_a_bit(made)
        return made


def in_channels(image: Image.Image, channels: int) -> Image.Image:
    """The image in a model's channels, 8 bits each: grey, or red, green and blue.

    Raises:
        Exception: any that PIL raises for a file that is no image, or is cut off; see `unreadable`.
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = eight_bits(image)
    if image.mode in STEPS:
        image = image.convert(STEPS[image.mode])
    return image.convert("L" if channels == 1 else "RGB")


def eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of 9 to 16 bits with its values scaled to 8, where PIL would clip at 255 (white).

    Raises:
        ValueError: its values are floats, integers of more bits, or negative.
    """
    if image.mode == "F":
        raise ValueError("its values are floats, of a range nobody knows; save it with 8 or 16 bits")
    bits = _bits(image)
    if not 8 <= bits <= 16:
        raise ValueError(f"its values have {bits} bits, of a range nobody knows; save it with 8 or 16 bits")
    values = np.asarray(image)
    if (least := int(values.min())) < 0:
        raise ValueError(f"its values go down to {least}; save it with 8 or 16 bits, without a sign")
    return Image.fromarray((values >> (bits - 8)).astype(np.uint8))


def _bits(image: Image.Image) -> int:
    """Of a grey image's values in its file: PIL's mode `I` says 32 for 16, too."""
    if (tags := getattr(image, "tag_v2", None)) is not None:
        return int(tags.get(BITS_PER_SAMPLE, (32,))[0])
    return 16 if image.mode.startswith("I;16") or image.format in ("PNG", "PPM") else 32


def data_config_of(model: str, in_chans: int) -> dict[str, Any]:
    """timm's mean, std, size, interpolation and crop of a model name; grey images take the mean of the channels'."""
    own = timm.get_pretrained_cfg(model)
    config: dict[str, Any] = resolve_data_config({}, pretrained_cfg=own.to_dict() if own is not None else {})
    if in_chans == 1:
        config |= {kind: (sum(config[kind]) / len(config[kind]),) for kind in ("mean", "std")}
    return config


def scaled_policy(policy: str | None, strength: float) -> str | None:
    """A timm augmentation policy at a share of its magnitude, rounded to a whole number as the released code does.

    A policy without a magnitude (`original`, `v0`) stays as it is; at magnitude 0 there is none.
    """
    found = MAGNITUDE.search(policy) if policy else None
    if policy is None or found is None or strength == 1:
        return policy or None
    magnitude = round(float(found.group()) * strength)
    return MAGNITUDE.sub(str(magnitude), policy) if magnitude > 0 else None


def _keep_a_bit(transform: Any) -> None:
    """Let timm's posterize leave 1 bit at least: at the end of its range it asks for 0, which Pillow 13 refuses."""
    for policy in transform.transforms:
        for op in getattr(policy, "ops", []) or [op for pair in getattr(policy, "policy", []) for op in pair]:
            if op.name.startswith("Posterize"):
                op.level_fn = lambda level, hparams, timms=op.level_fn: (max(1, *timms(level, hparams)),)
