"""Where a run computes: torch devices by name, and how many threads it takes on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from autoprog_search.errors import ConfigError
from autoprog_search.fields import MOST_WORKERS


def pick_device(name: str, index: int = 0) -> torch.device:
    """A torch device: `auto` takes the GPUs in turn, if there are any. A GPU becomes this process's current one.

    Raises:
        ConfigError: torch does not know it, or it is not there.
    """
    if name == "auto":
        count = torch.cuda.device_count()
        name = f"cuda:{index % count}" if count else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()  # `meta` has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device: {name!r}: {str(error).splitlines()[0]}") from None
    if device.type == "cuda":
        torch.cuda.set_device(device)  # whose generator is seeded, and whose kernels are recorded
        torch.backends.cudnn.benchmark = True  # as timm's training script does
    return device


def device_name(device: torch.device) -> str:
    """The device's name in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} thread(s)"


def use_threads(count: int) -> None:
    """Let torch compute on so many CPU threads, in this whole process.

    One unless more are asked for, in a study and in a single run: sums over another number of threads round
    differently, and threads that wait for a core that others use make a step several times slower (docs/scale.md).

    Raises:
        ConfigError: less than one, or more than any machine has.
    """
    if not 1 <= count <= MOST_WORKERS:
        raise ConfigError(f"threads: {count} is not from 1 to {MOST_WORKERS}")
    torch.set_num_threads(count)


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """`use_threads` for what is inside; afterwards torch computes on as many threads as before."""
    before = torch.get_num_threads()
    use_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seed_everywhere(seed: int, device: torch.device) -> None:
    """Seed the generators that a step on this device draws from.

    `torch.manual_seed` also looks for every other kind of device: 0.3 ms, at every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
