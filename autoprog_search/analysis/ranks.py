"""Estimated against true rank: where the candidates that a search ranks come out when they are trained.

Truth comes from a table of all schedules (`analysis.validity`): that of the study's data, or of the same runs.
"""

from __future__ import annotations

from functools import cache

import pandas as pd
from scipy import stats

from autoprog_search.analysis.validity import Truth, searches_of
from autoprog_search.errors import ConfigError, StudyError
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.results import StudyFrames
from autoprog_search.tables.loading import load_table, table_like
from autoprog_search.tables.table import GrowthTable, Walk

ENDS = ("stage", "run")


def estimated_ranks(study: StudyFrames) -> pd.DataFrame:
    """The mean true rank of what searches put first, second, ...: ranks by estimated loss, of equal ones the first.

    Returns:
        A row a (method, stage, end, estimated): `end`, of the `stage` or of the `run`, where the truth is read off, as
        validation accuracy, mean over the table's other seeds; `estimated` and `true`, ranks from 1; `searches`;
        `tau`, Kendall's over the searches of that method and stage, mean.

    Raises:
        StudyError: nothing was searched, or no table has the truth.
    """
    name = study.config.name
    if study.estimates.empty:
        raise StudyError(f"study {name!r} has no one-shot estimates: no finished trial searched")
    table = table_of(study.config)
    own = study.config.data.table is None or int(study.trials["seed"].max()) < table.info.seeds
    truth = Truth(table)
    estimates = study.estimates[study.estimates["method"].isin(_on(table, study.config))]

    @cache
    def trained(end: str, walk: Walk, seed: int) -> float:
        return truth.of_others(truth.at_stage if end == "stage" else truth.at_end, walk, seed)

    rows = []
    for ranking in searches_of(estimates):
        values = list(ranking.values.values())
        estimated = stats.rankdata([-value for value in values], method="ordinal")
        key = {"method": ranking.proxy, "stage": len(ranking.walk) + 1}
        for end in ENDS:  # seeds of a study that draws the table's are no seeds of the table: none is left out
            true = [trained(end, (*ranking.walk, c), ranking.seed if own else -1) for c in ranking.values]
            tau = stats.kendalltau(values, true).statistic
            ranks = zip(estimated, stats.rankdata([-accuracy for accuracy in true]), strict=True)
            rows += [key | {"end": end, "estimated": int(place), "true": rank, "tau": tau} for place, rank in ranks]
    found = pd.DataFrame(rows).groupby(["method", "stage", "end", "estimated"], sort=False)
    means = found.agg(true=("true", "mean"), searches=("true", "size"), tau=("tau", "mean")).reset_index()
    return means.sort_values(["stage", "estimated"], kind="stable", ignore_index=True)


def table_of(config: StudyConfig) -> GrowthTable:
    """The table that the study ran on, else the package's of the same runs.

    Raises:
        StudyError: there is none.
    """
    if config.data.table is not None:
        return load_table(config.data.table)
    try:
        return table_like(config.space, config.recipe, config.data)
    except ConfigError as error:
        raise StudyError(f"study {config.name!r} has no true ranks: {error}") from None


def _on(table: GrowthTable, config: StudyConfig) -> list[str]:
    """Methods whose schedules the table has."""
    return [method for method in config.methods if config.space_of(method) == table.info.space]
