"""`study compare` and `study plot` on made-up studies, one or several."""

from __future__ import annotations

import csv
import io
import json

import pytest
from click.testing import CliRunner, Result

from autoprog_search.cli.main import cli as command_line
from autoprog_search.errors import ConfigError
from tests.synthetic import SyntheticStudy, synthetic_study


@pytest.fixture
def said(monkeypatch):
    """Runs a command of `study`; the studies are `three` (seeds) and `one`."""
    made = synthetic_study()
    studies = {"three": SyntheticStudy(made.config, made.given), "one": synthetic_study(seeds=1)}
    for name, study in studies.items():
        study.folder = study.folder.with_name(name)
    monkeypatch.setattr("autoprog_search.study.store.open_study", lambda root, name: studies[name])

    def run(*words: str) -> Result:
        return CliRunner().invoke(command_line, ["study", *words])

    return run


def test_compare_opens_with_a_verdict_on_each_method(said):
    lines = said("compare", "three").output.splitlines()
    verdicts, reading, table = lines[:6], lines[6], lines[7:]
    assert [line.split(":")[0] for line in verdicts] == [
        "full, the reference",
        "full-short",
        "linear",
        "autoprog",
        "random",
        "tpe",
    ]
    assert "a power of 80 %" in reading
    assert "reference" in " ".join(table)
    assert "a power of" not in said("compare", "one").output  # nothing was tested
    assert "than 12.5 points are lost is shown" in said("compare", "three", "--margin", "12.5").output


def test_several_studies_are_told_apart(said):
    lines = said("compare", "three", "one").output.splitlines()
    assert lines[0].startswith("three, full, the reference: ")
    assert lines[6].startswith("one, full, the reference: ")
    assert lines[11].startswith("one, tpe: ")


def test_programs_get_numbers_alone(said):
    rows = json.loads(said("compare", "three", "--margin", "0.02", "--json").output)
    assert [row["margin"] for row in rows] == [0.02] * 6
    assert any(row["seeds_if_measured"] is None for row in rows)  # no number of seeds would show it
    assert all(row["trained"] == row["paired"] == 3 for row in rows)
    (first, *_) = csv.DictReader(io.StringIO(said("compare", "one", "-f", "csv").output))
    assert (first["method"], first["p_margin"]) == ("full", "")


def test_regret_of_a_study_on_no_table(said):
    rows = json.loads(said("regret", "three", "--json").output)
    assert [row["method"] for row in rows] == ["full", "full-short", "linear", "autoprog", "random", "tpe"]
    assert all(0 <= row["regret"] <= 1 for row in rows)


def test_the_profile_is_of_several_studies(said, tmp_path):
    output = tmp_path / "profile.html"
    assert said("plot", "three", "one", "--kind", "profile", "-o", str(output)).output == f"{output}\n"
    assert "solved of" in output.read_text()
    refused = said("plot", "three", "one", "--kind", "pareto", "-o", str(output))
    assert refused.exit_code == 2
    assert "--kind pareto: draws one study, got 2; several are for: profile" in refused.output


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("-o", "x.eps"), "output: 'x.eps' ends in '.eps'; figures are written as .html, .svg, .pdf, .png"),
        (("-o", "x.pdf", "--width", "wide"), "width: 'wide' is no length from 100 to 10,000 px, such as 1000px"),
        (("--style", "paper"), "pareto.html' is as wide as its window; a width and a style are for images"),
    ],
)
def test_an_image_that_cannot_be_is_one_line(said, words, line):
    refused = said("plot", "one", *words)
    assert isinstance(refused.exception, ConfigError)
    assert line in str(refused.exception)
