"""Growth schedules (Psi): which sub-network trains when. Frozen values that cannot be wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf, isqrt
from pathlib import Path
from typing import Any

from autoprog_search.errors import ScheduleError, shown
from autoprog_search.files import read_yaml
from autoprog_search.values import LARGEST

# Bounds that nobody should meet: they keep a slip of the finger from running for years.
MOST_EPOCHS = 1_000_000
MOST_STAGES = 1000  # of a file: a stage at every epoch of a long run, and more


@dataclass(frozen=True, slots=True, order=True)
class SubNetwork:
    """How many blocks run, on how many patches (psi).

    Attributes:
        depth: transformer blocks that run, at least 1.
        patches: patch tokens, the square of the grid's side.

    Raises:
        ScheduleError: depth below 1, or a patch count that is no square.
    """

    depth: int
    patches: int

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ScheduleError(f"depth: {self.depth} is below 1, a sub-network has at least 1 block")
        check_square(self.patches)

    @property
    def grid(self) -> int:
        """Patches along a side of the image."""
        return isqrt(self.patches)

    def resolution(self, patch_size: int) -> int:
        """Image side in pixels."""
        return self.grid * patch_size

    def __str__(self) -> str:
        return f"{self.depth} blocks x {self.patches} patches"


def check_square(patches: int) -> None:
    """Raise ScheduleError unless `patches` is the square of a grid side of at least 1."""
    if patches < 1 or isqrt(patches) ** 2 != patches:
        side = max(isqrt(max(patches, 0)), 1)
        raise ScheduleError(f"patches: {patches} is not a square; near it are {side**2} and {(side + 1) ** 2}")


@dataclass(frozen=True, slots=True)
class Stage:
    """One period of training: `epochs` long (a share of an epoch is allowed), all of it under one sub-network."""

    epochs: float
    sub_network: SubNetwork

    def __post_init__(self) -> None:
        if not 0 < self.epochs < inf:
            raise ScheduleError(
                f"epochs: {self.epochs} is not a length above 0 that ends, a stage trains for some time"
            )
        if self.epochs > MOST_EPOCHS:
            raise ScheduleError(f"epochs: {self.epochs} is more than {MOST_EPOCHS:,}")


@dataclass(frozen=True, slots=True)
class GrowthSchedule:
    """What trains when (Psi): (epochs, sub-network) per stage, non-decreasing in depth and in patches.

    Raises:
        ScheduleError: no stage, or a stage smaller than the one before.
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise ScheduleError("stages: got 0, a schedule has at least 1")
        for k, (before, after) in enumerate(pairwise(s.sub_network for s in self.stages), start=2):
            if after.depth < before.depth or after.patches < before.patches:
                raise ScheduleError(f"stage {k}: {after} is less than stage {k - 1}'s {before}; growth never shrinks")

    @property
    def epochs(self) -> float:
        """Length of the whole schedule."""
        return sum(stage.epochs for stage in self.stages)

    def at(self, epoch: float) -> SubNetwork:
        """The sub-network that trains at a point of the run, counted in epochs from 0; the last one from the end on."""
        ends = accumulate(stage.epochs for stage in self.stages)
        running = (stage.sub_network for stage, end in zip(self.stages, ends, strict=True) if epoch < end)
        return next(running, self.stages[-1].sub_network)

    @classmethod
    def of(cls, epochs: Iterable[float], sub_networks: Iterable[SubNetwork]) -> GrowthSchedule:
        """The schedule with these lengths and sub-networks, one a stage."""
        return cls(tuple(Stage(e, s) for e, s in zip(epochs, sub_networks, strict=True)))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], patch_size: int) -> GrowthSchedule:
        """Read `{"stages": [{"epochs", "depth", "patches" | "resolution"}, ...]}`.

        Raises:
            ScheduleError: a field is missing, unknown or of the wrong type.
        """
        stages = data.get("stages") if isinstance(data, Mapping) else None
        if not isinstance(stages, list):
            raise ScheduleError("stages: missing; a schedule is a list of {epochs, depth, patches or resolution}")
        if unknown := sorted(set(map(str, data)) - {"stages"}):
            raise ScheduleError(f"{shown(unknown[0])} is unknown; a schedule has stages, and nothing else")
        if len(stages) > MOST_STAGES:
            raise ScheduleError(f"stages: got {len(stages):,}, more than {MOST_STAGES:,}")
        return cls(tuple(_read_stage(k, stage, patch_size) for k, stage in enumerate(stages, start=1)))

    @classmethod
    def from_file(cls, path: Path, patch_size: int) -> GrowthSchedule:
        """Read a schedule from a YAML file.

        Raises:
            ScheduleError: the file cannot be read, or what it holds is no schedule.
        """
        data = read_yaml(path, ScheduleError, "schedule: ")
        return cls.from_dict(data, patch_size)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        parts = [(s.epochs, s.sub_network) for s in self.stages]
        return {"stages": [{"epochs": epochs, "depth": s.depth, "patches": s.patches} for epochs, s in parts]}


def _read_stage(k: int, data: Any, patch_size: int) -> Stage:
    where = f"stage {k}"
    if not isinstance(data, Mapping):
        raise ScheduleError(f"{where}: {shown(data)} is not a mapping of epochs, depth and patches (or resolution)")
    if unknown := sorted(map(str, set(data) - {"epochs", "depth", "patches", "resolution"})):
        name = shown(unknown[0])[1:-1]
        raise ScheduleError(f"{where}: {name} is unknown; use epochs, depth and patches (or resolution)")
    if ("patches" in data) == ("resolution" in data):
        raise ScheduleError(f"{where}: give patches or resolution, exactly one of them")
    numbers = {name: _read_number(f"{where}, {name}", value, name != "epochs") for name, value in data.items()}
    for name in ("epochs", "depth"):
        if name not in numbers:
            raise ScheduleError(f"{where}, {name}: missing")
    try:
        patches = numbers["patches"] if "patches" in numbers else patches_at(numbers["resolution"], patch_size)
        return Stage(numbers["epochs"], SubNetwork(numbers["depth"], patches))
    except ScheduleError as error:
        raise ScheduleError(f"{where}, {error}") from None


def _read_number(what: str, value: Any, whole: bool) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ScheduleError(f"{what}: {shown(value)} is not a {'whole ' if whole else ''}number")
    if not -LARGEST <= value <= LARGEST:  # so that NaN is refused
        raise ScheduleError(f"{what}: {shown(value)} is not finite, or beyond {LARGEST:.0e}")
    if not whole:
        return value
    if value != int(value):  # 2e1 is one
        raise ScheduleError(f"{what}: {value} is not a whole number")
    return int(value)


def patches_at(resolution: int, patch_size: int) -> int:
    """Patch count of an image of this side.

    Raises:
        ScheduleError: the side is not a multiple of the patch size.
    """
    if resolution < patch_size or resolution % patch_size:
        raise ScheduleError(f"resolution: {resolution} is not a multiple of the patch size {patch_size}")
    return (resolution // patch_size) ** 2
