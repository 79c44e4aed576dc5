"""Data sets on disk, read and augmented in loader processes.

Every image's augmentation is seeded by (seed, step, position), not by the loader process that happens to draw it, so
that a resumed run sees what the undisturbed one would have seen. That is why torch's loader is driven here directly and
not through timm's `create_loader`, whose order depends on global state. As in timm's scheduled loader, the side that an
image is wanted at travels with its index: early stages decode and load less. What is left to do with a batch on the
device (prefetch.py) draws nothing.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from logging import getLogger

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from autoprog_search.data.data_set import Batch, Data, Side, steps_in_order
from autoprog_search.data.erasing import Patch, drawn_patch, together
from autoprog_search.data.fingerprint import Fingerprint
from autoprog_search.data.images import ImageSet, Splits, open_splits, unreadable
from autoprog_search.data.part import WHOLE, Part
from autoprog_search.data.prefetch import Finish, HostBatch, prefetched
from autoprog_search.data.processes import LoadersEnded, loaded
from autoprog_search.data.reading import escaped
from autoprog_search.data.shrunk import shrunk
from autoprog_search.data.strength import FULL, Strength
from autoprog_search.data.transforms import DECODED_OVER_WANTED, Normalisation, Transforms
from autoprog_search.errors import DataError
from autoprog_search.randomness import derive
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import Recipe
from autoprog_search.space import GrowthSpace

Ticket = tuple[int, int, int]
"""(seed of its augmentation, index in the image set, side in pixels)."""
Sample = tuple[torch.Tensor, int, Patch | None]
"""Image (channels, side, side), uint8; its label; what is to be erased."""

logger = getLogger("autoprog_search")


class TransformedImages(Dataset[Sample | DataError]):
    """Images of a set, transformed under their own seed. What is wrong with one is returned, not raised: an exception
    would come out of a loader process with its traceback as message.
    """

    def __init__(self, images: ImageSet, transforms: Transforms, num_classes: int) -> None:
        self.images, self.transforms, self.num_classes = images, transforms, num_classes

    def __getitem__(self, ticket: Ticket) -> Sample | DataError:
        seed, index, resolution = ticket
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` seeks devices of every kind: 0.7 ms an image
        try:
            image, label = self.images.load(index)
            if not 0 <= label < self.num_classes:
                where = escaped(self.images.name(index))
                return DataError(f"data: {where}: label {label} is outside the classes 0 to {self.num_classes - 1}")
            transformed = self.transforms(self.transforms.decode(image, resolution), resolution)
            return transformed, label, drawn_patch(self.transforms.erasing, len(transformed), resolution)
        except Exception as error:  # noqa: BLE001 - see `unreadable`
            return unreadable(self.images, index, error)


@dataclass(frozen=True)
class LoaderData(Data):
    """Images on disk."""

    splits: Splits
    train_transforms: Transforms
    eval_transforms: Transforms
    workers: int
    device: torch.device
    repeats: int
    antialias = True

    @classmethod
    def open(
        cls,
        config: DataConfig,
        space: GrowthSpace,
        recipe: Recipe,
        device: torch.device,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> LoaderData:
        """Open a data set for a growth space's model: its channels, its normalisation, its full resolution.

        Args:
            should_stop: asked while the cache is made, if there is to be one.

        Raises:
            Interrupted: `should_stop` said so.
            DataError: nothing there, or nothing in it.
            ConfigError: an augmentation that timm does not know.
        """
        splits = open_splits(config)
        normalisation = Normalisation.of(space.model, space.in_chans or 3)
        train, evaluation = (Transforms(recipe, normalisation, train, space.resolution) for train in (True, False))
        train.check()
        if config.cache == "shrunk":
            side = round(DECODED_OVER_WANTED * space.resolution)
            splits = shrunk(splits, config, side, len(normalisation.mean), should_stop)
        facts = splits.num_classes, len(splits.train[1]), (normalisation.mean, normalisation.std)
        return cls(*facts, splits, train, evaluation, config.workers, device, recipe.repeats)

    def train_batches(
        self,
        seed: int,
        start: int,
        stop: int,
        batch_size: int,
        resolution: Side,
        strength: Strength = FULL,
        part: Part = WHOLE,
    ) -> Iterator[Batch]:
        images, indices = self.splits.train
        whole = self._tickets(seed, start, stop, batch_size, indices, resolution)
        tickets = ([tickets[n] for n in part.of_batch(batch_size)] for tickets in whole)
        return self._load(images, replace(self.train_transforms, strength=strength), tickets)

    def train_subset(self, count: int, seed: int, batch_size: int, part: Part = WHOLE) -> Iterator[Batch]:
        images, indices = self.splits.train
        chosen = np.random.default_rng(derive(seed, "subset")).permutation(len(indices))[:count]
        own, side = part.of_split(len(chosen)), self.eval_transforms.full_resolution
        return self._load(images, self.eval_transforms, _batches([indices[chosen[n]] for n in own], batch_size, side))

    def eval_batches(self, split: str, batch_size: int, resolution: int, part: Part = WHOLE) -> Iterator[Batch]:
        images, indices = {"val": self.splits.val, "test": self.splits.test}[split]
        own = [indices[n] for n in part.of_split(len(indices))]
        return self._load(images, self.eval_transforms, _batches(own, batch_size, resolution))

    def fingerprint(self, *, sizes: bool) -> Fingerprint:
        return self._with_sizes if sizes else self.splits.fingerprint(sizes=False)

    @cached_property
    def _with_sizes(self) -> Fingerprint:
        """Every file is looked at once a process, however many runs it makes."""
        return self.splits.fingerprint(sizes=True)

    def _tickets(
        self, seed: int, start: int, stop: int, batch_size: int, indices: Sequence[int], resolution: Side
    ) -> Iterator[list[Ticket]]:
        """Each step's images. With repeated augmentation (Hoffer et al., CVPR 2020; as DeiT's) an image stands
        `repeats` times in a row, and an epoch shows so many times fewer of them.
        """

        def permuted(order_seed: int) -> np.ndarray:
            return np.random.default_rng(order_seed).permutation(len(indices))

        for step, order, places in steps_in_order(seed, start, stop, len(indices), batch_size, permuted):
            chosen = [indices[order[place // self.repeats]] for place in places]
            side = resolution(step)
            yield [(derive(seed, "augment", step, n), index, side) for n, index in enumerate(chosen)]

    def _load(self, images: ImageSet, transforms: Transforms, tickets: Iterator[list[Ticket]]) -> Iterator[Batch]:
        """The batches of these tickets, on the device."""
        dataset = TransformedImages(images, transforms, self.num_classes)
        return prefetched(self._on_host(dataset, tickets), Finish.on(self.device, self.normalisation))

    def _on_host(self, dataset: TransformedImages, tickets: Iterator[list[Ticket]]) -> Iterator[HostBatch]:
        """The batches from loader processes; from this one once somebody has ended those.

        A signal that is to stop a run may reach its whole process group, or all of a job's processes. Then the loader
        processes are gone, and the run needs one batch more to get where it can write its checkpoint.
        """
        asked: deque[list[Ticket]] = deque()  # for batches that have not come yet

        def remembered() -> Iterator[list[Ticket]]:
            for ticket in tickets:
                asked.append(ticket)
                yield ticket

        pinned = self.device.type == "cuda"
        try:
            for batch in loaded(dataset, remembered(), collate, self.workers, pinned=pinned):
                asked.popleft()
                yield batch
        except LoadersEnded:
            logger.warning("data: the loader processes were ended by a signal; images are loaded without them")
            yield from loaded(dataset, chain(list(asked), tickets), collate, 0, pinned=pinned)


def _batches(indices: Sequence[int], batch_size: int, resolution: int) -> Iterator[list[Ticket]]:
    for start in range(0, len(indices), batch_size):
        yield [(0, i, resolution) for i in indices[start : start + batch_size]]


def collate(samples: list[Sample | DataError]) -> HostBatch | DataError:
    """A batch of these samples; or what is wrong with the first that is none."""
    good = [sample for sample in samples if not isinstance(sample, DataError)]
    if len(good) < len(samples):
        return next(sample for sample in samples if isinstance(sample, DataError))
    images, labels = default_collate([(image, label) for image, label, _ in good])
    return HostBatch(images, labels, together([patch for *_, patch in good]))
