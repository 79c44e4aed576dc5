"""The loop over a run's optimiser steps: images, stepping, the EMAs, epoch ends, progress, being stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from autoprog_search.errors import RunFailedError
from autoprog_search.interrupt import Interrupted, StoppedEarly
from autoprog_search.randomness import derive
from autoprog_search.schedule import SubNetwork
from autoprog_search.training.run import Run
from autoprog_search.training.state import Progress

CHECK_LOSS_EVERY = 20  # steps between looks at the loss: each waits for the device


@dataclass(frozen=True)
class Hooks:
    """What a run tells and asks whoever started it.

    Attributes:
        on_progress: told where the run stands: a few times a second at most, and when an epoch ends.
        should_stop: asked before every step and between the batches of an evaluation; once true, the run writes its
            checkpoint and raises `Interrupted`.
        stops: asked after every epoch but the last, given the curve so far, whether the run is to end there.
        before_step, after_step: called around every optimiser step, when the networks run as what trains; after it the
            state counts it, and the EMAs have followed.
        on_losses: told the losses of the steps since the last time, as they come to the host; of several processes
            their means. It and the two below are called before a checkpoint counts what they tell.
        on_epoch: called when an epoch has ended, and the curve has its row.
        on_stage: called when what a stage trains has been chosen.
    """

    on_progress: Callable[[Progress], None] = lambda progress: None
    should_stop: Callable[[], bool] = lambda: False
    stops: Callable[[list[dict[str, Any]]], bool] = lambda curve: False
    before_step: Callable[[Run], None] = lambda run: None
    after_step: Callable[[Run], None] = lambda run: None
    on_losses: Callable[[Run, Sequence[float]], None] = lambda run, losses: None
    on_epoch: Callable[[Run], None] = lambda run: None
    on_stage: Callable[[Run], None] = lambda run: None


NO_HOOKS = Hooks()


class Steps:
    """Takes the optimiser steps of a run, stage by stage."""

    def __init__(self, run: Run, hooks: Hooks = NO_HOOKS) -> None:
        self._run, self._hooks = run, hooks
        self._losses: list[torch.Tensor] = []  # since the last look at them
        self._save_is_due = False

    def take(
        self,
        stop: int,
        trained: Callable[[int], SubNetwork],
        rates_of: SubNetwork,
        *,
        drawn: bool = True,
        estimation: bool = True,
    ) -> None:
        """Take optimiser steps of one stage, up to number `stop` of the run.

        Args:
            trained: the sub-network of a step, a pure function: the loader asks ahead.
            rates_of: whose drop-path rates hold, whatever is drawn.
            drawn: whether `trained` may say another one each step.
            estimation: whether a search is still to come that the estimation EMA is for.

        Raises:
            RunFailedError: a loss is not finite.
            Interrupted, StoppedEarly: a hook said so.
        """
        run, state, elastic, recipe = self._run, self._run.state, self._run.elastic, self._run.spec.recipe
        world = run.world
        strength = run.strength
        elastic.train()
        elastic.drop_path_rate = recipe.drop_path * strength.drop_path
        batches = run.data.train_batches(
            run.spec.seed,
            state.step,
            stop,
            recipe.batch_size,
            lambda step: elastic.patching.image_side(trained(step)),
            strength,
            world.part,
        )
        run.step.begin(drawn=drawn)
        if self._owes_epoch_end():
            elastic.activate(trained(state.step - 1), rates_of=rates_of)
            self._finish_step()
        running: SubNetwork | None = None
        while state.step < stop:
            began = time.perf_counter()
            images, labels = next(batches)
            waited = time.perf_counter() - began
            stopped, self._save_is_due = world.any_of(self._hooks.should_stop(), run.save_is_due())
            if stopped:
                self._save()
                world.together()  # whoever ends first has torchrun end the others
                raise Interrupted
            sub_network = trained(state.step)
            if sub_network != running:
                elastic.activate(sub_network, rates_of=rates_of)
                running = sub_network
            self._step(images, labels, estimation)
            state.count(time.perf_counter() - began, waited, run.step_flops(sub_network))
            self._hooks.after_step(run)
            if self._finish_step():
                running = None  # it may have evaluated as another
        self._look_at_losses()  # one that diverged fails here, not in what comes next

    def _step(self, images: torch.Tensor, labels: torch.Tensor, estimation: bool) -> None:
        run, state = self._run, self._run.state
        self._hooks.before_step(run)
        self._losses.append(run.step(images, labels, state.step, derive(run.spec.seed, "step", state.step)))
        state.steps[run.elastic.sub_network] = state.steps.get(run.elastic.sub_network, 0) + 1
        state.step += 1
        run.session.steps += 1
        run.networks.fade_in(state.previous, state.part, state.step)
        run.networks.update(state.step, estimation=estimation)

    def _finish_step(self) -> bool:
        """Do what is due after a step; whether an epoch has ended with it."""
        run, state = self._run, self._run.state
        epoch_ends = self._at_epoch_end
        if epoch_ends:
            try:
                self._end_epoch()
            except Interrupted:  # the run goes on with all of the evaluation
                run.save()
                raise
            # Before any checkpoint of this epoch: a run that is resumed is asked again.
            if state.step < run.ends[-1] and run.world.decided(lambda: self._hooks.stops(state.curve)):
                state.wall_seconds = run.session.wall_seconds
                raise StoppedEarly
        elif state.step % CHECK_LOSS_EVERY == 0:
            self._look_at_losses()
        if self._save_is_due:
            self._save()
        if run.session.steps and run.session.tell_is_due(anyway=epoch_ends):  # by no step it has no pace
            self._hooks.on_progress(progress_of(run))
        return epoch_ends

    @property
    def _at_epoch_end(self) -> bool:
        """Whether an epoch, or the run, ends with the steps taken so far."""
        step = self._run.state.step
        return step % self._run.epoch_steps == 0 or step == self._run.ends[-1]

    def _owes_epoch_end(self) -> bool:
        """Whether the run was stopped while an epoch's end was being evaluated."""
        run, state = self._run, self._run.state
        told = state.curve[-1]["epoch"] if state.curve else 0.0
        return self._at_epoch_end and told < state.step / run.epoch_steps

    def _end_epoch(self) -> None:
        self._look_at_losses()
        run, state, ran = self._run, self._run.state, self._run.elastic.sub_network
        run.reported.activate(ran)
        try:
            val = run.evaluate("val")
        finally:
            run.reported.activate(run.standing)
        state.curve.append(
            {
                "epoch": state.step / run.epoch_steps,
                "stage": state.stage,
                "depth": ran.depth,
                "patches": ran.patches,
                "lr": run.step.optimizer.param_groups[0]["lr"],
                "train_loss": state.loss_sum / state.loss_count,
                "val_loss": val.loss,
                "val_top1": val.top1,
                "flops": run.train_flops() + state.search_flops,
            }
        )
        state.loss_sum, state.loss_count = 0.0, 0
        self._hooks.on_epoch(run)

    def _save(self) -> None:
        self._look_at_losses()
        self._run.save()

    def _look_at_losses(self) -> None:
        """Add the losses since the last look to the epoch's sum.

        Raises:
            RunFailedError: one of them is not finite.
        """
        if not self._losses:
            return
        run, state = self._run, self._run.state
        losses = run.world.mean(torch.stack(self._losses).double())
        if not bool(losses.isfinite().all()):
            first = int(losses.isfinite().logical_not().nonzero()[0]) + state.step - len(losses)
            raise RunFailedError(
                f"loss: not finite at step {first + 1} of {run.ends[-1]} (stage {state.stage}, "
                f"{run.elastic.sub_network}); a lower recipe.lr than {run.spec.recipe.lr:g} may help"
            )
        # One after the other, so that where a checkpoint falls does not change the sum's last bit.
        told = losses.tolist()
        for loss in told:
            state.follow(loss, run.level_steps)
        self._losses = []
        self._hooks.on_losses(run, told)


def progress_of(run: Run) -> Progress:
    """Where a run stands, by this session's pace."""
    state, elapsed, done = run.state, run.session.seconds, run.session.steps
    last: Mapping[str, Any] = state.curve[-1] if state.curve else {}
    return Progress(
        step=state.step,
        steps=run.ends[-1],
        epoch=state.step / run.epoch_steps,
        epochs=run.ends[-1] / run.epoch_steps,
        flops=run.train_flops() + state.search_flops,
        stage=state.stage,
        stages=None if run.spec.space.clock == "free" else len(run.ends),
        phase=state.phase,
        sub_network=run.elastic.sub_network,
        loss=last.get("train_loss"),
        val_top1=last.get("val_top1"),
        images_per_second=done * run.spec.recipe.batch_size / elapsed,
        seconds_left=elapsed / done * (run.ends[-1] - state.step),
    )
