"""A study that the last commit before growth settings were grouped has made, run and left: `before/`.

Seven trials of `tests/tiny.yaml`: five finished, one of them under a setting that was taken out since
(`autoprog+paired`); one under way, with its checkpoint; one waiting that no code runs any more (`linear+rewarm`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from autoprog_search.errors import StudyError
from autoprog_search.settings.retired import LAST_COMMIT
from autoprog_search.study.creation import complete_study
from autoprog_search.study.identity import check_unchanged, stored_hashes
from autoprog_search.study.results import published_frames, trials_frame
from autoprog_search.study.store import StoredStudy, open_study
from tests.tiny import cli_here, run_here, without_measuring

FOLDER = Path(__file__).parent / "before"
pytestmark = pytest.mark.usefixtures("all_digits")


@pytest.fixture
def before(tmp_path) -> StoredStudy:
    shutil.copytree(FOLDER, tmp_path / "studies/before")
    return open_study(tmp_path / "studies", "before")


def test_it_opens_unchanged_under_the_names_of_now(before):
    check_unchanged(before)
    complete_study(before)
    assert len(before.trials()) == 8
    assert before.config.growth.search.share == 0.08
    assert before.config.retired == {
        "autoprog+paired": {"loss_errors": "paired"},
        "linear+rewarm": {"optimizer_state": "rewarm"},
    }


def test_its_rows_keep_what_they_said(before):
    said, now = pd.read_csv(FOLDER / "results.csv"), trials_frame(before)
    for column in ("method", "seed", "trial", "state", "val_top1", "top1", "total_flops", "config_hash"):
        assert now[column].tolist() == pytest.approx(said[column].tolist(), nan_ok=True), column
    assert all(value.startswith("2:") for value in stored_hashes(before).values())


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("  search_share: 0.08", "  search_share: 0.2", r"growth\.search\.share was 0\.08, is 0\.2"),
        ("loss_errors: paired", "loss_errors: own", r'growth\.loss_errors was "paired", is null'),
        ("optimizer_state: rewarm", "optimizer_state: copy", r"optimizer_state was"),
    ],
)
def test_an_edit_is_still_seen(before, old, new, what):
    path = before.folder / "study.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(StudyError, match=what):
        check_unchanged(open_study(before.folder.parent, "before"))


def test_it_is_shown_compared_exported_reported_and_drawn(before, tmp_path):
    for command in ("show", "compare", "export", "report", "plot"):
        done = cli_here("study", command, "before", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), command
    assert published_frames(before.folder).trials["config_hash"].tolist() == (
        pd.read_csv(FOLDER / "results.csv")["config_hash"].tolist()
    )


def test_it_resumes_but_for_what_no_code_runs_any_more(before, tmp_path):
    """The checkpoint is refused by the number of its format; without it the trial begins again, under its hash."""
    without_measuring(before)
    refused = cli_here("study", "run", "before", cwd=tmp_path)
    assert (refused.returncode, refused.stderr.count("Traceback")) == (2, 0)
    assert "checkpoint of format 2" in refused.stderr
    next(before.folder.glob("trials/random-s0-t1/checkpoint.pt")).unlink()
    run_here(before)
    done = cli_here("study", "run", "before", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: methods: linear+rewarm needs growth.optimizer_state 'rewarm', which was taken out; the last commit "
        f"that runs it is {LAST_COMMIT}. Run them there, or take them out of study.yaml"
    )
    after = trials_frame(before).set_index(["method", "trial"])
    assert after["state"].drop(("linear+rewarm", 0)).eq("COMPLETE").all()
    assert after["state"]["linear+rewarm", 0] == "WAITING"
    assert after["config_hash"]["random", 1] == after["config_hash"]["random", 0]
