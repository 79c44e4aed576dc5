"""How a growth space's levels may be given: absolute, or as fractions of full size, of depth, patches or pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoprog_search.errors import SpaceError, shown
from autoprog_search.schedule import patches_at
from autoprog_search.values import LARGEST

# Bounds that no space should meet: what is computed for every sub-network or every stage stays quick.
MOST_BLOCKS = 1000  # the deepest Transformers that were trained
MOST_PIXELS = 16_384  # along a side
MOST_LEVELS = 100  # of an axis
MOST_STAGES = 300  # growth at every epoch of the longest recipe
MOST_ARGUMENT = 1_000_000  # in model_args, either sign: a width beyond it fills any memory


CHOICES = "stage_length_choices"
"""A field of a space that was taken out; without it, runs are what they were with none."""

LAST_CHOICES = "daa8ebd"
"""The last commit that runs it."""


def became(name: str) -> str | None:
    """What to say of a field of a space that is none any more; None of one that never was."""
    taken_out = f"it was taken out, space.clock: free took its place; the last commit that runs it is {LAST_CHOICES}"
    return taken_out if name == CHOICES else None


def resolve_levels(data: dict[str, Any]) -> dict[str, Any]:
    """A space's fields with `depths` and `patches` as levels, whichever way they were given.

    What is computed with is checked here; pydantic checks the rest afterwards.

    Raises:
        SpaceError: an axis is given twice or not at all, or not in numbers.
        ScheduleError: a resolution is no multiple of the patch size.
    """
    data = dict(data)
    for name in ("depth", "resolution", "patch_size", "resolution_step"):
        _read_count(data, name, MOST_BLOCKS if name == "depth" else MOST_PIXELS)
    for name in ("depths", "depth_fractions", "patches", "resolutions", "resolution_fractions"):
        _check_numbers(data, name, MOST_LEVELS)
    _check_numbers(data, "stage_lengths", MOST_STAGES)
    _one_of(data, "depths", "depth_fractions")
    _one_of(data, "patches", "resolutions", "resolution_fractions")
    if fractions := data.pop("depth_fractions", None):
        data["depths"] = _scale(fractions, data.get("depth"), 1, "depth")
    step = data.pop("resolution_step", data.get("patch_size", 1))
    if fractions := data.pop("resolution_fractions", None):
        data["resolutions"] = _scale(fractions, data.get("resolution"), step, "resolution")
    if resolutions := data.pop("resolutions", None):
        data["patches"] = [patches_at(r, data.get("patch_size", 1)) for r in resolutions]
    if "stage_lengths" in data:
        data.setdefault("stages", len(data["stage_lengths"]) or 4)
    return data


def check_lengths(name: str, lengths: Sequence[float], stages: int) -> None:
    """Whether these are the lengths of so many stages.

    Raises:
        SpaceError: they are not.
    """
    if len(lengths) != stages:
        raise SpaceError(f"{name}: got {len(lengths)} for {stages} stages")
    if not (min(lengths) > 0 and abs(sum(lengths) - 1) <= 1e-6):  # so that NaN is refused
        raise SpaceError(f"{name}: {shown(list(lengths))} are not shares above 0 that sum to 1")


def _one_of(data: dict[str, Any], *names: str) -> None:
    given = [name for name in names if data.get(name)]
    if len(given) != 1:
        raise SpaceError(f"{names[0]}: give exactly one of {', '.join(names)}; got {', '.join(given) or 'none'}")


def _read_count(data: dict[str, Any], name: str, most: int) -> None:
    value = data.get(name, 1)
    if isinstance(value, float) and value.is_integer():
        value = data[name] = int(value)  # 2e1
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise SpaceError(f"{name}: {shown(value)} is not a whole number above 0, up to {most:,}")


def _check_numbers(data: dict[str, Any], name: str, most: int) -> None:
    values = data.get(name, [])
    numbers = isinstance(values, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= LARGEST for v in values
    )
    if not numbers:
        raise SpaceError(f"{name}: {shown(values)} is not a list of numbers")
    if len(values) > most:
        raise SpaceError(f"{name}: got {len(values):,} numbers, more than {most:,}")


def _scale(fractions: list[float], full: Any, step: int, axis: str) -> list[int]:
    """Fractions of full size, each rounded to the nearest multiple of `step`, halves up; 1 is full size itself."""
    if not all(0 < f <= 1 for f in fractions):
        raise SpaceError(f"{axis}_fractions: {shown(fractions)} are not numbers above 0 and up to 1")
    if full is None:
        raise SpaceError(f"{axis}: missing; its fractions need it")
    return [full if f == 1 else max(step, int(f * full / step + 0.5) * step) for f in fractions]
