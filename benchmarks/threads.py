"""Milliseconds of a training step with one and with two torch threads, on idle cores and beside another busy process.

Goal: one thread, the default everywhere, is never far behind. Threads of a step meet at every operation: where one of
them waits for a core that somebody else uses, all wait. The sides take turns, round by round, so that other work on the
machine slows all alike; figures are medians, and the least, which is nearest to what idle cores do. `beside` is one
process that computes all the time; there are two cores.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from statistics import median

import torch

from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.space import GrowthSpace
from autoprog_search.training.device import cpu_threads
from autoprog_search.training.step import TrainingStep
from benchmarks.record import record

# Space, recipe, images in a batch, steps in a round, rounds.
SETUPS = {"digits": ("digits", "digits", 64, 3, 8), "deit_tiny, 224 px": ("deit_tiny", "imagenet_deit_100ep", 4, 1, 5)}
THREADS = (1, 2)


def main() -> None:
    """Measure and store."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name, (space_name, recipe_name, batch, steps, rounds) in SETUPS.items():
        step = one_step(GrowthSpace.load(space_name), recipe_name, batch)
        times: dict[tuple[str, int], list[float]] = {(w, t): [] for w in ("alone", "beside") for t in THREADS}
        for where, neighbours in (("alone", 0), ("beside", 1)):
            with busy(neighbours):
                for turn, threads in product(range(rounds + 1), THREADS):  # the first round warms up
                    with cpu_threads(threads):
                        step(turn)  # threads start anew whenever their number changes
                        began = time.perf_counter()
                        for number in range(steps):
                            step(turn * steps + number)
                        times[where, threads].append((time.perf_counter() - began) / steps)
        figures[name] = {
            f"{where}, {threads}": {"median": 1e3 * median(t[1:]), "least": 1e3 * min(t[1:])}
            for (where, threads), t in times.items()
        }
        for label, ms in figures[name].items():
            text = f"{label} thread(s): {ms['median']:.0f} ms, least {ms['least']:.0f}"
            print(f"{name}, batch {batch}, {text}", flush=True)
    print(record("threads", milliseconds=figures, cores=os.cpu_count(), load=os.getloadavg(), setups=SETUPS))


def one_step(space: GrowthSpace, recipe_name: str, batch: int):
    """A step of the full network on noise, whatever its number."""
    recipe = load_recipe(recipe_name).model_copy(update={"mixup": 0.0, "cutmix": 0.0, "precision": "float32"})
    channels = space.in_chans or 3
    elastic = ElasticModel.from_space(space, num_classes=10, in_chans=channels).train()
    plain = ((0.0,) * channels, (1.0,) * channels)
    cpu = torch.device("cpu")
    take = TrainingStep(recipe, elastic, plain, steps=1000, num_classes=10, device=cpu)
    images = torch.randn(batch, channels, space.resolution, space.resolution)
    labels = torch.zeros(batch, dtype=torch.long)
    elastic.activate(space.full)
    return lambda number: take(images, labels, step=1, seed=number)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """While so many others compute, on a thread each."""
    others = [multiprocessing.get_context("spawn").Process(target=_compute, daemon=True) for _ in range(processes)]
    for other in others:
        other.start()
    time.sleep(3 * processes)  # until torch is loaded there
    try:
        yield
    finally:
        for other in others:
            other.terminate()
            other.join()


def _compute() -> None:
    torch.set_num_threads(1)
    a = torch.randn(512, 512)
    while True:
        a = (a @ a).tanh()


if __name__ == "__main__":
    main()
