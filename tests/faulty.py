"""What goes wrong beneath a study: files without their ends, disks without space, processes without memory."""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def damage(path: Path, rng: random.Random) -> None:
    """What a power cut leaves: a file without its end, zeros where that should be."""
    content = path.read_bytes()
    cut = rng.randrange(len(content) + 1)
    path.write_bytes(rng.choice([b"", content[:cut], content[:cut] + bytes(len(content) - cut), content[:-1]]))


class NoDisk(Exception):
    """No file system can be mounted here."""


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A file system of that size; NoDisk where none can be mounted."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder], capture_output=True)
    if made.returncode:
        raise NoDisk
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(path: Path, leave: int) -> None:
    """Take all of the file system's space but some bytes."""
    free = shutil.disk_usage(path.parent).free
    with path.open("wb") as file:
        file.write(bytes(max(0, free - leave)))


def no_more_memory(pid: int) -> None:
    """Let a process have what it has, and nothing on top."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
