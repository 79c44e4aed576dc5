"""Checkpoints and exported weights: whole or absent, whenever the process dies; damaged ones are set aside.

A checkpoint is torch's zip file of plain values and tensors, with the number of its format. The one before it is kept:
where a disk or a hand has damaged the newest, the run goes on from there.
"""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Iterator, Mapping
from errno import EINVAL
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors

from autoprog_search.data.data_set import Data
from autoprog_search.data.fingerprint import stored_difference, weights_fingerprints
from autoprog_search.errors import ConfigError
from autoprog_search.faults import environment_error
from autoprog_search.files import sweep, write_atomic
from autoprog_search.training.spec import RunSpec

FORMAT = 5  # of what a checkpoint holds; 1 had no number


class DamagedCheckpoint(Exception):
    """A file that is no checkpoint, or no whole one."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, atomically; what was there is kept as the one before."""
    write_atomic(path, state_bytes({**state, "format": FORMAT}), before=before(path))


def state_bytes(state: dict[str, Any]) -> memoryview:
    """Tensors and plain values as torch writes them."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getbuffer()


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, on the CPU, or None where there is none.

    Raises:
        DamagedCheckpoint: the file is cut off, or some bits of it are others.
        ConfigError: another version of the package wrote it.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as whole:
            damaged = whole.testzip()  # torch compares no checksums
        if damaged is not None:
            raise DamagedCheckpoint(f"the checksum of {damaged} is another")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except DamagedCheckpoint:
        raise
    except Exception as error:  # zipfile, pickle and torch each have their own for a file that is no whole one
        # A file that names a place before its beginning is damaged, too; memory that runs out says nothing of the file.
        if environment_error(error) is not None and getattr(error, "errno", None) != EINVAL:
            raise
        raise DamagedCheckpoint(str(error) or type(error).__name__) from None
    if not isinstance(state, dict):
        raise DamagedCheckpoint("it holds something else")
    if state.get("format", 1) != FORMAT:
        raise ConfigError(
            f"{path} is a checkpoint of format {state.get('format', 1)}, this version of autoprog-search goes on from "
            f"format {FORMAT} only; go on with the version that wrote it, or delete it"
        )
    return state


def readable_checkpoints(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The checkpoint and the one before it, the newest first; what is damaged is set aside, and said."""
    for candidate in (path, before(path)):
        try:
            state = load_checkpoint(candidate)
        except DamagedCheckpoint as reason:
            set_aside(candidate, str(reason))
            continue
        if state is not None:
            yield candidate, state


def identity_of(spec: RunSpec, data: Data) -> dict[str, Any]:
    """Which run a checkpoint is of, as plain values.

    Returns:
        `run`, the settings; `data`, their fingerprint; `files`, a hash of each file's content.

    Raises:
        DataError: a file cannot be read.
    """
    return {
        "run": spec.identity(),
        "data": data.fingerprint(sizes=True).to_dict(),
        "files": weights_fingerprints(spec.recipe),
    }


def check_identity(path: Path, saved: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Whether a checkpoint is of this run. What is missing in it is no matter here: it cannot be loaded.

    Raises:
        ConfigError: it is of another one, in a line that says what has changed.
    """
    if saved.get("run", ours["run"]) != ours["run"]:
        raise ConfigError(f"{path} is of a run with other settings; delete it, or choose another folder")
    changed = stored_difference(saved.get("data", ours["data"]), ours["data"])
    if changed is not None:
        raise ConfigError(
            f"data: changed since the run began: {changed}. Images that have trained would validate; put the data back "
            f"as they were, or delete {path} to begin again"
        )
    for field, digest in ours["files"].items():
        if saved.get("files", ours["files"]).get(field) != digest:
            raise ConfigError(f"recipe, {field}: the file's content has changed since the run began; delete {path}")


def set_aside(path: Path, reason: str) -> None:
    """Give a checkpoint that cannot be gone on from another name, and say so."""
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    reason = " ".join(reason.split())[:120]
    logging.getLogger("autoprog_search").warning(
        f"{path} is damaged ({reason}) and set aside as {aside.name}; the run goes on from the one before it, or else "
        "begins again"
    )


def before(path: Path) -> Path:
    """Where the checkpoint before that one lies."""
    return path.with_name(f"{path.name}.before")


def drop_checkpoints(path: Path) -> None:
    """Remove a run's checkpoint with all that lies beside it, once nobody goes on from it."""
    for each in (path, before(path)):
        for name in (each, each.with_name(f"{each.name}.damaged")):
            name.unlink(missing_ok=True)
    sweep(path.parent, (path.name,))


def export_weights(path: Path, state_dict: dict[str, torch.Tensor]) -> None:
    """Write a full model's weights, as `timm.create_model(name, checkpoint_path=...)` loads them."""
    write_atomic(path, to_safetensors({k: v.detach().cpu().contiguous() for k, v in state_dict.items()}))
