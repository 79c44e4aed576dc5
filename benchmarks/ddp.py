"""Two processes on two cores against one with one thread: milliseconds of a training step of the same global batch.

`torchrun --standalone --nproc-per-node 2 -m benchmarks.ddp`. Efficiency is one process's time over twice that of two: 1
were perfect. The sides take turns in one go, round by round, while the other process waits; figures are medians. Also:
a step of a search, which reduces gradients once they are all made; making the wrap of a stage; and agreeing on a step
whether to stop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median

import torch

from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.space import GrowthSpace
from autoprog_search.training.joining import joined
from autoprog_search.training.replica import wrap
from autoprog_search.training.step import TrainingStep
from autoprog_search.training.world import ALONE, World
from benchmarks.record import record

# Space, recipe, images in a batch, steps in a round, rounds.
SETUPS = {"digits": ("digits", "digits", 128, 3, 7), "deit_tiny, 224 px": ("deit_tiny", "imagenet_deit_100ep", 8, 1, 5)}


def main() -> None:
    """Measure and store."""
    torch.set_num_threads(1)
    figures: dict[str, dict[str, float]] = {}
    with joined() as world:
        for name, (space_name, recipe_name, batch, steps, rounds) in SETUPS.items():
            figures[name] = measured(world, GrowthSpace.load(space_name), recipe_name, batch, steps, rounds)
        agreeing = 1e3 * timed(lambda: world.any_of(False, False), 200) / 200
        if world.first:
            for name, ms in figures.items():
                ms["efficiency"] = ms["one"] / world.size / ms["several"]
                print(f"{name}: " + ", ".join(f"{what} {value:.2f}" for what, value in ms.items()), flush=True)
            print(f"agreeing: {agreeing:.3f} ms")
            more = {"agreeing": agreeing, "cores": os.cpu_count(), "load": os.getloadavg(), "setups": SETUPS}
            print(record("ddp", milliseconds=figures, world_size=world.size, **more))


def measured(
    world: World, space: GrowthSpace, recipe_name: str, batch: int, steps: int, rounds: int
) -> dict[str, float]:
    """Milliseconds of a step: `one` process, `several`, the same as in a search, and of making a wrap."""
    sides = {"one": a_step(ALONE, space, recipe_name, batch)[0]}
    sides["several"], elastic = a_step(world, space, recipe_name, batch, drawn=False)
    sides["drawn"], _ = a_step(world, space, recipe_name, batch)
    times: dict[str, list[float]] = {name: [] for name in (*sides, "wrap")}
    for _ in range(rounds + 2):  # the first two warm up
        for name, step in sides.items():
            world.together()
            if world.first or name != "one":
                times[name].append(timed(step, steps) / steps)
        world.together()
        times["wrap"].append(timed(lambda: wrap(elastic, ()), 1))
    return {name: 1e3 * median(taken[2:]) for name, taken in times.items() if taken}


def a_step(
    world: World, space: GrowthSpace, recipe_name: str, batch: int, *, drawn: bool = True
) -> tuple[Callable[[], object], ElasticModel]:
    """A step of the full network on noise."""
    unmixed = {"mixup": 0.0, "cutmix": 0.0, "precision": "float32"}
    recipe = load_recipe(recipe_name).model_copy(update={**unmixed, "batch_size": batch})
    channels = space.in_chans or 3
    torch.manual_seed(0)
    elastic = ElasticModel.from_space(space, num_classes=10, in_chans=channels).train()
    plain, cpu = ((0.0,) * channels, (1.0,) * channels), torch.device("cpu")
    take = TrainingStep(recipe, elastic, plain, steps=1000, num_classes=10, device=cpu, world=world)
    take.begin(drawn=drawn)
    images = torch.randn(world.share(batch), channels, space.resolution, space.resolution)
    labels = torch.zeros(world.share(batch), dtype=torch.long)
    return lambda: take(images, labels, step=1, seed=0), elastic


def timed(act: Callable[[], object], times: int) -> float:
    """Seconds that it takes so many times."""
    began = time.perf_counter()
    for _ in range(times):
        act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
