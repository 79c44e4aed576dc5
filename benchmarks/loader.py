"""Images/s of the loader, on photographs of ImageNet's size (500 x 375 px, 116 KB). Goal: 112 px >= 1.3 times 224 px.

First by side, what early stages save besides compute: a JPEG is decoded at the stage's resolution, then cropped and
augmented there. In one process, by what a loader process does.

Then three ways side by side, as loader processes deliver them: `floats`, how it was until images stayed bytes up to the
device: normalised and erased by the loader processes; `bytes`; and `shrunk`, bytes from `data.cache: shrunk`.

Everything takes turns; ratios are of medians. Seconds are the processor's own, so that others' work on the machine
counts less: images/s of one core that does nothing else. The clock's are stored as well. The files are in memory.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter

from autoprog_search.data.erasing import together
from autoprog_search.data.loader import LoaderData, Ticket, TransformedImages, collate
from autoprog_search.data.prefetch import Finish, HostBatch
from autoprog_search.data.processes import loaded
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.space import GrowthSpace
from benchmarks.record import record

SIDES = (96, 112, 128, 160, 192, 224)
PHOTOS, SIZE, BATCH, ROUNDS = 256, (500, 375), 16, 24
WAYS_SIDES, WAYS_WORKERS, WAYS_ROUNDS = (112, 224), (1, 2), 5
CPU = torch.device("cpu")


class Floats(TransformedImages):
    """Images as loader processes gave them before: normalised and erased there, floats, under `torch.manual_seed`."""

    def __getitem__(self, ticket: Ticket) -> Any:
        torch.manual_seed(ticket[0])
        image, label, patch = super().__getitem__(ticket)
        images, _ = self.finish(HostBatch(image[None], torch.tensor(label), together([patch])))
        return images[0], label, None

    @cached_property
    def finish(self) -> Finish:
        """What is done on the device otherwise."""
        return Finish.on(CPU, (self.transforms.normalisation.mean, self.transforms.normalisation.std))


def main() -> None:
    """Measure and store."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        size = make_photos(Path(folder))
        print(f"{PHOTOS} JPEGs of {SIZE[0]} x {SIZE[1]} px, {size / 1e3:.0f} KB, recipe imagenet_deit_100ep")
        plain, cached = (opened(folder, cache) for cache in ("none", "shrunk"))
        speed = by_side(plain)
        ways = by_way(plain, cached)
    print(f"one core, {ROUNDS} batches of {BATCH} in turns:")
    for side, images_per_second in speed.items():
        print(f"{side} px: {images_per_second:.0f} images/s, {images_per_second / speed[224]:.2f} x 224 px")
    ratio = speed[112] / speed[224]
    print(f"112 px against 224 px: {ratio:.2f} (goal >= 1.3)")
    print(
        f"loader processes, images/s of a core (times `floats`; by the clock), {WAYS_ROUNDS} times all images in turns:"
    )
    for case, found in ways.items():
        base = found["floats"]["core"]
        shares = [f"{way} {v['core']:.0f} ({v['core'] / base:.2f} x; {v['clock']:.0f})" for way, v in found.items()]
        print(f"{case}: {', '.join(shares)}")
    figures = {"ratio": ratio, "images_per_second": speed, "ways": ways}
    print(record("loader", **figures, photos=PHOTOS, size=SIZE, bytes_of_a_photo=size))


def by_side(data: LoaderData) -> dict[int, float]:
    """Images a second of this process at each side."""
    images = TransformedImages(data.splits.train[0], data.train_transforms, 1)
    times: dict[int, list[float]] = {side: [] for side in SIDES}
    for turn in range(ROUNDS + 1):  # the first warms up
        for side, taken in times.items():
            start = time.process_time()
            for _ in loaded(images, [next(tickets(turn, side))], collate, 0):
                pass
            taken.append(time.process_time() - start)
    return {side: BATCH / median(taken[1:]) for side, taken in times.items()}


def by_way(plain: LoaderData, cached: LoaderData) -> dict[str, dict[str, dict[str, float]]]:
    """What loader processes deliver, by side and number of them, in each of the three ways.

    Returns:
        Images a second of one core (`core`), the main process's work included, and by the clock (`clock`).
    """
    ways: dict[str, Callable[[], TransformedImages]] = {
        "floats": lambda: Floats(plain.splits.train[0], plain.train_transforms, 1),
        "bytes": lambda: TransformedImages(plain.splits.train[0], plain.train_transforms, 1),
        "shrunk": lambda: TransformedImages(cached.splits.train[0], cached.train_transforms, 1),
    }
    cases = {f"{side} px, {n} process(es)": (side, n) for side in WAYS_SIDES for n in WAYS_WORKERS}
    times: dict[str, dict[str, list[tuple[float, float]]]] = {case: {way: [] for way in ways} for case in cases}
    for turn in range(WAYS_ROUNDS):
        for case, (side, workers) in cases.items():
            for way, images in ways.items():
                busy, start = core_seconds(), time.perf_counter()
                for _ in loaded(images(), tickets(turn, side), collate, workers):
                    pass
                times[case][way].append((core_seconds() - busy, time.perf_counter() - start))
    return {
        case: {
            way: {kind: PHOTOS / median(t) for kind, t in zip(("core", "clock"), zip(*taken, strict=True), strict=True)}
            for way, taken in found.items()
        }
        for case, found in times.items()
    }


def core_seconds() -> float:
    """What this process, and those that it has seen end, have computed so far."""
    return sum(os.times()[:4])


def tickets(turn: int, side: int) -> Iterator[list[Ticket]]:
    """All images once, in batches."""
    for start in range(0, PHOTOS, BATCH):
        yield [(PHOTOS * turn + place, place, side) for place in range(start, start + BATCH)]


def opened(folder: str, cache: str) -> LoaderData:
    """The photographs, for DeiT-S."""
    recipe = load_recipe("imagenet_deit_100ep").model_copy(update={"batch_size": BATCH})
    return LoaderData.open(DataConfig(name=folder, workers=0, cache=cache), GrowthSpace.load("deit_small"), recipe, CPU)


def make_photos(root: Path) -> float:
    """JPEGs with the detail, and the size, of photographs: noise, blurred. Returns their mean size in bytes."""
    for split, count in (("train", PHOTOS), ("val", 2), ("test", 2)):
        (root / split / "a").mkdir(parents=True)
        for number in range(count):
            noise = np.random.default_rng(number).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
            photo = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1))
            photo.save(root / split / "a" / f"{number}.jpg", quality=95)
    return sum(file.stat().st_size for file in (root / "train/a").iterdir()) / PHOTOS


if __name__ == "__main__":
    main()
