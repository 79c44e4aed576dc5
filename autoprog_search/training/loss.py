"""The training loss, of whatever a model gives in train mode."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

from autoprog_search.growth.adapters import DenseLogits, TrainOutput
from autoprog_search.settings.recipe import Recipe

Loss = Callable[[TrainOutput, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""(output, labels or soft targets, the teacher's logits if there is one) -> a scalar."""


def build_loss(recipe: Recipe) -> Loss:
    """Label smoothing, or cross-entropy with the soft targets that mixup and cutmix make (they smooth the labels too).

    The function that it returns raises TypeError for a pair of logits without a teacher's, or the other way round.
    """
    mixed = recipe.mixup > 0 or recipe.cutmix > 0
    of_class = SoftTargetCrossEntropy() if mixed else LabelSmoothingCrossEntropy(recipe.label_smoothing)

    def loss(output: TrainOutput, targets: torch.Tensor, teacher: torch.Tensor | None = None) -> torch.Tensor:
        if isinstance(output, DenseLogits):
            return dense_loss(output, targets, recipe.label_smoothing, recipe.dense_weight)
        if isinstance(output, tuple) != (teacher is not None):
            raise TypeError("a distillation token needs a teacher, and a teacher a distillation token")
        if isinstance(output, tuple) and teacher is not None:
            logits, imitated = output
            share = recipe.distillation_weight
            imitation = distillation_loss(imitated, teacher, recipe.distillation, recipe.temperature)
            return (1 - share) * of_class(logits, targets) + share * imitation
        return of_class(output, targets)

    return loss


def dense_loss(output: DenseLogits, targets: torch.Tensor, smoothing: float, dense_weight: float) -> torch.Tensor:
    """Loss of the class token and of all tokens, after Jiang et al. (NeurIPS 2021), but without token labels.

    Every token learns the label of the image that it came from; the class token the two labels of its mixed image, by
    their share of the tokens.

    Args:
        targets: labels (batch,), or soft targets (batch, classes), which are not smoothed again.
    """
    classes = output.logits.shape[1]
    if targets.dim() == 1:
        targets = F.one_hot(targets, classes).float() * (1 - smoothing) + smoothing / classes
    soft = SoftTargetCrossEntropy()
    mixed = output.own_share * targets + (1 - output.own_share) * targets.flip(0)
    tokens = output.token_logits.shape[1]
    of_tokens = soft(output.token_logits.flatten(0, 1), targets.repeat_interleave(tokens, dim=0))
    return soft(output.logits, mixed) + dense_weight * of_tokens


def distillation_loss(logits: torch.Tensor, teacher: torch.Tensor, kind: str, temperature: float) -> torch.Tensor:
    """Of the distillation token's logits (Touvron et al., DeiT, ICML 2021, section 4).

    Args:
        kind: `hard`: cross-entropy with the teacher's decisions; `soft`: divergence from its probabilities at the
            temperature, times its square.
    """
    if kind == "hard":
        return F.cross_entropy(logits, teacher.argmax(dim=1))
    ours, theirs = (F.log_softmax(x / temperature, dim=1) for x in (logits, teacher))
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2
