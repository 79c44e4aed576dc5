"""One optimiser step: mixing, forward and backward passes, clipping, the learning rate of the step."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from timm.data import Mixup
from timm.utils import dispatch_clip_grad

from autoprog_search.data.data_set import ChannelStatistics
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.growth.large_patches import KERNEL
from autoprog_search.randomness import derive
from autoprog_search.settings.recipe import Recipe
from autoprog_search.training.compilation import compile_blocks
from autoprog_search.training.device import seed_everywhere
from autoprog_search.training.loss import build_loss
from autoprog_search.training.optim import also_train, autocast, build_optimizer, build_scheduler
from autoprog_search.training.replay import Replay
from autoprog_search.training.replica import Replica
from autoprog_search.training.teacher import build_teacher
from autoprog_search.training.world import ALONE, World


class TrainingStep:
    """Trains an elastic model, one batch at a call, as whatever sub-network it runs.

    Args:
        elastic: on `device`.
        normalisation: (mean, deviation) per channel that the images come with, for a teacher with its own.
        steps: of the whole run, which the learning rate's schedule spans.
        world: the processes that train it together, each on its part of the batch.

    Attributes:
        optimizer: timm's.
        teacher_flops: per image, 0 without a teacher.
    """

    def __init__(
        self,
        recipe: Recipe,
        elastic: ElasticModel,
        normalisation: ChannelStatistics,
        *,
        steps: int,
        num_classes: int,
        device: torch.device,
        world: World = ALONE,
    ) -> None:
        self._recipe, self._elastic, self._device, self._world = recipe, elastic, device, world
        self._replica = Replica(elastic, world) if world.size > 1 else None
        self.optimizer = build_optimizer(recipe, elastic.model)
        if elastic.large_patches is not None:
            also_train(self.optimizer, elastic.large_patches.weight, elastic.model.get_parameter(KERNEL))
        self._scheduler = build_scheduler(recipe, self.optimizer, steps)
        self._loss = build_loss(recipe)
        self._mixup = _mixup(recipe, num_classes)
        teacher = build_teacher(recipe, elastic.model, normalisation, num_classes)
        self.teacher_flops = teacher.forward_flops if teacher is not None else 0
        self._teacher = teacher.to(device) if teacher is not None else None
        alone_on_cuda = device.type == "cuda" and world.size == 1
        recorded = recipe.cuda_graphs and alone_on_cuda and elastic.adapter.train_forward is None
        self._replay = Replay(self._passes, elastic.parameters()) if recorded else None
        if recipe.compile:
            compile_blocks(elastic)

    def begin(self, *, drawn: bool) -> None:
        """Before steps of which each trains another sub-network (`drawn`), or all the same."""
        if self._replica is not None:
            self._replica.begin(drawn=drawn)
        if self._replay is not None:
            self._replay.forget()

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, step: int, seed: int) -> torch.Tensor:
        """Take step number `step` of the run; everything random in it follows from `seed`.

        Args:
            images: (batch, channels, side, side), in as many equal parts as the recipe accumulates; of several
                processes this one's.
            labels: (batch,).

        Returns:
            The mean loss, on the device, detached; of several processes this one's.
        """
        recipe = self._recipe
        # What is drawn an image (drop-path) is drawn by each process for its own; what is drawn a batch is the same.
        seed_everywhere(seed if self._world.first else derive(seed, "rank", self._world.rank), self._device)
        np.random.seed(seed % 2**32)  # mixup's, and VOLO's for its mixed tokens
        if self._mixup is not None:
            images, labels = self._mixup(images, labels)
        self._scheduler.step_update(step)
        if self._replay is None or self._elastic.fading:  # how far blocks have come in changes with every step
            total = self._passes(images, labels)
        else:
            total = self._replay(self._elastic.sub_network, images, labels)
        if self._replica is not None:
            self._replica.reduce()
        if recipe.clip_grad > 0:
            dispatch_clip_grad(self._elastic.parameters(), recipe.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def rate_at(self, step: int) -> float:
        """The learning rate of that step of the run, which then holds until the next one is taken."""
        self._scheduler.step_update(step)
        return float(self.optimizer.param_groups[0]["lr"])

    def _passes(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Forward and backward pass of a batch, part by part: leaves the gradients, gives the mean loss, detached."""
        recipe, replica = self._recipe, self._replica
        parts = zip(images.chunk(recipe.grad_accum), labels.chunk(recipe.grad_accum), strict=True)
        total = torch.zeros((), device=self._device)
        for number, (part, targets) in enumerate(parts, start=1):
            with replica.passes(last=number == recipe.grad_accum) if replica is not None else nullcontext():
                with autocast(recipe, self._device):
                    imitated = self._teacher(part) if self._teacher is not None else None
                    loss = self._loss((replica or self._elastic)(part), targets, imitated) / recipe.grad_accum
                loss.backward()
            total += loss.detach()
        return total


def _mixup(recipe: Recipe, num_classes: int) -> Mixup | None:
    if recipe.mixup == 0 and recipe.cutmix == 0:
        return None
    return Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        label_smoothing=recipe.label_smoothing,
        num_classes=num_classes,
    )
