"""Asked to stop, a command has written a checkpoint and has ended within seconds: a queue's patience is short."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import yaml

from autoprog_search.study.creation import create_study
from autoprog_search.training import run as training_run
from autoprog_search.training.checkpoint import load_checkpoint
from tests.forked import start
from tests.tiny import tiny_config, without_measuring

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("all_digits")]  # runs that are left while they run
SECONDS = 5.0
CONFIG = tiny_config("methods={full: {seeds: 1}}", "recipe.epochs=600", "recipe.batch_size=8", "data.train_share=0.2")
EPOCH_STEPS = 25


def study_run(folder: Path) -> tuple[list[str | Path], Path]:
    """Words of the command, and where its checkpoint will be."""
    study = without_measuring(create_study(folder / "studies", CONFIG))
    return ["study", "run", "tiny", "--device", "cpu"], study.folder / "trials/full-s0-t0/checkpoint.pt"


def train(folder: Path) -> tuple[list[str | Path], Path]:
    """The same of a single run."""
    words: list[str | Path] = [
        "train",
        "--schedule",
        "full",
        "--device",
        "cpu",
        "--set",
        "data.train_share=0.2",
        "-o",
        folder / "out",
    ]
    for name in ("space", "recipe"):
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(getattr(CONFIG, name).model_dump(mode="json")))
        words += [f"--{name}", path]
    return words, folder / "out/checkpoint.pt"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def evaluating(monkeypatch, tmp_path) -> Path:
    """There once an evaluation has begun, of which each batch takes so long that all take longer than `SECONDS`."""
    evaluate, begun = training_run.evaluate, tmp_path / "begun"

    def slowly(network, batches, world):
        begun.touch()
        return evaluate(network, ((time.sleep(0.6), batch)[1] for batch in batches), world)

    monkeypatch.setattr(training_run, "evaluate", slowly)
    return begun


def stopped(words: list[str | Path], checkpoint: Path, number: int, folder: Path, when: Path) -> dict:
    """Where the run stands, once its command was sent a signal and has ended as it should."""
    process = start(*words, cwd=folder)
    wait_for(checkpoint)  # of the stage's beginning
    wait_for(when)
    time.sleep(0.3)
    sent, now = time.time(), time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - now < SECONDS
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "interrupted; run the same command again to go on"
    assert checkpoint.stat().st_mtime >= sent
    return load_checkpoint(checkpoint)["state"]


@pytest.mark.parametrize("command", [study_run, train])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_in_the_middle_of_a_stage(command, number, tmp_path):
    words, checkpoint = command(tmp_path)
    state = stopped(words, checkpoint, number, tmp_path, when=checkpoint)
    assert 0 < state["step"] < 200 * EPOCH_STEPS
    assert state["phase"] == "train"


@pytest.mark.parametrize("command", [study_run, train])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_in_the_middle_of_an_evaluation(command, number, evaluating, tmp_path):
    """Which is left between two batches, and owed."""
    words, checkpoint = command(tmp_path)
    state = stopped(words, checkpoint, number, tmp_path, when=evaluating)
    assert (state["step"], state["curve"]) == (EPOCH_STEPS, [])
