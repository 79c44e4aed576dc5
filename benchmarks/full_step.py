"""Step time of the trainer at full size against plain timm. Goal: ratio >= 0.98 (above 1, ours is faster).

Both sides: same model, batch, precision, optimiser, augmented batches, gradient clipping, LR schedule, one EMA. They
take turns step by step in one process, so a noisy neighbour slows both; the ratio is of medians.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch
from timm.utils import dispatch_clip_grad

from autoprog_search.data.load import load_data
from autoprog_search.growth.create import create_timm_model
from autoprog_search.methods.fixed import Program
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.space import GrowthSpace
from autoprog_search.training.device import pick_device
from autoprog_search.training.loss import build_loss
from autoprog_search.training.optim import autocast, build_ema, build_optimizer, build_scheduler
from autoprog_search.training.run import Run
from autoprog_search.training.spec import RunSpec
from autoprog_search.training.trainer import Trainer
from benchmarks.record import record

WARM_UP, STEPS = 10, 100


def main() -> None:
    """Measure and store."""
    torch.set_num_threads(1)
    device = pick_device("auto")
    space, recipe = GrowthSpace.load("digits"), load_recipe("digits")
    data = load_data(DataConfig(), space, recipe, device)
    total = WARM_UP + STEPS

    model = create_timm_model(space, num_classes=10, in_chans=1).to(device).train()
    optimizer = build_optimizer(recipe, model)
    scheduler, ema, loss_of = (
        build_scheduler(recipe, optimizer, total),
        build_ema(model, 0.02, total),
        build_loss(recipe),
    )

    def timm_step(step: int, images: torch.Tensor, labels: torch.Tensor) -> None:
        scheduler.step_update(step)
        with autocast(recipe, device):
            loss = loss_of(model(images), labels, None)
        loss.backward()
        dispatch_clip_grad(model.parameters(), recipe.clip_grad)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.update(model, step + 1)

    spec = RunSpec(space, recipe, GrowthSettings(), (total,), seed=0)
    run = Run(spec, data, device=device)
    trainer = Trainer(run, Program((space.full,)))
    ours: list[float] = []
    theirs: list[float] = []

    class InTurns:
        """The trainer's step, and timm's beside it. Each side has its EMA's update; the trainer's own is not timed."""

        own = run.step

        def __getattr__(self, name: str) -> Any:
            return getattr(self.own, name)

        def __call__(self, images: torch.Tensor, labels: torch.Tensor, step: int, seed: int) -> torch.Tensor:
            def take_ours() -> torch.Tensor:
                loss = self.own(images, labels, step, seed)
                run.networks.update(step + 1, estimation=False)
                return loss

            def take_timms() -> None:
                timm_step(step, images, labels)

            sides = [(ours, take_ours), (theirs, take_timms)]
            results = []
            for seconds, take in sides if step % 2 else reversed(sides):
                start = _now(device)
                results.append(take())
                seconds.append(_now(device) - start)
            return next(loss for loss in results if loss is not None)

    run.step = InTurns()  # type: ignore[assignment]
    trainer.train()
    ours_s, timm_s = median(ours[WARM_UP:]), median(theirs[WARM_UP:])
    print(f"{space.model} ({space.name}), batch {recipe.batch_size}, {recipe.precision}, {STEPS} steps in turns:")
    print(f"timm {1e3 * timm_s:.1f} ms, ours {1e3 * ours_s:.1f} ms, ratio {timm_s / ours_s:.3f} (goal >= 0.98)")
    print(record("full_step", ratio=timm_s / ours_s, timm_ms=1e3 * timm_s, ours_ms=1e3 * ours_s, steps=STEPS))


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
