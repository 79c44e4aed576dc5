"""A study under two launchers, as on two machines: rank 0 has the study, the other trains with it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from autoprog_search.cli.main import cli as command_line
from autoprog_search.loggers.registry import LOGGERS, LoggerInfo
from autoprog_search.study.creation import create_study
from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import open_study
from tests.distributed.launch import COMMAND, end, nodes, start
from tests.tiny import FEW, SHORT, cli_here, run_here, tiny_config, without_measuring

METHODS = "methods={full: {seeds: 1}, autoprog: {seeds: 1}, random: {seeds: 1, trials: 1}}"
EXACT = ["method", "seed", "trial", "state", "depths", "patches", "train_flops", "search_flops", "epochs"]


@pytest.mark.slow
def test_two_machines_run_a_study(tmp_path, monkeypatch):
    """One row a trial, with what one process chooses; the second machine has no study, gets none, nor a logger."""
    folders = [tmp_path / name for name in ("first", "second")]
    config = tiny_config(METHODS, *SHORT, *FEW)
    create_study(folders[0] / "studies", config)
    folders[1].mkdir()
    monkeypatch.setitem(LOGGERS, "tensorboard", LoggerInfo("writes", "tests.loggers.remembering:Writing", "tests"))
    words, told = ("study", "run", "tiny", "--logger", "tensorboard"), tmp_path / "told"
    launchers = [
        start([*launcher, *COMMAND, *words], folder, TOLD=str(told))
        for launcher, folder in zip(nodes(2), folders, strict=True)
    ]
    ended = [end(process) for process in launchers]
    assert [one.returncode for one in ended] == [0, 0], ended
    assert not any(folders[1].iterdir())
    ours = trials_frame(open_study(folders[0] / "studies", "tiny"))
    assert ours["state"].tolist() == ["COMPLETE"] * 3
    assert ours["world_size"].tolist() == [2] * 3
    assert ours["device"].tolist() == ["2 x cpu, 1 thread(s)"] * 3
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    names = ["full seed 0", "autoprog seed 0", "random seed 0"]
    assert lines == [["0", name, 30, top1] for name, top1 in zip(names, ours["top1"], strict=True)]
    assert "done   full seed 0" in ended[0].errors
    assert "full seed 0" not in ended[1].errors

    create_study(tmp_path / "alone", config)
    run_here(without_measuring(open_study(tmp_path / "alone", "tiny")))
    theirs = trials_frame(open_study(tmp_path / "alone", "tiny"))
    assert ours[EXACT].equals(theirs[EXACT])
    assert (theirs["world_size"] == 1).all()


def test_what_is_for_one_process_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    wrong = {
        ("demo",): "demo: under torchrun there are train and study run",
        ("study", "create", "s"): "create: under torchrun there are train and study run",
        ("study", "run", "s", "--workers", "2"): "under torchrun all processes train one trial: leave --workers",
        ("study", "run", "s", "--engine", "ray"): "--engine ray: it starts processes of its own; leave torchrun out",
    }
    for words, expected in wrong.items():
        done = CliRunner().invoke(command_line, ["--root", str(tmp_path), *words])
        assert done.exit_code == 2
        assert f"Error: {expected}" in done.output


def test_a_rank_that_a_cluster_has_set_is_no_launchers(monkeypatch, tmp_path):
    """Pods of a training job have one, whatever runs in them."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    done = cli_here("space", "list", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
