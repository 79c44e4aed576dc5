"""A batch's last way: from loader processes' memory onto the device, where it is normalised and erased.

It is uint8 until there: a quarter of the bytes of floats, in shared memory and on the way to a GPU. There the next one
comes on a stream of its own while the present one trains, as in timm's `PrefetchLoader`; nothing waits for the device.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from timm.data.random_erasing import RandomErasing

from autoprog_search.data.data_set import Batch, ChannelStatistics
from autoprog_search.randomness import derive

HostBatch = tuple[torch.Tensor, torch.Tensor, int]
"""Images (batch, channels, side, side), uint8; labels (batch,); the seed of what is random later. On the CPU."""


@dataclass(frozen=True)
class Finish:
    """What is left to do on the device, of a whole batch.

    Attributes:
        mean, deviation: (channels, 1, 1), on the device, of values from 0 to 1.
        erasing: timm's random erasing (Zhong et al., AAAI 2020), if any. It draws from the generators of the batch, not
            of each image: an image's rectangle depends on its place in the batch.
    """

    device: torch.device
    mean: torch.Tensor
    deviation: torch.Tensor
    erasing: RandomErasing | None

    @classmethod
    def on(cls, device: torch.device, normalisation: ChannelStatistics, erasing: float = 0.0) -> Finish:
        """For batches on that device.

        Args:
            erasing: probability that a rectangle of an image is filled with noise.
        """
        # Filled there: a copy of Python's numbers to a GPU would wait for it.
        mean, deviation = (
            torch.stack([torch.full((1, 1), v, device=device) for v in values]) for values in normalisation
        )
        return cls(device, mean, deviation, RandomErasing(erasing, mode="pixel", device=device) if erasing else None)

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, seed: int) -> Batch:
        """The batch on the device, normalised; everything random in it follows from `seed`."""
        on_device = images.to(self.device, non_blocking=True)
        # In the order and precision of torchvision's transforms, so that values are theirs to the last bit.
        finished = on_device.float().div_(255).sub_(self.mean).div_(self.deviation)
        if self.erasing is not None:
            _seed(derive(seed, "erase"), self.device)
            finished = self.erasing(finished)
        return finished, labels.to(self.device, non_blocking=True)


def _seed(seed: int, device: torch.device) -> None:
    """Seed what timm's erasing draws from: places by `random`, noise on the device."""
    random.seed(seed)
    if device.type == "cuda":  # the current one
        torch.cuda.manual_seed(seed)
    elif device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:  # which seeks devices of every kind: 0.7 ms
        torch.manual_seed(seed)


def prefetched(batches: Iterable[HostBatch], finish: Finish) -> Iterator[Batch]:
    """The batches, finished; on a GPU each while the one before it is used, else when it is asked for.

    To be used on the stream that is current when they are taken.
    """
    if finish.device.type != "cuda":
        yield from (finish(*batch) for batch in batches)
        return
    stream = _stream(finish.device)
    underway: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(stream):
            following = finish(*batch), stream.record_event()
        if underway is not None:
            yield _arrived(*underway)
        underway = following
    if underway is not None:
        yield _arrived(*underway)


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """One a device, for as long as the process lives: the allocator keeps freed memory by stream."""
    return torch.cuda.Stream(device)


def _arrived(batch: Batch, ready: torch.cuda.Event) -> Batch:
    """The batch, for the stream that is current: it waits for the copy, the CPU does not."""
    user = torch.cuda.current_stream(batch[0].device)
    user.wait_event(ready)
    for tensor in batch:
        tensor.record_stream(user)  # or its memory would be filled anew while that stream still reads it
    return batch
