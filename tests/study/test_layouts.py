"""Studies of every layout that there has been, as the last commit of each has left them: `tests/layouts/formatN`.

N is the number of their checkpoints' format. Each has a finished trial, one under way with its checkpoint, and two that
wait. They open, their rows say what they said, and what is left is run; their checkpoints are refused by number.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autoprog_search.study.creation import complete_study
from autoprog_search.study.doctor import examine
from autoprog_search.study.identity import check_unchanged
from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import open_study
from tests.tiny import cli_here, run_here, without_measuring

LAYOUTS = sorted((Path(__file__).parent.parent / "layouts").iterdir())
pytestmark = pytest.mark.usefixtures("all_digits")


def test_they_are_all_there_and_small():
    assert [layout.name for layout in LAYOUTS] == ["format1", "format2", "format3", "format4"]
    assert all(path.stat().st_size < 100_000 for layout in LAYOUTS for path in layout.rglob("*") if path.is_file())


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_study_of_before_opens_and_goes_on(layout, tmp_path):
    shutil.copytree(layout, tmp_path / "studies/layout")
    study = open_study(tmp_path / "studies", "layout")
    check_unchanged(study)
    complete_study(without_measuring(study))
    before = trials_frame(study).set_index(["method", "trial"])
    assert before["state"].value_counts().to_dict() == {"COMPLETE": 1, "RUNNING": 1, "WAITING": 2}
    assert 80 < before["val_top1"]["full", 0] < 90

    refused = cli_here("study", "run", "layout", cwd=tmp_path)
    assert (refused.returncode, refused.stderr.count("Traceback")) == (2, 0)
    assert f"checkpoint of format {layout.name.removeprefix('format')}" in refused.stderr
    checkpoint = study.folder / "trials/autoprog-s0-t0/checkpoint.pt"
    checkpoint.unlink()
    asked = iter(range(1000))
    assert [str(event.job) for event in run_here(study, lambda: next(asked) > 12) if event.kind == "start"] == [
        "autoprog seed 0"
    ]
    assert checkpoint.exists()
    assert [finding.what for finding in examine(study)] == ["autoprog seed 0: begun, and nobody runs it"]
