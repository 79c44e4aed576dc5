"""Where a run computes: torch devices by name, and how many threads it takes on the CPU."""

from __future__ import annotations

import torch

from autoprog_search.errors import ConfigError


def pick_device(name: str, index: int = 0) -> torch.device:
    """A torch device: `auto` takes the GPUs in turn, if there are any.

    Raises:
        ConfigError: torch does not know it, or it is not there.
    """
    if name == "auto":
        count = torch.cuda.device_count()
        return torch.device("cuda", index % count) if count else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device: {name!r}: {str(error).splitlines()[0]}") from None
    return device


def device_name(device: torch.device) -> str:
    """The device's name in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} thread(s)"


def use_threads(count: int) -> None:
    """Let torch compute on so many CPU threads; sums over another number of threads round differently."""
    torch.set_num_threads(count)


def seed_everywhere(seed: int, device: torch.device) -> None:
    """Seed the generators that a step on this device draws from.

    `torch.manual_seed` also looks for every other kind of device: 0.3 ms, at every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
