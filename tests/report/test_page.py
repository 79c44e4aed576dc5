"""The page holds the whole study, safely and offline."""

from __future__ import annotations

import re
from html import escape

import pytest

from autoprog_search.analysis.compare import compare
from autoprog_search.analysis.verdict import verdicts
from autoprog_search.errors import ConfigError
from autoprog_search.report import document
from autoprog_search.report.figures import FIGURES
from autoprog_search.report.page import report_page
from autoprog_search.report.texts import comparison_rows
from autoprog_search.report.verdict import verdict_text
from autoprog_search.study.identity import study_hash
from autoprog_search.study.results import stored_frames, trials_frame
from tests.synthetic import SyntheticStudy, synthetic_study

PLOTLYJS = "/* plotly.js */"
EVIL = "<script>alert('x')</script>&\""


@pytest.fixture(autouse=True)
def small_plotlyjs(monkeypatch):
    """Its 2 MB are plotly's; a page without them can be searched."""
    monkeypatch.setattr(document, "packed_plotlyjs", lambda: PLOTLYJS)


@pytest.fixture(scope="module")
def html():
    """The page of the made-up study."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "packed_plotlyjs", lambda: PLOTLYJS)
        return report_page(stored_frames(synthetic_study()))


def test_page_shows_every_method_number_and_figure(study, html):
    for row in comparison_rows(compare(trials_frame(study), 0.5)):
        assert f"{row.pop('method')}</th>" in html
        assert all(f">{text}</td>" in html for text in row.values())
    compared = compare(trials_frame(study), 0.5)
    for found in verdicts(trials_frame(study), compared):
        said = verdict_text(found).removeprefix(found.method)
        assert f"<b>{found.method}</b>{escape(said)}</li>" in html
    assert html.index("Verdict</h2>") < html.index("Comparison</h2>") < html.index("What the columns mean")
    assert "<details open" not in html
    for key, info in FIGURES.items():
        if key in ("ranks", "importance") or info.silent(stored_frames(study)):
            assert f"<li>{info.title}: " in html
            continue
        assert f'id="figure-{key}-flops"' in html
        assert info.title in html
    assert 'id="figure-pareto-seconds"' in html
    assert html.count(PLOTLYJS) == 1
    assert study_hash(study.config) in html
    assert "torch 2.9.0" in html
    assert "cpu (2 threads)" in html
    assert "1 failed, 1 waiting" in html


def test_page_asks_the_network_for_nothing(html):
    assert not re.findall(r"(?:src|href)\s*=|@import|url\(|https?:", html)
    assert "default-src 'none'" in html  # and a browser keeps it


def test_what_comes_from_the_study_is_escaped(study):
    config = study.config
    space = config.space.model_copy(update={"name": EVIL, "description": EVIL, "model": EVIL})
    evil = config.model_copy(update={"space": space, "data": config.data.model_copy(update={"name": EVIL})})
    for trial in study.given.values():
        trial.user_attrs["device"] = EVIL
    html = report_page(stored_frames(SyntheticStudy(evil, study.given)))
    assert "alert(&#x27;x&#x27;)" in html
    assert "<script>alert" not in html


def test_a_hostile_method_is_text(study):
    """In tables and figures; of published tables, since a study itself has no such method."""
    tables = stored_frames(study)
    for table in (tables.trials, tables.curves, tables.estimates):
        table["method"] = table["method"].astype(object).replace("linear", f"linear+{EVIL}\x1b[2J")
    html = report_page(tables)
    assert f"{escape(EVIL)}\\x1b[2J</th>" in html
    assert "<script>alert" not in html
    assert "\x1b" not in html


def test_all_trials_are_rows_that_can_be_sorted(study, html):
    table = html[html.index(f"All {len(study.given)} trials") :].partition("</table>")[0]
    assert table.count('<th scope="row">') == len(study.given)
    assert table.count(">headline<") == len({(job.method, job.seed) for job in study.given})
    assert table.count(">failed<") == table.count(">waiting<") == 1
    compared = html.partition("</table>")[0]
    assert compared.count('scope="row"') == 6
    assert 'data-sort="nan"' not in html


def test_the_storage_url_may_hold_a_password_and_stays_out():
    assert "s3cret" not in report_page(stored_frames(synthetic_study(storage="postgresql://user:s3cret@host/db")))


def test_the_same_study_gives_the_same_page_and_its_storage_is_read_once(study, html):
    reads = []
    read = study.trials
    study.trials = lambda: reads.append(1) or read()
    assert report_page(stored_frames(study)) == html
    assert len(reads) == 1


def test_the_margin_is_the_readers(study):
    html = report_page(stored_frames(study), margin=12.5)
    assert "more than 12.5 points are lost is shown" in html
    with pytest.raises(ConfigError, match="margin: 0 is not above 0"):
        report_page(stored_frames(study), margin=0)


def test_a_study_that_has_not_started(study):
    html = report_page(stored_frames(SyntheticStudy(study.config, {})))
    assert "No trial has finished yet." in html
    assert PLOTLYJS not in html


def test_a_figure_that_cannot_be_drawn_says_why():
    html = report_page(stored_frames(synthetic_study(methods=("full", "linear"))))
    assert "<li>One-shot estimates: study &#x27;synthetic&#x27; has no one-shot estimates" in html
    assert 'id="figure-estimates' not in html
