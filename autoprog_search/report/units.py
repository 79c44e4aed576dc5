"""Costs as people read them: three digits and an SI prefix."""

from __future__ import annotations

import math
from dataclasses import dataclass

PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
MISSING = "–"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit with its prefix: a number in it, times `factor`, is in the plain unit."""

    factor: float
    name: str


def unit_for(largest: float, unit: str) -> Unit:
    """The unit with the prefix that suits numbers up to `largest`; seconds keep none."""
    if unit != "FLOPs" or not math.isfinite(largest) or largest <= 0:
        return Unit(1.0, unit)
    rounded = float(f"{largest:.2e}")  # 999.7e9 is 1.00 TFLOPs, not 1e+03 GFLOPs
    step = min(max(math.floor(math.log10(rounded)) // 3, 0), len(PREFIXES) - 1)
    return Unit(1000.0**step, PREFIXES[step] + unit)


def flops_text(flops: float) -> str:
    """For example `1.48 TFLOPs`."""
    if not math.isfinite(flops):
        return MISSING
    unit = unit_for(abs(flops), "FLOPs")
    return f"{_three_digits(flops / unit.factor)} {unit.name}"


def seconds_text(seconds: float) -> str:
    """For example `12.3 s`, `1,234 s`."""
    return f"{_three_digits(seconds)} s" if math.isfinite(seconds) else MISSING


def cost_text(cost: float, unit: str) -> str:
    """`flops_text` or `seconds_text`."""
    return flops_text(cost) if unit == "FLOPs" else seconds_text(cost)


def _three_digits(number: float) -> str:
    decimals = next((d for d, limit in ((0, 99.95), (1, 9.995)) if abs(number) >= limit), 2)
    if 0 < abs(number) < 0.1:
        return f"{number:.3g}"
    return f"{number:,.{decimals}f}"
