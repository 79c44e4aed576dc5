"""The command that makes `letters`: reading them back, the same bytes every time, which fonts, which split."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoprog_search.data.load import load_data
from autoprog_search.data.tensor import TensorData
from autoprog_search.errors import DataError
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.space import GrowthSpace
from benchmarks.letters.__main__ import main
from benchmarks.letters.rendering import SIDE, lit, placed
from tests.fonts import drawn_letters, write_font
from tests.tiny import CPU

FAMILIES = ("Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta", "Eta")
SPACE, RECIPE = GrowthSpace.load("letters"), load_recipe("letters")
COUNTS = {"train": 104, "val": 30, "test": 52}


@pytest.fixture(scope="module")
def fonts(tmp_path_factory) -> Path:
    """Seven families, two of them with two styles; a copy of Beta's design as Omega; and four files of no use."""
    root = tmp_path_factory.mktemp("fonts")
    for number, family in enumerate(FAMILIES):
        write_font(root / f"{family}.ttf", f"{family} Sans", drawn_letters(number))
    for number, family in enumerate(FAMILIES[:2]):
        write_font(root / "bold" / f"{family}-Bold.TTF", f"{family} Sans", drawn_letters(20 + number), "Bold")
    write_font(root / "omega.otf", "Omega", drawn_letters(1))
    write_font(root / "short.ttf", "Theta", {c: bits for c, bits in drawn_letters(30).items() if c != "q"})
    write_font(root / "dingbats.ttf", "Iota Dingbats", drawn_letters(31))
    write_font(root / "alike.ttf", "Kappa", {**drawn_letters(32), "b": drawn_letters(32)["c"]})
    (root / "copy.ttf").write_bytes((root / "Gamma.ttf").read_bytes())
    (root / "broken.ttf").write_bytes(b"no font")
    (root / "cut.ttf").write_bytes((root / "Eta.ttf").read_bytes()[:200])
    (root / "README").write_text("fonts")
    return root


def make(out: Path, fonts: Path, *words: str) -> None:
    assert main(["--out", str(out), "--fonts", str(fonts), "--images", *map(str, COUNTS.values()), *words]) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory, fonts) -> Path:
    out = tmp_path_factory.mktemp("letters")
    make(out, fonts)
    return out


def load(root: Path) -> TensorData:
    data = load_data(DataConfig(name="letters", root=str(root)), SPACE, RECIPE, CPU)
    assert isinstance(data, TensorData)
    return data


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_made_is_read_back(made):
    data = load(made)
    assert data.num_classes == 26
    assert {name: len(labels) for name, (_, labels) in data.splits.items()} == COUNTS
    images, labels = data.splits["train"]
    assert images.shape == (104, 1, SIDE, SIDE)
    assert torch.equal(labels, torch.arange(104) % 26)
    assert (images.flatten(1).std(dim=1) > 0.05).all()  # there is something on each


def test_the_same_fonts_give_the_same_bytes_wherever_they_lie(tmp_path, fonts, made):
    for number, path in enumerate(sorted((path for path in fonts.rglob("*") if path.is_file()), reverse=True)):
        moved = tmp_path / "moved" / str(number % 3) / f"{number}{path.suffix}"
        moved.parent.mkdir(parents=True, exist_ok=True)
        moved.write_bytes(path.read_bytes())
    make(tmp_path / "two", tmp_path / "moved")
    make(tmp_path / "three", fonts, "--seed", "1")
    one, two, three = map(contents, (made, tmp_path / "two", tmp_path / "three"))
    images = [name for name in one if name.endswith(".gz")]
    assert len(images) == 6
    assert [name for name in images if one[name] != two[name]] == []
    assert one["train-images-idx3-ubyte.gz"] != three["train-images-idx3-ubyte.gz"]


def test_no_family_is_in_two_splits(made):
    listed = json.loads((made / "letters.json").read_text())["fonts"]
    splits = defaultdict(set)
    for font in listed:
        splits[font["family"]].add(font["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert Counter(split for (split,) in splits.values()) == {"train": 5, "val": 1, "test": 1}
    family = {font["name"]: font["family"] for font in listed}
    assert family["Alpha Sans Regular"] == family["Alpha Sans Bold"] != family["Beta Sans Regular"]
    assert family["Omega Regular"] == family["Beta Sans Regular"]  # another name, the same design


def test_files_that_are_no_fonts_of_letters_are_left_out_and_counted(tmp_path, fonts, capsys):
    make(tmp_path, fonts)
    manifest = json.loads((tmp_path / "letters.json").read_text())
    assert manifest["left_out"] == {"without letters": 3, "copies": 1, "broken": 2}
    assert {font["file"] for font in manifest["fonts"]} == {
        *(f"{family}.ttf" for family in FAMILIES), "Alpha-Bold.TTF", "Beta-Bold.TTF", "omega.otf",
    }  # fmt: skip
    assert "files left out: 2 broken, 1 copies, 3 without letters" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--fonts", "gone"], "letters: gone is no folder; give --fonts a folder of .ttf or .otf files"),
        (
            ["--fonts", "."],
            "letters: 0 font families with all letters found, the splits need 3 or more; apt-get install",
        ),
        (["--images", "1", "0", "1"], "letters: 0 val images; each split has 1 or more"),
        (["--out", "file/x"], "letters: file/x cannot be written"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, monkeypatch, capsys, words, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert main(["--out", "out", "--fonts", ".", *words]) == 2
    (said,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error")]
    assert line in said


def test_letters_that_are_not_there_are_one_line(tmp_path):
    with pytest.raises(DataError, match=r"make them: python -m benchmarks\.letters --out DIR .*--data-root DIR"):
        load_data(DataConfig(name="letters"), SPACE, RECIPE, CPU)
    with pytest.raises(DataError, match=r"has no train-images-idx3-ubyte\[.gz\]; make them: python -m benchmarks"):
        load(tmp_path)


def test_a_letter_keeps_its_shape_and_stays_on_its_ground():
    """An L: more ink below and to the left, whatever it was turned and moved by; the ground lies between the bounds."""
    letter = np.zeros((60, 40), np.uint8)
    letter[:, :10] = letter[-10:] = 255
    for seed in range(20):
        ink = placed(Image.fromarray(letter), np.random.default_rng(seed))
        assert ink.shape == (SIDE, SIDE)
        assert ink.sum() > 60
        rows, columns = (np.flatnonzero(ink.max(axis) > 0.1) for axis in (1, 0))
        middle = [(low + high) / 2 for low, high in ((rows[0], rows[-1]), (columns[0], columns[-1]))]
        mean = [(ink.sum(axis) @ np.arange(SIDE)) / ink.sum() for axis in (1, 0)]
        assert mean[0] > middle[0]
        assert mean[1] < middle[1]
        grey = lit(ink, np.random.default_rng(seed))
        assert grey.dtype == np.uint8
