"""Make `letters`: 26 classes of 48 px grey images of letters, rendered from font files, no family in two splits.

    python -m benchmarks.letters --out DIR [--fonts FOLDER ...] [--seed 0]

Writes IDX files as Fashion-MNIST's, with a pair for validation, and letters.json, which lists every font, its
package and version where Debian's dpkg knows them, and its hash. The same font files, seed and versions of Pillow and
FreeType give the same bytes. Then: `autoprog-search train --space letters --data letters --data-root DIR`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import features
from rich.console import Console
from rich.progress import Progress

from autoprog_search.errors import AutoProgError, ConfigError, StudyError, why
from autoprog_search.files import write_atomic
from benchmarks.letters.fonts import Font, by_family, families, font_files, split_families, usable_fonts
from benchmarks.letters.rendering import SIDE, render_split

FONTS = Path("/usr/share/fonts")  # where Debian's fonts-* packages put them
IMAGES = {"train": 40_000, "val": 5_000, "test": 10_000}
FILES = {"train": "train", "val": "val", "test": "t10k"}
MANIFEST = "letters.json"


def main(words: Sequence[str] | None = None) -> int:
    """Make them; 2 where something given is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--fonts", type=Path, nargs="+", default=[FONTS], help=f"folders of font files ({FONTS})")
    parser.add_argument("--seed", type=int, default=0, help="of the split and the images")
    parser.add_argument("--images", type=int, nargs=3, default=list(IMAGES.values()), help="to train, validate, test")
    given = parser.parse_args(words)
    try:
        found = make(given.out, given.fonts, given.seed, dict(zip(IMAGES, given.images, strict=True)))
    except AutoProgError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    left_out = ", ".join(f"{count} {reason}" for reason, count in found["left_out"].items()) or "none"
    by_split = Counter(font["split"] for font in found["fonts"])
    told = (f"{split}: {count} images, {by_split[split]} fonts" for split, count in found["images"].items())
    print(f"{given.out}: {'; '.join(told)}; files left out: {left_out}")
    return 0


def make(out: Path, folders: Sequence[Path], seed: int, images: Mapping[str, int]) -> dict[str, Any]:
    """Render all splits and write them; what is written to the manifest.

    Raises:
        AutoProgError: there are no fonts, too few families, no images wanted, or the folder cannot be written.
    """
    for split, count in images.items():
        if count < 1:
            raise ConfigError(f"letters: {count} {split} images; each split has 1 or more")
    files = font_files(folders)
    try:  # now, not after minutes; the manifest comes last, so whoever finds it finds all
        out.mkdir(parents=True, exist_ok=True)
        (out / MANIFEST).unlink(missing_ok=True)
    except OSError as error:
        raise StudyError(f"letters: {out} cannot be written: {why(error)}") from None
    with Progress(console=Console(stderr=True)) as bars:
        looking = bars.add_task("looking at fonts", total=len(files))
        fonts, left_out = usable_fonts(files, lambda: bars.advance(looking))
        names = families(fonts) if fonts else []
        split_of = split_families(names, seed)
        rendering = bars.add_task("rendering", total=sum(images.values()))
        for split, count in images.items():
            own = {family: of for family, of in by_family(fonts, names).items() if split_of[family] == split}
            _write(out, split, _rendered(own, seed, split, count, lambda: bars.advance(rendering)))
    manifest = {
        "seed": seed,
        "images": dict(images),
        "pillow": PIL.__version__,
        "freetype": features.version("freetype2"),
        "left_out": dict(sorted(left_out.items())),
        "fonts": _listed(fonts, names, split_of),
    }
    write_atomic(out / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    return manifest


def _rendered(
    fonts: Mapping[str, Sequence[Font]], seed: int, split: str, count: int, on_image: Callable[[], None]
) -> tuple[np.ndarray, np.ndarray]:
    images, labels = np.empty((count, SIDE, SIDE), np.uint8), np.empty(count, np.uint8)
    for number in range(count):
        images[number], labels[number] = render_split(fonts, seed, split, number)
        on_image()
    return images, labels


def _write(out: Path, split: str, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """Two gzipped IDX files: two zero bytes, 8 for bytes, the number of dimensions, each dimension, the bytes."""
    for what, array in zip(("images-idx3", "labels-idx1"), arrays, strict=True):
        head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
        content = gzip.compress(head + array.tobytes(), compresslevel=6, mtime=0)  # no date: the same bytes every time
        write_atomic(out / f"{FILES[split]}-{what}-ubyte.gz", content)


def _listed(fonts: Sequence[Font], names: Sequence[str], split_of: Mapping[str, str]) -> list[dict[str, str]]:
    packages = _packages([font.path for font in fonts])
    return [
        {
            "split": split_of[family],
            "family": family,
            "name": font.name,
            "file": font.path.name,
            "package": packages.get(font.path, ""),
            "sha256": font.sha256,
        }
        for font, family in zip(fonts, names, strict=True)
    ]


def _packages(paths: Sequence[Path]) -> dict[Path, str]:
    """Debian's package and version of each file, where dpkg is there and knows it."""
    if not paths or shutil.which("dpkg-query") is None:
        return {}
    literal = [re.sub(r"([][*?\\])", r"\\\1", str(path)) for path in paths]  # dpkg takes patterns
    search = ["dpkg-query", "--search", *literal]
    lines = subprocess.run(search, capture_output=True, text=True, check=False).stdout.splitlines()
    owner = {Path(path): package for package, _, path in (line.partition(": ") for line in lines)}
    show = ["dpkg-query", "--show", "--showformat", "${binary:Package} ${Version}\n", *sorted(set(owner.values()))]
    shown = subprocess.run(show, capture_output=True, text=True, check=False).stdout.splitlines() if owner else []
    version = dict(line.split(" ", 1) for line in shown)
    return {path: f"{package} {version[package]}" for path, package in owner.items() if package in version}


if __name__ == "__main__":
    sys.exit(main())
