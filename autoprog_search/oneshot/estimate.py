"""One-shot estimates: the loss of every candidate with the supernet's shared weights (section 4, DESIGN §3.3-4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import torch
import torch.nn.functional as F

from autoprog_search.cost import ModelCost
from autoprog_search.errors import ConfigError
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.schedule import SubNetwork


def supernet_of(candidates: Sequence[SubNetwork]) -> SubNetwork:
    """Phi_k: the smallest network of which every candidate is a sub-network."""
    return SubNetwork(max(c.depth for c in candidates), max(c.patches for c in candidates))


def search_steps(stage: int, stage_steps: int, candidate_count: int, search_share: float) -> int:
    """How many of a stage's optimiser steps train the supernet: its share, at least two a candidate.

    Raises:
        ConfigError: the search would leave no step to train what it chose.
    """
    steps = max(round(search_share * stage_steps), 2 * candidate_count)
    if steps >= stage_steps:
        raise ConfigError(
            f"epochs: stage {stage} has {stage_steps} steps, its search takes {steps} (2 for each of "
            f"{candidate_count} candidates at least); train for more epochs"
        )
    return steps


def draw(candidates: Sequence[SubNetwork], seed: int, step: int) -> SubNetwork:
    """The candidate that trains at the search's step (from 0): a fresh permutation of all of them a pass.

    A pure function, so all ranks draw the same. Every candidate trains equally often (strict fairness: Chu et al.,
    FairNAS, ICCV 2021): in searches of a few steps a candidate, independent draws would miss some altogether.
    """
    turn, position = divmod(step, len(candidates))
    return Random(f"{seed}/{turn}").sample(candidates, len(candidates))[position]


def evaluation_points(steps: int, points: int) -> set[int]:
    """After how many search steps the candidates are evaluated: over the second half, the last time at its end."""
    return {round(steps * (0.5 + 0.5 * p / points)) for p in range(1, points + 1)}


def affordable_images(
    cost: ModelCost, candidates: Sequence[SubNetwork], stage_images: int, points: int, share: float
) -> int:
    """How many images keep a search's evaluations within a share of the stage's training FLOPs.

    What the stage will cost is open until the search has chosen: its mean candidate stands for it.

    Args:
        stage_images: images that the stage trains on, counted with repetition.

    Returns:
        At least 2: a standard error needs them.
    """
    forward = [cost.forward_flops(c) for c in candidates]
    budget = share * 3 * stage_images * sum(forward) / len(forward)
    return max(2, int(budget / (points * sum(forward))))


@torch.inference_mode()
def candidate_losses(
    network: ElasticModel,
    candidates: Sequence[SubNetwork],
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    at_common_resolution: bool = False,
) -> torch.Tensor:
    """Cross-entropy of every candidate on every image.

    Args:
        network: the estimation EMA; it is left in eval mode, as the supernet it was.
        candidates: sub-networks of it.
        batches: (images, labels), the same for all.
        at_common_resolution: run all at the largest candidate's patch count, not each at its own.

    Returns:
        (candidates, images) losses in nats, on the CPU in double precision.
    """
    supernet = network.sub_network
    largest = max(c.patches for c in candidates)
    network.eval()
    rows: list[list[torch.Tensor]] = [[] for _ in candidates]
    for images, labels in batches:
        for row, candidate in zip(rows, candidates, strict=True):
            network.activate(SubNetwork(candidate.depth, largest) if at_common_resolution else candidate)
            row.append(F.cross_entropy(network(images).float(), labels, reduction="none"))
    network.activate(supernet)
    return torch.stack([torch.cat(row) for row in rows]).double().cpu()


def estimation_flops(
    cost: ModelCost, candidates: Sequence[SubNetwork], images: int, at_common_resolution: bool = False
) -> int:
    """FLOPs of one evaluation of all candidates."""
    largest = max(c.patches for c in candidates)
    run = [SubNetwork(c.depth, largest) if at_common_resolution else c for c in candidates]
    return images * sum(cost.forward_flops(c) for c in run)


def summarise(losses: torch.Tensor) -> list[tuple[float, float]]:
    """(mean, standard error over the images) per candidate, of (candidates, images) losses averaged over the points."""
    count = losses.shape[1]
    spread = losses.std(dim=1, correction=1)
    return [(float(m), float(s) / count**0.5) for m, s in zip(losses.mean(dim=1), spread, strict=True)]
