"""Studies on a database server that processes of several folders share, as several machines do.

One of them is stopped or killed, the server restarts, connections are cut: no trial is lost, none runs twice, and the
table is as if nothing had been.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from autoprog_search.study import leases, server
from autoprog_search.study.creation import create_study
from autoprog_search.study.resolve import config_from_file
from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import StoredStudy, open_study
from tests.forked import Forked, start
from tests.postgres import Server, needs_server
from tests.proxy import proxied
from tests.tiny import FEW, SHORT, cli_here, run_here, tiny_config, without_measuring

pytestmark = needs_server

ON_TABLE = "data: {name: 'table:fashion'}\nmethods: {random: {trials: 12, seeds: 4}, full: {seeds: 1}}\n"
STARTED: list[Forked | subprocess.Popen[str]] = []
METHODS = "methods={tpe: {trials: 2, seeds: 1}, autoprog: {seeds: 1}, full-short: {seeds: 1}}"


def study_at(root: Path, url: str = "", artifacts: Path | None = None, methods: str = METHODS) -> StoredStudy:
    kept = {"storage": url, "artifacts": artifacts.as_uri() if artifacts else ""}
    config = tiny_config(methods, *FEW, *SHORT).model_copy(update=kept)
    return without_measuring(create_study(root, config))


def run(root: Path) -> Forked | subprocess.Popen[str]:
    STARTED.append(start("--root", root, "study", "run", "tiny", "--device", "cpu", cwd=root, **{leases.SETTING: "2"}))
    return STARTED[-1]


@pytest.fixture(autouse=True)
def _none_outlives_its_test():
    """They would wait for the server, which is gone by then."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def cut_now_and_then(postgres: Server, *processes: Forked | subprocess.Popen[str]) -> None:
    """Cut all connections a few times; without an end nothing that takes longer would ever be done."""
    for _ in range(6):
        if any(process.poll() is None for process in processes):
            postgres.cut_connections()
            time.sleep(0.6)


def wait_for_a_trial(study: StoredStudy, *others: str) -> str:
    """The lease of one that is under way, and none of the others."""
    deadline = time.monotonic() + 60
    while True:
        held = study.leases.held("tiny/")
        for name in held:
            if name not in others:
                return name
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(process: Forked | subprocess.Popen[str]) -> str:
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "Traceback" not in said, said
    return said


def trials_done(*said: str) -> list[str]:
    """Those that workers say they have ended, by whoever."""
    lines = [line for text in said for line in text.splitlines()]
    return sorted(line.split(":")[0].removeprefix("done").strip() for line in lines if line.startswith("done"))


def table(study: StoredStudy) -> pd.DataFrame:
    frame = trials_frame(study)
    return frame[[name for name in frame.columns if not name.endswith("_seconds")]]


def check(root: Path, undisturbed: StoredStudy) -> None:
    """The table is whole, and weights are those of an undisturbed run; nothing is left of what was given up."""
    study = open_study(root, "tiny")
    pd.testing.assert_frame_equal(table(study), table(undisturbed))
    assert study.leases.held("tiny/") == {}
    assert list(root.glob("tiny/trials/*/checkpoint*")) == []
    assert list(root.glob("**/*.tmp")) == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> StoredStudy:
    """In SQLite, by one process."""
    study = study_at(tmp_path_factory.mktemp("undisturbed"))
    run_here(study)
    return study


def weights(*roots: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for root in roots for path in root.glob("tiny/trials/*/*.safetensors")}


@pytest.fixture
def soon_found_dead(monkeypatch):
    """A connection whose peer acknowledges nothing: within 2 s instead of half a minute."""
    for name, value in {"connect_timeout": 2, "tcp_user_timeout": 2_000, "keepalives_idle": 1}.items():
        monkeypatch.setitem(server.CONNECTION, name, value)


