"""The table of figures, and figures as files."""

from __future__ import annotations

import subprocess
import sys

import plotly.graph_objects as go
import pytest

from autoprog_search.errors import AutoProgError, ConfigError, StudyError
from autoprog_search.report import figures
from autoprog_search.report.figures import FIGURES, write_figure
from autoprog_search.study.results import published_frames, stored_frames
from tests.swept import publish, swept_trials
from tests.synthetic import SyntheticStudy, synthetic_study

OF_ANY_STUDY = [key for key in FIGURES if key != "clock"]


@pytest.mark.parametrize("key", OF_ANY_STUDY)
def test_every_figure_draws_a_study(key, study):
    assert len(FIGURES[key].draw(stored_frames(study), "flops").data) > 0
    assert "\n" not in FIGURES[key].caption


@pytest.mark.parametrize("key", OF_ANY_STUDY)
def test_every_figure_says_that_nothing_has_finished(key, study):
    with pytest.raises(StudyError, match="no finished trial"):
        FIGURES[key].draw(stored_frames(SyntheticStudy(study.config, {})), "flops")


def test_a_study_without_searches_has_no_estimates():
    with pytest.raises(StudyError, match="no one-shot estimates"):
        FIGURES["estimates"].draw(stored_frames(synthetic_study(methods=("full", "linear"))), "flops")


def test_a_figure_says_something_or_the_page_leaves_it_out(study):
    plain = stored_frames(synthetic_study(methods=("full", "linear")))
    assert {key for key, info in FIGURES.items() if info.tells(plain)} == {"pareto", "schedule", "curves", "estimates"}
    searched = {key for key, info in FIGURES.items() if info.tells(stored_frames(study))}
    assert searched == {"pareto", "schedule", "curves", "estimates", "regret", "attainment"}
    one_seed = stored_frames(synthetic_study(seeds=1))
    assert not FIGURES["attainment"].tells(one_seed)
    assert FIGURES["regret"].tells(one_seed)


def test_a_sweep_has_a_cost_to_target(tmp_path):
    assert FIGURES["cost-to-target"].tells(published_frames(publish(tmp_path / "swept", swept_trials(seeds=2))))


def test_only_the_profile_takes_several_studies(study):
    assert [key for key, info in FIGURES.items() if info.draw_several] == ["profile"]
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


def test_html_is_self_contained(tmp_path):
    path = tmp_path / "deep" / "figure.html"
    write_figure(go.Figure(go.Scatter(x=[1], y=[2])), path)
    html = path.read_text()
    assert len(html) > 1_000_000
    assert "<script src" not in html
    assert 'script type="text/javascript" src' not in html


@pytest.mark.parametrize("name", ["figure.pdf", "figure"])
def test_other_suffixes_are_named(name, tmp_path):
    with pytest.raises(ConfigError, match=repr((tmp_path / name).suffix)):
        write_figure(go.Figure(), tmp_path / name)
    assert not list(tmp_path.iterdir())


class FakeKaleido:
    """Kaleido that gives bytes, or fails as it does without a browser."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def calc_fig_sync(self, figure, opts, kopts):
        if self.error is not None:
            raise self.error
        assert kopts["mathjax"] is False  # else the browser would ask the network for it
        return b"png of " + str(opts["width"]).encode()


class ChromeNotFoundError(RuntimeError):
    """Kaleido's, by name."""


def test_png_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "import_module", lambda name: FakeKaleido())
    write_figure(go.Figure(), tmp_path / "figure.PNG")
    assert (tmp_path / "figure.PNG").read_bytes() == b"png of 1000"


@pytest.mark.parametrize("error", [ChromeNotFoundError("long\nmessage"), RuntimeError("Browser\nclosed"), OSError()])
def test_png_without_chrome_is_one_line(error, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "import_module", lambda name: FakeKaleido(error))
    with pytest.raises(StudyError) as caught:
        write_figure(go.Figure(), tmp_path / "figure.png")
    assert_says_how_to_get_png(caught.value)
    assert not list(tmp_path.iterdir())


def test_png_without_kaleido_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(StudyError) as caught:
        write_figure(go.Figure(), tmp_path / "figure.png")
    assert_says_how_to_get_png(caught.value)


def assert_says_how_to_get_png(error: AutoProgError) -> None:
    """One line: what is missing, how to get it, what works without."""
    for part in (
        "no Chrome for kaleido",
        "pip install autoprog-search[png]",
        "plotly_get_chrome",
        ".html works without",
    ):
        assert part in str(error)
    assert "\n" not in str(error)


def test_the_table_is_cheap_to_import():
    heavy = "{'torch', 'plotly', 'pandas', 'optuna', 'timm'}"
    code = f"import sys, autoprog_search.report.figures; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
