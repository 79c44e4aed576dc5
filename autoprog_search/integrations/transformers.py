"""Growth in Hugging Face's Trainer: a callback for timm models in `TimmWrapperForImageClassification`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from autoprog_search.errors import GrowthError, MissingExtraError
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.integrations.growing import Growing
from autoprog_search.schedule import GrowthSchedule

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError:
    raise MissingExtraError(
        "transformers: not installed; install it with: pip install 'autoprog-search[transformers]'"
    ) from None


class Growth(TrainerCallback):
    """Grows the timm model inside a `TimmWrapperForImageClassification` as a schedule says.

    The model stays Hugging Face's: `save_pretrained` and checkpoints have its usual names, of the full network. Images
    may have any size: they are resized, bilinearly, to the stage's resolution before timm's model sees them, in
    training and in evaluation. Optimiser and LR schedule stay as they are; new blocks begin without optimiser state.
    Where a Trainer resumes a checkpoint, growth follows from its step. With several processes set
    `ddp_find_unused_parameters=True`: some blocks do not run.

    It grows by a schedule that is known before: written down, or found by AutoProg in a run of its own
    (`autoprog-search train --output OUT` leaves OUT/schedule.yaml). It does not search, and keeps no EMA.

    Args:
        schedule: its epochs are shares of the training's steps.
        operator: growth operator; those that take parameters from an EMA are refused.

    Raises:
        GrowthError: as the training begins: the model wraps no timm model that can follow the schedule.
    """

    def __init__(self, schedule: GrowthSchedule, operator: str = "interpolation") -> None:
        self._schedule, self._operator = schedule, operator
        self._growing: Growing | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **others: Any
    ) -> None:
        """Start as small as the step says: 0, unless a checkpoint is resumed."""
        if self._growing is None:
            self._growing = Growing(_made_elastic(model, self._schedule, self._operator), self._schedule)
        self._growing.stand_at(state.global_step, state.max_steps)

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: torch.optim.Optimizer,
        **others: Any,
    ) -> None:
        """Grow, where a stage begins."""
        assert self._growing is not None, "the training has begun"
        self._growing.grow_at(state.global_step, state.max_steps, optimizer)


def _made_elastic(model: nn.Module, schedule: GrowthSchedule, operator: str) -> ElasticModel:
    """The wrapped timm model, elastic in place: its own containers run the active blocks, a hook resizes images.

    Raises:
        GrowthError: there is none, or its family takes no other size by itself.
    """
    timm_model = getattr(model, "timm_model", None)
    if timm_model is None:
        raise GrowthError(f"{type(model).__name__}: it wraps no timm model; take TimmWrapperForImageClassification")
    stages = schedule.stages
    elastic = ElasticModel(timm_model, sorted({stage.sub_network.depth for stage in stages}), operator)
    if elastic.adapter.resolution != "dynamic" and any(s.sub_network.patches != elastic.full.patches for s in stages):
        raise GrowthError(f"patches: {type(timm_model).__name__} takes no other size by itself; grow its depth only")

    def resized(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        side = elastic.resolution
        if inputs[0].shape[-1] == side:
            return inputs
        smaller = F.interpolate(inputs[0], size=(side, side), mode="bilinear", align_corners=False)
        return (smaller, *inputs[1:])

    timm_model.register_forward_pre_hook(resized)
    return elastic