@pytest.mark.usefixtures("soon_found_dead")
@pytest.mark.parametrize("how", ["stopped", "cut off", "silent"])
def test_who_is_out_of_reach_for_longer_than_its_lease_comes_back_and_gives_up(how, postgres, undisturbed, tmp_path):
    """The other takes its trial up and finishes the study, whether the first stood still or its network was gone."""
    url, (there, here, shared) = postgres.schema(f"away_{how[:2]}"), map(tmp_path.joinpath, ("there", "here", "shared"))
    with proxied(postgres.port) as network:
        study = study_at(here, url, shared)
        study_at(there, url.replace(f":{postgres.port}/", f":{network.port}/"), shared)
        away = run(there)
        lease = wait_for_a_trial(study)
        stand = partial(os.killpg, away.pid)
        leave, come_back = {
            "stopped": (partial(stand, signal.SIGSTOP), partial(stand, signal.SIGCONT)),
            "cut off": (network.leave, network.back),
            "silent": (network.fall_silent, network.back),
        }[how]
        leave()
        try:
            said = ended(run(here))
        finally:
            come_back()
        its_own = ended(away)
        assert its_own.count("has taken it up") == 1
        assert f"warning: {lease.removesuffix('/.lock')}: " in its_own
        assert trials_done(said, its_own) == sorted(str(job) for job in study.jobs())
        check(here, undisturbed)
        check(there, undisturbed)
    assert weights(here, there) == weights(undisturbed.folder.parent)
    assert not (there / lease.removesuffix("/.lock") / "weights.safetensors").exists()
    left = {path.parent.name: path.read_bytes() for path in shared.rglob("*.*")}  # a file a trial
    assert left == weights(undisturbed.folder.parent)


@pytest.mark.usefixtures("soon_found_dead")
def test_a_network_that_falls_silent_holds_nobody_for_ever(postgres, undisturbed, tmp_path):
    """Nothing is answered and nothing closed: who waits says so in seconds, and a signal still ends it."""
    url = postgres.schema("silent")
    study = study_at(tmp_path, url)
    with proxied(postgres.port) as network:
        there = study_at(tmp_path / "there", url.replace(f":{postgres.port}/", f":{network.port}/"))
        away = run(there.folder.parent)
        wait_for_a_trial(study)
        network.fall_silent()
        assert away.stderr is not None
        while "waiting until it answers again" not in (line := away.stderr.readline()):
            assert line
        os.killpg(away.pid, signal.SIGTERM)
        _, said = away.communicate(timeout=30)
    assert away.returncode == 130
    assert said.splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in said
    ended(run(tmp_path))
    check(tmp_path, undisturbed)


def test_what_a_killed_one_ran_is_taken_up_elsewhere(postgres, undisturbed, tmp_path):
    url, (there, here) = postgres.schema("killed"), (tmp_path / "there", tmp_path / "here")
    study = study_at(there, url)
    study_at(here, url)
    dies = run(there)
    lease = wait_for_a_trial(study)
    other = run(here)
    wait_for_a_trial(study, lease)
    os.killpg(dies.pid, signal.SIGKILL)
    dies.communicate()
    ended(other)
    check(here, undisturbed)


def test_it_is_watched_from_a_folder_of_its_own_which_only_has_the_study_yaml(postgres, tmp_path):
    """Live, by who runs nothing; nothing is written there."""
    url, (there, here) = postgres.schema("watched"), (tmp_path / "there", tmp_path / "here")
    study = study_at(there, url, methods="methods={full: {seeds: 1}, linear: {seeds: 1}}")
    (here / "tiny").mkdir(parents=True)
    shutil.copy(study.folder / "study.yaml", here / "tiny")
    runs = run(there)
    done = cli_here("--root", here, "study", "watch", "tiny", "--every", "0.2", cwd=here)
    ended(runs)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("tiny: 2/2 trials ended, best so far ")
    assert [path.name for path in here.rglob("*")] == ["tiny", "study.yaml"]


