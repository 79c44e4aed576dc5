"""Which data a configuration means, told without a model."""

from __future__ import annotations

from autoprog_search.data.arrays import ARRAYS
from autoprog_search.data.fingerprint import Fingerprint
from autoprog_search.data.images import open_splits
from autoprog_search.errors import DataError
from autoprog_search.settings.data import DataConfig


def fingerprint_of(config: DataConfig, *, sizes: bool) -> Fingerprint:
    """Of the data that a configuration means; no model is needed, and torch only for `torch/` and `hfds/`.

    A data set of torchvision's that is not there yet is downloaded.

    Args:
        sizes: whether the sizes of all files are looked at too.

    Raises:
        DataError: the data cannot be found or read; or they are a table, see `table_fingerprint`.
    """
    if config.table is not None:
        raise DataError(f"data: {config.name} holds results, no images to train on; studies run on it")
    if config.name in ARRAYS:
        return ARRAYS[config.name](config.root).fingerprint()
    return open_splits(config).fingerprint(sizes=sizes)
