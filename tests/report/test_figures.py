"""The table of figures, and figures as files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from autoprog_search.analysis.importance import Importance
from autoprog_search.analysis.ranks import ENDS
from autoprog_search.analysis.sizes import PATCHES, RESOLUTION
from autoprog_search.errors import ConfigError, StudyError
from autoprog_search.report.colours import DASHES
from autoprog_search.report.figures import FIGURES
from autoprog_search.report.importance import draw_importance
from autoprog_search.report.ranks import draw_ranks
from autoprog_search.study.results import StudyFrames, published_frames, stored_frames
from tests.swept import publish, swept_trials
from tests.synthetic import SyntheticStudy, clock_rows, synthetic_study

OF_ANY_STUDY = [key for key in FIGURES if key not in ("clock", "ranks", "importance")]  # these take more


@pytest.mark.parametrize("key", OF_ANY_STUDY)
def test_every_figure_draws_a_study(key, study):
    assert len(FIGURES[key].draw(stored_frames(study), "flops").data) > 0
    assert "\n" not in FIGURES[key].caption


@pytest.mark.parametrize("key", OF_ANY_STUDY)
def test_every_figure_says_that_nothing_has_finished(key, study):
    with pytest.raises(StudyError, match="no finished trial"):
        FIGURES[key].draw(stored_frames(SyntheticStudy(study.config, {})), "flops")


@pytest.mark.parametrize(("sizes", "name"), [(RESOLUTION, "resolution"), (PATCHES, "patches")])
def test_importance_is_said_of_what_tells_stages_apart(sizes, name):
    shares = np.array([0.7, 0.3])
    figure = draw_importance(Importance(((1, "patches"), (2, "depth")), shares, shares, 24), sizes)
    assert list(figure.data[0].y) == ["depth, stage 2", f"{name}, stage 1"]  # from below


def test_a_study_without_searches_has_no_estimates():
    with pytest.raises(StudyError, match="no one-shot estimates"):
        FIGURES["estimates"].draw(stored_frames(synthetic_study(methods=("full", "linear"))), "flops")


def test_a_figure_says_something_or_the_page_leaves_it_out(study):
    plain = stored_frames(synthetic_study(methods=("full", "linear")))
    always = {"pareto", "schedule", "curves", "estimates", "ranks", "parallel", "importance", "loading"}
    assert {key for key, info in FIGURES.items() if not info.silent(plain)} == always
    searched = {key for key, info in FIGURES.items() if not info.silent(stored_frames(study))}
    assert searched == always | {"regret", "attainment"}
    one_seed = stored_frames(synthetic_study(seeds=1))
    assert "several seeds" in FIGURES["attainment"].silent(one_seed)
    assert not FIGURES["regret"].silent(one_seed)
    plain.trials["loader_seconds"] = [[0.0] * 4] * len(plain.trials)
    assert FIGURES["loading"].silent(plain) == "no run waited for images"


def test_a_sweep_has_a_cost_to_target(tmp_path):
    assert not FIGURES["cost-to-target"].silent(published_frames(publish(tmp_path / "swept", swept_trials(seeds=2))))


@pytest.mark.parametrize("key", [key for key in OF_ANY_STUDY if key not in ("estimates", "regret")])
def test_a_methods_name_is_text(key, study):
    """plotly takes tags in a text, and %{...} in what hovering shows."""
    tables = stored_frames(study)
    evil = "linear+<b onclick=x>%{y}\x1b[2J"
    for table in (tables.trials, tables.curves, tables.estimates):
        table["method"] = table["method"].astype(object).replace("linear", evil)
    drawn = FIGURES[key].draw(tables, "flops").to_json()
    assert "linear+&lt;b onclick=x&gt;&#37;{y}\\\\x1b[2J" in drawn
    assert "<b onclick" not in drawn
    assert "%{y}\\" not in drawn


def test_only_the_profile_takes_several_studies(study):
    assert [key for key, info in FIGURES.items() if info.several] == ["profile"]
    several = FIGURES["profile"].draw_several(
        [stored_frames(study), stored_frames(synthetic_study(seeds=2))], "seconds"
    )
    assert len(several.data) == 6
    assert "3 problems" in several.layout.yaxis.title.text  # a trial of tpe waits on seed 1 of the first


def test_a_published_study_needs_no_storage(tmp_path):
    """What was not published is named, the rest is drawn."""
    tables = published_frames(publish(tmp_path / "swept", swept_trials(seeds=2)))
    for key in ("pareto", "cost-to-target", "schedule"):
        assert len(FIGURES[key].draw(tables, "seconds").data) > 0
    for key, missing in (("curves", "no learning curves"), ("estimates", "no one-shot estimates")):
        with pytest.raises(StudyError, match=missing):
            FIGURES[key].draw(tables, "flops")


@pytest.mark.parametrize("key", ["curves", "estimates", "regret"])
def test_a_cost_that_is_not_stored(key, study):
    with pytest.raises(ConfigError, match="got 'seconds'"):
        FIGURES[key].draw(stored_frames(study), "seconds")


def test_the_table_is_cheap_to_import():
    heavy = "{'torch', 'plotly', 'pandas', 'optuna', 'timm'}"
    code = f"import sys, autoprog_search.report.figures; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


OF_ONE_COLOUR = ("autoprog", "nni:autoprog", *(f"autoprog+{k}" for k in range(len(DASHES))))


@pytest.fixture(scope="module")
def crowded() -> StudyFrames:
    """More methods of one colour than kinds of line; all of them searched, and grew under a clock."""
    study = stored_frames(synthetic_study(seeds=1, methods=("full", "autoprog")))
    names = ["linear", *OF_ONE_COLOUR]
    searched = study.estimates.groupby("stage").head(2)
    tables = {}
    for table, rows in (("trials", study.trials), ("curves", study.curves), ("estimates", searched)):
        copies = [rows[rows["method"] == "autoprog"].assign(method=name) for name in names]
        tables[table] = pd.concat([rows[rows["method"] == "full"], *copies], ignore_index=True)
    clock = pd.DataFrame([row for name in names for row in clock_rows(name, 0, 90.0)])
    return replace(study, **tables, clock=clock)


@pytest.mark.parametrize("key", OF_ANY_STUDY)
def test_no_two_methods_of_a_figure_look_alike(key, crowded):
    table = crowded.estimates if key == "estimates" else crowded.trials
    assert_told_apart(FIGURES[key].draw(crowded, "flops"), table)


def test_no_two_methods_look_alike_in_ranks():
    rows = [{"method": m, "stage": 1, "end": end, "estimated": 1, "true": 1.0} for m in OF_ONE_COLOUR for end in ENDS]
    ranks = pd.DataFrame(rows).assign(searches=1, tau=0.0)
    assert_told_apart(draw_ranks(ranks), ranks)


def test_under_a_clock_a_method_is_told_by_its_lane(crowded):
    lanes = FIGURES["clock"].draw(crowded, "flops").layout.yaxis3.ticktext
    assert {lane.removesuffix(", seed 0") for lane in lanes} == set(crowded.clock["method"])


def assert_told_apart(figure: go.Figure, table: pd.DataFrame) -> None:
    """By colour, kind of line and marker, in the legend and in what is drawn."""
    methods = set(table["method"])
    for legend in (True, False):
        ways: dict[str, set[Any]] = {}
        for trace in figure.data:
            method = (trace.legendgroup or trace.name or "").split(": ")[0]
            if method in methods and (trace.showlegend is not False) >= legend and not trace.fill:
                ways.setdefault(method, set()).update(marks_of(trace))
        assert set(ways) == methods
        assert len({frozenset(way) for way in ways.values()}) == len(methods)


def marks_of(trace: Any) -> Iterator[tuple[str, str]]:
    """Its line, its marker; whether that is filled says other things."""
    if "lines" in trace.mode:
        yield trace.line.color, trace.line.dash
    if "markers" in trace.mode:
        for symbol in {trace.marker.symbol} if isinstance(trace.marker.symbol, str) else set(trace.marker.symbol):
            yield trace.marker.color, symbol.removesuffix("-open")
