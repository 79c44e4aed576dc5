"""What a run is: its spec, where it stands, its networks and its optimiser; and its checkpoint.

Killed anywhere, it goes on from its last checkpoint and, on the CPU, ends with the same bits.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from autoprog_search.data.data_set import Data
from autoprog_search.data.strength import FULL, Strength, strength_at
from autoprog_search.errors import ConfigError
from autoprog_search.faults import environment_error
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.interrupt import until_asked
from autoprog_search.oneshot.estimate import supernet_of
from autoprog_search.randomness import derive
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import TICKS
from autoprog_search.training.checkpoint import (
    check_identity,
    identity_of,
    readable_checkpoints,
    save_checkpoint,
    set_aside,
    state_bytes,
)
from autoprog_search.training.compilation import eagerly
from autoprog_search.training.evaluate import Metrics, evaluate
from autoprog_search.training.networks import Networks
from autoprog_search.training.optim import autocast
from autoprog_search.training.session import Session
from autoprog_search.training.spec import RunSpec
from autoprog_search.training.state import RunResult, RunState
from autoprog_search.training.step import TrainingStep
from autoprog_search.training.world import ALONE, World

T = TypeVar("T")
LEVEL_STEPS = (16, 128)
"""At least, so that noise hardly moves their mean; and at most."""
FITTED_IMAGES = 512
"""That an embedding of smaller patches is fitted to: many patches each, and a patch has some hundred pixels."""


class Run:
    """One run, from its checkpoint if there is one.

    Args:
        spec: what to train.
        data: on `device`.
        checkpoint: file to keep the run's state in; None: none is kept. Of several processes rank 0 keeps it, and the
            others begin where it stands: a checkpoint knows no number of processes.
        world: the processes that train the run together.
        before_save: called before a checkpoint is written; raises where the run is another process's by now.
        after_save: called when it is written.

    Attributes:
        ends: optimiser steps at which the parts of the run end.
        epoch_steps: optimiser steps of an epoch.
        state: where it stands.
        networks: the one that trains, and its EMAs.
        step: takes an optimiser step of the one that trains.
        cost: FLOPs of the sub-networks.
        session: what this process does of it.
        should_stop: whether to leave what it is evaluating; whoever trains it says so.

    Raises:
        ConfigError: the checkpoint is of another run.
    """

    def __init__(
        self,
        spec: RunSpec,
        data: Data,
        *,
        device: torch.device,
        checkpoint: Path | None = None,
        world: World = ALONE,
        before_save: Callable[[], None] = lambda: None,
        after_save: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec, self.data, self.device, self.world = spec, data, device, world
        self._before_save, self._after_save = before_save, after_save
        self.checkpoint = checkpoint if world.first else None
        self.ends = tuple(accumulate(spec.part_steps))
        self.epoch_steps = data.train_size // spec.recipe.batch_size
        self.networks, self.step = self._fresh()
        self.state = RunState()
        self.cost = self.elastic.cost  # measured here: measuring runs the model as other sub-networks
        self._identity = identity_of(spec, data) if self.checkpoint is not None else {}
        if self.checkpoint is not None:
            self._restore(self.checkpoint)
        self._follow()
        self.session = Session(self.state.wall_seconds)
        self.should_stop: Callable[[], bool] = lambda: False

    @property
    def elastic(self) -> ElasticModel:
        """The model that trains."""
        return self.networks.online

    @property
    def reported(self) -> ElasticModel:
        """The network whose weights are evaluated and exported."""
        return self.networks.momentum if self.spec.recipe.eval_weights == "ema" else self.elastic

    @property
    def candidates(self) -> tuple[SubNetwork, ...]:
        """Lambda_k of the stage that is open."""
        return self.spec.candidates(self.state.stage, self.state.previous)

    @property
    def begin(self) -> int:
        """The step that the open stage began with."""
        return self.ends[self.state.part - 1] if self.state.part else 0

    @property
    def in_last_part(self) -> bool:
        """Whether the open stage began with the last part of the run, which always trains the full network."""
        return self.state.part == len(self.ends) - 1

    @property
    def level_steps(self) -> int:
        """Steps of which the level of the training loss before a growth is the mean: a tick's, within bounds."""
        return min(max(self.spec.steps // TICKS, LEVEL_STEPS[0]), LEVEL_STEPS[1])

    @cached_property
    def rates(self) -> tuple[float, ...]:
        """Learning rates at the beginnings of the run's parts."""
        return tuple(map(self.step.rate_at, (0, *self.ends[:-1])))

    @property
    def standing(self) -> SubNetwork:
        """What the networks run as between two steps: the supernet while it is searched, else what was chosen."""
        return supernet_of(self.candidates) if self.state.phase == "search" else self.state.stages[-1].chosen

    @property
    def strength(self) -> Strength:
        """Of the stage's regularisation: the schedule's own, or AdaReg's.

        A run that starts at full size does not grow: there is nothing to adapt to.
        """
        spec, state = self.spec, self.state
        if spec.augment:
            return Strength(augment=spec.augment[state.part])
        if state.stages and state.stages[0].chosen == self.elastic.full:
            return FULL
        return strength_at(spec.growth.adareg, state.part, len(self.ends))

    def grow(self, to: SubNetwork) -> None:
        """Grow from the stage before's sub-network; note what that did to the validation accuracy."""
        state = self.state
        # Section 3: the first stage starts from the full model's fresh initialisation.
        if state.stage == 1:
            self.networks.activate(to)
            state.growth_top1.append(None)
            return
        before = self.evaluate("val").top1 if to != self.elastic.sub_network else None
        torch.manual_seed(derive(self.spec.seed, "grow", state.stage))  # for operators that draw
        self.networks.grow(to, self.step.optimizer, self.some_images)
        state.growth_top1.append(None if before is None else (before, self.evaluate("val").top1))

    def some_images(self) -> torch.Tensor:
        """Some of the training images, the same in every process, to fit an embedding to."""
        seed = derive(self.spec.seed, "patches")
        return torch.cat([images for images, _ in self.data.train_subset(FITTED_IMAGES, seed, FITTED_IMAGES)])

    def evaluate(self, split: Literal["val", "test"], network: ElasticModel | None = None) -> Metrics:
        """As the sub-network that runs; of the weights that are reported, unless told otherwise.

        Raises:
            Interrupted: `should_stop` said so, and the run stands where it did.
        """
        network, recipe, world = network or self.reported, self.spec.recipe, self.world
        batches = self.data.eval_batches(split, world.share(2 * recipe.batch_size), network.resolution, world.part)
        with eagerly(recipe), autocast(recipe, self.device):
            return evaluate(network, self.until_asked(batches), world)

    def until_asked(self, batches: Iterable[T]) -> Iterable[T]:
        """What is evaluated, as long as `should_stop` allows; several processes look at all, for they end together."""
        return until_asked(batches, self.should_stop) if self.world.size == 1 else batches

    def train_flops(self) -> int:
        """FLOPs of the training steps taken so far, the teacher's included."""
        return sum(count * self.step_flops(s) for s, count in self.state.steps.items())

    def step_flops(self, sub_network: SubNetwork) -> int:
        """FLOPs of a training step, the teacher's included."""
        batch_size = self.spec.recipe.batch_size
        return self.cost.step_flops(sub_network, batch_size) + batch_size * self.step.teacher_flops

    def result(self) -> RunResult:
        """What it is now, at its end."""
        network, ema = self.reported, self.networks.momentum
        val, test = self.evaluate("val"), self.evaluate("test")
        test_ema = test if network is ema else self.evaluate("test", ema)
        self.state.wall_seconds = self.session.wall_seconds
        flops, of_a_step = self.train_flops(), self.step_flops(self.elastic.full)
        return RunResult(self.state, val, test, test_ema, flops, of_a_step, network.model.state_dict())

    # ── checkpoint ──────────────────────────────────────────────────────────────────────────────────────────────

    def save_is_due(self) -> bool:
        """Whether a checkpoint is kept here, and the last one is old."""
        return self.checkpoint is not None and self.session.save_is_due()

    def save(self) -> None:
        """Write the checkpoint, if one is kept here."""
        if self.checkpoint is None:
            return
        began = time.perf_counter()
        self._before_save()
        self.state.wall_seconds = self.session.wall_seconds
        save_checkpoint(self.checkpoint, {**self._identity, **self._stands()})
        self._after_save()
        self.session.saved(began)

    def _stands(self) -> dict[str, Any]:
        """Where it stands, as plain values and tensors."""
        optimizer = self.step.optimizer.state_dict()
        return {"state": self.state.to_dict(), **self.networks.to_dict(), "optimizer": optimizer}

    def _follow(self) -> None:
        """Stand where rank 0 does, which alone reads a checkpoint: other machines may not have that disk."""
        if self.world.size == 1:
            return
        stands = self.world.decided(lambda: bytes(state_bytes(self._stands())))
        if not self.world.first:
            self._load(torch.load(io.BytesIO(stands), map_location="cpu", weights_only=True))

    def _restore(self, checkpoint: Path) -> None:
        """Go on from the newest checkpoint that is whole, if there is one."""
        for path, saved in readable_checkpoints(checkpoint):
            try:
                check_identity(path, saved, self._identity)
                self._load(saved)
                self.state.check(self.spec.part_steps, self.epoch_steps)
                return
            except Exception as error:  # torch's and our own, where a value is of another kind or missing
                if isinstance(error, ConfigError) or environment_error(error) is not None:
                    raise
                set_aside(path, f"{type(error).__name__}: {error}")
                self.networks, self.step = self._fresh()
                self.state = RunState()

    def _load(self, saved: Mapping[str, Any]) -> None:
        self.state = RunState.from_dict(saved["state"])
        self.networks.load(saved)
        self.step.optimizer.load_state_dict(saved["optimizer"])
        if self.state.stages or self.state.phase != "open":
            self.networks.activate(self.standing)
        if self.state.phase != "open":  # then the stage's blocks have yet to be grown
            self.networks.fade_in(self.state.previous, self.state.part, self.state.step)

    def _fresh(self) -> tuple[Networks, TrainingStep]:
        """Networks and optimiser as they are before the first step."""
        spec, data = self.spec, self.data
        recipe, growth, space = spec.recipe, spec.growth, spec.space
        torch.manual_seed(derive(spec.seed, "weights"))
        space = space.model_copy(update={"depths": tuple(sorted({*space.depths, *spec.extra_depths}))})
        elastic = ElasticModel.from_space(
            space,
            num_classes=data.num_classes,
            in_chans=data.in_chans,
            operator=growth.operator,
            chain=growth.blocks.chain,
            patch_operator=growth.blocks.patch_operator,
            drop_path_rate=recipe.drop_path,
            checkpoint=recipe.init_checkpoint,
        ).to(self.device)
        elastic.antialias = data.antialias
        step = TrainingStep(
            recipe,
            elastic,
            data.normalisation,
            steps=spec.steps,
            num_classes=data.num_classes,
            device=self.device,
            world=self.world,
        )
        return Networks(elastic, growth, spec.part_steps), step
