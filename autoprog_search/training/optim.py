"""Optimiser, LR schedule, EMAs and precision of a run: timm's, given the recipe."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import nn

from autoprog_search.errors import ConfigError
from autoprog_search.training.recipe import Recipe


def build_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """timm's optimiser of that name; biases, norms and the model's own exceptions are not decayed.

    Raises:
        ConfigError: timm has no such optimiser.
    """
    # torch's fused kernels: 2 ms instead of 7 for the digits ViT on one CPU thread.
    fused = {"fused": True} if recipe.opt in ("adam", "adamw", "sgd") else {}
    arguments = {"lr": recipe.scaled_lr, "weight_decay": recipe.weight_decay, **fused, **recipe.opt_args}
    try:
        return create_optimizer_v2(model, opt=recipe.opt, **arguments)
    except (ValueError, AssertionError, TypeError) as error:
        raise ConfigError(f"recipe, opt: {recipe.opt!r}: {' '.join(str(error).split())}") from None


def split_by_block(optimizer: torch.optim.Optimizer, blocks: Sequence[nn.Module]) -> None:
    """Give each block's parameters groups of their own, so that learning rates can differ; before its first step.

    What belongs to no block comes first in each of the former groups.
    """
    owner = {id(p): index for index, block in enumerate(blocks) for p in block.parameters()}
    groups = []
    for group in optimizer.param_groups:
        owned: dict[int, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            owned.setdefault(owner.get(id(parameter), -1), []).append(parameter)
        full_scale = group.get("lr_scale", 1.0)
        groups += [{**group, "params": owned[i], "block": i, "full_scale": full_scale} for i in sorted(owned)]
    optimizer.param_groups[:] = groups


def scale_rates(optimizer: torch.optim.Optimizer, blocks: Collection[int], share: float) -> None:
    """From the scheduler's next update on, train these blocks at a share of the learning rate, all else at the whole.

    Args:
        optimizer: split by `split_by_block`.
    """
    for group in optimizer.param_groups:  # timm's schedulers multiply by a group's `lr_scale`
        group["lr_scale"] = group["full_scale"] * (share if group["block"] in blocks else 1.0)


def build_scheduler(recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int) -> Scheduler:
    """The LR schedule over the whole run's steps; `step_update(n)` sets the rate of step n, statelessly."""
    warmup = round(recipe.warmup_share * steps)
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched=recipe.sched,
        num_epochs=steps,  # timm's epochs are our steps: it multiplies both by updates_per_epoch = 1
        warmup_epochs=warmup,
        warmup_lr=recipe.scaled_lr / 100,
        decay_epochs=max(1, min(round(recipe.decay_share * steps), steps - warmup)),
        decay_fn="linear",
        min_lr=recipe.min_lr,
        step_on_epochs=False,
        updates_per_epoch=1,
    )
    return scheduler


def build_ema(model: nn.Module, horizon: float, steps: int) -> ModelEmaV3:
    """An EMA that looks back over a share `horizon` of the run, with warm-up.

    A fixed decay breaks short runs: at ImageNet length (125,000 steps) shares of 0.004 and 0.02 are the released code's
    0.998 and 0.9996.
    """
    return ModelEmaV3(model, decay=1 - 1 / max(horizon * steps, 1.0), use_warmup=True)


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    """The precision of forward passes on this device."""
    wanted = recipe.precision == "bfloat16" or (recipe.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16) if wanted else nullcontext()
