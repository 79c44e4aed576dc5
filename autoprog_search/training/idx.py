"""IDX files, the format of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist/), plain or gzipped."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from autoprog_search.errors import DataError


def read_idx(folder: Path, name: str, dimensions: int) -> np.ndarray:
    """The array of unsigned bytes in `folder/name` or `folder/name.gz`.

    Raises:
        DataError: there is no such file, or it is no IDX file of bytes with so many dimensions.
    """
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise DataError(
            f"data: {folder} has no {name}[.gz]; give its folder, or install Debian's package dataset-fashion-mnist"
        )
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"data: {path} cannot be read: {error}") from None
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(f"data: {path} is no IDX file of bytes in {dimensions} dimension(s)")
    shape = tuple(int(n) for n in np.frombuffer(content, dtype=">i4", count=dimensions, offset=4))
    found = np.frombuffer(content, dtype=np.uint8, offset=header)
    if found.size != np.prod(shape):
        raise DataError(f"data: {path} says {shape} and holds {found.size} bytes; it is cut off")
    return found.reshape(shape)
