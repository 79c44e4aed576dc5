"""Font files made for tests, TrueType by the letter of its specification: a glyph is some of 16 squares."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

GRID, UNIT = 4, 250  # squares a side of the em; units a square
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def drawn_letters(seed: int) -> dict[str, int]:
    """For each letter which of the 16 squares are black, as bits; all differ, and two corners are always there."""
    bits = np.random.default_rng(seed).choice(2**14, len(LETTERS), replace=False)
    return {letter: 2 * int(bit) + 0x8001 for letter, bit in zip(LETTERS, bits, strict=True)}


def write_font(path: Path, family: str, squares: Mapping[str, int], style: str = "Regular") -> Path:
    """A font of these characters; what it has not is a box."""
    glyphs = [_glyph(0xFFFF), *map(_glyph, squares.values())]
    ends = np.cumsum([0, *map(len, glyphs)])
    tables = {
        "cmap": _cmap(squares),
        "glyf": b"".join(glyphs),
        "head": struct.pack(">IIIIHH16x4hHHhhh", 0x10000, 0, 0, 0x5F0F3CF5, 0, 1000, 0, 0, 1000, 1000, 0, 8, 2, 1, 0),
        "hhea": struct.pack(">IhhhHhhh16xhH", 0x10000, 1000, 0, 0, 1000, 0, 0, 1000, 0, len(glyphs)),
        "hmtx": struct.pack(">Hh", 1000, 0) * len(glyphs),
        "loca": struct.pack(f">{len(ends)}I", *ends.tolist()),
        "maxp": struct.pack(">IHHH22x", 0x10000, len(glyphs), 4 * GRID**2, GRID**2),
        "name": _names(family, style),
    }
    offset, entries = 12 + 16 * len(tables), b""
    for tag, content in tables.items():
        entries += struct.pack(">4sIII", tag.encode(), 0, offset, len(content))
        offset += len(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(">IHHHH", 0x10000, len(tables), 0, 0, 0) + entries + b"".join(tables.values()))
    return path


def _glyph(squares: int) -> bytes:
    """A contour of four points a square."""
    black = [divmod(place, GRID) for place in range(GRID**2) if squares >> place & 1]
    corners = [(x + dx, y + dy) for y, x in black for dx, dy in ((0, 0), (0, 1), (1, 1), (1, 0))]
    points = UNIT * np.array(corners)
    steps = np.diff(points, axis=0, prepend=0).T
    ends = range(3, len(points), 4)
    head = struct.pack(f">5h{len(ends)}HH", len(ends), *points.min(0), *points.max(0), *ends, 0)
    glyph = head + bytes([1] * len(points)) + steps.astype(">i2").tobytes()  # flag 1: on the curve, both steps 16 bits
    return glyph + bytes(-len(glyph) % 4)


def _cmap(characters: Mapping[str, int]) -> bytes:
    groups = [(ord(c), ord(c), glyph) for glyph, c in enumerate(characters, start=1)]
    listed = b"".join(struct.pack(">III", *group) for group in sorted(groups))
    format_12 = struct.pack(">HHIII", 12, 0, 16 + len(listed), 0, len(groups)) + listed
    return struct.pack(">HHHHI", 0, 1, 3, 10, 12) + format_12


def _names(family: str, style: str) -> bytes:
    texts = [text.encode("utf-16-be") for text in (family, style)]
    records, at = b"", 0
    for number, text in enumerate(texts, start=1):
        records += struct.pack(">6H", 3, 1, 0x409, number, len(text), at)
        at += len(text)
    return struct.pack(">HHH", 0, 2, 6 + len(records)) + records + b"".join(texts)
