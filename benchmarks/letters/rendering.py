"""One image of a letter: its font's outline, bent and lit at random, a pure function of (seed, split, number)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import cos, radians, sin, tan

import numpy as np
from PIL import Image

from autoprog_search.randomness import derive
from benchmarks.letters.fonts import CAPITALS, Font, glyph, truetype

SIDE = 48  # px of an image
FINE = 2  # times as many pixels a side while the letter is bent, so that edges are smooth
EM = 96  # px at which outlines are drawn before they are made as large as wanted
# How hard the letters are was chosen so that a small ViT learns them in three epochs, and is not through with them.
LONGER = (30.0, 42.0)  # px of the longer side of the letter's box
SHIFT = 0.4  # of the room that the letter's box leaves, either way
TURN, SHEAR = 8.0, 8.0  # degrees, either way
CONTRAST = (0.5, 1.0)  # light ink against a dark ground, of white against black
NOISE = (0.0, 0.1)  # standard deviation of a pixel
CLOUDS = (0.0, 0.1)  # how far soft spots of light and dark reach from the ground's own grey


def render_split(fonts: Mapping[str, Sequence[Font]], seed: int, split: str, number: int) -> tuple[np.ndarray, int]:
    """Image `number` of a split and its label: letters take turns, families are drawn evenly, then a font and a case.

    Args:
        fonts: of the split, by family.

    Returns:
        Grey values (SIDE, SIDE), bytes; the letter, A is 0.
    """
    random = np.random.default_rng(derive(seed, split, number))
    label = number % len(CAPITALS)
    own = fonts[list(fonts)[int(random.integers(len(fonts)))]]
    font = own[int(random.integers(len(own)))]
    letter = CAPITALS[label] if random.random() < 0.5 else CAPITALS[label].lower()
    return lit(placed(glyph(truetype(font.path, EM), letter), random), random), label


def placed(letter: Image.Image, random: np.random.Generator) -> np.ndarray:
    """A letter at a random size, turned, sheared and moved, mostly inside: how much ink each pixel has, 0 to 1."""
    longer = FINE * random.uniform(*LONGER)
    width, height = (max(1, round(side * longer / max(letter.size))) for side in letter.size)
    canvas = Image.new("L", (FINE * SIDE, FINE * SIDE))
    left, top = (round((FINE * SIDE - side) / 2 * (1 + SHIFT * random.uniform(-1, 1))) for side in (width, height))
    canvas.paste(letter.resize((width, height), Image.Resampling.BOX), (left, top))
    turn, shear = radians(random.uniform(-TURN, TURN)), tan(radians(random.uniform(-SHEAR, SHEAR)))
    a, b, d, e = cos(turn) + shear * sin(turn), shear * cos(turn) - sin(turn), sin(turn), cos(turn)
    x, y = left + width / 2, top + height / 2  # the letter's own middle stays where it is
    bent = canvas.transform(
        canvas.size,
        Image.Transform.AFFINE,
        (a, b, x - a * x - b * y, d, e, y - d * x - e * y),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(bent.reduce(FINE), np.float32) / 255


def lit(ink: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Light ink on a dark ground, with clouds and noise: bytes."""
    contrast = random.uniform(*CONTRAST)
    ground = random.uniform(0, 1 - contrast)
    spots = Image.fromarray(random.uniform(-1, 1, (4, 4)).astype(np.float32))
    clouds = np.asarray(spots.resize(ink.shape, Image.Resampling.BICUBIC)) * random.uniform(*CLOUDS)
    noise = random.normal(0, random.uniform(*NOISE), ink.shape)
    grey = ground + contrast * ink + clouds + noise
    return (255 * np.clip(grey, 0, 1) + 0.5).astype(np.uint8)
