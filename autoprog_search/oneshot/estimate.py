"""One-shot estimates: the loss of every candidate with the supernet's shared weights (section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F

from autoprog_search.cost import TRAIN_OVER_FORWARD, ModelCost
from autoprog_search.errors import ConfigError
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.schedule import SubNetwork


def supernet_of(candidates: Sequence[SubNetwork]) -> SubNetwork:
    """Phi_k: the smallest network of which every candidate is a sub-network."""
    return SubNetwork(max(c.depth for c in candidates), max(c.patches for c in candidates))


def search_steps(stage: int, stage_steps: int, candidate_count: int, search_share: float) -> int:
    """How many of a stage's optimiser steps train the supernet: its share, at least two a candidate; of 0, none.

    Raises:
        ConfigError: the search would leave no step to train what it chose.
    """
    if search_share == 0:
        return 0
    steps = max(round(search_share * stage_steps), 2 * candidate_count)
    if steps >= stage_steps:
        raise ConfigError(
            f"epochs: stage {stage} has {stage_steps} steps, its search takes {steps} (2 for each of "
            f"{candidate_count} candidates at least); train for more epochs"
        )
    return steps


def evaluation_points(steps: int, points: int) -> set[int]:
    """After how many search steps the candidates are evaluated: over the second half, the last time at its end."""
    return {round(steps * (0.5 + 0.5 * p / points)) for p in range(1, points + 1)}


def evaluated_as(candidates: Sequence[SubNetwork], at_common_resolution: bool) -> list[SubNetwork]:
    """The network that stands for each candidate in the evaluation, aligned with the candidates.

    Itself at its own resolution (the paper). Or its blocks at the largest candidate's resolution, where candidates of
    one depth are one network: their losses tie, and the score takes the one with the fewest patches.
    """
    if not at_common_resolution:
        return list(candidates)
    largest = max(c.patches for c in candidates)
    return [SubNetwork(c.depth, largest) for c in candidates]


def estimation_flops(cost: ModelCost, networks: Sequence[SubNetwork], images: int) -> int:
    """FLOPs of evaluating these networks once, each distinct one counted once."""
    return images * sum(cost.forward_flops(n) for n in dict.fromkeys(networks))


def affordable_images(
    cost: ModelCost,
    candidates: Sequence[SubNetwork],
    networks: Sequence[SubNetwork],
    stage_images: int,
    points: int,
    share: float,
) -> int:
    """How many images keep a search's evaluations within a share of the stage's training FLOPs.

    What the stage will cost is open until the search has chosen: its mean candidate stands for it.

    Args:
        networks: what is evaluated.
        stage_images: images that the stage trains on, counted with repetition.

    Returns:
        At least 2: a standard error needs them.
    """
    training = TRAIN_OVER_FORWARD * stage_images * sum(cost.forward_flops(c) for c in candidates) / len(candidates)
    return max(2, int(share * training / (points * estimation_flops(cost, networks, images=1))))


@torch.inference_mode()
def network_losses(
    model: ElasticModel, networks: Sequence[SubNetwork], batches: Iterable[tuple[torch.Tensor, torch.Tensor]]
) -> torch.Tensor:
    """Cross-entropy of every network on every image; a network that is listed twice is run once.

    Args:
        model: the estimation EMA; it is left in eval mode, as the supernet it was.
        networks: sub-networks of it.
        batches: (images, labels), the same for all.

    Returns:
        (networks, images) losses in nats, on the CPU in double precision.
    """
    supernet = model.sub_network
    model.eval()
    rows: dict[SubNetwork, list[torch.Tensor]] = {network: [] for network in networks}
    for images, labels in batches:
        for network, row in rows.items():
            model.activate(network)
            row.append(F.cross_entropy(model(images).float(), labels, reduction="none"))
    model.activate(supernet)
    if not any(rows.values()):  # of a process that has none of the images
        return torch.empty(len(networks), 0, dtype=torch.double)
    return torch.stack([torch.cat(rows[network]) for network in networks]).double().cpu()


def summarise(losses: torch.Tensor) -> list[tuple[float, float]]:
    """(mean, standard error over the images) per candidate, of (candidates, images) losses averaged over the points.

    A single image has no spread: its losses are taken as they are.
    """
    count = losses.shape[1]
    if count == 1:
        return [(float(loss), 0.0) for loss in losses[:, 0]]
    spread = losses.std(dim=1, correction=1)
    return [(float(m), float(s) / count**0.5) for m, s in zip(losses.mean(dim=1), spread, strict=True)]
