"""One colour and one marker a method, the same in every figure."""

from __future__ import annotations

from zlib import crc32

from autoprog_search.methods.registry import METHODS, VARIANT

FULL = "#4D4D4D"  # the reference of every comparison, so not one colour among others
# Okabe and Ito's colour-blind-safe palette without its yellow, which cannot be seen on white.
PALETTE = ("#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#009E73", "#D55E00")
SYMBOLS = ("square", "diamond", "circle", "triangle-up", "triangle-down", "pentagon")
VARIANTS = ("x", "cross", "hourglass", "bowtie", "hexagram", "star-triangle-up")

_MOST = ("full-short", "linear", "autoprog", "random", "tpe")  # in most studies, so no two share a colour
_ORDER = tuple(dict.fromkeys((*_MOST, *(name for name in METHODS if name != "full"))))


def colour_of(method: str) -> str:
    """A method's colour, the most frequent first, then by its place in METHODS; black for a name that is not there.

    A variant has its method's.
    """
    base = method.split(VARIANT)[0]
    if base == "full":
        return FULL
    return PALETTE[_ORDER.index(base) % len(PALETTE)] if base in _ORDER else "#000000"


def symbol_of(method: str) -> str:
    """A method's marker, so that no reader needs the colours; with the colour no two methods share it.

    A variant's comes from its own name, so that it too is the same in every figure.
    """
    if method == "full":
        return "star"
    if method not in _ORDER:
        return VARIANTS[crc32(method.partition(VARIANT)[2].encode()) % len(VARIANTS)]
    place = _ORDER.index(method)
    return SYMBOLS[(place + place // len(PALETTE)) % len(SYMBOLS)]


def dash_of(method: str) -> str:
    """A method's kind of line: methods that share a colour differ in it."""
    kinds = ("solid", "dash", "dot", "dashdot")
    return kinds[_ORDER.index(method) // len(PALETTE) % len(kinds)] if method in _ORDER else kinds[0]
