"""What tests of elastic models share: small ones, images at their size, a loss of all that they give."""

from __future__ import annotations

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import nn

from autoprog_search.growth.adapters import DenseLogits
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.schedule import SubNetwork


def cut_to(model: nn.Module, elastic: ElasticModel) -> nn.Module:
    """A plain model's copy that has, of its blocks, those alone that run in the elastic one."""
    plain, index = deepcopy(model), 0
    for path in (path for stack in elastic.adapter.stacks for path in stack.paths):
        container = plain.get_submodule(path)
        blocks = [b for i, b in enumerate(container.children(), start=index) if i in elastic.active]
        index += len(list(container.children()))
        sequential = isinstance(container, nn.Sequential)
        plain.set_submodule(path, nn.Sequential(*blocks) if sequential else nn.ModuleList(blocks))
    return plain


@torch.no_grad()
def shaken(model: nn.Module) -> nn.Module:
    """The model with every parameter moved a little, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


def images(elastic: ElasticModel, batch: int = 4) -> torch.Tensor:
    """Images at the side at which the model runs now."""
    side = elastic.resolution
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(side))


def sub_networks(elastic: ElasticModel) -> list[SubNetwork]:
    """Every depth that the model knows of four, on every grid that it can run on of three."""
    depths = sorted(elastic.chain)
    chosen = sorted({depths[0], depths[len(depths) // 3], depths[2 * len(depths) // 3], depths[-1]})
    fixed = elastic.adapter.resolution == "fixed"
    grids = [elastic.full.grid] if fixed else sorted({elastic.full.grid - k for k in range(3)})
    return [SubNetwork(depth, grid**2) for depth in chosen for grid in grids]


def schedule(elastic: ElasticModel) -> list[SubNetwork]:
    """Three stages up to full size."""
    found = sub_networks(elastic)
    return [found[0], found[len(found) // 2], elastic.full]


def logits_of(out: object) -> torch.Tensor:
    """Class logits, whatever else came with them."""
    first = out if isinstance(out, torch.Tensor) else out[0]  # type: ignore[index]
    assert isinstance(first, torch.Tensor)
    return first


def loss_of(out: object) -> torch.Tensor:
    """A loss in which all outputs have a part."""
    logits = logits_of(out)
    labels = torch.arange(len(logits)) % logits.shape[1]
    loss = F.cross_entropy(logits, labels)
    if isinstance(out, DenseLogits):
        tokens = out.token_logits.shape[1]
        loss = loss + F.cross_entropy(out.token_logits.flatten(0, 1), labels.repeat_interleave(tokens))
    return loss
