"""What the numbers of a schedule are called, in Optuna and in NNI."""

from __future__ import annotations

import re

AXES = ("depth", "patches")

LEVEL = re.compile(r"stage(\d+)_(depth|patches)_level")
TICK = re.compile(r"(depth|patches)_level(\d+)_tick")


def parameter_name(stage: int, axis: str) -> str:
    """Name of a stage's level: stages count from 1, the axis is `depth` or `patches`."""
    return f"stage{stage}_{axis}_level"


def parse_parameter(name: str) -> tuple[int, str] | None:
    """The stage and axis that a parameter's name speaks of, None if it is not one of a stage's levels."""
    match = LEVEL.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def tick_name(level: int, axis: str) -> str:
    """Name of the tick at which a level of an axis begins, under a free clock: levels count from 0, the smallest."""
    return f"{axis}_level{level}_tick"


def is_tick(name: str) -> bool:
    """Whether a parameter of that name is such a tick."""
    return TICK.fullmatch(name) is not None


def ticks_begun(before: tuple[int, int], after: tuple[int, int]) -> list[str]:
    """Names of the ticks at which the levels above those of `before` begin, where a run grows to those of `after`."""
    axes = zip(AXES, before, after, strict=True)
    return [tick_name(level, axis) for axis, low, high in axes for level in range(low + 1, high + 1)]
