"""What training costs, in closed form: FLOPs of a sub-network, a step and a schedule (no torch here).

One rule everywhere: 2 FLOPs per multiply-add of the linear layers, the patch embedding and attention; norms,
activations, optimiser and evaluation left out; a training step is three forward passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from autoprog_search.schedule import SubNetwork

CostKind = Literal["flops", "seconds"]

TRAIN_OVER_FORWARD = 3  # the backward pass costs two forward passes: gradients of the inputs and of the weights


@dataclass(frozen=True, slots=True)
class ModelCost:
    """FLOPs of a plain ViT's forward pass, part by part, for one image.

    `growth/adapters.py` reads one off a timm model.

    Attributes:
        per_patch: patch embedding, FLOPs per patch.
        per_token: all linear layers of one block, FLOPs per token.
        per_token_pair: attention of one block, FLOPs per pair of tokens.
        per_image: the classifier head.
        prefix_tokens: class, distillation and register tokens.
    """

    per_patch: int
    per_token: int
    per_token_pair: int
    per_image: int
    prefix_tokens: int

    def forward_flops(self, sub_network: SubNetwork) -> int:
        """FLOPs of one image's forward pass."""
        tokens = sub_network.patches + self.prefix_tokens
        block = self.per_token * tokens + self.per_token_pair * tokens**2
        return self.per_patch * sub_network.patches + sub_network.depth * block + self.per_image

    def step_flops(self, sub_network: SubNetwork, batch_size: int) -> int:
        """FLOPs of one training step."""
        return TRAIN_OVER_FORWARD * batch_size * self.forward_flops(sub_network)

    def steps_flops(self, steps: Mapping[SubNetwork, int], batch_size: int) -> int:
        """FLOPs of so many training steps of each sub-network: of a schedule, or of what a run really did."""
        return sum(count * self.step_flops(s, batch_size) for s, count in steps.items())


def count_steps(parts: Iterable[tuple[SubNetwork, int]]) -> dict[SubNetwork, int]:
    """Training steps per sub-network, of parts that may repeat one."""
    steps: dict[SubNetwork, int] = {}
    for sub_network, count in parts:
        steps[sub_network] = steps.get(sub_network, 0) + count
    return steps
