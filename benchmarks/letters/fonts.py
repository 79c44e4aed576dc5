"""The fonts that letters are drawn from: which can be used, which are one family, which family is in which split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.sparse.csgraph import connected_components

from autoprog_search.errors import DataError
from autoprog_search.randomness import derive

CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SUFFIXES = (".ttf", ".otf")
NO_LETTERS = re.compile("symbol|dingbat|emoji|icon|ornament|d050000l", re.IGNORECASE)  # other signs in letters' places
SIZE = 64  # px of an em, where fonts are looked at
SKETCH = 16  # px of a letter's sketch
ALIKE = 0.12
"""Below this root mean square difference of their sketches (0 white, 1 black) two fonts are of one family. Measured on
Debian's: a font's bold and its regular differ by 0.24 in the median, copies under another name by 0.00 to 0.11."""
SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
"""Of the families."""


@dataclass(frozen=True)
class Font:
    """A font file that has the letters.

    Attributes:
        name: family and style, as the file says.
        sketches: of A to Z and a to z, each stretched to a square: (52, SKETCH, SKETCH), 0 white to 1 black.
    """

    path: Path
    name: str
    sha256: str
    sketches: np.ndarray


def font_files(folders: Iterable[Path]) -> list[Path]:
    """All files under these folders that are named as fonts are; one that links lead to twice, once.

    Raises:
        DataError: a folder is none.
    """
    found: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"letters: {folder} is no folder; give --fonts a folder of .ttf or .otf files")
        found |= {path.resolve() for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES}
    return sorted(found)


def usable_fonts(files: Iterable[Path], on_file: Callable[[], None]) -> tuple[list[Font], Counter[str]]:
    """The fonts among these files that have all letters, in an order that depends on their content alone.

    Args:
        on_file: called after each file.

    Returns:
        The fonts, and how many files were left out, by reason.
    """
    fonts: dict[str, Font] = {}
    left_out: Counter[str] = Counter()
    for path in files:
        try:
            font = _opened(path)
        except Exception:  # noqa: BLE001 - what FreeType and Pillow raise for damaged files: OSError, ValueError, ...
            left_out["broken"] += 1
        else:
            if font is None:
                left_out["without letters"] += 1
            elif font.sha256 in fonts:
                left_out["copies"] += 1
            else:
                fonts[font.sha256] = font
        on_file()
    return sorted(fonts.values(), key=lambda font: (font.name, font.sha256)), left_out


def truetype(path: Path, size: float) -> ImageFont.FreeTypeFont:
    """The font at so many pixels an em; laid out by FreeType alone, as Raqm is not everywhere."""
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def glyph(font: ImageFont.FreeTypeFont, character: str) -> Image.Image:
    """What the font draws for a character, in its own box, black as 255."""
    left, top, right, bottom = map(int, font.getbbox(character))
    image = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(image).text((-left, -top), character, fill=255, font=font)
    return image


def _opened(path: Path) -> Font | None:
    """The font in a file; None if it has other signs than letters, lacks one, or draws two alike (I and l may be)."""
    font = truetype(path, SIZE)
    name = " ".join(filter(None, font.getname())) or path.stem
    if NO_LETTERS.search(f"{name} {path.stem}"):
        return None
    missing = _drawn(font, chr(0x10FFFF))  # the box that stands for what the font has not
    for letters in (CAPITALS, CAPITALS.lower()):
        drawn = [_drawn(font, letter) for letter in letters]
        if not all(any(pixels) for _, pixels in drawn) or len({missing, *drawn}) <= len(letters):
            return None
    boxes = (glyph(font, c).resize((SKETCH, SKETCH), Image.Resampling.BOX) for c in CAPITALS + CAPITALS.lower())
    sketches = np.stack([np.asarray(box, np.float32) / 255 for box in boxes])
    return Font(path, name, sha256(path.read_bytes()).hexdigest(), sketches)


def _drawn(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    image = glyph(font, character)
    return image.size, image.tobytes()


def families(fonts: Sequence[Font]) -> list[str]:
    """Each font's family: all weights and styles of a design are one, and so are its copies under other names.

    Fonts whose names begin with the same word are one family, as are fonts that look alike, and whoever is one family
    with either. This joins some that are none (Open Sans and Open Dyslexic), and takes none apart.
    """
    words = np.array([_first_word(font.name) for font in fonts])
    flat = np.stack([font.sketches.ravel() for font in fonts])
    squares = (flat**2).sum(axis=1)
    distance = (squares[:, None] + squares - 2 * flat @ flat.T) / flat.shape[1]
    _, group = connected_components((words[:, None] == words) | (distance < ALIKE**2), directed=False)
    named = {number: min(words[group == number]) for number in set(group)}
    return [str(named[number]) for number in group]


def _first_word(name: str) -> str:
    """`DejaVu Sans Mono` is `deja`, `LMRoman10` is `lm`, `B612` is `b`."""
    found = re.search(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return found.group().lower() if found else name


def split_families(names: Iterable[str], seed: int) -> dict[str, str]:
    """Which split each family is in: shuffled, then cut by `SHARES`.

    Raises:
        DataError: they are too few for three splits.
    """
    order = sorted(set(names))
    if len(order) < len(SHARES):
        raise DataError(
            f"letters: {len(order)} font families with all letters found, the splits need {len(SHARES)} or more; "
            "apt-get install fonts-... (docs/data.md lists them), or give another folder as --fonts"
        )
    np.random.default_rng(derive(seed, "families")).shuffle(order)
    val, test = (max(1, round(SHARES[split] * len(order))) for split in ("val", "test"))
    cut = {"val": order[:val], "test": order[val : val + test], "train": order[val + test :]}
    return {family: split for split, own in cut.items() for family in own}


def by_family(fonts: Sequence[Font], names: Sequence[str]) -> Mapping[str, list[Font]]:
    """The fonts of each family, families and fonts in the order of the fonts."""
    found: dict[str, list[Font]] = {}
    for font, name in zip(fonts, names, strict=True):
        found.setdefault(name, []).append(font)
    return found
