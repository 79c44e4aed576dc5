"""Who uses a study's folder: nothing is deleted under a process that runs it, nothing is locked through a link."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoprog_search.engines import profile
from autoprog_search.engines.engine import Needs
from autoprog_search.engines.profile import shared_profiles, sub_networks
from autoprog_search.engines.run import run_study
from autoprog_search.errors import StudyError
from autoprog_search.files import TEMPORARY, file_lock, sweep, write_atomic, write_yaml
from autoprog_search.study.creation import create_study
from autoprog_search.study.deletion import delete_study
from autoprog_search.study.listing import list_studies
from autoprog_search.study.locking import in_use, out_of_use
from autoprog_search.study.resolve import config_from_file
from autoprog_search.study.store import Job, StoredStudy, open_study
from autoprog_search.training.profile import StepProfile
from tests.forked import start
from tests.tiny import CPU, SHORT, TINY, cli_here, tiny_config, tiny_data, without_measuring

FULL = "methods={full: {seeds: 1}}"
TABLE = Path(__file__).parents[2] / "studies/fashion_search/study.yaml"
HOLDER = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""
PROFILES = [b"", b"{", b'{"cpu, 1 thread(s)": {}}', b"[1]", b'{"cpu": {"seconds": [[2, 4, NaN]]}}', b"\xff"]


def test_a_study_in_use_is_not_deleted(tmp_path):
    study = create_study(tmp_path, tiny_config(FULL))
    with in_use(study.folder), pytest.raises(StudyError, match=r"a process is running it \(it holds .running/"):
        delete_study(study)
    assert list_studies(tmp_path) == ["tiny"]
    delete_study(study)
    assert not study.folder.exists()


def test_a_trial_that_another_process_runs_is_not_deleted(tmp_path):
    """Such as NNI's trial processes, which are no workers of ours."""
    study = create_study(tmp_path, tiny_config(FULL))
    lock = study.lock_path(Job("full", 0, 0))
    lock.parent.mkdir(parents=True)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StudyError, match=r"trials/full-s0-t0/\.lock"):
            delete_study(study)
    finally:
        holder.kill()
        holder.wait()
    delete_study(study)  # the system has freed it


def test_a_study_that_was_deleted_is_not_begun(tmp_path):
    study = create_study(tmp_path, tiny_config(FULL))
    delete_study(study)
    with pytest.raises(StudyError, match="no study any more"), in_use(study.folder):
        pass
    assert not study.folder.exists()


