"""The staged loop: train one elastic model through K stages, asking a method at each boundary (DESIGN §3, §5).

A run is a small state machine, `open -> search -> train -> open of the next stage`, whose whole state is one
checkpoint: killed anywhere, it goes on from the last one and, on the CPU, ends with the same bits.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from autoprog_search.choosing import Choice, Method, StageContext
from autoprog_search.data.load import Data
from autoprog_search.data.strength import FULL, Strength, strength_at
from autoprog_search.errors import ConfigError, RunFailedError
from autoprog_search.faults import environment_error
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.growth.operators import check_operators, operator_named
from autoprog_search.interrupt import Interrupted, StoppedEarly
from autoprog_search.oneshot import estimate as oneshot
from autoprog_search.oneshot.candidates import reachable
from autoprog_search.randomness import derive
from autoprog_search.schedule import SubNetwork
from autoprog_search.training.checkpoint import readable_checkpoints, save_checkpoint, set_aside
from autoprog_search.training.ease_in import EaseIn
from autoprog_search.training.evaluate import Metrics, evaluate
from autoprog_search.training.identity import check_identity, identity_of
from autoprog_search.training.networks import Networks
from autoprog_search.training.optim import scale_rates
from autoprog_search.training.profile import StepProfile
from autoprog_search.training.search import Search
from autoprog_search.training.session import Session
from autoprog_search.training.spec import RunSpec
from autoprog_search.training.state import Progress, RunResult, RunState, StageRecord
from autoprog_search.training.step import TrainingStep

CHECK_LOSS_EVERY = 20  # steps between looks at the loss: each waits for the device


class Trainer:
    """One run, from its checkpoint if there is one.

    Args:
        spec: what to train.
        data: on `device`.
        method: asked for the sub-network of each stage but the last.
        checkpoint: file to keep the run's state in; None: none is kept.
        profile: seconds of a training step per sub-network; needed where `growth.score_cost` is `seconds`.
        on_progress: called after steps, a few times a second at most.
        should_stop: asked before every step; once true, the run writes its checkpoint and raises `Interrupted`.
    """

    def __init__(
        self,
        spec: RunSpec,
        data: Data,
        method: Method,
        *,
        device: torch.device,
        checkpoint: Path | None = None,
        profile: StepProfile | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.spec, self.data, self.method, self.device = spec, data, method, device
        self._checkpoint, self._on_progress, self._should_stop = checkpoint, on_progress, should_stop
        self._stops: Callable[[list[dict[str, Any]]], bool] = lambda curve: False
        self._ends = np.cumsum(spec.stage_steps).tolist()
        self._total = self._ends[-1]
        self._epoch_steps = data.train_size // spec.recipe.batch_size
        self._ease_in = EaseIn(spec.stage_steps, spec.growth.ease_in_share)
        check_operators(spec.growth.operators, spec.growth.chain)
        self._begin_anew()
        self._cost = self.elastic.cost  # measured here: measuring runs the model as other sub-networks
        self._search = Search(spec, self._cost, data, method, device=device, profile=profile)
        self._identity = identity_of(spec, data) if checkpoint is not None else {}
        self._restore()

    def _begin_anew(self) -> None:
        """Networks, optimiser and state as they are before the first step."""
        spec, data, device = self.spec, self.data, self.device
        recipe, growth, space = spec.recipe, spec.growth, spec.space
        torch.manual_seed(derive(spec.seed, "weights"))
        space = space.model_copy(update={"depths": tuple(sorted({*space.depths, *spec.extra_depths}))})
        self.elastic = ElasticModel.from_space(
            space,
            num_classes=data.num_classes,
            in_chans=data.in_chans,
            operator=growth.operator,
            chain=growth.chain,
            drop_path_rate=recipe.drop_path,
            checkpoint=recipe.init_checkpoint,
        ).to(device)
        self.elastic.antialias = data.antialias
        self._step = TrainingStep(
            recipe,
            self.elastic,
            data.normalisation,
            steps=self._total,
            num_classes=data.num_classes,
            in_chans=data.in_chans,
            device=device,
            rates_by_block=growth.optimizer_state == "rewarm",
        )
        self.networks = Networks(self.elastic, growth, self._total)
        self.state = RunState()
        # Of a search that tries several operators: the run before it grew, and at the end of each one's part so far.
        self._before: dict[str, Any] | None = None
        self._tried: list[dict[str, Any]] = []
        self._loss_parts: list[torch.Tensor] = []

    # ── the state machine ───────────────────────────────────────────────────────────────────────────────────────

    def run(self, stops: Callable[[list[dict[str, Any]]], bool] = lambda curve: False) -> RunResult:
        """Train to the end.

        Args:
            stops: asked after every epoch but the last, given the curve so far, whether the run is to end there.

        Raises:
            RunFailedError: the loss is not finite.
            Interrupted: `should_stop` said so; a later run with the same checkpoint goes on.
            StoppedEarly: `stops` said so; `state` and `train_flops` say what was spent.
        """
        self.run_stages(len(self._ends), stops)
        return self._result()

    def run_stages(self, last: int, stops: Callable[[list[dict[str, Any]]], bool] = lambda curve: False) -> None:
        """Train to the end of that stage; the checkpoint then stands there, and any run may go on from a copy of it."""
        self._stops = stops
        self._session = Session(self.state.wall_seconds)
        while self.state.stage <= last:
            if self.state.phase == "open":
                self._open_stage()
            elif self.state.phase == "search":
                self._search_stage()
            else:
                self._train_stage()

    def _open_stage(self) -> None:
        state, previous = self.state, self._previous()
        searches = self._may_search(state.stage)
        allowed = self._candidates() if searches else reachable(self.spec.space, previous)
        operators = self._search.operators(allowed, previous)
        if searches and len(allowed) * len(operators) > 1:
            self._search.begin(state, self.networks.judged, allowed, previous)
            if len(operators) > 1:
                self._before = self._snapshot()
            self._open_search(allowed)
            return
        self._enter(self._choose(allowed, None))

    def _may_search(self, stage: int) -> bool:
        """The last stage trains the full network: all that a search can choose is by which operator it is grown."""
        last = stage == len(self._ends)
        return self.method.needs_estimates(stage) and (not last or bool(self.spec.growth.other_operators))

    def _choose(self, allowed: tuple[SubNetwork, ...], record: StageRecord | None) -> Choice:
        if self.state.stage == len(self._ends):
            return Choice(self.elastic.full)
        return self.method.choose(self._context(allowed, record))

    def _open_search(self, lambda_k: tuple[SubNetwork, ...]) -> None:
        self._grow(oneshot.supernet_of(lambda_k), self.spec.growth.operators[len(self._tried)])
        self.state.phase = "search"
        self._save()

    def _search_stage(self) -> None:
        """Train the supernet, one drawn candidate a step; evaluate all at several points; ask the method.

        Where several operators are tried, once for each, from the same weights on the same images.
        """
        state, lambda_k = self.state, self._candidates()
        begin, supernet = self._stage_begin(), oneshot.supernet_of(lambda_k)
        drawn = self._search.drawn(state.stage, lambda_k, begin)
        for point in self._search.points(state.stage, lambda_k)[state.search_points :]:
            self._train_steps(begin + point, drawn, supernet)
            self.elastic.activate(supernet)
            self._estimate(lambda_k)
        if self._before is not None:
            self._tried.append(self._snapshot())
            if len(self._tried) < len(self.spec.growth.operators):
                self._go_back(self._before)
                self._open_search(lambda_k)
                return
        tried = [RunState.from_dict(snapshot["state"]) for snapshot in self._tried]
        record = self._search.record(tried or [state], lambda_k)
        choice = self._choose(lambda_k, record)
        if self._before is not None:
            operator = record.operators[lambda_k.index(choice.sub_network)]
            self._go_back(self._tried[self.spec.growth.operators.index(operator)])
            self._before, self._tried, state = None, [], self.state
        state.search, state.search_points, state.search_means = None, 0, []
        self._enter(choice, record)

    def _estimate(self, lambda_k: tuple[SubNetwork, ...]) -> None:
        self._gather_loss()  # a supernet that diverged fails here, not in the score
        self._search.estimate(self.state, self.networks.judged, lambda_k)
        self._save()

    def _enter(self, choice: Choice, record: StageRecord | None = None) -> None:
        """Train the chosen sub-network from here on: grown into, or recycled from the supernet."""
        state, chosen = self.state, choice.sub_network
        if record is not None:  # recycling: weights, EMAs and optimiser state are the supernet's; nothing is grown
            assert chosen in record.candidates, "a method chose what was no candidate"
            self.networks.activate(chosen)
        else:
            self._grow(chosen)
        record = record or StageRecord(chosen)
        record.chosen, record.w, record.margin = chosen, choice.w, choice.margin
        state.stages.append(record)
        state.phase = "train"
        self._save()

    def _train_stage(self) -> None:
        chosen = self.elastic.sub_network
        self._train_steps(self._ends[self.state.stage - 1], lambda step: chosen, chosen)
        self.state.stage += 1
        self.state.phase = "open"
        self._save()

    # ── growing and choosing ────────────────────────────────────────────────────────────────────────────────────

    def _candidates(self) -> tuple[SubNetwork, ...]:
        return self._search.candidates(self.state.stage, self._previous())

    def _previous(self) -> SubNetwork | None:
        stages = self.state.stages[: self.state.stage - 1]
        return stages[-1].chosen if stages else None

    def _context(self, allowed: tuple[SubNetwork, ...], record: StageRecord | None) -> StageContext:
        return StageContext(
            stage=self.state.stage,
            candidates=allowed,
            previous=self._previous(),
            estimates=record.estimates if record else None,
            history=tuple(r.estimates for r in self.state.stages if r.candidates),
            depths=self.spec.space.depths,
            patches=self.spec.space.patches,
            ends=self._run_ends(allowed) if self.spec.growth.target_speedup is not None else None,
        )

    def _run_ends(self, allowed: tuple[SubNetwork, ...]) -> tuple[tuple[float, ...], ...]:
        """What the run may have cost at its end with each of these, as shares of the full run's."""
        state = self.state
        spent, left = self.train_flops() + state.search_flops, self._ends[state.stage - 1] - state.step
        return tuple(self._search.outlook.ends(spent, state.stage, left, chosen) for chosen in allowed)

    def _grow(self, to: SubNetwork, operator: str | None = None) -> None:
        """Grow from the stage before's sub-network; note what that did to the validation accuracy.

        Args:
            operator: default: the run's own.
        """
        # Section 3: the first stage starts from the full model's fresh initialisation.
        if self.state.stage == 1:
            self.networks.activate(to)
            self.state.growth_top1.append(None)
            return
        self.networks.activate(self.elastic.sub_network)  # on random paths another may have run last
        grows = to != self.elastic.sub_network
        before = self._evaluate("val").top1 if grows else None
        if self.spec.growth.path == "random":  # all blocks train all along: none is new
            self.networks.activate(to)
        else:
            self.state.operator = operator or self.spec.growth.operator
            torch.manual_seed(derive(self.spec.seed, "grow", self.state.stage))  # for operators that draw
            self.networks.grow(to, self.state.operator, self._step.optimizer)
        self.state.growth_top1.append(None if before is None else (before, self._evaluate("val").top1))

    def _fade(self) -> None:
        """Let the stage's new blocks count as far as they have faded in by now, in the EMAs too."""
        if self.state.operator and operator_named(self.state.operator).fades and (new := self._new_blocks()):
            self.networks.fade(new, self._ease_in.done(self.state.stage, self.state.step))

    def _rewarm(self) -> None:
        """Let the stage's new blocks train at the learning rate that they have warmed up to at this step."""
        if self.spec.growth.optimizer_state == "rewarm":
            share = self._ease_in.done(self.state.stage, self.state.step + 1)  # above 0 at the first
            scale_rates(self._step.optimizer, self._new_blocks(), share)

    def _new_blocks(self) -> set[int]:
        """All that did not run in the stage before; none at stage 1, where nothing grows, nor on random paths."""
        previous, chain = self._previous(), self.elastic.chain
        if previous is None or self.spec.growth.path == "random":
            return set()
        return set(chain[self.elastic.full.depth]) - set(chain[previous.depth])

    # ── optimiser steps ─────────────────────────────────────────────────────────────────────────────────────────

    def _stage_begin(self) -> int:
        return self._ends[self.state.stage - 1] - self.spec.stage_steps[self.state.stage - 1]

    def _train_steps(self, stop: int, trained: Callable[[int], SubNetwork], rates_of: SubNetwork) -> None:
        """Take optimiser steps up to `stop`.

        Args:
            trained: the sub-network of a step, a pure function: the loader asks ahead.
            rates_of: whose drop-path rates hold, whatever is drawn.
        """
        state, recipe, strength = self.state, self.spec.recipe, self._strength()
        self.elastic.train()
        self.elastic.drop_path_rate = recipe.drop_path * strength.drop_path
        first = state.stage if state.phase == "search" else state.stage + 1
        self._search_ahead = any(map(self._may_search, range(first, len(self._ends) + 1)))
        batches = self.data.train_batches(
            self.spec.seed,
            state.step,
            stop,
            recipe.batch_size,
            lambda step: trained(step).resolution(self.elastic.patch_size),
            strength,
        )
        running: SubNetwork | None = None
        while state.step < stop:
            began = time.perf_counter()
            images, labels = next(batches)
            waited = time.perf_counter() - began
            if self._should_stop():
                self._save()
                raise Interrupted
            sub_network = trained(state.step)
            if self.spec.growth.path == "random":
                path = self.elastic.random_path(sub_network.depth, derive(self.spec.seed, "path", state.step))
                self.elastic.activate(sub_network, path=path)
            elif sub_network != running:
                self.elastic.activate(sub_network, rates_of=rates_of)
                running = sub_network
            self._rewarm()
            self._loss_parts.append(self._step(images, labels, state.step, derive(self.spec.seed, "step", state.step)))
            state.steps[sub_network] = state.steps.get(sub_network, 0) + 1
            state.step += 1
            self._session.steps += 1
            self._fade()
            self.networks.update(state.step, estimation=self._search_ahead)
            state.count_seconds(time.perf_counter() - began, waited)
            epoch_ends = state.step % self._epoch_steps == 0 or state.step == self._total
            if epoch_ends:
                self._end_epoch()
                running = None  # it may have evaluated as another
                # Before any checkpoint of this epoch: a run that is resumed is asked again.
                if state.step < self._total and self._stops(state.curve):
                    state.wall_seconds = self._session.wall_seconds
                    raise StoppedEarly
            elif state.step % CHECK_LOSS_EVERY == 0:
                self._gather_loss()
            if self._session.save_is_due():
                self._save()
            if self._session.tell_is_due(anyway=epoch_ends):
                self._on_progress(self._progress())

    def _strength(self) -> Strength:
        """The schedule's own, or AdaReg's for this stage.

        A run that starts at full size does not grow: there is nothing to adapt to.
        """
        state = self.state
        if self.spec.augment:
            return Strength(augment=self.spec.augment[state.stage - 1])
        if state.stages and state.stages[0].chosen == self.elastic.full:
            return FULL
        return strength_at(self.spec.growth.adareg, state.stage, len(self._ends))

    def _gather_loss(self) -> None:
        """Add the losses since the last look to the epoch's sum.

        Raises:
            RunFailedError: one of them is not finite.
        """
        if not self._loss_parts:
            return
        losses = torch.stack(self._loss_parts).double()
        if not bool(losses.isfinite().all()):
            first = int(losses.isfinite().logical_not().nonzero()[0]) + self.state.step - len(losses)
            raise RunFailedError(
                f"loss: not finite at step {first + 1} of {self._total} (stage {self.state.stage}, "
                f"{self.elastic.sub_network}); a lower recipe.lr than {self.spec.recipe.lr:g} may help"
            )
        # One after the other, so that where a checkpoint falls does not change the sum's last bit.
        for loss in losses.tolist():
            self.state.loss_sum += loss
        self.state.loss_count += len(losses)
        self._loss_parts = []

    def _end_epoch(self) -> None:
        self._gather_loss()
        state, ran = self.state, self.elastic.sub_network
        network = self._reported()
        network.activate(ran)
        val = self._evaluate("val")
        if state.phase == "search":
            network.activate(oneshot.supernet_of(self._candidates()))
        state.curve.append(
            {
                "epoch": state.step / self._epoch_steps,
                "stage": state.stage,
                "depth": ran.depth,
                "patches": ran.patches,
                "lr": self._step.optimizer.param_groups[0]["lr"],
                "train_loss": state.loss_sum / state.loss_count,
                "val_loss": val.loss,
                "val_top1": val.top1,
                "flops": self.train_flops() + state.search_flops,
            }
        )
        state.loss_sum, state.loss_count = 0.0, 0

    def _reported(self) -> ElasticModel:
        return self.networks.momentum if self.spec.recipe.eval_weights == "ema" else self.elastic

    def _evaluate(self, split: Literal["val", "test"], network: ElasticModel | None = None) -> Metrics:
        """As the sub-network that runs; of the weights that are reported, unless told otherwise."""
        network = network or self._reported()
        return evaluate(network, self.data.eval_batches(split, 2 * self.spec.recipe.batch_size, network.resolution))

    # ── result, progress, checkpoint ────────────────────────────────────────────────────────────────────────────

    def train_flops(self) -> int:
        """FLOPs of the training steps taken so far, the teacher's included."""
        teacher = self.state.step * self.spec.recipe.batch_size * self._step.teacher_flops
        return self._cost.steps_flops(self.state.steps, self.spec.recipe.batch_size) + teacher

    def full_step_flops(self) -> int:
        """FLOPs of a training step of the full network, the teacher's included."""
        batch_size = self.spec.recipe.batch_size
        return self._cost.step_flops(self.elastic.full, batch_size) + batch_size * self._step.teacher_flops

    def _result(self) -> RunResult:
        network, ema = self._reported(), self.networks.momentum
        val, test = self._evaluate("val"), self._evaluate("test")
        test_ema = test if network is ema else self._evaluate("test", ema)
        self.state.wall_seconds = self._session.wall_seconds
        return RunResult(
            self.state, val, test, test_ema, self.train_flops(), self.full_step_flops(), network.model.state_dict()
        )

    def _progress(self) -> Progress:
        state, elapsed, done = self.state, self._session.seconds, self._session.steps
        last: Mapping[str, Any] = state.curve[-1] if state.curve else {}
        return Progress(
            step=state.step,
            steps=self._total,
            stage=state.stage,
            stages=len(self._ends),
            phase=state.phase,
            sub_network=self.elastic.sub_network,
            loss=last.get("train_loss"),
            val_top1=last.get("val_top1"),
            images_per_second=done * self.spec.recipe.batch_size / elapsed,
            seconds_left=elapsed / done * (self._total - state.step),
        )

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        began = time.perf_counter()
        self._gather_loss()
        self.state.wall_seconds = self._session.wall_seconds
        stands = {**self._stands(), "before": self._before, "tried": self._tried}
        save_checkpoint(self._checkpoint, {**self._identity, **stands})
        self._session.saved(began)

    def _restore(self) -> None:
        """Go on from the newest checkpoint that is whole, if there is one.

        Raises:
            ConfigError: it is of another run.
        """
        if self._checkpoint is None:
            return
        for path, saved in readable_checkpoints(self._checkpoint, self.device):
            try:
                check_identity(path, saved, self._identity)
                self._load(saved)
                self._before, self._tried = saved["before"], saved["tried"]
                self.state.check(self.spec.stage_steps, self._epoch_steps)
                return
            except Exception as error:  # torch's and our own, where a value is of another kind or missing
                if isinstance(error, ConfigError) or environment_error(error) is not None:
                    raise
                set_aside(path, f"{type(error).__name__}: {error}")
                self._begin_anew()

    def _stands(self) -> dict[str, Any]:
        """How the run stands now, as a checkpoint holds it; it changes as the run goes on."""
        weights, optimizer = self.networks.to_dict(), self._step.optimizer.state_dict()
        return {"state": self.state.to_dict(), **weights, "optimizer": optimizer}

    def _snapshot(self) -> dict[str, Any]:
        """How the run stands now, to go back to."""
        return copy.deepcopy(self._stands())

    def _go_back(self, snapshot: dict[str, Any]) -> None:
        """Put the whole run back to where it stood then; what it has spent since counts as search."""
        flops, seconds = self._spent()
        self._load(copy.deepcopy(snapshot))
        flops_then, seconds_then = self._spent()
        self.state.search_flops += flops - flops_then
        self.state.search_seconds += seconds - seconds_then

    def _spent(self) -> tuple[int, float]:
        """FLOPs and seconds of training and search."""
        state = self.state
        return self.train_flops() + state.search_flops, sum(state.stage_seconds) + state.search_seconds

    def _load(self, saved: Mapping[str, Any]) -> None:
        self.state = RunState.from_dict(saved["state"])
        self.networks.load(saved)
        self._step.optimizer.load_state_dict(saved["optimizer"])
        if self.state.phase == "search":  # the step draws its own candidate; EMAs stand at the supernet
            self.networks.activate(oneshot.supernet_of(self._candidates()))
        else:
            self.networks.activate(self.state.stages[-1].chosen)
        self.networks.fade((), 1.0)  # what faded in before, by another operator, does not now
        if self.state.phase != "open":  # then the stage's blocks have yet to be grown
            self._fade()
