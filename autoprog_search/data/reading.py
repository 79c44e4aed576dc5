"""Reading what users supply: files that may be anything, under names that may be anything.

Whatever is wrong with one of them is one line that names it; nothing of it may hang.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from autoprog_search.errors import DataError, why

STAT_THREADS, STAT_AT_ONCE = 16, 2048  # a file server answers many at a time


def escaped(name: str | Path) -> str:
    """A name as a message shows it: line breaks, control characters and bytes that are no UTF-8 are escaped."""
    text = str(name)
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def file_sizes(name: Callable[[int], str], count: int) -> list[int]:
    """The sizes of files, in bytes.

    Args:
        name: of a file, by its number below `count`.

    Raises:
        DataError: there is no such file, or it is not ours to see.
    """

    def sizes_from(start: int) -> list[int]:
        return [os.stat(name(number)).st_size for number in range(start, min(start + STAT_AT_ONCE, count))]

    try:
        with ThreadPoolExecutor(STAT_THREADS) as threads:
            return [size for found in threads.map(sizes_from, range(0, count, STAT_AT_ONCE)) for size in found]
    except OSError as error:
        raise DataError(f"data: {escaped(error.filename)} cannot be read: {why(error)}") from None


def existing_folder(name: str | Path, wanted: str) -> Path:
    """The folder of that name.

    Args:
        wanted: what the message says it should be, after the name.

    Raises:
        DataError: there is none.
    """
    try:
        folder = Path(name).expanduser()
        found = stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        found = False
    except (OSError, RuntimeError, ValueError) as error:  # too long or not ours to see; ~nosuchuser; a NUL in it
        raise DataError(f"data: {escaped(name)!r} {wanted}: {why(error)}") from None
    if not found:
        raise DataError(f"data: {escaped(name)!r} {wanted}")
    return folder
