"""Loss and accuracy of a network on a split: eval mode, plain cross-entropy, no augmentation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from autoprog_search.training.world import ALONE, World


@dataclass(frozen=True, slots=True)
class Metrics:
    """Mean cross-entropy (nats), top-1 and top-5 accuracy (per cent)."""

    loss: float
    top1: float
    top5: float


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], world: World = ALONE) -> Metrics:
    """Evaluate on (images, labels) batches; the model's mode is as before afterwards.

    Args:
        world: the processes that look at a part each, no image twice; all get the metrics of all images.
    """
    was_training = model.training
    model.eval()
    losses, hits, count = [], [], 0
    for images, labels in batches:
        logits = model(images).float()
        losses.append(F.cross_entropy(logits, labels, reduction="sum"))
        ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices.eq(labels[:, None])
        hits.append(torch.stack((ranked[:, 0].sum(), ranked.any(dim=1).sum())))
        count += len(labels)
    model.train(was_training)
    loss = sum(torch.stack(losses).tolist()) if losses else 0.0  # the one wait for the device, but for the hits
    hits1, hits5 = torch.stack(hits).sum(dim=0).tolist() if hits else (0, 0)
    total, first, in_five, seen = world.sums(loss, hits1, hits5, count)
    return Metrics(total / seen, 100 * first / seen, 100 * in_five / seen)
