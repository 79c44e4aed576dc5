"""Which run a checkpoint is of: its settings, its data, the files of weights that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoprog_search.data.data_set import Data
from autoprog_search.data.fingerprint import Fingerprint, difference, weights_fingerprints
from autoprog_search.errors import ConfigError
from autoprog_search.training.spec import RunSpec


def identity_of(spec: RunSpec, data: Data) -> dict[str, Any]:
    """As plain values: `run`, the settings; `data`, their fingerprint; `files`, a hash of each file's content.

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
    changed = None
    if saved.get("data", ours["data"]) != ours["data"]:
        try:
            changed = difference(Fingerprint.from_dict(saved["data"]), Fingerprint.from_dict(ours["data"]))
        except ValueError as error:
            changed = str(error)
    if changed is not None:
        raise ConfigError(
            f"data: changed since the run began: {changed}. Images that have trained would validate; put the data back "
            f"as they were, or delete {path} to begin again"
        )
    for field, digest in ours["files"].items():
        if saved.get("files", ours["files"]).get(field) != digest:
            raise ConfigError(f"recipe, {field}: the file's content has changed since the run began; delete {path}")
