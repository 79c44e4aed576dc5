"""`study watch`: what it says of a study that runs, from the storage alone."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from autoprog_search.analysis import standing
from autoprog_search.analysis.standing import SILENT_SECONDS, Watch, study_standing
from autoprog_search.cli.watch import new_lines, summary
from autoprog_search.engines.events import Event, noted
from autoprog_search.schedule import SubNetwork
from autoprog_search.study import standing as notes
from autoprog_search.study.creation import create_study
from autoprog_search.study.store import Job, open_study
from autoprog_search.training.state import Progress
from tests.forked import OnTerminal, start
from tests.tiny import cli_here, tiny_config, without_measuring

FULL, LINEAR = Job("full", 0, 0), Job("linear", 0, 0)


def halfway(epoch: float = 3.0) -> Progress:
    return Progress(
        step=30,
        steps=60,
        epoch=epoch,
        epochs=6.0,
        flops=2_000_000_000,
        stage=2,
        stages=3,
        phase="train",
        sub_network=SubNetwork(3, 9),
        loss=1.0,
        val_top1=61.5,
        images_per_second=100.0,
        seconds_left=90.0,
    )


@pytest.fixture(scope="module")
def created(tmp_path_factory):
    config = tiny_config("recipe.epochs=6", "methods={full: {seeds: 1}, linear: {seeds: 1}}")
    return create_study(tmp_path_factory.mktemp("created"), config).folder


@pytest.fixture
def study(created, tmp_path):
    """One of the test's own: a folder that was copied is."""
    shutil.copytree(created, tmp_path / "studies/tiny")
    return open_study(tmp_path / "studies", "tiny")


def run_and_tell(study, job, progress):
    study.storage.set_trial_state_values(study.trial(job)._trial_id, TrialState.RUNNING)
    noted(study, lambda event: None)(Event("progress", job, progress))


def test_a_study_that_waits(study):
    found = study_standing(study)
    assert (found.trials, found.ended, found.running, found.best, found.seconds_left) == (2, {}, (), None, None)
    assert not found.over
    assert summary(found) == "tiny: 0/2 trials ended, 0 running on 0 worker(s), time left not known yet"


