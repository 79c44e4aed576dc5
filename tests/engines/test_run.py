"""Studies run to the end: stored, resumed after SIGKILL, shared by workers; nothing twice, nothing lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pandas as pd
import pyarrow.parquet
import pytest

from autoprog_search.analysis.headline import headline
from autoprog_search.runs.row import COLUMNS
from autoprog_search.study.deletion import delete_study
from autoprog_search.study.results import curves_frame, estimates_frame, published_frames, trials_frame
from autoprog_search.study.store import Job, StoredStudy, open_study
from autoprog_search.training.checkpoint import load_checkpoint
from tests.fewer import all_digits
from tests.forked import Forked, start
from tests.tiny import (
    FEW,
    SHORT,
    TINY,
    cli_here,
    run_here,
    set_to,
    tiny_data,
    without_measuring,
)


def create(folder, *fields: str) -> StoredStudy:
    """The study, with step times made up, which no two studies share."""
    done = cli_here("study", "create", "tiny", "--config", TINY, *set_to(*FEW, *SHORT, *fields), cwd=folder)
    assert done.returncode == 0, done.stderr
    return without_measuring(open_study(folder / "studies", "tiny"))


def run(folder, workers: int, anew: bool = False) -> Forked | subprocess.Popen[str]:
    return start("study", "run", "tiny", "--workers", str(workers), "--device", "cpu", cwd=folder, anew=anew)


def read_until_a_trial_starts(process: Forked | subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    while not process.stderr.readline().startswith("start"):
        assert process.poll() is None


def finish(folder) -> None:
    """In a process that knows nothing of those before; the command finds all done and writes the tables."""
    run_here(open_study(folder / "studies", "tiny"))
    done = cli_here("study", "run", "tiny", cwd=folder)
    assert done.returncode == 0, done.stderr


def table(folder) -> pd.DataFrame:
    frame = trials_frame(open_study(folder / "studies", "tiny"))
    return frame[[c for c in frame.columns if not c.endswith("_seconds")]]


def kill(process: Forked | subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    create(folder)
    finish(folder)
    return folder


def test_finished_study_has_every_column_of_every_trial(undisturbed):
    frame = trials_frame(open_study(undisturbed / "studies", "tiny"))
    assert list(frame.columns) == [column.name for column in COLUMNS]
    assert len(frame) == 8
    assert set(frame["state"]) == {"COMPLETE"}
    assert frame.notna().all().all()
    assert (frame["total_flops"] == frame["train_flops"] + frame["search_flops"]).all()
    searched = frame.set_index("method")["search_flops"] > 0
    assert searched.to_dict()["autoprog"]
    assert searched.sum() == 1
    full = frame[frame["method"] == "full"].iloc[0]
    assert full["speedup_flops"] == full["speedup_seconds"] == 1
    pd.testing.assert_frame_equal(published_frames(undisturbed / "studies/tiny").trials, frame, check_dtype=False)
    parquet = pyarrow.parquet.read_table(undisturbed / "studies/tiny/results.parquet").to_pylist()
    assert parquet == frame.to_dict("records")


def test_full_short_costs_what_autoprog_costs(undisturbed):
    study = open_study(undisturbed / "studies", "tiny")
    frame = trials_frame(study).set_index("method")
    step = study.trials()[Job("full", 0, 0)].user_attrs["step_flops_full"]
    assert abs(frame.loc["full-short", "total_flops"] - frame.loc["autoprog", "total_flops"]) <= step / 2
    assert frame.loc["full-short", "epochs"] < frame.loc["full", "epochs"]


def test_stored_parameters_are_the_schedule_that_ran(undisturbed):
    study = open_study(undisturbed / "studies", "tiny")
    space = study.config.space
    for job, trial in study.trials().items():
        if job.method not in ("autoprog", "tpe", "random"):
            continue
        for k, (depth, patches) in enumerate(
            zip(trial.user_attrs["depths"][:-1], trial.user_attrs["patches"][:-1], strict=True), start=1
        ):
            assert space.depths[trial.params[f"stage{k}_depth_level"]] == depth
            assert space.patches[trial.params[f"stage{k}_patches_level"]] == patches
        assert trial.values == [trial.user_attrs["total_flops"], trial.user_attrs["val_top1"]]


def test_tables_of_epochs_and_candidates(undisturbed):
    study = open_study(undisturbed / "studies", "tiny")
    curves, estimates = curves_frame(study), estimates_frame(study)
    assert (curves.groupby(["method", "seed", "trial"])["flops"].diff().dropna() > 0).all()
    assert set(estimates["method"]) == {"autoprog"}
    assert (estimates.groupby("stage")["chosen"].sum() == 1).all()
    assert (estimates["loss_se"] > 0).all()


def test_weights_are_timms_and_evaluate_to_the_reported_accuracy(undisturbed):
    import timm

    from autoprog_search.training.evaluate import evaluate

    study = open_study(undisturbed / "studies", "tiny")
    job = Job("autoprog", 0, 0)
    weights = study.trial_folder(job) / "weights.safetensors"
    arguments = {**study.config.space.model_args, "num_classes": 10}
    model = timm.create_model(study.config.space.model, checkpoint_path=str(weights), **arguments)
    metrics = evaluate(model, tiny_data(study.config).eval_batches("test", 250, study.config.space.resolution))
    assert metrics.top1 == study.trials()[job].user_attrs["top1"]


def test_headline_is_the_cheapest_within_tolerance_else_the_most_accurate():
    rows = [
        ("full", 0, 0, 20, 90.0, 100.0),
        ("full", 0, 1, 10, 89.9, 50.0),  # of a sweep: shorter, so it stands for nothing
        ("tpe", 0, 0, 20, 89.6, 60.0),
        ("tpe", 0, 1, 20, 89.5, 50.0),
        ("tpe", 0, 2, 20, 89.4, 10.0),
        ("random", 0, 0, 20, 80.0, 30.0),
        ("random", 0, 1, 20, 85.0, 90.0),
    ]
    names = ["method", "seed", "trial", "scheduled_epochs", "val_top1", "total_flops"]
    frame = pd.DataFrame(rows, columns=names).assign(state="COMPLETE", train_seconds=1.0, search_seconds=0.0)
    frame["own_flops"] = frame["total_flops"]
    heads = headline(frame, tolerance=0.5).set_index("method")
    assert heads["trial"].to_dict() == {"full": 0, "tpe": 1, "random": 1}
    assert heads["spent_flops"].to_dict() == {"full": 100.0, "tpe": 120.0, "random": 120.0}


@pytest.mark.slow
def test_killed_at_a_random_moment_the_table_is_the_same(undisturbed, tmp_path):
    create(tmp_path)
    moments = random.Random(20261125)
    process = run(tmp_path, workers=2)
    read_until_a_trial_starts(process)
    time.sleep(moments.uniform(0, 3))
    kill(process)
    finish(tmp_path)
    pd.testing.assert_frame_equal(table(tmp_path), table(undisturbed))


@pytest.mark.slow
def test_killed_while_a_supernet_trains_the_result_is_the_same(undisturbed, tmp_path):
    create(tmp_path, "methods={autoprog: {seeds: 1}}")
    process = run(tmp_path, workers=1)
    checkpoint = tmp_path / "studies/tiny/trials/autoprog-s0-t0/checkpoint.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() or load_checkpoint(checkpoint)["state"]["phase"] != "search":
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kill(process)
    state = load_checkpoint(checkpoint)["state"]
    assert state["phase"] == "search"
    finish(tmp_path)
    rows = [
        frame[frame["method"] == "autoprog"].drop(columns="speedup_flops")
        for frame in map(table, (tmp_path, undisturbed))
    ]
    pd.testing.assert_frame_equal(*(frame.reset_index(drop=True) for frame in rows))
    ours, theirs = (f / "studies/tiny/trials/autoprog-s0-t0/weights.safetensors" for f in (tmp_path, undisturbed))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.slow
def test_two_runs_at_once_run_nothing_twice(undisturbed, tmp_path):
    methods = "methods={tpe: {trials: 2, seeds: 1}, full: {seeds: 1}, linear: {seeds: 1}}"
    create(tmp_path, methods)
    processes = [run(tmp_path, workers=1) for _ in range(2)]
    errors = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    finished = [line.split(":")[0] for text in errors for line in text.splitlines() if line.startswith("done")]
    assert sorted(finished) == sorted(f"done   {job}" for job in open_study(tmp_path / "studies", "tiny").jobs())
    both = table(undisturbed).query("method in ['tpe', 'full', 'linear']").reset_index(drop=True)
    pd.testing.assert_frame_equal(table(tmp_path), both)


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_and_the_command_goes_on(tmp_path):
    """To all of its processes, as a queue sends it: the command ends after its workers have. Started as a user does."""
    with all_digits():
        study = create(tmp_path, "recipe.epochs=600")  # no trial ends before it is told
    process = run(tmp_path, workers=1, anew=True)
    checkpoints = tmp_path / "studies/tiny/trials"
    read_until_a_trial_starts(process)
    assert not list(checkpoints.glob("*/checkpoint.pt"))
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in errors
    assert list(checkpoints.glob("*/checkpoint.pt"))
    delete_study(study)  # nobody runs it any more


def test_failed_trial_is_reported_and_not_run_again(tmp_path):
    create(tmp_path, "recipe.lr=1e18", "recipe.warmup_share=0", "methods={full: {seeds: 1}}")
    done = cli_here("study", "run", "tiny", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 1
    assert "loss: not finite" in done.stderr
    assert "Traceback" not in done.stderr
    again = cli_here("study", "run", "tiny", "--device", "cpu", cwd=tmp_path)
    assert again.returncode == 1
    assert "start" not in again.stderr
