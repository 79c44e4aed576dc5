"""Files of a study under one URL, for machines that share no folder: checkpoints, weights, step times.

A machine works in its own folder as ever. What others may go on with it also puts under the URL, and whoever takes up a
trial fetches it from there. Every write is a new file, TOKEN-COUNT-DIGEST-NAME: written under another name and then
moved, so that it is there whole or not at all; with a digest of its content, so that what is damaged is not taken; and
with the token of the writer's claim first (`study/leases.py`), so that what an earlier holder writes too late is never
the newest.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

from autoprog_search.errors import StudyError, masked, why
from autoprog_search.files import WEIGHTS, write_atomic

VERSION = re.compile(r"(\d{8})-(\d{8})-([0-9a-f]{16})-(.+)")
PART = re.compile(r"\.[0-9a-f]{32}")
"""Of a file that is being written, or was when its writer was killed. Other files under the URL are somebody else's."""

KEPT = 2
"""Versions of a file: the newest, and the one before it, should that be damaged."""


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """A file as somebody wrote it; the newest is the largest."""

    token: int
    count: int
    digest: str
    name: str

    def __str__(self) -> str:
        return f"{self.token:08d}-{self.count:08d}-{self.digest}-{self.name}"


class Artifacts:
    """A study's files under a URL.

    Args:
        url: whatever fsspec knows: file, s3, gs, memory, ...
        study: the study's name.
        folder: the study's own.

    Raises:
        StudyError: nothing is installed that knows such a URL.
    """

    def __init__(self, url: str, study: str, folder: Path) -> None:
        import fsspec

        self._shown, self._folder = masked(url), folder
        try:
            self._system, root = fsspec.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise StudyError(f"artifacts: {self._shown!r} cannot be opened: {why(error)}") from None
        self._root = f"{root.rstrip('/')}/{study}"

    def check_apart(self) -> None:
        """Make sure that no study's own folder is there, on this machine or another: its files would be among these.

        Raises:
            StudyError: there is one, or it cannot be read.
        """
        with self._said("read"):
            ours = Path(self._root).resolve() == self._folder.resolve() and "file" in self._system.protocol
            taken = ours or self._system.exists(f"{self._root}/study.yaml")
        if taken:
            raise StudyError(
                f"artifacts: {self._shown!r} is where studies have their own folders; give another, say "
                f"{self._shown.rstrip('/') + '/artifacts'!r}"
            )

    def keep(self, path: Path, token: int = 0) -> None:
        """Put a file of the study's folder there; of earlier versions the last is kept.

        Raises:
            StudyError: it cannot be written there.
        """
        data = path.read_bytes()
        with self._said("written"):
            there = self._versions(path)
            count = 1 + max((version.count for version in there), default=0)
            version, folder = Version(token, count, digest(data), path.name), self._under(path.parent)
            self._system.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/.{uuid4().hex}"
            self._system.pipe_file(temporary, data)
            self._system.mv(temporary, f"{folder}/{version}")
            for old in [old for old in there if old < version][KEPT - 1 :]:
                self._system.rm_file(f"{folder}/{old}")

    def read(self, path: Path, wanted: str | None = None) -> bytes | None:
        """The newest whole version of a file of the study's folder; None: there is none.

        Args:
            wanted: digest of the only version that will do.

        Raises:
            StudyError: it cannot be read.
        """
        for version in self._newest(path, wanted):
            with self._said("read"):
                data: bytes = self._system.cat_file(f"{self._under(path.parent)}/{version}")
            if digest(data) == version.digest:
                return data
            logging.getLogger("autoprog_search").warning(f"artifacts: {self._shown}: {version} is damaged; left out")
        return None

    def fetch(self, path: Path, wanted: str | None = None) -> None:
        """Bring a file of the study's folder to its newest version there, if there is one.

        Args:
            wanted: as of `read`.

        Raises:
            StudyError: it cannot be read there, or written here.
        """
        newest = next(self._newest(path, wanted), None)
        if newest is None or (path.exists() and digest(path.read_bytes()) == newest.digest):
            return
        if (data := self.read(path, wanted)) is not None:
            write_atomic(path, data)

    def drop(self, path: Path) -> None:
        """Remove a file of the study's folder there.

        Raises:
            StudyError: it cannot be removed.
        """
        with self._said("removed"):
            for version in self._versions(path):
                self._system.rm_file(f"{self._under(path.parent)}/{version}")

    def clear(self, folders: Collection[Path]) -> None:
        """Remove whatever comes from these trials' folders but weights; what killed writes left too.

        Raises:
            StudyError: it cannot be removed.
        """
        ended = {self._under(folder) for folder in folders}
        with self._said("removed"):
            self._system.invalidate_cache()
            for path in self._system.find(min(ended) if len(ended) == 1 else self._root):  # at once: trials are many
                folder, _, name = str(path).rpartition("/")
                if folder in ended and _is_ours(name) and not name.endswith(f"-{WEIGHTS}"):
                    self._system.rm_file(path)

    def remove(self) -> None:
        """Remove all that is there of the study.

        Raises:
            StudyError: it cannot be removed.
        """
        with self._said("removed"):
            self._system.invalidate_cache()
            if self._system.exists(self._root):
                self._system.rm(self._root, recursive=True)

    def names(self) -> list[str]:
        """Versions of the study's files, and parts of some, by their paths from the study's own folder.

        Raises:
            StudyError: it cannot be read.
        """
        with self._said("read"):
            self._system.invalidate_cache()
            with suppress(FileNotFoundError):  # and nothing else: `find` takes what it cannot read for empty
                self._system.ls(self._root)
            paths = [str(path) for path in self._system.find(self._root)]
            ours = [path for path in paths if _is_ours(path.rpartition("/")[2])]
            return sorted(path.removeprefix(f"{self._root}/") for path in ours)

    def is_whole(self, name: str, written: str) -> bool:
        """Whether a version's content has that digest still; one that is gone by now has been followed by another.

        Raises:
            StudyError: it cannot be read.
        """
        with self._said("read"):
            try:
                return digest(self._system.cat_file(f"{self._root}/{name}")) == written
            except FileNotFoundError:
                return True

    def set_aside(self, name: str, under: str) -> None:
        """Move a file into that folder of the study's, where nobody reads it; it may be gone by now.

        Raises:
            StudyError: it cannot be moved.
        """
        aside = f"{self._root}/{under}/{name}"
        with self._said("moved"), suppress(FileNotFoundError):
            self._system.makedirs(aside.rpartition("/")[0], exist_ok=True)
            self._system.mv(f"{self._root}/{name}", aside)

    def discard(self, name: str) -> None:
        """Remove that one file, if it is there still.

        Raises:
            StudyError: it cannot be removed.
        """
        with self._said("removed"), suppress(FileNotFoundError):
            self._system.rm_file(f"{self._root}/{name}")

    def _under(self, folder: Path) -> str:
        within = folder.relative_to(self._folder).as_posix()
        return self._root if within == "." else f"{self._root}/{within}"

    def _names(self, folder: Path) -> list[str]:
        self._system.invalidate_cache()  # others write there
        try:
            return [str(path).rpartition("/")[2] for path in self._system.ls(self._under(folder), detail=False)]
        except FileNotFoundError:
            return []

    def _versions(self, path: Path) -> list[Version]:
        """Of a file, the newest first."""
        found = [match for name in self._names(path.parent) if (match := VERSION.fullmatch(name))]
        return sorted((Version(int(m[1]), int(m[2]), m[3], m[4]) for m in found if m[4] == path.name), reverse=True)

    def _newest(self, path: Path, wanted: str | None) -> Iterator[Version]:
        with self._said("read"):
            versions = self._versions(path)
        yield from (version for version in versions if wanted in (None, version.digest))

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - every file system has its own
            raise StudyError(
                f"artifacts: {self._shown} cannot be {what}: {why(error)}; run the same command again"
            ) from None


def _is_ours(name: str) -> bool:
    return bool(VERSION.fullmatch(name) or PART.fullmatch(name))


def digest(data: bytes) -> str:
    """Of a file's content, as it stands in a version's name."""
    return blake2b(data, digest_size=8).hexdigest()


def checked_artifacts(url: str) -> str:
    """The URL as a study keeps it: a folder as a URL.

    Raises:
        StudyError: it holds a password.
    """
    if masked(url) != url:
        raise StudyError(f"artifacts: {masked(url)!r} holds a password; leave it to the environment")
    return url if "://" in url or not url else Path(url).resolve().as_uri()
