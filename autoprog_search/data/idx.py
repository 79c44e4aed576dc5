"""IDX files, the format of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist/), plain or gzipped."""

from __future__ import annotations

import gzip
from math import prod
from pathlib import Path

import numpy as np

from autoprog_search.data.reading import escaped
from autoprog_search.errors import DataError, why
from autoprog_search.files import open_file

MOST_BYTES = 1 << 31  # of an array: these sets live in memory, as floats


def read_idx(folder: Path, name: str, dimensions: int, missing: str = "give the folder that has it") -> np.ndarray:
    """The array of unsigned bytes in `folder/name` or `folder/name.gz`.

    Args:
        missing: what to do where there is no such file.

    Raises:
        DataError: there is no such file, or it is no IDX file of bytes with so many dimensions.
    """
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise DataError(f"data: {escaped(folder)} has no {name}[.gz]; {missing}")
    where = f"data: {escaped(path)}"
    try:
        with open_file(path) as file, gzip.open(file) if path.suffix == ".gz" else file as content:
            header = content.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
                raise DataError(f"{where} is no IDX file of bytes in {dimensions} dimension(s)")
            shape = tuple(np.frombuffer(header, dtype=">u4", offset=4).tolist())
            if not 0 < prod(shape) <= MOST_BYTES:
                raise DataError(f"{where} says {shape}: that is nothing, or too much to be held in memory")
            found = content.read(prod(shape) + 1)  # one more than there should be
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - what gzip raises for damaged files: OSError, EOFError, zlib.error
        raise DataError(f"{where} cannot be read: {why(error)}") from None
    if len(found) != prod(shape):
        what = "holds more" if len(found) > prod(shape) else f"holds {len(found)} bytes; it is cut off"
        raise DataError(f"{where} says {shape} and {what}")
    return np.frombuffer(found, dtype=np.uint8).reshape(shape)
