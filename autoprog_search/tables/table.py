"""Tables of growth schedules: every schedule of a small space trained once a seed, to be looked up instead of trained.

A table is two parquet files: NAME.parquet, a row a (seed, schedule), and NAME.estimates.parquet, a row a candidate of
every search that AutoProg can come to. Space, recipe, data and growth settings are in the metadata. No torch here.
The idea: Ying et al., NAS-Bench-101 (ICML 2019); docs/table.md has the fields and the limits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from autoprog_search.choosing import Estimate
from autoprog_search.errors import ConfigError, there_are
from autoprog_search.fields import read_fields
from autoprog_search.methods.fixed import full
from autoprog_search.oneshot.candidates import ForceGrowth
from autoprog_search.randomness import derive
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.data import TABLE, DataConfig
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.settings.recipe import Recipe
from autoprog_search.settings.retired import renamed_study
from autoprog_search.space import GrowthSpace, Levels

if TYPE_CHECKING:
    import pyarrow as pa


TABLES = Path(__file__).parent
METADATA = b"autoprog_search"

RUNS = {
    "seed": "seed of weights, order and augmentation",
    "depth_levels": "level of depth in each stage, from 0",
    "patches_levels": "level of patches in each stage, from 0",
    "depths": "blocks in each stage",
    "patches": "patches in each stage",
    "stage_flops": "FLOPs of the training steps of each stage",
    "val_top1": "validation accuracy of the recipe's eval_weights at the end, %",
    "top1": "test accuracy of the same weights, %",
    "top5": "test top-5 accuracy, %",
    "ema_top1": "test accuracy of the EMA weights, %",
    "loss": "test cross-entropy, nats",
    "train_seconds": "steps x the sub-network's median step time on the device that trained, s",
    "wall_seconds": "clock time of the run, s",
    "epoch_train_loss": "training loss of each epoch, nats",
    "epoch_val_loss": "validation cross-entropy after each epoch, of the sub-network that trains then, nats",
    "epoch_val_top1": "validation accuracy after each epoch, likewise, %",
    "epoch_lr": "learning rate at the end of each epoch",
    "device": "where it ran",
    "versions": "of autoprog-search, torch, timm and Optuna",
}
"""Columns of NAME.parquet, a row a (seed, schedule)."""

ESTIMATES = {
    "force_growth": "the growth setting that decided the candidates",
    "seed": "seed of the run",
    "stage": "that opens with the search, from 1",
    "path_depths": "blocks in each of the stages before",
    "path_patches": "patches in each of the stages before",
    "depth": "blocks of the candidate",
    "patches": "patches of the candidate",
    "loss": "its estimate: mean cross-entropy with the supernet's weights, nats",
    "loss_se": "standard error over the images, nats",
    "cost": "FLOPs of one of its training steps",
    "searched_steps": "training steps of the supernet in this search",
    "supernet_flops": "FLOPs of these steps",
    "search_flops": "FLOPs of evaluating the candidates",
    "search_seconds": "clock time of that, s: the run's, shared out by FLOPs",
}
"""Columns of NAME.estimates.parquet, a row a candidate; the last four are the whole search's."""

Walk = tuple[SubNetwork, ...]
"""The sub-networks of the stages before a search."""


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


@dataclass(frozen=True, slots=True)
class Search:
    """A search that a stage opened with: its estimates and what it cost.

    Attributes:
        supernet_flops: of its `searched_steps` training steps.
        search_flops, search_seconds: of evaluating the candidates.
    """

    estimates: tuple[Estimate, ...]
    searched_steps: int
    supernet_flops: float
    search_flops: float
    search_seconds: float

    def among(self, candidates: Sequence[SubNetwork]) -> Search:
        """As if only these had been searched: the same losses, costs in proportion to the mean candidate's.

        That is what estimates and supernet steps do cost, but for rounding; the losses are of a supernet that also
        trained the others.
        """
        kept = tuple(e for e in self.estimates if e.sub_network in candidates)
        share = _mean_cost(kept) / _mean_cost(self.estimates)
        return replace(
            self,
            estimates=kept,
            supernet_flops=self.supernet_flops * share,
            search_flops=self.search_flops * share,
            search_seconds=self.search_seconds * share,
        )


