"""The training loss, against plain cross-entropy by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from autoprog_search.growth.adapters import DenseLogits
from autoprog_search.settings.recipe import Recipe
from autoprog_search.training.loss import build_loss, distillation_loss

RANDOM = torch.Generator().manual_seed(0)
LOGITS, SECOND, TEACHER = (torch.randn(4, 3, generator=RANDOM) for _ in range(3))
TOKENS = torch.randn(4, 5, 3, generator=RANDOM)
LABELS = torch.tensor([0, 2, 1, 1])


def test_labels_are_smoothed():
    loss = build_loss(Recipe(label_smoothing=0.2))(LOGITS, LABELS, None)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, LABELS, label_smoothing=0.2))


def test_soft_targets_are_taken_as_they_are():
    targets = torch.full((4, 3), 1 / 3)
    loss = build_loss(Recipe(mixup=0.8))(LOGITS, targets, None)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, targets))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("own", [1.0, 0.6])
def test_every_token_learns_its_own_images_label_and_the_class_token_the_mixture(own, smoothing):
    recipe = Recipe(label_smoothing=smoothing, dense_weight=0.5)
    loss = build_loss(recipe)(DenseLogits(LOGITS, TOKENS, own), LABELS, None)

    def ce(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)

    of_class = own * ce(LOGITS, LABELS) + (1 - own) * ce(LOGITS, LABELS.flip(0))
    of_tokens = torch.stack([ce(TOKENS[:, n], LABELS) for n in range(5)]).mean()
    torch.testing.assert_close(loss, of_class + 0.5 * of_tokens)


def test_soft_targets_of_dense_logits_are_not_smoothed_again():
    targets = F.one_hot(LABELS, 3).float()
    hard = build_loss(Recipe(label_smoothing=0.0))(DenseLogits(LOGITS, TOKENS, 0.3), LABELS, None)
    soft = build_loss(Recipe(label_smoothing=0.1, mixup=0.1))(DenseLogits(LOGITS, TOKENS, 0.3), targets, None)
    torch.testing.assert_close(soft, hard)


def test_distillation_shares_the_loss_between_the_two_tokens():
    recipe = Recipe(label_smoothing=0.0, distillation_weight=0.3)
    loss = build_loss(recipe)((LOGITS, SECOND), LABELS, TEACHER)
    expected = 0.7 * F.cross_entropy(LOGITS, LABELS) + 0.3 * F.cross_entropy(SECOND, TEACHER.argmax(dim=1))
    torch.testing.assert_close(loss, expected)


def test_soft_distillation_is_the_divergence_at_a_temperature():
    loss = distillation_loss(SECOND, TEACHER, "soft", temperature=2.0)
    ours, theirs = (torch.softmax(x / 2, dim=1) for x in (SECOND, TEACHER))
    expected = 4 * (theirs * (theirs / ours).log()).sum(dim=1).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(distillation_loss(TEACHER, TEACHER, "soft", 3.0), torch.zeros(()))


def test_a_pair_without_a_teacher_or_a_teacher_without_a_pair_is_a_bug():
    for output, teacher in (((LOGITS, SECOND), None), (LOGITS, TEACHER)):
        with pytest.raises(TypeError):
            build_loss(Recipe())(output, LABELS, teacher)
