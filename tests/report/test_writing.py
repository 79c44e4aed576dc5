"""Figures as files."""

from __future__ import annotations

import sys

import plotly.graph_objects as go
import pytest

from autoprog_search.errors import AutoProgError, ConfigError, StudyError
from autoprog_search.report import writing
from autoprog_search.report.writing import length, write_figure


def test_html_is_self_contained(tmp_path):
    path = tmp_path / "deep" / "figure.html"
    write_figure(go.Figure(go.Scatter(x=[1], y=[2])), path)
    html = path.read_text()
    assert 1_000_000 < len(html) < 2_500_000
    assert "<script src" not in html
    with pytest.raises(ConfigError, match="as wide as its window"):
        write_figure(go.Figure(), path, width=400)


@pytest.mark.parametrize("name", ["figure.eps", "figure"])
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
        shown = opts["width"] * opts["scale"], opts["height"], figure["layout"].get("font", {}).get("color")
        return f"{opts['format']} of {shown}".encode()


class ChromeNotFoundError(RuntimeError):
    """Kaleido's, by name."""


def test_images_of_a_screen_and_of_a_paper(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "import_module", lambda name: FakeKaleido())
    figure, path = go.Figure(layout={"height": 400, "font": {"color": "#222222"}}), tmp_path / "figure.PNG"
    write_figure(figure, path)
    assert path.read_bytes() == b"png of (2000.0, 400, '#222222')"
    path = path.with_suffix(".svg")
    write_figure(figure, path, width=length("5.5in"), style="paper")
    said, _, rest = path.read_text().partition(" of (")
    width, height, colour = rest.split(", ")
    assert (said, height, colour) == ("svg", "300", "'black')")
    assert float(width) == pytest.approx(5.5 * 96, abs=1)


@pytest.mark.parametrize(
    ("text", "px"), [("640", 640), ("640px", 640), ("50.8mm", 192), ("10.16cm", 384), ("397pt", 529.3), (" 3in ", 288)]
)
def test_lengths(text, px):
    assert length(text) == pytest.approx(px, abs=0.1)


@pytest.mark.parametrize("text", ["wide", "5 furlongs", "-3in", "99px", "3m", "1e3", "99999"])
def test_what_is_no_length(text):
    with pytest.raises(ConfigError, match="is no length from 100 to 10,000 px, such as 1000px, 140mm"):
        length(text)


@pytest.mark.parametrize("error", [ChromeNotFoundError("long\nmessage"), RuntimeError("Browser\nclosed"), OSError()])
def test_an_image_without_chrome_is_one_line(error, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "import_module", lambda name: FakeKaleido(error))
    with pytest.raises(StudyError) as caught:
        write_figure(go.Figure(), tmp_path / "figure.png")
    assert_says_how_to_get_images(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_image_without_kaleido_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(StudyError) as caught:
        write_figure(go.Figure(), tmp_path / "figure.png")
    assert_says_how_to_get_images(caught.value)


def assert_says_how_to_get_images(error: AutoProgError) -> None:
    """One line: what is missing, how to get it, what works without."""
    for part in (
        "no Chrome for kaleido",
        "pip install autoprog-search[figures]",
        "plotly_get_chrome",
        ".html works without",
    ):
        assert part in str(error)
    assert "\n" not in str(error)
