"""Seconds of a training step, per sub-network, from one interleaved profile.

A busy machine distorts a single run's clock; here every sub-network takes a step in turn, so a noisy neighbour slows
all alike, and the median of the rounds is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Any

import torch

from autoprog_search.data.data_set import Data
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.interrupt import Interrupted
from autoprog_search.patching import PatchesBy
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.recipe import Recipe
from autoprog_search.space import GrowthSpace
from autoprog_search.training.device import device_name
from autoprog_search.training.optim import build_ema
from autoprog_search.training.replay import EAGER_STEPS
from autoprog_search.training.step import TrainingStep
from autoprog_search.training.world import ALONE, World

ROUNDS = 5
BUDGET_SECONDS = 60.0  # after two rounds, no further one is begun past this


@dataclass(frozen=True)
class StepProfile:
    """Median seconds of a training step per sub-network, on one device; what the profile itself cost."""

    device: str
    seconds: dict[SubNetwork, float]
    flops: int
    profile_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        rows = [[s.depth, s.patches, seconds] for s, seconds in self.seconds.items()]
        return {"device": self.device, "seconds": rows, "flops": self.flops, "profile_seconds": self.profile_seconds}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StepProfile:
        """What `to_dict` wrote.

        Raises:
            ValueError: a time is none.
        """
        seconds = {SubNetwork(depth, patches): s for depth, patches, s in data["seconds"]}
        if not all(isinstance(s, float) and 0 < s < inf for s in (*seconds.values(), data["profile_seconds"] or 1.0)):
            raise ValueError("a time that is no number of seconds")
        return cls(str(data["device"]), seconds, int(data["flops"]), data["profile_seconds"])


Profiles = Mapping[PatchesBy, StepProfile]
"""By how networks come by fewer patches; the same sub-networks take other times."""


def profile_steps(
    space: GrowthSpace,
    recipe: Recipe,
    data: Data,
    device: torch.device,
    *,
    sub_networks: Sequence[SubNetwork] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
) -> StepProfile:
    """Measure a whole optimiser step (forward, backward, optimiser, two EMAs) of every sub-network, in turns, on noise.

    Args:
        data: what the noise is like.
        world: the processes that take the steps together.

    Raises:
        Interrupted: `should_stop` said so.
    """
    start, flops = time.perf_counter(), 0
    elastic = ElasticModel.from_space(space, num_classes=data.num_classes, in_chans=data.in_chans).to(device).train()
    unmixed = recipe.model_copy(update={"mixup": 0.0, "cutmix": 0.0})  # mixing images costs next to nothing
    take_step = TrainingStep(
        unmixed, elastic, data.normalisation, steps=100, num_classes=data.num_classes, device=device, world=world
    )
    emas = [build_ema(elastic, 0.5, 100) for _ in range(2)]
    own = world.share(recipe.batch_size)
    images = torch.randn(own, data.in_chans, space.resolution, space.resolution, device=device)
    labels = torch.zeros(own, dtype=torch.long, device=device)
    times: dict[SubNetwork, list[float]] = {s: [] for s in sub_networks or space.sub_networks}
    warm_up = EAGER_STEPS + 1 if device.type == "cuda" else 1  # a step is recorded in the turn after the eager ones
    for turn in range(warm_up + ROUNDS):
        if world.any_of(turn > warm_up + 1 and time.perf_counter() - start > BUDGET_SECONDS)[0]:
            break
        for sub_network, taken in times.items():
            if world.any_of(should_stop())[0]:
                raise Interrupted
            elastic.activate(sub_network)
            if world.size > 1:  # the first step in several processes is not as all the others
                take_step.begin(drawn=False)
                take_step(images, labels, step=1, seed=turn)
            began = _now(device)
            take_step(images, labels, step=1, seed=turn)
            for ema in emas:
                ema.update(elastic)
            taken.append(_now(device) - began)
            flops += elastic.cost.step_flops(sub_network, recipe.batch_size)
            flops += recipe.batch_size * take_step.teacher_flops
    seconds = {s: median(taken[warm_up:]) for s, taken in times.items()}
    return StepProfile(profiled_name(recipe, device, world), seconds, flops, time.perf_counter() - start)


def profiled_name(recipe: Recipe, device: torch.device, world: World) -> str:
    """The name of what a profile is of: the device, how many of them if they are several, and how steps run there."""
    several = f"{world.size} x " if world.size > 1 else ""
    launched = ", no graphs" if device.type == "cuda" and not recipe.cuda_graphs else ""
    return f"{several}{device_name(device)}{', compiled' if recipe.compile else ''}{launched}"


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
