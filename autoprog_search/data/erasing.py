"""Random erasing (Zhong et al., AAAI 2020), as timm's `RandomErasing` in its mode `pixel`, in two halves.

What is erased, and the noise that takes its place, is drawn image by image in the loader processes, under the image's
own seed; to the last bit it is timm's. It is put in place on the device, where images are floats, in the whole batch at
once: image by image, as timm does it there, the process that trains would launch 2,304 operations for 1,024 images.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import torch

AREA = (0.02, 1 / 3)  # of the image
LOG_ASPECT = (math.log(0.3), math.log(1 / 0.3))
ATTEMPTS = 10  # to find one that fits


class Patch(NamedTuple):
    """What is erased of an image: `noise`, (channels, height, width), takes its place from (top, left) on."""

    top: int
    left: int
    noise: torch.Tensor


class Patches(NamedTuple):
    """Those of a batch.

    Attributes:
        places: (erased images, 5): place in the batch, top, left, height, width.
        noise: of all of them, one after the other, flat.
    """

    places: torch.Tensor
    noise: torch.Tensor


def drawn_patch(probability: float, channels: int, side: int) -> Patch | None:
    """What is erased of a square image with this probability, from Python's generator and torch's."""
    if random.random() >= probability:
        return None
    for _ in range(ATTEMPTS):
        area = random.uniform(*AREA) * side * side
        aspect = math.exp(random.uniform(*LOG_ASPECT))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if height < side and width < side:
            top, left = random.randint(0, side - height), random.randint(0, side - width)
            return Patch(top, left, torch.empty(channels, height, width).normal_())
    return None


def together(patches: Sequence[Patch | None]) -> Patches | None:
    """Those of a batch's images, in order; None where no image has one."""
    found = [(place, patch) for place, patch in enumerate(patches) if patch is not None]
    if not found:
        return None
    places = torch.tensor([(place, patch.top, patch.left, *patch.noise.shape[1:]) for place, patch in found])
    return Patches(places, torch.cat([patch.noise.flatten() for _, patch in found]))


def erase(images: torch.Tensor, patches: Patches) -> None:
    """Put them in place.

    Args:
        images: (batch, channels, side, side), normalised.
        patches: on the same device.
    """
    places = patches.places[:, 0]
    top, left, height, width = patches.places[:, 1:, None].unbind(dim=1)
    pixel = torch.arange(images.shape[-1], device=images.device)
    rows, columns = (pixel >= top) & (pixel < top + height), (pixel >= left) & (pixel < left + width)
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    # A patch's noise is in the order in which its pixels are met.
    images.index_copy_(0, places, images[places].masked_scatter_(inside, patches.noise))
