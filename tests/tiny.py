"""The tiny study of `tiny.yaml`, for tests that train."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest
import torch

from autoprog_search.choosing import Method
from autoprog_search.cli.main import main
from autoprog_search.data.data_set import Data
from autoprog_search.data.load import load_data
from autoprog_search.engines.events import Event
from autoprog_search.engines.worker import run_trials
from autoprog_search.files import write_atomic
from autoprog_search.interrupt import Interrupted
from autoprog_search.methods.fixed import Program, through
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.randomness import derive
from autoprog_search.schedule import SubNetwork
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.resolve import config_from_file
from autoprog_search.study.store import StoredStudy
from autoprog_search.training.profile import StepProfile
from autoprog_search.training.run import Run
from autoprog_search.training.spec import RunSpec, planned_steps
from autoprog_search.training.state import RunResult
from autoprog_search.training.steps import Hooks
from autoprog_search.training.trainer import Trainer

CPU = torch.device("cpu")
FORK = multiprocessing.get_context("fork")
TINY = Path(__file__).parent / "tiny.yaml"
SHORT = ("data.train_share=0.2", "recipe.batch_size=40")  # an epoch is 5 steps, of `tiny.yaml`'s 6 each stage has 10
FEW = ("space.depths=[2, 4]", "space.resolutions=[8, 16]")  # 4 sub-networks, so a search takes 8 steps at most


def tiny_config(*overrides: str, name: str = "tiny") -> StudyConfig:
    return config_from_file(TINY, name, overrides=overrides)


def tiny_data(config: StudyConfig, device: torch.device = CPU) -> Data:
    return load_data(config.data, config.space, config.recipe, device)


def tiny_run(config: StudyConfig, seed: int = 0, checkpoint: Path | None = None, device: torch.device = CPU) -> Run:
    data = tiny_data(config, device)
    stage_steps = planned_steps(config.space, config.recipe, data.train_size)
    spec = RunSpec(config.space, config.recipe, config.growth, stage_steps, seed)
    return Run(spec, data, device=device, checkpoint=checkpoint)


def steps_alone(run: Run, count: int, sub_networks: Sequence[SubNetwork]) -> Iterator[torch.Tensor]:
    """Take so many training steps, as these sub-networks in turn, with nothing around them; the loss of each."""
    recipe, elastic, seed = run.spec.recipe, run.elastic, run.spec.seed
    elastic.train()
    in_turn = [sub_networks[step % len(sub_networks)] for step in range(count)]
    side = [elastic.patching.image_side(sub_network) for sub_network in in_turn]
    batches = run.data.train_batches(seed, 0, count, recipe.batch_size, side.__getitem__)
    for step, sub_network in enumerate(in_turn):
        elastic.activate(sub_network)
        yield run.step(*next(batches), step, derive(seed, "step", step))
        run.networks.update(step + 1, estimation=True)


def tiny_trainer(
    config: StudyConfig, method: Method | None = None, seed: int = 0, checkpoint: Path | None = None, **hooks
) -> Trainer:
    method = method or OneShotMethod(config.growth.rule())
    return Trainer(tiny_run(config, seed, checkpoint), method, hooks=Hooks(**hooks))


def interrupted(config: StudyConfig, stop: int, method: Method | None = None, **options) -> Trainer:
    """A run that somebody stopped at that step."""
    trainer = tiny_trainer(config, method, should_stop=lambda: trainer.run.state.step >= stop, **options)
    with pytest.raises(Interrupted):
        trainer.train()
    return trainer


def run_interrupted(config: StudyConfig, path: Path, stops: Sequence[int], method: Method | None = None) -> RunResult:
    """A run that is stopped at each of these steps, and goes on in a new trainer, as a new process would."""
    for stop in stops:
        trainer = interrupted(config, stop, method, checkpoint=path)
        assert trainer.run.state.step == stop
    return tiny_trainer(config, method, checkpoint=path).train()


def same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def without_measuring(study: StoredStudy, processes: int = 1) -> StoredStudy:
    """The study with step times made up, so that no test of one thread waits for their measurement.

    Args:
        processes: that train together.
    """
    seconds = dict.fromkeys(study.config.space.sub_networks, 0.001)
    name = f"{processes} x cpu, 1 thread(s)" if processes > 1 else "cpu, 1 thread(s)"
    profile = StepProfile(name, seconds, flops=0, profile_seconds=0.0)
    write_atomic(study.folder / "profile.json", json.dumps({name: profile.to_dict()}).encode())
    return study


def set_to(*fields: str) -> list[str]:
    """The words that set these fields on the command line."""
    return [word for field in fields for word in ("--set", field)]


def run_here(study: StoredStudy, should_stop: Callable[[], bool] = lambda: False) -> list[Event]:
    """Run its trials as a worker does, but in this process, which has imported torch; and what the worker told."""
    events: list[Event] = []
    run_trials(study, "cpu", 0, events.append, should_stop)
    return events


def levels(config: StudyConfig, *pairs: tuple[int, int]) -> Program:
    return through(config.space, pairs)


def cli(*arguments: str | Path, cwd: Path, check: bool = False, **options) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would, in a process of its own."""
    return subprocess.run(
        command(*arguments), cwd=cwd, check=check, capture_output=True, text=True, env=environment(), **options
    )


def cli_here(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same in this process, and its workers forked from it: torch and timm take seconds to import."""
    out, errors, code = io.StringIO(), io.StringIO(), 0
    before, handlers = Path.cwd(), {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    words = ["autoprog-search", *map(str, arguments)]
    os.chdir(cwd)
    try:
        with (
            mock.patch.object(sys, "argv", words),
            mock.patch.object(multiprocessing, "get_context", return_value=FORK),
            redirect_stdout(out),
            redirect_stderr(errors),
        ):
            main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os.chdir(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", "from autoprog_search.cli.main import main; main()", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
