"""Growth in Lightning: a callback for any module that holds an elastic model."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from torch import nn

from autoprog_search.errors import MissingExtraError
from autoprog_search.integrations.growing import Growing, elastic_in
from autoprog_search.schedule import GrowthSchedule, SubNetwork

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError:
    try:
        from pytorch_lightning import Callback, LightningModule, Trainer
    except ImportError:
        raise MissingExtraError(
            "lightning: not installed; install it with: pip install 'autoprog-search[lightning]'"
        ) from None


class Growth(Callback):
    """Grows the elastic model of a LightningModule as a schedule says, and keeps the EMA that MoGrow takes from.

    The module's own images may have any size: the elastic model resizes them, bilinearly, to the stage's resolution,
    in training and in validation. Optimiser and LR schedule stay as they are; new blocks begin without optimiser state.
    Growth comes at the beginning of an epoch. A checkpoint holds the sub-network and the EMA beside Lightning's own
    state. With DDP, use `strategy="ddp_find_unused_parameters_true"`: some blocks do not run.

    It grows by a schedule that is known before: written down, or found by AutoProg in a run of its own
    (`autoprog-search train --output OUT` leaves OUT/schedule.yaml). It does not search.

    Args:
        schedule: its epochs are shares of `max_epochs`.
        ema_decay: of the EMA; None: none is kept, and the elastic model's operator must not need one.

    Raises:
        GrowthError: as a fit begins: the module holds no elastic model, or one that cannot follow the schedule.
    """

    def __init__(self, schedule: GrowthSchedule, ema_decay: float | None = 0.99) -> None:
        self._schedule, self._ema_decay = schedule, ema_decay
        self._growing: Growing | None = None
        self._updates = 0

    @property
    def ema_model(self) -> nn.Module:
        """The EMA's timm model, whole: its state dict is the full model's."""
        growing = self._begun
        assert growing.ema is not None, "ema_decay: no EMA is kept"
        model: nn.Module = growing.ema.module.model
        return model

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Start small, before Lightning restores a checkpoint and makes the optimiser."""
        if stage == "fit" and self._growing is None:  # a second `fit` goes on where the first ended
            self._growing = Growing(elastic_in(pl_module), self._schedule, self._ema_decay)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Follow the module to its device."""
        if self._begun.ema is not None:
            self._begun.ema.module.to(pl_module.device)
        self._updates = trainer.global_step

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Grow, where a stage begins."""
        epochs = trainer.max_epochs if (trainer.max_epochs or 0) > 0 else self._schedule.epochs
        self._begun.grow_at(trainer.current_epoch, epochs, trainer.optimizers[0])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Let the EMA follow every optimiser step."""
        if trainer.global_step > self._updates and self._begun.ema is not None:  # not while gradients accumulate
            self._updates = trainer.global_step
            self._begun.ema.update(self._begun.elastic, step=self._updates)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        ema = self._begun.ema
        weights = ema.module.state_dict() if ema is not None else {}
        return {"sub_network": astuple(self._begun.elastic.sub_network), "ema": weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Stand where the checkpoint does."""
        self._begun.stand_as(SubNetwork(*state_dict["sub_network"]))
        if self._begun.ema is not None:
            self._begun.ema.module.load_state_dict(state_dict["ema"])

    @property
    def _begun(self) -> Growing:
        assert self._growing is not None, "a fit has begun"
        return self._growing
