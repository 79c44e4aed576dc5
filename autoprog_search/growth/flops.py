"""Reading the closed-form cost (`cost.py`) off a timm model, whatever its family.

torch's own counter counts the model's matrix products on the meta device, where nothing is computed, on three small
images; a forward pass is quadratic in its patches, so three sizes tell all. A stack's blocks cost the same, so one of
each tells all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from autoprog_search.cost import Embedding, ModelCost, Polynomial
from autoprog_search.errors import GrowthError, why
from autoprog_search.growth.large_patches import KERNEL
from autoprog_search.schedule import SubNetwork

GRIDS = (2, 3, 4)
_counted: dict[str, ModelCost] = {}  # of spaces' models that this process has built; trials build the same one again

Elastic = Any
"""An `ElasticModel`: its module imports this one."""


def cost_known_as(key: str, elastic: Elastic, shares: Mapping[int, tuple[int, ...]], described: str) -> ModelCost:
    """`measure_cost`, once for all models that are known by the same key; each time without one.

    Args:
        described: what it is, for the error message.

    Raises:
        GrowthError: the model cannot run.
    """
    if key in _counted:
        return _counted[key]
    try:
        cost = measure_cost(elastic, shares)
    # What timm builds may still break when it runs, each model its own way: heads that share no even width, say.
    except Exception as error:  # noqa: BLE001
        raise GrowthError(f"model: {described} cannot run ({why(error)})") from None
    if key:
        _counted[key] = cost
    return cost


def measure_cost(elastic: Elastic, shares: Mapping[int, tuple[int, ...]]) -> ModelCost:
    """The cost of an elastic model's sub-networks, at all sizes and at the depths of `shares`."""
    adapter, depth = elastic.adapter, min(shares)
    patches = [elastic.full.patches] if adapter.resolution == "fixed" else [grid**2 for grid in GRIDS]
    was_running, was_training, cuts = elastic.sub_network, elastic.training, elastic.patching
    elastic.train(False)
    elastic.patching = replace(cuts, by="resolution")  # which leaves all but the patch embedding as it is
    counts = {}
    for n in patches:
        elastic.activate(SubNetwork(depth, n))
        _run_one_block_each(elastic)
        counts[n] = _count(elastic, [f"model.{stack.paths[0]}.0" for stack in adapter.stacks])  # which always runs
    elastic.patching = cuts
    elastic.activate(was_running)
    elastic.train(was_training)
    rest, *stacks = (
        Polynomial.through({n: parts[k] for n, parts in counts.items()}) for k in range(1 + len(adapter.stacks))
    )
    for block in stacks:
        rest = rest.less(1, block)
    embedding = None
    if cuts.by != "resolution":
        embedding = Embedding(cuts, 2 * elastic.model.get_parameter(KERNEL)[:, :, 0, 0].numel())
        rest = rest.less(1, Polynomial(0, embedding.pixel * cuts.patch**2))
    return ModelCost(rest, tuple(stacks), shares if len(stacks) > 1 else None, embedding)


def _run_one_block_each(elastic: Elastic) -> None:
    """Of each stack that runs, only the first block, until the next `activate`."""
    for stack in elastic.adapter.stacks:
        for index, path in enumerate(stack.paths):
            elastic.model.get_submodule(path).active = () if index else (0,)


@torch.no_grad()
def forward_flops(model: nn.Module, image: torch.Tensor) -> int:
    """FLOPs of a model's forward pass on a batch (batch, channels, side, side)."""
    with _counting() as counter:
        model(image)
    total: int = counter.get_total_flops()
    return total


@contextmanager
def _counting() -> Iterator[FlopCounterMode]:
    """Attention by its matrix products: fused kernels are counted by a rule of their own."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        yield counter


@torch.no_grad()
def _count(elastic: Elastic, parts: Sequence[str]) -> tuple[int, ...]:
    """FLOPs of one image as it runs now: of all, then of these parts."""
    model = elastic.model
    tensors = [*model.named_parameters(), *model.named_buffers()]
    state = {f"model.{name}": torch.empty_like(tensor, device="meta") for name, tensor in tensors}
    image = torch.empty(1, getattr(model, "in_chans", 3), elastic.resolution, elastic.resolution, device="meta")
    with _counting() as counter:
        functional_call(elastic, state, (image,))
    by_module = counter.get_flop_counts()
    root = type(elastic).__name__
    return (counter.get_total_flops(), *(sum(by_module[f"{root}.{part}"].values()) for part in parts))