def test_a_population_goes_on_elsewhere_from_its_members_checkpoints(postgres, tmp_path):
    methods = "methods={pbt: {trials: 2, seeds: 1}}"
    study_at(tmp_path / "alone", methods=methods)
    run_here(alone := open_study(tmp_path / "alone", "tiny"))
    url, shared = postgres.schema("population"), tmp_path / "shared"
    there, here = (study_at(tmp_path / root, url, shared, methods) for root in ("there", "here"))
    run_here(there, lambda: (there.folder / "trials/pbt-s0-t1/stage2.pt").exists())
    steps = [event.progress.step for event in run_here(here) if event.kind == "progress"]
    assert min(steps) > 10  # each stage has as many
    check(here.folder.parent, alone)
    assert [path for path in shared.rglob("*.*") if not path.name.endswith(".safetensors")] == []


def test_two_folders_answer_the_same_study_on_a_table(postgres, tmp_path):
    """While connections are cut; all trials of a seed are one claim."""
    (tmp_path / "given.yaml").write_text(ON_TABLE)
    url = postgres.schema("looked_up")
    config = config_from_file(tmp_path / "given.yaml", "tiny")
    alone = create_study(tmp_path / "alone", config)
    run_here(alone)
    shared = config.model_copy(update={"storage": url})
    processes = []
    for root in ("there", "here"):
        create_study(tmp_path / root, shared)
        processes.append(run(tmp_path / root))
    cut_now_and_then(postgres, *processes)
    for process in processes:
        ended(process)
    pd.testing.assert_frame_equal(table(open_study(tmp_path / "here", "tiny")), table(alone))


@pytest.mark.parametrize("shares", [True, False])
def test_a_trial_goes_on_elsewhere_from_the_last_checkpoint_within_reach(postgres, undisturbed, tmp_path, shares):
    """It begins anew where there is none, and ends the same."""
    url, shared = postgres.schema(f"interrupted_{shares}"), tmp_path / "shared" if shares else None
    autoprog = "methods={autoprog: {seeds: 1}}"
    there, here = (study_at(tmp_path / root, url, shared, autoprog) for root in ("there", "here"))
    asked = iter(range(1000))
    run_here(there, lambda: next(asked) > 25)
    first, *_ = [event.progress.step for event in run_here(here) if event.kind == "progress"]
    assert (first > 15) == shares
    assert [trial.state.name for trial in here.trials().values()] == ["COMPLETE"]
    ours = (here.folder / "trials/autoprog-s0-t0/weights.safetensors").read_bytes()
    assert ours == (undisturbed.folder / "trials/autoprog-s0-t0/weights.safetensors").read_bytes()


def test_a_signal_ends_the_waiting(postgres, undisturbed, tmp_path):
    study = study_at(tmp_path, postgres.schema("signalled"))
    process = run(tmp_path)
    wait_for_a_trial(study)
    postgres.stop()
    try:
        assert process.stderr is not None
        while "waiting until it answers again" not in (line := process.stderr.readline()):
            assert line
        os.killpg(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    finally:
        postgres.start()
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in said
    ended(run(tmp_path))
    check(tmp_path, undisturbed)


@pytest.mark.parametrize("how", ["immediate", *(["fast"] if "AUTOPROG_FAULTS" in os.environ else [])])
def test_a_server_that_restarts_in_the_middle_is_waited_for(postgres, undisturbed, tmp_path, how):
    """And so is one that cuts all connections, again and again."""
    url = postgres.schema(f"restarted_{how}")
    study = study_at(tmp_path, url)
    process = run(tmp_path)
    first = wait_for_a_trial(study)
    postgres.stop(how)
    time.sleep(2.5)  # longer than the lease
    postgres.start()
    wait_for_a_trial(study, first)
    cut_now_and_then(postgres, process)
    said = ended(process)
    assert trials_done(said) == sorted(str(job) for job in study.jobs())
    assert said.count("; waiting until it answers again") >= 1
    assert "taken it up" not in said
    check(tmp_path, undisturbed)
    assert weights(tmp_path) == weights(undisturbed.folder.parent)
