"""How each method looks: one colour in every figure, and a marker and a kind of line that no other method shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from autoprog_search.methods.registry import METHODS, VARIANT

FULL = "#4D4D4D"  # the reference of every comparison, so not one colour among others
# Okabe and Ito's colour-blind-safe palette without its yellow, which cannot be seen on white.
PALETTE = ("#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#009E73", "#D55E00")
SYMBOLS = ("square", "diamond", "circle", "triangle-up", "triangle-down", "pentagon")
VARIANTS = (  # none of many corners, which is taken for a circle
    *("x", "cross", "hourglass", "bowtie", "hexagram", "star-triangle-up", "star-triangle-down", "star-square"),
    *("star-diamond", "triangle-left", "triangle-right", "triangle-ne", "triangle-sw", "triangle-nw"),
    *("triangle-se", "diamond-tall"),
)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

_MOST = ("full-short", "linear", "autoprog", "random", "tpe")  # in most studies, so no two share a colour
_ORDER = tuple(dict.fromkeys((*_MOST, *(name for name in METHODS if name != "full"))))


@dataclass(frozen=True, slots=True)
class Look:
    """A method's colour, its marker and its kind of line."""

    colour: str
    symbol: str
    dash: str

    def line(self, width: float = 1.5, **more: Any) -> dict[str, Any]:
        """A trace's line."""
        return {"color": self.colour, "width": width, "dash": self.dash, **more}

    def marker(self, size: float = 8, **more: Any) -> dict[str, Any]:
        """A trace's markers."""
        return {"color": self.colour, "size": size, "symbol": self.symbol, **more}

    def entry(self, method: str) -> dict[str, Any]:
        """A trace at no place, for the legend: its line and its marker, where several traces draw them."""
        at = {"x": [None], "y": [None], "mode": "lines+markers", "line": self.line(), "marker": self.marker()}
        return at | {"name": method, "legendgroup": method}


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """How the methods of a figure look; no two alike (of a method's variants, of the first 96).

    What a method looks like comes from its name, so that it is the same in every figure. Only where two variants of one
    method would look alike, the later one by name takes what is free.
    """
    names, found = [*dict.fromkeys(methods)], dict[str, Look]()
    for method in sorted(names):
        wanted = [*_wanted(method)]
        found[method] = next((look for look in wanted if look not in found.values()), wanted[0])
    return {method: found[method] for method in names}


def colour_of(method: str) -> str:
    """A method's colour, the most frequent first, then by its place in METHODS; black for a name that is not there.

    A variant has its method's.
    """
    base = method.split(VARIANT)[0]
    if base == "full":
        return FULL
    return PALETTE[_ORDER.index(base) % len(PALETTE)] if base in _ORDER else "#000000"


def _wanted(method: str) -> Iterator[Look]:
    """What the method may look like, first choice first; where colours repeat, marker and line differ."""
    colour = colour_of(method)
    if method == "full":
        yield Look(colour, "star", DASHES[0])
    elif method in _ORDER:
        again, place = divmod(_ORDER.index(method), len(PALETTE))
        yield Look(colour, SYMBOLS[(place + again) % len(SYMBOLS)], DASHES[again % len(DASHES)])
    else:
        begin = crc32((method.partition(VARIANT)[2] or method).encode())
        for k in range(len(VARIANTS) * len(DASHES)):  # all markers first, then again with other lines
            again, place = k // len(VARIANTS), (begin + k) % len(VARIANTS)
            yield Look(colour, VARIANTS[place], DASHES[(place + again) % len(DASHES)])
