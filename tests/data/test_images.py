"""One guard around every image that users supply: whatever is wrong with it is one line that names the file."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoprog_search.data.folder import FolderImages
from autoprog_search.data.images import open_splits
from autoprog_search.data.loader import TransformedImages
from autoprog_search.data.transforms import Normalisation, Transforms
from autoprog_search.errors import DataError
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import Recipe
from tests.data.files import load, make_images, small

RECIPE = Recipe(batch_size=4)


def read(path: Path, *, train: bool = False, model: str = "deit_tiny_patch16_224", channels: int = 3) -> object:
    """The sample that a file is, or the error, as a loader process gives it."""
    transforms = Transforms(RECIPE, Normalisation.of(model, channels), train, full_resolution=32)
    found = TransformedImages(FolderImages(path.parent, [path.name], [0]), transforms, 1)[(0, 0, 32)]
    return str(found) if isinstance(found, DataError) else found


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def header(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


BROKEN = {
    "zero bytes": b"",
    "text": b"<html>404 not found</html>",
    "AppleDouble": b"\0\5\x16\7\0\2\0\0Mac OS X" + b"\0" * 50,
    "JPEG's first bytes": b"\xff\xd8\xff\xe0",
    "decompression bomb": png(header(60_000, 60_000), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")),
    "no pixels": png(header(8, 8), (b"IDAT", b"not zlib"), (b"IEND", b"")),
    "PNG cut in its header": png(header(8, 8))[:20],
    "TIFF of nothing": b"II*\0\x08\0\0\0\x01\0" + b"\xff" * 14,
    "GIF cut": b"GIF89a\x08\0\x08\0\xf7\0\0" + b"\0" * 30,
    "WebP cut": b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0",
    "PGM of letters": b"P5\nsome size\n255\n",
    "BMP of absurd size": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 2**31 - 1, 1, 1, 24, 0, 0, 0, 0, 0, 0),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("train", [True, False])
def test_a_file_that_is_no_image_is_one_line_with_its_name(tmp_path, content, train):
    (tmp_path / "x.jpg").write_bytes(content)
    found = read(tmp_path / "x.jpg", train=train)
    assert isinstance(found, str)
    assert found.startswith(f"data: {tmp_path}/x.jpg cannot be read as an image: ")
    assert "\n" not in found
    assert " object at 0x" not in found
    assert "_io." not in found


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["folder", "FIFO", "dangling link", "device"])
def test_what_has_become_no_file_since_is_one_line(tmp_path, kind):
    path = tmp_path / "x.jpg"
    if kind == "folder":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "gone")
    found = str(read(path))
    assert found.startswith(f"data: {path} cannot be read as an image: ")
    assert ("no such file" if kind == "dangling link" else "no regular file") in found


@pytest.mark.parametrize(
    "error", [MemoryError(), struct.error("odd\nlines"), EOFError(), RecursionError("deep"), KeyError(3)]
)
def test_whatever_a_library_raises_is_one_line(tmp_path, monkeypatch, error):
    (tmp_path / "x.jpg").write_bytes(b"")

    def fail(file: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    found = read(tmp_path / "x.jpg")
    assert "x.jpg cannot be read as an image: " in found
    assert not found.endswith(": ")
    assert "\n" not in found


@pytest.mark.parametrize("split", ["val", "test"])
def test_opening_a_data_set_opens_no_image(tmp_path, split, monkeypatch):
    small(tmp_path)
    (tmp_path / "val").rename(tmp_path / split)
    (tmp_path / split / "a" / "0.png").write_bytes(b"")
    monkeypatch.setattr(Image, "open", lambda file: pytest.fail("an image was opened"))
    assert len(open_splits(DataConfig(name=str(tmp_path))).test[0]) == 6


def test_a_broken_first_image_of_the_test_split_is_named_when_it_is_evaluated(tmp_path):
    make_images(tmp_path, train={"a": 8, "b": 8}, val={"a": 2, "b": 2})
    (tmp_path / "val" / "a" / "0.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"val/a/0\.jpg cannot be read as an image"):
        list(load(tmp_path).eval_batches("test", 2, 32))


def test_an_image_that_would_take_all_memory_when_resized_is_refused(tmp_path):
    Image.new("RGB", (1, 30_000)).save(tmp_path / "x.png")
    transforms = Transforms(RECIPE, Normalisation.of("deit_tiny_patch16_224", 3), False, full_resolution=224)
    with pytest.raises(ValueError, match="1 x 30000 pixels are too long and narrow for 224 px"):
        transforms.decode(Image.open(tmp_path / "x.png"), 224)


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (3, 400)])
@pytest.mark.parametrize("train", [True, False])
def test_tiny_and_narrow_images_are_read(tmp_path, size, train):
    Image.new("RGB", size).save(tmp_path / "x.png")
    image, *_ = read(tmp_path / "x.png", train=train)
    assert image.shape == (3, 32, 32)


# ── modes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

GRADIENT = np.linspace(0, 65_535, 32 * 32).reshape(32, 32)


def decoded(path: Path, channels: int = 3) -> np.ndarray:
    transforms = Transforms(RECIPE, Normalisation.of("deit_tiny_patch16_224", channels), False, full_resolution=32)
    return np.asarray(transforms.decode(Image.open(path), 32))


def save_deep(path: Path) -> None:
    """A gradient of 16 bits; the mode that Pillow opens it in differs from format to format."""
    values = GRADIENT.astype(np.uint16)
    if path.suffix == ".pgm":
        path.write_bytes(b"P5 32 32 65535\n" + values.astype(">u2").tobytes())
    elif path.name == "plain.ppm":
        path.write_text("P2\n32 32\n65535\n" + "\n".join(map(str, values.ravel().tolist())))
    else:
        Image.fromarray(values).save(path)


@pytest.mark.parametrize("name", ["x.png", "x.pgm", "plain.ppm", "x.tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_16_bits_keep_their_gradient(tmp_path, name, channels):
    save_deep(tmp_path / name)
    found = decoded(tmp_path / name, channels).reshape(32, 32, -1)
    assert found.shape[2] == channels
    assert np.abs(found[..., 0] - GRADIENT / 257).max() <= 1
    assert len(np.unique(found)) > 250


def tiff(width: int, bits: int, data: bytes, *, signed: bool = False) -> bytes:
    """A grey TIFF of one row."""
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(data), 339: 1 + signed}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_a_tiff_of_12_bits_is_scaled_by_its_own_range(tmp_path):
    values = [0, 4095, 2048, 1024]
    packed = b"".join((a << 12 | b).to_bytes(3, "big") for a, b in zip(values[::2], values[1::2], strict=True))
    (tmp_path / "x.tif").write_bytes(tiff(4, 12, packed))
    assert decoded(tmp_path / "x.tif")[0, :, 0].tolist() == [0, 255, 128, 64]


def test_a_tiff_with_values_below_0_is_refused(tmp_path):
    (tmp_path / "x.tif").write_bytes(tiff(2, 16, struct.pack("<hh", -5, 100), signed=True))
    assert "x.tif cannot be read as an image: its values go down to -5" in str(read(tmp_path / "x.tif"))


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_every_byte_order_of_16_bits_is_scaled(tmp_path, mode):
    image = Image.new(mode, (2, 1))
    image.putpixel((1, 0), 40_000)
    transforms = Transforms(RECIPE, Normalisation.of("deit_tiny_patch16_224", 3), False, full_resolution=32)
    assert np.asarray(transforms.decode(image, 32))[0, :, 0].tolist() == [0, 156]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([[0, 200]], np.int32), "its values have 32 bits"),
        (np.array([[0, 70_000]], np.int32), "its values have 32 bits"),
        (np.array([[-5, 100]], np.int32), "its values have 32 bits"),
        (np.array([[0.0, 0.5]], np.float32), "its values are floats"),
    ],
)
def test_values_of_a_range_nobody_knows_are_refused(tmp_path, values, words):
    Image.fromarray(values).save(tmp_path / "x.tif")
    assert words in str(read(tmp_path / "x.tif"))
    assert "x.tif" in str(read(tmp_path / "x.tif"))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "LA", "PA", "RGBX", "RGBa", "La"]
)
def test_every_other_mode_is_converted(mode, channels):
    transforms = Transforms(RECIPE, Normalisation.of("deit_tiny_patch16_224", channels), False, full_resolution=32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert transforms.decode(Image.new(mode, (40, 40)), 32).mode == {1: "L", 3: "RGB"}[channels]