@dataclass(frozen=True)
class GrowthTable:
    """A table in memory.

    Attributes:
        name: of the file, without its suffix.
        runs: what `RUNS` says, by seed and schedule.
        searches: by the candidates' `force_growth`, the seed, and the sub-networks of the stages before.
    """

    name: str
    info: TableInfo
    runs: Mapping[tuple[int, Levels], Mapping[str, Any]]
    searches: Mapping[tuple[ForceGrowth, int, Walk], Search]

    @cached_property
    def full_flops(self) -> float:
        """Of training the full network."""
        return sum(self.stage_flops(0, full(self.info.space)))

    @cached_property
    def truth(self) -> dict[Levels, tuple[float, float]]:
        """Of every schedule its training FLOPs and its validation accuracy, mean over the seeds."""
        seeds = range(self.info.seeds)
        return {
            levels: (
                sum(self.stage_flops(0, levels)),
                sum(self.runs[seed, levels]["val_top1"] for seed in seeds) / self.info.seeds,
            )
            for levels in self.info.space.enumerate()
        }

    def stage_flops(self, seed: int, levels: Levels) -> list[float]:
        """Of a run's training, stage by stage."""
        return list(self.runs[seed, levels]["stage_flops"])

    def seed_of(self, seed: int, trial: int, last: int) -> int:
        """Which of the table's seeds answers a trial of a study whose last seed is `last`.

        Its own, where the table has all the study's seeds. Else one drawn by (seed, trial), the same for every method,
        as benchmarks of this kind draw one of a configuration's repetitions at each query.
        """
        return seed if last < self.info.seeds else derive("table", seed, trial) % self.info.seeds

    def search(self, force_growth: ForceGrowth, seed: int, path: Walk, candidates: Sequence[SubNetwork]) -> Search:
        """The search after this path: made under this `force_growth`, or else cut out of the one without it."""
        own = self.searches.get((force_growth, seed, path))
        return own if own is not None else self.searches["none", seed, path].among(candidates)


def _mean_cost(estimates: Sequence[Estimate]) -> float:
    return sum(e.cost for e in estimates) / len(estimates)


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def table_names() -> list[str]:
    """Names of the tables that come with the package."""
    return sorted(path.stem for path in TABLES.glob("*.parquet") if not path.stem.endswith(".estimates"))


def estimates_path(path: Path) -> Path:
    """Where the estimates of the table in that file lie."""
    return path.with_suffix(".estimates.parquet")


def load_table(name_or_file: str) -> GrowthTable:
    """The table of that name, or in that .parquet file; a table without estimates has no searches.

    Raises:
        ConfigError: there is none, or the file is no table.
    """
    path = _path(name_or_file)
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:  # a path with a zero in it, metadata that are no JSON
        raise ConfigError(f"data: {path} cannot be read: {error}") from None


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
    runs = _columns(path, RUNS)
    info = read_fields(TableInfo, renamed_study(json.loads(runs.schema.metadata[METADATA])), str(path))
    estimates = estimates_path(path)
    found = _columns(estimates, ESTIMATES).to_pylist() if estimates.exists() else []
    return GrowthTable(path.stem, info, {_key(row): row for row in runs.to_pylist()}, _searches(found))


def _columns(path: Path, columns: Mapping[str, str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ConfigError(f"data: {path} is no parquet file: {' '.join(str(error).split())[:120]}") from None
    missing = [name for name in columns if name not in table.column_names]
    if missing or METADATA not in (table.schema.metadata or {}):
        raise ConfigError(f"data: {path} is no table of growth schedules: no {missing[0] if missing else 'metadata'}")
    return table


def _key(row: Mapping[str, Any]) -> tuple[int, Levels]:
    return row["seed"], tuple(zip(row["depth_levels"], row["patches_levels"], strict=True))


def _searches(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[ForceGrowth, int, Walk], Search]:
    parts: dict[tuple[ForceGrowth, int, Walk], list[Mapping[str, Any]]] = {}
    for row in rows:
        path = tuple(SubNetwork(d, n) for d, n in zip(row["path_depths"], row["path_patches"], strict=True))
        parts.setdefault((row["force_growth"], row["seed"], path), []).append(row)
    return {
        key: Search(
            tuple(Estimate(SubNetwork(r["depth"], r["patches"]), r["loss"], r["loss_se"], r["cost"]) for r in group),
            *(group[0][name] for name in ("searched_steps", "supernet_flops", "search_flops", "search_seconds")),
        )
        for key, group in parts.items()
    }


def settings_of(table: GrowthTable) -> dict[str, dict[str, Any]]:
    """The groups of settings that a study on the table takes from it, as plain data."""
    return table.info.model_dump(include={"space", "recipe", "growth", "data"})


def table_like(space: GrowthSpace, recipe: Recipe, data: DataConfig) -> GrowthTable:
    """The package's table of such runs.

    Raises:
        ConfigError: there is none of this space, recipe and data.
    """
    for name in table_names():
        table = load_table(name)
        if (table.info.space, table.info.recipe, table.info.data) == (space, recipe, data):
            return table
    raise ConfigError(f"no table ({', '.join(table_names())}) has space {space.name!r}, this recipe and these data")