def test_what_is_broken_can_be_deleted(tmp_path):
    for number, damage in enumerate(
        [
            lambda folder: (folder / "study.yaml").write_text("name: ["),
            lambda folder: (folder / "study.yaml").write_bytes(b"\xff\xfe"),
            lambda folder: (folder / "study.yaml").write_text("methods: {full+../../x: {}}"),
            lambda folder: (folder / "study.db").write_bytes(b"no database" * 999),
            lambda folder: (folder / "study.db").unlink(),
        ]
    ):
        study = create_study(tmp_path, tiny_config(FULL, name=f"s{number}"))
        damage(study.folder)
        done = cli_here("--root", tmp_path, "study", "delete", study.name, "--yes", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert not study.folder.exists()


def test_a_study_is_deleted_though_its_storage_does_not_answer(tmp_path, caplog):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    study = create_study(tmp_path, tiny_config(FULL).model_copy(update={"storage": url}))
    (tmp_path / "shared.db").write_bytes(b"no database" * 999)
    delete_study(open_study(tmp_path, "tiny"))
    assert not study.folder.exists()
    assert "its trials stay where they are stored" in caplog.text


def test_locks_are_not_taken_through_links(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "x.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StudyError, match="is a symbolic link"):
        file_lock(tmp_path / "x.lock")
    (tmp_path / "study").mkdir()
    (tmp_path / "study/.create.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StudyError, match="is a symbolic link"), out_of_use(tmp_path / "study"):
        pass
    assert (tmp_path / "precious").read_text() == "kept"


def test_what_a_killed_write_left_is_swept_up(tmp_path):
    write_atomic(tmp_path / "results.csv", b"1")
    (tmp_path / f".results.csv.a7x_9qwe{TEMPORARY}").write_bytes(b"half")
    (tmp_path / f".mine{TEMPORARY}").write_bytes(b"the user's own")
    sweep(tmp_path, ["results.csv"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".mine{TEMPORARY}", "results.csv"]


@pytest.mark.parametrize("content", PROFILES)
def test_a_profile_that_is_damaged_is_measured_again(tmp_path, caplog, content):
    config = tiny_config(FULL, "space.stages=2")
    study = without_measuring(create_study(tmp_path, config))
    made_up = json.loads((study.folder / "profile.json").read_text())
    (study.folder / "profile.json").write_bytes(content)
    with caplog.at_level(logging.WARNING, "autoprog_search"):
        measured = shared_profiles(study, tiny_data(config), CPU, should_stop=lambda: False)
    assert "step times are measured again" in caplog.text
    assert {by: list(profile.seconds) for by, profile in measured.items()} == sub_networks(config)
    assert json.loads((study.folder / "profile.json").read_text()) != made_up
    caplog.clear()
    assert shared_profiles(study, tiny_data(config), CPU, should_stop=lambda: False) == measured
    assert not caplog.records


def test_a_method_that_comes_by_patches_in_another_way_has_step_times_of_its_own(tmp_path):
    config = tiny_config("methods={full: {seeds: 1}, linear+dropped: {seeds: 1, space: {patches_by: dropout}}}", *SHORT)
    study = create_study(tmp_path, config)
    measured = shared_profiles(study, tiny_data(config), CPU, should_stop=lambda: False)
    assert {by: list(profile.seconds) for by, profile in measured.items()} == sub_networks(config)
    assert list(measured) == ["resolution", "dropout"]
    assert list(json.loads((study.folder / "profile.json").read_text())) == [
        "cpu, 1 thread(s)",
        "cpu, 1 thread(s), patches by dropout",
    ]
    assert shared_profiles(study, tiny_data(config), CPU, should_stop=lambda: False) == measured


def test_a_profile_lies_under_the_url_of_files_and_another_folder_does_not_measure_again(tmp_path, monkeypatch):
    config = tiny_config(FULL, "space.stages=2")
    config = config.model_copy(update={"artifacts": (tmp_path / "shared").as_uri()})
    seconds, measuring, found = dict.fromkeys(sub_networks(config)["resolution"], 0.25), [], []
    made_up = {"resolution": StepProfile("cpu, 1 thread(s)", seconds, 0, 0.0)}
    monkeypatch.setattr(profile, "measured", lambda *_: made_up)
    folders = [tmp_path / machine / "tiny" for machine in ("here", "there")]
    for folder in folders:
        folder.mkdir(parents=True)
        study, data = StoredStudy(folder, config), tiny_data(config)
        found.append(shared_profiles(study, data, CPU, should_stop=lambda: False, on_measuring=measuring.append))
    assert measuring == ["cpu, 1 thread(s)"]
    assert found == [made_up] * 2
    (kept,) = tmp_path.glob("shared/tiny/*-profile.json")
    assert {(folder / "profile.json").read_bytes() for folder in folders} == {kept.read_bytes()}


def test_a_worker_that_is_killed_does_not_spoil_a_study_that_the_other_finishes(tmp_path):
    create_study(tmp_path, tiny_config("methods={full: {seeds: 1}, linear: {seeds: 1}}", *SHORT))
    study = without_measuring(open_study(tmp_path, "tiny"))
    process = start("--root", tmp_path, "study", "run", "tiny", "--workers", "2", "--device", "cpu", cwd=tmp_path)
    held = study.folder / ".running"
    deadline = time.monotonic() + 120
    while len(workers := [int(path.name.split("-")[0]) for path in held.glob("*.lock")]) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(next(pid for pid in workers if pid != process.pid), signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "died (SIGKILL" in errors
    assert {trial.state.name for trial in study.trials().values()} == {"COMPLETE"}
    assert (study.folder / "results.csv").exists()
    assert not list(study.folder.glob("trials/*/checkpoint*"))
    delete_study(study)  # the killed worker's lock is free


def test_a_run_that_fails_leaves_the_table_of_what_it_has(tmp_path):
    study = without_measuring(create_study(tmp_path, tiny_config(FULL)))
    (study.folder / "trials/full-s0-t0/.lock").mkdir(parents=True)  # so that the system refuses, not we
    done = cli_here("--root", tmp_path, "study", "run", "tiny", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert (study.folder / "results.csv").exists()


def test_a_study_that_was_edited_is_not_run(tmp_path):
    done = cli_here("--root", tmp_path, "study", "create", "tiny", "--config", TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "tiny/study.yaml"
    path.write_text(path.read_text().replace("lr: 0.003", "lr: 0.002"))
    with pytest.raises(StudyError, match=r"recipe\.lr was 0\.003, is 0\.002"):
        run_study(open_study(tmp_path, "tiny"), Needs(device="cpu"))


def test_two_single_runs_do_not_share_a_folder(tmp_path):
    """The second is told; what a killed write left is swept up by the next."""
    out = tmp_path / "out"
    out.mkdir()
    write_yaml(tmp_path / "space.yaml", tiny_config().space.model_dump(mode="json"))
    words = ["train", "--space", "space.yaml", "--recipe", "digits", "--schedule", "full", "--device", "cpu", "-o", out]
    words += ["--set", "recipe.epochs=1"]
    with file_lock(out / ".lock"):
        done = cli_here(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert f"output: another process runs in {out}" in done.stderr
    (out / ".checkpoint.pt.9x_7afq2.tmp").write_bytes(b"half")
    done = cli_here(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    left = sorted(path.name for path in out.iterdir())
    assert left == ["result.json", "schedule.yaml", "weights.safetensors"]


def test_nothing_outside_is_touched_through_links(tmp_path):
    study, outside = create_study(tmp_path / "studies", tiny_config(FULL)), tmp_path / "outside"
    outside.mkdir()
    (outside / "poetry.lock").write_text("kept")
    (study.folder / ".running").symlink_to(outside)
    with pytest.raises(StudyError, match="leads out of"), in_use(study.folder):
        pass
    (study.folder / ".running").unlink()
    table = create_study(tmp_path / "studies", config_from_file(TABLE, "table"))
    (table.folder / "trials").symlink_to(outside)
    with pytest.raises(StudyError, match="leads out of"):
        table.lock_path(Job("full", 0, 0))
    (table.folder / "study.log").unlink(missing_ok=True)
    (table.folder / "study.log").symlink_to(outside / "poetry.lock")
    with pytest.raises(StudyError, match="leads out of"):
        open_study(tmp_path / "studies", "table").trials()
    delete_study(study)
    assert [path.name for path in outside.iterdir()] == ["poetry.lock"]
    assert (outside / "poetry.lock").read_text() == "kept"


def test_what_is_no_lock_of_ours_keeps_nothing_from_being_deleted(tmp_path):
    url = f"journal:///{tmp_path / 'studies/tiny/own.log'}"
    study = create_study(tmp_path / "studies", tiny_config(FULL).model_copy(update={"storage": url}))
    (study.folder / "trials/x.lock").mkdir(parents=True)
    (study.folder / ".profile.lock").mkdir()
    delete_study(study)
    assert not study.folder.exists()
