"""NNI's methods in a study: real experiments, killed, resumed, on both engines; no process left, nothing twice."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from autoprog_search.errors import MissingExtraError
from autoprog_search.loggers.logger import LOSS
from autoprog_search.methods.kinds import INSTALL_NNI
from autoprog_search.study.config import NniSettings
from autoprog_search.study.results import estimates_frame, trials_frame
from autoprog_search.study.store import Job, open_study
from tests.forked import Forked, start
from tests.tiny import FEW, SHORT, TINY, cli_here, command, run_here, set_to, tiny_config, without_measuring

TRIALS = 2
LOCAL = {"nni:random": TRIALS, "nni:autoprog": 1, "autoprog": 1}  # each of NNI's is a process that imports torch
HERE = {f"nni:{strategy}": TRIALS for strategy in ("evolution", "random", "autoprog", "grid")}
LENGTH = (*SHORT, "recipe.epochs=12")  # 60 steps: long enough to be killed in their middle
LINES = re.compile(r"(measuring|budget:|NNI's portal for|start |done | +\d+%) .*")
pytestmark = [
    pytest.mark.services,
    pytest.mark.usefixtures("all_digits"),
]  # as trials on NNI's local training service have


def create(folder: Path, trials: dict[str, int], *options: str) -> None:
    plans = ", ".join(f"{name!r}: {{trials: {count}, seeds: 1}}" for name, count in trials.items())
    fields = set_to(*FEW, *LENGTH, f"methods={{{plans}}}", *options)
    done = cli_here("study", "create", "tiny", "--config", TINY, *fields, cwd=folder)
    assert done.returncode == 0, done.stderr
    without_measuring(open_study(folder / "studies", "tiny"))


def run(folder: Path, workers: int = 1, *more: str) -> Forked:
    home = folder / "home"  # NNI's list of experiments is not to grow by our tests
    home.mkdir(exist_ok=True)
    words = ("study", "run", "tiny", "--device", "cpu", "--workers", str(workers), *more)
    return start(*words, cwd=folder, HOME=str(home))


def finish(folder: Path, workers: int = 1) -> list[str]:
    process = run(folder, workers)
    _, said = process.communicate(timeout=280)
    assert process.returncode == 0, said
    return said.splitlines()


def processes(folder: Path) -> list[list[str]]:
    """Command lines of what runs in the folder: workers, NNI's node manager, its trials."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if str(folder) in process.cwd() or any(str(folder) in word for word in line):
                found.append(line)
        except psutil.Error:
            continue
    return found


def gone(folder: Path, seconds: float) -> list[list[str]]:
    """What is left of the folder's processes after so long at most."""
    patience = time.monotonic() + seconds
    while (left := processes(folder)) and time.monotonic() < patience:
        time.sleep(0.2)
    return left


def read_until(process: Forked, beginning: str) -> list[str]:
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line.rstrip("\n"))
        if line.startswith(beginning):
            return lines
    raise AssertionError("\n".join(lines))


def table(folder: Path) -> pd.DataFrame:
    frame = trials_frame(open_study(folder / "studies", "tiny"))
    return frame[[c for c in frame.columns if not c.endswith("_seconds")]]


def rows(frame: pd.DataFrame, method: str) -> pd.DataFrame:
    return frame[frame["method"] == method].drop(columns="method").reset_index(drop=True)


@pytest.fixture(scope="module")
def killed(all_digits, tmp_path_factory):
    """A study on NNI's local training service, killed in the middle and run again, and what was seen of it."""
    pytest.importorskip("nni_node")
    pytest.importorskip("pytorch_lightning")
    import_module("autoprog_search.methods.nni_experiment")  # NNI, once, and not in each process that is forked
    folder = tmp_path_factory.mktemp("killed")
    create(folder, LOCAL)
    process = run(folder)
    lines = read_until(process, "start  nni:random seed 0 trial 1")
    port = int(re.findall(r"http://127\.0\.0\.1:(\d+)", "\n".join(lines))[0])
    reachable = {address: reaches(address, port) for address in ("127.0.0.1", "127.0.0.2")}
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    left = gone(folder, 30)
    before = open_study(folder / "studies", "tiny").trials()
    again = finish(folder, workers=2)  # two experiments at a time
    return {"folder": folder, "lines": lines, "again": again, "reachable": reachable, "left": left, "before": before}


