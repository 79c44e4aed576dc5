"""A report is small enough to be sent, and made soon enough, of a large study too."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from autoprog_search.report.page import report_page
from autoprog_search.study.creation import create_study
from autoprog_search.study.resolve import make_config
from autoprog_search.study.results import published_frames, stored_frames
from tests.tiny import run_here

pytestmark = pytest.mark.slow  # two thousand trials, and plotly.js is packed
MB = 1e6


def test_the_demos_report():
    demo = published_frames(Path(__file__).parents[2] / "studies/published/demo")
    assert 1 * MB < len(report_page(demo).encode()) < 3 * MB


def test_the_report_of_two_thousand_trials(tmp_path):
    """Its time on one core, about 8 seconds, has room for machines that are half as fast."""
    methods = ("full", "linear", "autoprog", "random", "tpe", "nsga2")
    data = {"name": "table:fashion"}
    study = create_study(tmp_path, make_config("big", space=None, data=data, methods=methods, trials=20, seeds=32))
    run_here(study)
    begin = time.process_time()
    frames = stored_frames(study)
    page = report_page(frames)
    assert time.process_time() - begin < 20
    assert (frames.trials["state"] == "COMPLETE").sum() == 2016
    assert "All 2,016 trials" in page
    assert 3 * MB < len(page.encode()) < 8 * MB
