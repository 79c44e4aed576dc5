"""Processes that die or are asked to stop leave a checkpoint, from which any number of processes goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from unittest import mock

import pytest
import torch
import yaml
from safetensors.torch import load_file

from autoprog_search.runs import train as single
from tests.distributed.cases import CASES, data_in_doubles, precision
from tests.distributed.launch import Ended, run
from tests.tiny import cli_here, tiny_config

pytestmark = pytest.mark.slow  # each is several processes that are started, killed, and started again
PROGRAM = ("-m", "tests.distributed.program")
STEP = 13  # of 20; the second stage, which is not searched, has begun at 10, and a checkpoint there
CONFIG = tiny_config(*CASES["doubles"])


@pytest.fixture(scope="module")
def arguments(tmp_path_factory) -> list[str]:
    """Of `train`: the case in doubles."""
    folder, words = tmp_path_factory.mktemp("given"), ["train"]
    for name in ("space", "recipe"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(getattr(CONFIG, name).model_dump(mode="json")))
        words += [f"--{name}", str(folder / f"{name}.yaml")]
    return [*words, "--set", "data.train_share=0.2"]


def on_one(arguments: list[str], out: Path) -> None:
    """The case trained here, by this process alone, from what is in that folder."""
    with precision(torch.float64), mock.patch.object(single, "load_data", data_in_doubles):
        done = cli_here(*arguments, "-o", out, cwd=out.parent)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def undisturbed(arguments, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    on_one(arguments, out)
    return out


@pytest.fixture(scope="module")
def killed(arguments, tmp_path_factory) -> tuple[Ended, Path]:
    """Two processes of which the second was killed, and what they left."""
    folder = tmp_path_factory.mktemp("killed")
    return run(2, *PROGRAM, *arguments, "-o", "out", cwd=folder, anew=True, END=f"1 {STEP} SIGKILL"), folder / "out"


def check(out: Path, undisturbed: Path, processes: int) -> None:
    """What is in a folder came out as if nothing had happened, on one process."""
    ours, theirs = (load_file(folder / "weights.safetensors") for folder in (out, undisturbed))
    assert all(tensor.dtype == torch.float64 for tensor in ours.values())
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in theirs) < 1e-9
    row, expected = (json.loads((folder / "result.json").read_text()) for folder in (out, undisturbed))
    assert row["world_size"] == processes
    exact = ("depths", "patches", "stage_epochs", "val_top1", "top1", "train_flops", "search_flops", "growth_top1")
    assert {name: row[name] for name in exact} == {name: expected[name] for name in exact}
    assert [point["val_top1"] for point in row["curve"]] == [point["val_top1"] for point in expected["curve"]]
    assert not list(out.glob("checkpoint*"))


def test_a_process_that_dies_ends_the_others_with_one_line(killed):
    ended, out = killed
    assert ended.returncode == 1
    (line,) = ended.said
    assert line.startswith("error: a process of this run is gone")
    assert line.endswith("the same command goes on from the last checkpoint")
    assert ended.exit_codes == {0: 1, 1: -9}
    assert ended.seconds < 30
    assert (out / "checkpoint.pt").exists()


def test_one_process_goes_on_where_two_were_killed(killed, arguments, undisturbed, tmp_path):
    shutil.copytree(killed[1], tmp_path / "out")
    on_one(arguments, tmp_path / "out")
    check(tmp_path / "out", undisturbed, processes=1)


def test_three_processes_go_on_where_two_were_killed(killed, arguments, undisturbed, tmp_path):
    shutil.copytree(killed[1], tmp_path / "out")
    ended = run(3, *PROGRAM, *arguments, "-o", "out", cwd=tmp_path)
    assert ended.returncode == 0, ended.errors
    check(tmp_path / "out", undisturbed, processes=3)


@pytest.mark.parametrize(("which", "step", "phase"), [("all", STEP, "train"), ("1", 5, "search")])
def test_asked_to_stop_all_stop_at_the_same_step(which, step, phase, arguments, undisturbed, tmp_path):
    ended = run(2, *PROGRAM, *arguments, "-o", "out", cwd=tmp_path, END=f"{which} {step} SIGTERM")
    assert ended.said == ["interrupted; run the same command again to go on"]
    assert set(ended.exit_codes.values()) == {130}
    state = torch.load(tmp_path / "out/checkpoint.pt", weights_only=True)["state"]
    assert (state["step"], state["phase"]) == (step + 1, phase)  # that step was under way
    on_one(arguments, tmp_path / "out")
    check(tmp_path / "out", undisturbed, processes=1)
