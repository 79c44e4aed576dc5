"""A table is made of finished studies, and AutoProg on it costs and sees what AutoProg's own run did."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoprog_search.analysis.tabulate import tabulate
from autoprog_search.errors import StudyError
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.creation import create_study
from autoprog_search.study.resolve import make_config
from autoprog_search.study.store import Job, StoredStudy
from autoprog_search.tables.format import estimates_path
from autoprog_search.tables.loading import load_table
from autoprog_search.tables.table import GrowthTable
from tests.synthetic import SyntheticStudy
from tests.tiny import run_here, tiny_config, without_measuring

SMALL = (
    "space.depths=[2, 4]",
    "space.resolutions=[16]",  # 3 schedules
    "recipe.epochs=3",
    "recipe.batch_size=16",
    "data.train_share=0.2",  # 13 steps a stage, of which a search takes 4
)


def small_config(name: str, methods: str, *more: str) -> StudyConfig:
    return tiny_config(*SMALL, "growth.force_growth=none", "growth.w=5", f"methods={{{methods}}}", *more, name=name)


def finished(root: Path, config: StudyConfig) -> StoredStudy:
    study = create_study(root, config)
    run_here(without_measuring(study))
    return study


pytestmark = pytest.mark.slow  # whole studies, to make a table of


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("maker")


@pytest.fixture(scope="module")
def source(root) -> StoredStudy:
    return finished(root, small_config("source", "autoprog: {seeds: 1}, grid: {trials: 3, seeds: 1}"))


@pytest.fixture(scope="module")
def survey(root) -> StoredStudy:
    return finished(root, small_config("survey", "survey: {trials: 2, seeds: 1}"))


@pytest.fixture(scope="module")
def table(source, survey, root) -> GrowthTable:
    path = root / "made.parquet"
    assert tabulate(source, [survey], path) == [path, estimates_path(path)]
    return load_table(str(path))


def test_it_holds_every_schedule_as_it_ran(table, source):
    assert list(table.runs) == [(0, levels) for levels in table.info.space.enumerate()]
    for job, trial in source.trials().items():
        if job.method != "grid":
            continue
        row = table.runs[0, table.info.space.from_parameters(trial.params)]
        stored = trial.user_attrs
        assert {name: row[name] for name in ("depths", "patches", "val_top1", "top1", "loss")} == {
            name: stored[name] for name in ("depths", "patches", "val_top1", "top1", "loss")
        }
        assert sum(row["stage_flops"]) == stored["train_flops"]
        assert row["epoch_val_loss"] == [point["val_loss"] for point in stored["curve"]]
    assert table.full_flops == stored["full_flops"]
    assert table.info.sources.keys() == {"source", "survey"}


def ended_at(study: StoredStudy, method: str, *accuracies: float) -> SyntheticStudy:
    """The study with these accuracies in place of a method's own, trial by trial."""
    given: dict[Job, Any] = {}
    for job, trial in study.trials().items():
        stored = {name: getattr(trial, name) for name in ("state", "params", "system_attrs", "user_attrs")}
        if job.method == method:
            stored["user_attrs"] = {**stored["user_attrs"], "val_top1": accuracies[job.trial]}
        given[job] = SimpleNamespace(**stored)
    return SyntheticStudy(study.config, given)


def test_it_says_what_searching_changed(source, survey, root):
    """Runs with searches that end 1 and 3 points above their schedules without: 2 on average, with an error of 1."""
    path = root / "changed.parquet"
    tabulate(ended_at(source, "grid", 50, 50, 50), [ended_at(survey, "survey", 51, 53)], path)
    assert load_table(str(path)).info.search_effects == {"none": (2, 1, 2)}


def test_a_study_from_before_stages_stored_their_costs_is_refused(source, root):
    old = ended_at(source, "grid", 50, 50, 50)
    for trial in old.given.values():
        trial.user_attrs = {name: value for name, value in trial.user_attrs.items() if name != "stage_flops"}
    with pytest.raises(StudyError, match="study 'source': it ran before runs stored what their stages cost"):
        tabulate(old, [], root / "no.parquet")


def test_autoprog_on_the_table_is_autoprogs_own_run_but_for_the_accuracy(table, source, root):
    real = source.trials()[Job("autoprog", 0, 0)].user_attrs
    data = {"name": f"table:{root / 'made.parquet'}"}
    config = make_config("on", space=None, data=data, methods=["autoprog"], trials=1, seeds=1)
    looked_up = finished(root, config).trials()[Job("autoprog", 0, 0)].user_attrs
    assert [stage["candidates"] != [] for stage in real["stages"]] == [True, True, False]
    assert looked_up["stages"] == real["stages"]  # estimates, and what supernet steps and estimates cost
    assert looked_up["stage_flops"] == pytest.approx(real["stage_flops"], rel=1e-9)
    for cost in ("train_flops", "search_flops", "total_flops"):
        assert looked_up[cost] == pytest.approx(real[cost], rel=1e-9)
    assert looked_up["search_seconds"] == pytest.approx(real["search_seconds"], rel=5)  # measured twice


def test_a_grid_that_is_not_finished_is_refused(root, source):
    waiting = create_study(root, small_config("waiting", "grid: {trials: 3, seeds: 2}"))
    with pytest.raises(StudyError, match=r"study 'waiting': 6 of 6 trials of grid \(3 x 2 seeds\) have not finished"):
        tabulate(waiting, [], root / "no.parquet")
    with pytest.raises(StudyError, match="study 'source': a table needs 2 trials of survey a seed, it has none"):
        tabulate(source, [source], root / "no.parquet")
    assert not (root / "no.parquet").exists()


def test_a_survey_of_something_else_is_refused(root, source):
    other = create_study(root, small_config("other", "survey: {trials: 2, seeds: 1}", "growth.search.points=2"))
    with pytest.raises(StudyError, match=r"estimates: other and source differ in growth\.search\.points"):
        tabulate(source, [other], root / "no.parquet")
