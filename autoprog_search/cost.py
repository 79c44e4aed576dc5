"""What training costs, in closed form: FLOPs of a sub-network, a step and a schedule (no torch here).

One rule everywhere: 2 FLOPs per multiply-add of the linear and convolution layers and of attention; norms, activations,
optimiser and evaluation left out; a training step is three forward passes. So a forward pass is a polynomial of degree
2 in the number of patches (attention), plus one such polynomial for each block that runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from autoprog_search.patching import Patching
from autoprog_search.schedule import SubNetwork

CostKind = Literal["flops", "seconds"]

TRAIN_OVER_FORWARD = 3  # the backward pass costs two forward passes: gradients of the inputs and of the weights


@dataclass(frozen=True, slots=True)
class Polynomial:
    """`constant + linear * n + square * n^2` FLOPs on n patches, for one image."""

    constant: int
    linear: int = 0
    square: int = 0

    def at(self, patches: int) -> int:
        """Its value on so many patches."""
        return self.constant + self.linear * patches + self.square * patches**2

    def less(self, times: int, part: Polynomial) -> Polynomial:
        """What is left of it without so many times a part of it."""
        constant, linear = self.constant - times * part.constant, self.linear - times * part.linear
        return Polynomial(constant, linear, self.square - times * part.square)

    @classmethod
    def through(cls, points: Mapping[int, int]) -> Polynomial:
        """The one through three (patches, FLOPs) points; through a single point, a constant.

        Raises:
            ValueError: no polynomial of degree 2 with whole coefficients goes through them.
        """
        if len(points) == 1:
            return cls(*points.values())
        (x0, y0), (x1, y1), (x2, y2) = sorted(points.items())
        first, second = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
        square = round((second - first) / (x2 - x0))
        linear = round(first) - square * (x0 + x1)
        found = cls(y0 - linear * x0 - square * x0**2, linear, square)
        if any(found.at(x) != y for x, y in points.items()):
            raise ValueError(f"{dict(points)} are not FLOPs of a model that is quadratic in its patches")
        return found


@dataclass(frozen=True, slots=True)
class Embedding:
    """FLOPs of embedding an image's patches where every stage sees the full one: those of all pixels, whatever trains.

    Resizing the kernel of large patches is left out: once a step, whatever the batch.

    Attributes:
        pixel: FLOPs of a pixel, all channels and outputs.
    """

    patching: Patching
    pixel: int

    def at(self, sub_network: SubNetwork) -> int:
        """Of that sub-network's grid."""
        return self.pixel * self.patching.image_side(sub_network) ** 2


@dataclass(frozen=True, slots=True)
class ModelCost:
    """FLOPs of a model's forward pass, part by part, for one image. `growth/flops.py` reads one off a timm model.

    Attributes:
        rest: all that is no block of a stack: patch embedding, class attention, heads.
        blocks: one block of each stack.
        shares: how many blocks of each stack run at each depth; None for a single stack.
        embedding: the patch embedding, where it is no polynomial in the patches and so not in `rest`.
    """

    rest: Polynomial
    blocks: tuple[Polynomial, ...]
    shares: Mapping[int, tuple[int, ...]] | None = None
    embedding: Embedding | None = None

    def forward_flops(self, sub_network: SubNetwork) -> int:
        """FLOPs of one image's forward pass."""
        counts = self.shares[sub_network.depth] if self.shares is not None else (sub_network.depth,)
        stacks = zip(counts, self.blocks, strict=True)
        blocks = sum(count * block.at(sub_network.patches) for count, block in stacks)
        embedding = self.embedding.at(sub_network) if self.embedding is not None else 0
        return self.rest.at(sub_network.patches) + embedding + blocks

    def step_flops(self, sub_network: SubNetwork, batch_size: int) -> int:
        """FLOPs of one training step."""
        return TRAIN_OVER_FORWARD * batch_size * self.forward_flops(sub_network)