def reaches(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


@pytest.mark.timeout(600)
def test_nothing_runs_twice_and_the_table_is_whole(killed):
    stored = open_study(killed["folder"] / "studies", "tiny")
    after, done = stored.trials(), [job for job, trial in killed["before"].items() if trial.state.is_finished()]
    assert Job("nni:random", 0, 0) in done
    assert Job("nni:random", 0, 1) not in done  # it was killed in the middle
    assert all(after[job].datetime_complete == killed["before"][job].datetime_complete for job in done)
    assert set(after) == set(killed["before"])
    frame = trials_frame(stored)
    assert set(frame["state"]) == {"COMPLETE"}
    assert frame.drop(columns=["speedup_flops", "speedup_seconds"]).notna().all().all()  # there is no full among them
    assert rows(frame, "nni:random")[["depths", "patches"]].map(tuple).drop_duplicates().shape[0] == TRIALS
    first, again = (started(killed[lines]) for lines in ("lines", "again"))
    assert again == {str(job) for job in after} - {str(job) for job in done}
    assert first & again == first - {str(job) for job in done}  # what was under way


def started(lines: list[str]) -> set[str]:
    return {line.removeprefix("start  ") for line in lines if line.startswith("start  ")}


def test_no_process_outlives_the_run_or_its_kill(killed):
    assert killed["left"] == []
    assert gone(killed["folder"], 10) == []


def test_the_portal_is_told_and_open_to_this_machine_only(killed):
    assert killed["reachable"] == {"127.0.0.1": True, "127.0.0.2": False}


def test_the_display_shows_trials_and_none_of_nnis_noise(killed):
    assert [line for line in killed["lines"] + killed["again"] if not LINES.fullmatch(line)] == []


def test_autoprog_in_nni_chooses_and_trains_as_in_optuna(killed):
    frame = table(killed["folder"])
    optuna, nni = rows(frame, "autoprog"), rows(frame, "nni:autoprog")
    pd.testing.assert_frame_equal(nni, optuna)
    estimates = estimates_frame(open_study(killed["folder"] / "studies", "tiny"))
    pd.testing.assert_frame_equal(rows(estimates, "nni:autoprog"), rows(estimates, "autoprog"))


def test_the_metric_weighs_accuracy_and_cost_and_optuna_stores_the_schedule(killed):
    stored = open_study(killed["folder"] / "studies", "tiny")
    frame = trials_frame(stored).set_index(["method", "trial"])
    for job, trial in stored.trials().items():
        row, attributes = frame.loc[(job.method, job.trial)], trial.user_attrs
        full = row["epochs"] * (200 // 40) * attributes["step_flops_full"]
        assert row["metric"] == pytest.approx(row["val_top1"] - 1.0 * row["total_flops"] / full)
        levels = stored.config.space.from_parameters(trial.params)
        assert [stored.config.space.at(*pair).depth for pair in levels] == attributes["depths"]


def test_nnis_experiment_holds_the_models_and_their_metrics(killed):
    """In NNI's own database, read without us."""
    experiments: dict[str, list[list[float]]] = {}
    for path in (killed["folder"] / "studies/tiny/nni").glob("[!_]*/db/nni.sqlite"):  # without the link _latest
        with sqlite3.connect(path) as database:
            events = database.execute("select data from TrialJobEvent where event = 'RUNNING'").fetchall()
            finals = database.execute("select data from MetricData where type = 'FINAL'").fetchall()
        evaluators = [json.loads(data)["parameters"]["evaluator"] for (data,) in events]
        metrics = [float(json.loads(data)) for (data,) in finals]
        experiments.setdefault(evaluators[0]["runs"]["method"], []).append(sorted(metrics))
        if evaluators[0]["runs"]["method"] == "nni:autoprog":
            assert all(stage["losses"] for evaluator in evaluators for stage in evaluator["stages"][:-1])
    frame = table(killed["folder"])
    for method in ("nni:random", "nni:autoprog"):
        assert max(experiments[method], key=len) == pytest.approx(sorted(rows(frame, method)["metric"]))
    assert len(experiments["nni:random"]) == 2  # the one that was killed, the one that went on


def test_compare_shows_them_beside_optunas_methods(killed):
    done = cli_here("study", "compare", "tiny", "-f", "csv", cwd=killed["folder"])
    lines = [line.split(",") for line in done.stdout.splitlines()]
    trials = {line[1]: line[lines[0].index("trials")] for line in lines[1:]}
    assert trials == {name: str(count) for name, count in LOCAL.items()}
    page = cli_here("study", "report", "tiny", cwd=killed["folder"])
    assert page.returncode == 0, page.stderr


@pytest.mark.timeout(600)
def test_the_engine_in_this_process_gives_the_same_also_when_interrupted(killed, tmp_path):
    create(tmp_path, HERE, "nni.engine=sequential")
    process = run(tmp_path)
    lines = read_until(process, "start  nni:random seed 0 trial 1")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not any("portal" in line for line in lines)  # it has none
    stored, first = open_study(tmp_path / "studies", "tiny"), Job("nni:random", 0, 0)
    before = stored.trials()[first].datetime_complete
    run_here(stored)
    assert stored.trials()[first].datetime_complete == before is not None  # proposed again, and not run again
    frame = table(tmp_path)
    local = table(killed["folder"])
    pd.testing.assert_frame_equal(rows(frame, "nni:random"), rows(local, "nni:random"))
    autoprog = rows(frame, "nni:autoprog")
    pd.testing.assert_frame_equal(autoprog.iloc[:1], rows(local, "nni:autoprog"))
    assert autoprog["w_scale"].tolist() == [1, 2]
    for method in ("nni:evolution", "nni:grid"):
        assert rows(frame, method)[["depths", "patches"]].map(tuple).drop_duplicates().shape[0] == TRIALS
    assert gone(tmp_path, 5) == []


# ── without an experiment ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_extra_is_said_in_one_line_when_the_study_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("autoprog_search.methods.kinds.find_spec", lambda name: None)
    done = cli_here("study", "create", "s", "--space", "digits", "--methods", "full,nni:random", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: {INSTALL_NNI}\n"
    assert "pip install 'autoprog-search[nni]'" in INSTALL_NNI
    assert not (tmp_path / "studies").exists()


def test_the_strategy_without_nni_is_an_import_error_that_names_the_command():
    code = "import sys; sys.modules['nni'] = None\nfrom autoprog_search import AutoProgStrategy"
    done = subprocess.run([command()[0], "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("pip install 'autoprog-search[nni]'")
    assert issubclass(MissingExtraError, ImportError)


@pytest.mark.parametrize(
    ("cost_lambda", "metric"),
    [(1.0, 90.0 - 0.5), (0.0, 90.0), (4.0, 88.0)],
)
def test_metric(cost_lambda, metric):
    assert NniSettings(cost_lambda=cost_lambda).metric(90.0, 0.5) == metric


@pytest.mark.parametrize(("field", "value"), [("cost_lambda", "-1"), ("engine", "remote")])
def test_wrong_settings_are_named(field, value, tmp_path):
    done = cli_here("study", "create", "s", "--config", TINY, "--set", f"nni.{field}={value}", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"nni.{field}" in done.stderr
    assert tiny_config(f"nni.cost_lambda={2}").nni.cost_lambda == 2


@pytest.mark.extras
@pytest.mark.timeout(600)
def test_trials_of_an_experiment_are_logged(tmp_path):
    """By the processes that NNI starts for them."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pytest.importorskip("nni_node")
    create(tmp_path, {"nni:random": TRIALS})
    process = run(tmp_path, 1, "--logger", "tensorboard")
    _, said = process.communicate(timeout=280)
    assert process.returncode == 0, said
    study = open_study(tmp_path / "studies", "tiny")
    for job, trial in study.trials().items():
        told = events.EventAccumulator(str(study.trial_folder(job) / "tensorboard")).Reload()
        assert [event.step for event in told.Scalars(LOSS)] == [*range(1, 61)]
        assert told.Scalars("result/top1")[0].value == pytest.approx(trial.user_attrs["top1"])
