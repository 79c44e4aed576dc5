"""The files of a table of growth schedules: their columns, and what the table was made of.

A table is two parquet files: NAME.parquet, a row a (seed, schedule), and NAME.estimates.parquet, a row a candidate of
every search that AutoProg can come to. Space, recipe, data and growth settings are in the metadata. No torch here.
The idea: Ying et al., NAS-Bench-101 (ICML 2019); docs/table.md has the fields and the limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from autoprog_search.errors import ConfigError
from autoprog_search.files import write_atomic
from autoprog_search.runs.row import Column, CurveRow, EstimateRow, ResultRow, columns_of
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.settings.recipe import Recipe
from autoprog_search.space import GrowthSpace

if TYPE_CHECKING:
    import pyarrow as pa


METADATA = b"autoprog_search"
EPOCHS = ("train_loss", "val_loss", "val_top1", "lr")
"""What is kept of a run's learning curve."""

RUNS = (
    *columns_of(ResultRow, "seed"),
    Column("depth_levels", "", "level of depth in each stage, from 0", "list"),
    Column("patches_levels", "", "level of patches in each stage, from 0", "list"),
    *columns_of(ResultRow, "depths", "patches"),
    Column("stage_flops", "FLOPs", "of the training steps of each stage", "list"),
    *columns_of(ResultRow, "val_top1", "top1", "top5", "ema_top1", "loss", "train_seconds", "wall_seconds"),
    *(replace(c, name=f"epoch_{c.name}", kind="list") for c in columns_of(CurveRow, *EPOCHS)),
    *columns_of(ResultRow, "device", "versions"),
)
"""Columns of NAME.parquet, a row a (seed, schedule); lists have an entry a stage, those of `epoch_` one an epoch."""

ESTIMATES = (
    Column("force_growth", "", "the growth setting that decided the candidates", "text"),
    *columns_of(ResultRow, "seed"),
    *columns_of(EstimateRow, "stage"),
    Column("path_depths", "blocks", "depth of each of the stages before", "list"),
    Column("path_patches", "", "patches of each of the stages before", "list"),
    *columns_of(EstimateRow, "depth", "patches", "loss", "loss_se", "cost"),
    Column("searched_steps", "", "training steps of the supernet in this search", "count"),
    Column("supernet_flops", "FLOPs", "of these steps"),
    Column("search_flops", "FLOPs", "of evaluating the candidates"),
    Column("search_seconds", "s", "clock time of that: the run's, shared out by FLOPs"),
)
"""Columns of NAME.estimates.parquet, a row a candidate; the last four are the whole search's."""


class TableInfo(BaseModel):
    """What a table was made of, in the metadata of its files as JSON.

    Attributes:
        data, growth: of the runs; the searches had the same growth settings, but for those that only choose.
        seeds: 0, 1, ... of these every schedule was trained.
        stage_steps: optimiser steps of each stage.
        sources: the studies it was made of, with their configurations' hashes.
        search_effects: by force_growth, what a lookup leaves out: points of validation accuracy of a run with its
            searches minus those of its schedule without any, mean and standard error over so many runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: GrowthSpace
    data: DataConfig
    recipe: Recipe
    growth: GrowthSettings
    threads: int
    seeds: int
    stage_steps: tuple[int, ...]
    sources: dict[str, str]
    search_effects: dict[str, tuple[float, float, int]] = {}


def estimates_path(path: Path) -> Path:
    """Where the estimates of the table in that file lie."""
    return path.with_suffix(".estimates.parquet")


def read_rows(path: Path, columns: Sequence[Column]) -> pa.Table:
    """What `write_rows` wrote.

    Raises:
        ConfigError: it is no such file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ConfigError(f"data: {path} is no parquet file: {' '.join(str(error).split())[:120]}") from None
    missing = [c.name for c in columns if c.name not in table.column_names]
    if missing or METADATA not in (table.schema.metadata or {}):
        raise ConfigError(f"data: {path} is no table of growth schedules: no {missing[0] if missing else 'metadata'}")
    return table


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], info: TableInfo) -> Path:
    """A parquet file of the rows, with what the table was made of in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([{c.name: row[c.name] for c in columns} for row in rows])
    table = table.replace_schema_metadata({METADATA: info.model_dump_json().encode()})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    write_atomic(path, buffer.getvalue().to_pybytes())
    return path
