"""Images/s of the loader at a stage's resolution, on JPEGs of 500 px. Goal: at 112 px at least 1.3 times 224 px's.

What early stages save besides compute: a JPEG is decoded at the stage's resolution, then cropped and augmented there.
Sides take turns, batch by batch, in one process without loader workers, so a noisy neighbour slows all alike; the
figures are one core's, the ratio is of medians.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image, ImageFilter

from autoprog_search.data.loader import LoaderData
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.space import GrowthSpace
from benchmarks.record import record

SIDES = (96, 112, 128, 160, 192, 224)
PHOTOS, SIDE, BATCH, ROUNDS = 64, 500, 16, 24


def main() -> None:
    """Measure and store."""
    torch.set_num_threads(1)
    space, recipe = GrowthSpace.load("deit_small"), load_recipe("imagenet_deit_100ep")
    with tempfile.TemporaryDirectory() as folder:
        make_photos(Path(folder))
        small = recipe.model_copy(update={"batch_size": BATCH})
        data = LoaderData.open(DataConfig(name=folder, workers=0), space, small, torch.device("cpu"))
        times: dict[int, list[float]] = {side: [] for side in SIDES}
        for turn in range(ROUNDS + 1):  # the first warms up
            for side, taken in times.items():
                start = time.perf_counter()
                for _ in data.train_batches(turn, 0, 1, BATCH, lambda step, side=side: side):
                    pass
                taken.append(time.perf_counter() - start)
    speed = {side: BATCH / median(taken[1:]) for side, taken in times.items()}
    print(f"JPEGs of {SIDE} px, recipe imagenet_deit_100ep, one core, {ROUNDS} batches of {BATCH} in turns:")
    for side, images_per_second in speed.items():
        print(f"{side} px: {images_per_second:.0f} images/s, {images_per_second / speed[224]:.2f} x 224 px")
    ratio = speed[112] / speed[224]
    print(f"112 px against 224 px: {ratio:.2f} (goal >= 1.3)")
    print(record("loader", ratio=ratio, images_per_second=speed, photos=PHOTOS, side=SIDE))


def make_photos(root: Path) -> None:
    """JPEGs with the detail of photographs: noise, blurred."""
    for split, count in (("train", PHOTOS), ("val", 2), ("test", 2)):
        (root / split / "a").mkdir(parents=True)
        for number in range(count):
            noise = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            photo = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2))
            photo.save(root / split / "a" / f"{number}.jpg", quality=90)


if __name__ == "__main__":
    main()
