"""Tables of growth schedules by name or by file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from autoprog_search.choosing import Estimate
from autoprog_search.errors import ConfigError, there_are
from autoprog_search.fields import read_fields
from autoprog_search.oneshot.candidates import ForceGrowth
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.data import TABLE, DataConfig
from autoprog_search.settings.recipe import Recipe
from autoprog_search.settings.retired import renamed_study
from autoprog_search.space import GrowthSpace, Levels
from autoprog_search.tables.format import ESTIMATES, METADATA, RUNS, TableInfo, estimates_path, read_rows
from autoprog_search.tables.table import GrowthTable, StoredSearch, Walk

TABLES = Path(__file__).parent


def table_names() -> list[str]:
    """Names of the tables that come with the package."""
    return sorted(path.stem for path in TABLES.glob("*.parquet") if not path.stem.endswith(".estimates"))


def load_table(name_or_file: str) -> GrowthTable:
    """The table of that name, or in that .parquet file; a table without estimates has no searches.

    Args:
        name_or_file: one of `table_names()`, or a path that ends in .parquet. Read again only when the file changes.

    Raises:
        ConfigError: there is none, or the file is no table.
    """
    path = _path(name_or_file)
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:  # a path with a zero in it, metadata that are no JSON
        raise ConfigError(f"data: {path} cannot be read: {error}") from None


def table_like(space: GrowthSpace, recipe: Recipe, data: DataConfig) -> GrowthTable:
    """The package's table of such runs.

    Raises:
        ConfigError: there is none of this space, recipe and data.
    """
    for table in map(load_table, table_names()):
        if (table.info.space, table.info.recipe, table.info.data) == (space, recipe, data):
            return table
    raise ConfigError(f"no table ({', '.join(table_names())}) has space {space.name!r}, this recipe and these data")


def table_files(name_or_file: str) -> dict[str, Path]:
    """The files of a table: its runs, and its estimates where it has some.

    Raises:
        ConfigError: there is no such table.
    """
    path = _path(name_or_file)
    files = {"runs": path, "estimates": estimates_path(path)}
    return {name: file for name, file in files.items() if name == "runs" or file.exists()}


def _path(name_or_file: str) -> Path:
    path = Path(name_or_file)
    if path.suffix != ".parquet":
        path = TABLES / f"{name_or_file}.parquet"
        if name_or_file not in table_names():
            known = there_are(name_or_file, table_names())
            raise ConfigError(f"data: {TABLE}{name_or_file}: there is no such table, and no .parquet file; {known}")
    return path


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> GrowthTable:
    runs = read_rows(path, RUNS)
    info = read_fields(TableInfo, renamed_study(json.loads(runs.schema.metadata[METADATA])), str(path))
    estimates = estimates_path(path)
    found = read_rows(estimates, ESTIMATES).to_pylist() if estimates.exists() else []
    return GrowthTable(path.stem, info, {_key(row): row for row in runs.to_pylist()}, _searches(found))


def _key(row: Mapping[str, Any]) -> tuple[int, Levels]:
    return row["seed"], tuple(zip(row["depth_levels"], row["patches_levels"], strict=True))


def _searches(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[ForceGrowth, int, Walk], StoredSearch]:
    parts: dict[tuple[ForceGrowth, int, Walk], list[Mapping[str, Any]]] = {}
    for row in rows:
        path = tuple(SubNetwork(d, n) for d, n in zip(row["path_depths"], row["path_patches"], strict=True))
        parts.setdefault((row["force_growth"], row["seed"], path), []).append(row)
    return {
        key: StoredSearch(
            tuple(Estimate(SubNetwork(r["depth"], r["patches"]), r["loss"], r["loss_se"], r["cost"]) for r in group),
            *(group[0][name] for name in ("searched_steps", "supernet_flops", "search_flops", "search_seconds")),
        )
        for key, group in parts.items()
    }


def settings_of(table: GrowthTable) -> dict[str, dict[str, Any]]:
    """The groups of settings that a study on the table takes from it, as plain data."""
    return table.info.model_dump(include={"space", "recipe", "growth", "data"})
