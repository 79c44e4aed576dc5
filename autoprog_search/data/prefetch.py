"""A batch's last way: from loader processes' memory onto the device, where it is normalised and erased.

It is uint8 until there: a quarter of the bytes of floats, in shared memory and on the way to a GPU. There the next one
comes on a stream of its own while the present one trains, as in timm's `PrefetchLoader`; nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch

from autoprog_search.data.data_set import Batch, ChannelStatistics
from autoprog_search.data.erasing import Patches, erase


class HostBatch(NamedTuple):
    """A batch as loader processes give it, on the CPU.

    Attributes:
        images: (batch, channels, side, side), uint8.
        labels: (batch,).
        patches: what is to be erased; None: nothing.
    """

    images: torch.Tensor
    labels: torch.Tensor
    patches: Patches | None


@dataclass(frozen=True)
class Finish:
    """What is left to do on the device, of a whole batch: normalising, erasing.

    Attributes:
        mean, deviation: (channels, 1, 1), on the device, of values from 0 to 1.
    """

    device: torch.device
    mean: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def on(cls, device: torch.device, normalisation: ChannelStatistics) -> Finish:
        """For batches on that device."""
        # Filled there: a copy of Python's numbers to a GPU would wait for it.
        mean, deviation = (
            torch.stack([torch.full((1, 1), v, device=device) for v in values]) for values in normalisation
        )
        return cls(device, mean, deviation)

    def __call__(self, batch: HostBatch) -> Batch:
        """The batch on the device, normalised and erased."""
        images, labels = (tensor.to(self.device, non_blocking=True) for tensor in (batch.images, batch.labels))
        # In the order and precision of torchvision's transforms, so that values are theirs to the last bit.
        finished = images.float().div_(255).sub_(self.mean).div_(self.deviation)
        if batch.patches is not None:
            erase(finished, Patches(*(tensor.to(self.device, non_blocking=True) for tensor in batch.patches)))
        return finished, labels


def prefetched(batches: Iterable[HostBatch], finish: Finish) -> Iterator[Batch]:
    """The batches, finished; on a GPU each while the one before it is used, else when it is asked for.

    To be used on the stream that is current when they are taken.
    """
    if finish.device.type != "cuda":
        yield from map(finish, batches)
        return
    stream = _stream(finish.device)
    stream.wait_stream(torch.cuda.current_stream(finish.device))  # which fills `finish`'s constants
    underway: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(stream):
            following = finish(batch), stream.record_event()
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
