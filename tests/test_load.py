"""benchmarks/load.py takes no figure of a study whose trials are not all there, or whose workers met something."""

from __future__ import annotations

from subprocess import CompletedProcess

import pytest

from autoprog_search.study.creation import create_study
from autoprog_search.study.resolve import config_from_file
from autoprog_search.study.store import open_study
from benchmarks.load import check, count
from tests.tiny import run_here

ON_TABLE = "data: {name: 'table:fashion'}\nmethods: {random: {trials: 3, seeds: 2}}\n"


@pytest.fixture
def study(tmp_path):
    (tmp_path / "given.yaml").write_text(ON_TABLE)
    return create_study(tmp_path / "studies", config_from_file(tmp_path / "given.yaml", "load"))


def test_trials_are_counted(study):
    run_here(study)
    assert count(study, seeds=2, trials=3).startswith("all 6 trials are there once, COMPLETE")
    with pytest.raises(SystemExit, match="load, seed 0: 3 trials of 4"):
        count(study, seeds=2, trials=4)
    study.storage.create_new_trial(study.stored_id("random", 1))
    with pytest.raises(SystemExit, match=r"load, seed 1: 4 trials of 3, 4 numbers, .*RUNNING"):
        count(open_study(study.folder.parent, "load"), seeds=2, trials=3)


@pytest.mark.parametrize(
    ("code", "said", "fails"),
    [
        (0, "done   random seed 0", False),
        (1, "", True),
        (0, "warning: database is locked", True),
        (0, "Traceback (most recent call last):", True),
    ],
)
def test_what_workers_say_is_looked_through(code, said, fails):
    done = CompletedProcess([], code, "", f"start\n{said}\n")
    if not fails:
        check(("study", "run"), done)
        return
    with pytest.raises(SystemExit, match=f"study run: exit code {code}"):
        check(("study", "run"), done)
