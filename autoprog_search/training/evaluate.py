"""Loss and accuracy of a network on a split: eval mode, plain cross-entropy, no augmentation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True, slots=True)
class Metrics:
    """Mean cross-entropy (nats), top-1 and top-5 accuracy (per cent)."""

    loss: float
    top1: float
    top5: float


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Metrics:
    """Evaluate on (images, labels) batches; the model's mode is as before afterwards."""
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
    loss = sum(torch.stack(losses).tolist())  # the one wait for the device
    hits1, hits5 = torch.stack(hits).sum(dim=0).tolist()
    return Metrics(loss / count, 100 * hits1 / count, 100 * hits5 / count)
