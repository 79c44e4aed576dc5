"""Studies on a Ray cluster of two nodes: one is lost, the driver is stopped, several processes train a trial."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from autoprog_search.errors import StudyError
from autoprog_search.study.creation import create_study
from autoprog_search.study.doctor import examine
from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import StoredStudy, open_study
from tests.forked import Forked, start
from tests.postgres import MISSING
from tests.ray_cluster import QUIET, Nodes, children, needs_ray, running_cluster
from tests.tiny import FEW, SHORT, cli_here, run_here, tiny_config, without_measuring

pytestmark = [*needs_ray, pytest.mark.timeout(900), pytest.mark.usefixtures("all_digits")]  # as Ray's workers have
PATIENCE = 600  # a busy machine takes minutes to start Ray and its workers
METHODS = "methods={tpe: {trials: 2, seeds: 1}, autoprog: {seeds: 1}, full-short: {seeds: 1}}"


def study_at(root: Path, methods: str = METHODS, **kept: str) -> StoredStudy:
    return without_measuring(create_study(root, tiny_config(methods, *FEW, *SHORT).model_copy(update=kept)))


def run(root: Path, *words: str) -> Forked | subprocess.Popen[str]:
    return start("--root", root, "study", "run", "tiny", "--engine", "ray", *words, cwd=root, **QUIET)


def table(study: StoredStudy, *apart: str) -> pd.DataFrame:
    frame = trials_frame(study)
    return frame[[name for name in frame.columns if not name.endswith("_seconds") and name not in apart]]


def weights(root: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in root.glob("tiny/trials/*/*.safetensors")}


def wait_for(root: Path, pattern: str, count: int, process: Forked | subprocess.Popen[str]) -> None:
    """Until so many files of the study are there."""
    deadline = time.monotonic() + PATIENCE
    while len(list((root / "tiny").glob(pattern))) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(all_digits, tmp_path_factory) -> StoredStudy:
    study = study_at(tmp_path_factory.mktemp("undisturbed"))
    run_here(study)
    return study


@pytest.fixture(scope="module")
def cluster():
    with running_cluster() as nodes:
        yield nodes


def test_a_node_is_lost_in_the_middle(cluster: Nodes, undisturbed, tmp_path):
    """Its trial is taken up by the worker that is left; the table is as if nothing had been."""
    study_at(tmp_path)
    process = run(tmp_path, "--address", cluster.address, "--gpus-per-trial", "0", "--cpus-per-trial", "2")
    wait_for(tmp_path, ".running/*.lock", 3, process)  # the driver's and two workers', one a node
    wait_for(tmp_path, "trials/*/checkpoint.pt", 1, process)
    cluster.lose()
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert "warning: a worker was lost" in said
    pd.testing.assert_frame_equal(table(open_study(tmp_path, "tiny")), table(undisturbed))
    assert weights(tmp_path) == weights(undisturbed.folder.parent)
    done = [line for line in said.splitlines() if line.startswith("done")]
    assert len(done) == len({line.split(":")[0] for line in done})
    assert "start  " in said
    cluster.add()


@pytest.mark.postgres
@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_two_folders_share_a_study_by_a_server_and_a_url(cluster: Nodes, undisturbed, postgres, tmp_path):
    """Each with a command of its own on the cluster; what one of them leaves, interrupted, the other goes on with."""
    there, here, shared = map(tmp_path.joinpath, ("there", "here", "shared"))
    kept = {"storage": postgres.schema("on_ray"), "artifacts": shared.as_uri()}
    study_at(there, **kept)
    study = study_at(here, **kept)
    words = ("--address", cluster.address, "--gpus-per-trial", "0", "--cpus-per-trial", "2", "--workers", "1")
    leaves, stays = run(there, *words), run(here, *words)
    wait_for(there, "trials/*/checkpoint.pt", 1, leaves)
    os.kill(leaves.pid, signal.SIGINT)
    _, said = leaves.communicate(timeout=PATIENCE)
    assert leaves.returncode == 130, said
    _, said_here = stays.communicate(timeout=PATIENCE)
    assert stays.returncode == 0, said_here
    assert "Traceback" not in said + said_here
    pd.testing.assert_frame_equal(table(study), table(undisturbed))
    left = sorted((path.parent.name, path.read_bytes()) for path in shared.rglob("*.*"))
    assert left == sorted(weights(undisturbed.folder.parent).items())  # and no checkpoint, whoever began its trial
    assert examine(study) == []


def test_several_processes_train_a_trial(cluster: Nodes, tmp_path):
    """A GPU each, or what Ray takes for one."""
    study = study_at(tmp_path, "methods={full: {seeds: 1}}")
    process = run(tmp_path, "--address", cluster.address, "--gpus-per-trial", "2")
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    frame = trials_frame(study)
    assert frame["world_size"].tolist() == [2]
    assert "done   full seed 0" in said


def test_a_local_cluster_is_ended_by_a_signal_and_goes_on(undisturbed, tmp_path):
    """Nothing of it listens anywhere but on loopback."""
    study_at(tmp_path)
    process = run(tmp_path, "--workers", "1")
    wait_for(tmp_path, "trials/*/checkpoint.pt", 1, process)
    started = children(process.pid)
    assert started
    assert all(address.startswith(("127.", "::1", "::ffff:127.")) for address in listening(started))
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert said.splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in said
    check_gone(started)
    steps = [event.progress.step for event in run_here(open_study(tmp_path, "tiny")) if event.kind == "progress"]
    assert steps[0] > 1
    pd.testing.assert_frame_equal(table(open_study(tmp_path, "tiny")), table(undisturbed))


def check_gone(pids: list[int]) -> None:
    """They end, within half a minute: Ray's last one watches that its own parent has."""
    deadline = time.monotonic() + 30
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def listening(pids: list[int]) -> list[str]:
    """Addresses that these processes listen on."""
    found = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    ours = [line for line in found.splitlines() if any(f"pid={pid}," in line for pid in pids)]
    assert ours
    return [line.split()[3].strip("[]") for line in ours]


def test_a_node_that_does_not_see_the_folder(tmp_path):
    from autoprog_search.engines.ray_worker import Where, _open_here

    config = tiny_config("methods={full: {seeds: 1}}")
    where = Where(tmp_path, "tiny", config, tmp_path / "tiny/.running/none.lock", False, tmp_path)
    with pytest.raises(StudyError, match=r"does not see the folder .*--storage postgresql"):
        _open_here(where, lambda: False)
    shared = replace(where, on_server=True)
    assert _open_here(shared, lambda: False).config == config
    other = replace(shared, config=tiny_config("methods={full: {seeds: 2}}"))
    with pytest.raises(StudyError, match="is not the one that was started"):
        _open_here(other, lambda: False)


def test_a_cluster_that_is_not_there_is_one_line(tmp_path):
    study_at(tmp_path)
    done = cli_here("--root", tmp_path, "study", "run", "tiny", "--engine", "ray", "--address", "ray://x", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "Ray Client" in done.stderr
