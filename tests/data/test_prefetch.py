"""What is done to a batch on the device: the values are timm's own, erasing follows from the seed, nothing waits."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.random_erasing import RandomErasing

from autoprog_search.data.erasing import Patch, drawn_patch, erase, together
from autoprog_search.data.loader import LoaderData, TransformedImages
from autoprog_search.data.prefetch import Finish, HostBatch, prefetched
from autoprog_search.data.strength import Strength
from tests.data.files import RECIPE, at, load, make_images
from tests.tiny import CPU

PLAIN = RECIPE.model_copy(update={"random_erasing": 0.0})
ERASED = RECIPE.model_copy(update={"random_erasing": 1.0})
IMAGENETS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_images(tmp_path, train={"a": 10, "b": 10}, val={"a": 2, "b": 2})


def test_evaluation_images_have_the_values_of_timms_own_transform(root):
    """To the last bit: decoded whole, resized, normalised, image by image."""
    images, _ = next(load(root).eval_batches("test", 4, 32))
    mean, deviation = IMAGENETS
    timms = create_transform((3, 32, 32), interpolation="bicubic", crop_pct=0.9, mean=mean, std=deviation)
    files = [root / "val" / name / f"{k}.jpg" for name in "ab" for k in range(2)]
    assert torch.equal(images, torch.stack([timms(Image.open(file).convert("RGB")) for file in files]))


@pytest.mark.parametrize("erasing", [0.0, 0.5, 1.0])
def test_training_images_have_the_values_of_timms_own_transforms(root, erasing):
    """Erased rectangles and their noise included."""
    recipe = RECIPE.model_copy(update={"random_erasing": erasing})
    data = load(root, recipe)
    batch, _ = next(data.train_batches(3, 0, 1, 4, at(32)))
    mean, deviation = IMAGENETS
    timms = create_transform(
        (3, 32, 32),
        is_training=True,
        interpolation=recipe.train_interpolation,
        scale=recipe.crop_scale,
        hflip=recipe.hflip,
        auto_augment=recipe.auto_augment,
        mean=mean,
        std=deviation,
        re_prob=erasing,
        re_mode="pixel",
    )
    expected = []
    for seed, index, side in next(data._tickets(3, 0, 1, 4, data.splits.train[1], at(32))):
        image, _ = data.splits.train[0].load(index)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        expected.append(timms(data.train_transforms.decode(image, side)))
    assert torch.equal(batch, torch.stack(expected))


def test_images_are_bytes_until_they_are_on_the_device(root):
    data = load(root)
    for transforms in (data.train_transforms, data.eval_transforms):
        image, label, _ = TransformedImages(data.splits.train[0], transforms, 2)[(5, 0, 32)]
        assert (image.dtype, image.shape, label) == (torch.uint8, (3, 32, 32), 0)


# ── erasing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def images_of(data: LoaderData, start: int, stop: int, strength: Strength | None = None) -> list[torch.Tensor]:
    return [images for images, _ in data.train_batches(3, start, stop, 4, at(32), strength or Strength())]


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_what_is_drawn_is_what_timm_draws(probability):
    timms = RandomErasing(probability, mode="pixel", device="cpu")
    patches = []
    for seed in range(200):
        random.seed(seed)
        torch.manual_seed(seed)
        patches.append(drawn_patch(probability, 2, 24))
        random.seed(seed)
        torch.manual_seed(seed)
        expected, erased = timms(torch.full((2, 24, 24), 7.0)), torch.full((1, 2, 24, 24), 7.0)
        if patches[-1] is not None:
            erase(erased, together(patches[-1:]))
        assert torch.equal(erased[0], expected)
    least, most = {0.0: (0, 0), 0.3: (30, 90), 1.0: (200, 200)}[probability]
    assert least <= sum(patch is not None for patch in patches) <= most


def test_patches_are_put_where_they_belong_and_nothing_else_changes():
    images = torch.full((3, 2, 6, 6), 7.0)
    left, low = -torch.arange(36.0).view(2, 6, 3), -torch.arange(8.0).view(2, 1, 4)
    erase(images, together([Patch(0, 0, left), None, Patch(5, 1, low)]))
    assert torch.equal(images[0, :, :, :3], left)
    assert torch.equal(images[2, :, 5:, 1:5], low)
    assert images[0, :, :, 3:].eq(7).all()
    assert images[1].eq(7).all()
    assert images[2].eq(7).sum() == 2 * 36 - 8
    assert together([None, None]) is None


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_erased_follows_from_seed_and_step(root, workers):
    whole = images_of(load(root, ERASED), 0, 5)
    random.seed(99)
    torch.manual_seed(99)  # no global state matters
    part = images_of(load(root, ERASED, workers=workers), 3, 5)
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], part, strict=True))
    assert not torch.equal(whole[0], whole[1])


def test_erasing_is_as_strong_as_its_stage(root):
    none = images_of(load(root, ERASED), 0, 2, Strength(erasing=0.0))
    assert all(torch.equal(a, b) for a, b in zip(none, images_of(load(root, PLAIN), 0, 2), strict=True))


def test_evaluation_erases_nothing(root):
    erased, plain = (next(load(root, recipe).eval_batches("test", 4, 32))[0] for recipe in (ERASED, PLAIN))
    assert torch.equal(erased, plain)


# ── ahead ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def host_batches(count: int = 6, *, erased: bool = False) -> list[HostBatch]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 8, 3, 24, 24), dtype=torch.uint8, generator=generator)
    patches = together([Patch(2, 3, torch.randn(3, 10, 12, generator=generator)), None] * 4) if erased else None
    return [HostBatch(batch, torch.full((8,), k), patches) for k, batch in enumerate(images)]


def pinned(batches: list[HostBatch]) -> list[HostBatch]:
    """As torch's loader does it."""
    from torch.utils.data._utils.pin_memory import pin_memory

    return [pin_memory(batch) for batch in batches]


def test_on_the_cpu_a_batch_is_finished_when_it_is_asked_for():
    asked = []
    batches = prefetched(
        (asked.append(int(batch.labels[0])) or batch for batch in host_batches()), Finish.on(CPU, IMAGENETS)
    )
    next(batches)
    assert asked == [0]
    assert [int(labels[0]) for _, labels in batches] == [1, 2, 3, 4, 5]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_batches_are_those_of_the_cpu_and_nothing_waits():
    """While each is in use, the next is copied into memory that must not be its own."""
    device = torch.device("cuda")
    weight = torch.randn(4096, 4096, device=device)
    batches, finish, seen = pinned(host_batches(erased=True)), Finish.on(device, IMAGENETS), []
    list(prefetched(batches, finish))  # what is done once is done
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for images, labels in prefetched(batches, finish):
            for _ in range(20):
                weight = (weight @ weight).clamp(-1, 1)  # the device is still busy when the next is asked for
            seen.append((images + 0 * weight[0, 0].nan_to_num(), labels.clone()))
            del images, labels
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = list(prefetched(host_batches(erased=True), Finish.on(CPU, IMAGENETS)))
    assert len(seen) == len(expected)
    for (images, labels), (ours, of_ours) in zip(seen, expected, strict=True):
        torch.testing.assert_close(images.cpu(), ours, rtol=1e-6, atol=1e-6)
        assert torch.equal(labels.cpu(), of_ours)