def test_a_trial_that_runs_is_read_by_another_process(study, tmp_path):
    """Which opens the study anew, as one on another machine does."""
    run_and_tell(study, FULL, halfway())
    found = study_standing(open_study(tmp_path / "studies", "tiny"))
    assert [(running.job, running.silent) for running in found.running] == [(FULL, False)]
    assert found.workers == 1
    assert found.seconds_left == pytest.approx(90 + 180)  # linear is taken to be as long as full
    done = cli_here("study", "watch", "tiny", "--once", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "epoch 3.0/6, 3 blocks x 9 patches, val 61.50 %, 2.00 GFLOPs, 1:30 left" in done.stdout
    assert "about 4:30 left" in done.stdout


def test_who_says_nothing_for_long_is_marked(study):
    run_and_tell(study, FULL, halfway())
    later = study_standing(study, time.time() + SILENT_SECONDS + 1)
    assert [running.silent for running in later.running] == [True]
    assert later.workers == 0


def test_a_host_whose_clock_is_off_is_silent_once_it_says_nothing_new(study, monkeypatch):
    """Behind or ahead of the clock of who watches: from the second look on that decides nothing."""
    telling = noted(study, lambda event: None)
    study.storage.set_trial_state_values(study.trial(FULL)._trial_id, TrialState.RUNNING)
    monkeypatch.setattr(notes, "EVERY_SECONDS", 0.0)

    def silent(now: float, watch: Watch, says_at: float | None = None) -> bool:
        if says_at is not None:
            with monkeypatch.context() as theirs:
                theirs.setattr(notes.time, "time", lambda: says_at)
                telling(Event("progress", FULL, halfway()))
        found = study_standing(study, now, watch)
        assert found.workers == (not found.running[0].silent)
        return found.running[0].silent

    for off in (-600.0, 0.0, 600.0):
        watch = Watch()
        assert silent(1000.0, watch, 1000.0 + off) == (off < 0)  # at first there is only the worker's word
        assert silent(1001.0 + SILENT_SECONDS, watch)
        assert not silent(1100.0, watch, 1100.0 + off)
        assert not silent(1100.0 + SILENT_SECONDS, watch)
        assert silent(1101.0 + SILENT_SECONDS, watch)


def test_the_command_remembers_what_it_has_seen(study, tmp_path, monkeypatch):
    """From look to look, until the study is over."""
    watches = []

    def look(opened, watch):
        watches.append(watch)
        found = study_standing(opened)
        return replace(found, trials=0) if len(watches) == 2 else found

    monkeypatch.setattr(standing, "study_standing", look)
    done = cli_here("study", "watch", "tiny", "--every", "0.2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert isinstance(watches[0], Watch)
    assert watches[0] is watches[1]


def test_notes_are_seldom_and_no_run_ends_for_one(study, monkeypatch):
    telling, written = noted(study, lambda event: None), []
    study.storage.set_trial_state_values(study.trial(FULL)._trial_id, TrialState.RUNNING)
    monkeypatch.setattr(study.storage, "set_trial_user_attr", lambda *note: written.append(note))
    for _ in range(3):
        telling(Event("progress", FULL, halfway()))
    assert len(written) == 1

    def fails(*note):
        raise OSError("the disk is full")

    monkeypatch.setattr(study.storage, "set_trial_user_attr", fails)
    noted(study, lambda event: None)(Event("progress", FULL, halfway()))


def test_lines_are_told_once(study):
    run_and_tell(study, FULL, halfway())
    told: dict[Job, float] = {}
    (line,) = new_lines(study_standing(study), told)
    assert line.startswith("  50%  full seed 0: epoch 3.0/6")
    assert list(new_lines(study_standing(study), told)) == []
    study.storage.set_trial_user_attr(study.trial(FULL)._trial_id, "error", "why")
    study.storage.set_trial_state_values(study.trial(FULL)._trial_id, TrialState.FAIL)
    assert list(new_lines(study_standing(study), told)) == ["ended  full seed 0: fail [1/2]"]


def test_it_watches_a_real_run_and_ends_with_it(tmp_path, monkeypatch):
    """The run is another process; here a line a trial at least, and the best at the end."""
    monkeypatch.setattr(notes, "EVERY_SECONDS", 0.0)  # the process that is forked has it, too
    fields = ("recipe.epochs=3", "data.train_share=0.2", "recipe.batch_size=40")
    config = tiny_config(*fields, "methods={full: {seeds: 1}, linear: {seeds: 1}}")
    without_measuring(create_study(tmp_path / "studies", config))
    running = start("study", "run", "tiny", cwd=tmp_path)
    done = cli_here("study", "watch", "tiny", "--every", "0.2", cwd=tmp_path)
    running.communicate(timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.startswith("ended  ") for line in lines) == 2
    assert any("blocks x" in line for line in lines)
    assert lines[-1].startswith("tiny: 2/2 trials ended, best so far ")
    after = cli_here("study", "watch", "tiny", cwd=tmp_path)  # which has ended before
    assert after.stdout.splitlines()[-1] == lines[-1]


def test_programs_are_told_the_same_as_json(study, tmp_path):
    run_and_tell(study, FULL, replace(halfway(), val_top1=None))
    study.storage.set_trial_user_attr(study.trial(LINEAR)._trial_id, "error", "why")
    study.storage.set_trial_state_values(study.trial(LINEAR)._trial_id, TrialState.FAIL)
    done = cli_here("study", "watch", "tiny", "--once", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["name"], found["trials"], found["over"], found["best"]) == ("tiny", 2, False, None)
    (running,) = found["running"]
    assert running["job"] == {"method": "full", "seed": 0, "trial": 0}
    assert (running["standing"]["epoch"], running["standing"]["val_top1"], running["silent"]) == (3.0, None, False)
    assert found["ended"] == [{"job": {"method": "linear", "seed": 0, "trial": 0}, "state": "FAIL"}]
    assert [(method["method"], method["ended"], method["failed"]) for method in found["methods"]] == [
        ("full", 0, 0),
        ("linear", 1, 1),
    ]


def test_a_json_that_never_ends_is_refused(tmp_path):
    done = cli_here("study", "watch", "tiny", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "Error: --json is one look, one document: give --once too"


@pytest.fixture
def watching(study, tmp_path):
    """A terminal that shows the study, of which a trial is halfway."""
    run_and_tell(study, FULL, halfway())
    with OnTerminal("study", "watch", "tiny", "--every", "0.2", cwd=tmp_path) as terminal:
        terminal.wait_for("epoch 3.0/6")
        yield terminal


def shows_its_cursor(said: str) -> bool:
    return said.count("\x1b[?25l") == 1 and said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")


def test_a_terminal_shows_what_changes_until_ctrl_c(study, watching):
    run_and_tell(study, FULL, halfway(epoch=4.0))
    watching.wait_for("epoch 4.0/6")
    watching.type("\x03")
    assert watching.end() == 0
    assert watching.said.splitlines()[-1].endswith("no longer watched; the study goes on")
    assert shows_its_cursor(watching.said)
    assert study.trial(FULL).state == TrialState.RUNNING


def test_a_terminal_is_given_back_when_the_study_ends(study, watching):
    for job in (FULL, LINEAR):
        study.storage.set_trial_user_attr(study.trial(job)._trial_id, "error", "why")
        study.storage.set_trial_state_values(study.trial(job)._trial_id, TrialState.FAIL)
    assert watching.end() == 0
    assert "tiny: 2/2 trials ended, 2 failed" in watching.said
    assert shows_its_cursor(watching.said)


def test_a_study_that_is_not_there(tmp_path):
    done = cli_here("study", "watch", "nothing", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: name: there is no study 'nothing'")
