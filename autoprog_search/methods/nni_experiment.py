"""Host an NNI experiment: on loopback, without a flood of messages, and with no process left behind."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autoprog_search.methods.nni import GrowthEvaluator, growth_model_space
from autoprog_search.space import GrowthSpace

if TYPE_CHECKING:
    from nni.nas.experiment.config import NasExperimentConfig
    from nni.nas.strategy import Strategy

NODE_MODULE = Path(__file__).parent / "nni_node.js"
POLL_SECONDS = 0.2
START_SECONDS = 30  # that NNI's node manager may take to start: it is asked once a second
STOP_SECONDS = 30.0  # that NNI may take to stop, before it is interrupted once more

Engine = Literal["local", "sequential"]
"""Where trials run: NNI's local training service, each in a process of its own, with the portal; or this process."""


def run_experiment(
    space: GrowthSpace,
    evaluator: GrowthEvaluator,
    strategy: Strategy,
    *,
    trials: int,
    engine: Engine,
    folder: Path,
    name: str,
    on_portal: Callable[[str], None] = lambda url: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Run an experiment to its end, or until it is to stop. In the main thread only: it is interrupted by a signal.

    Args:
        folder: where NNI keeps the experiment: its database, logs and checkpoints.
        on_portal: told the portal's address, where there will be one.
        should_stop: asked from another thread. A run in this process has to look for itself.

    Returns:
        Whether the strategy ended with trials to spare: it has nothing more to propose.

    Raises:
        OSError, RuntimeError: NNI could not start, or its node manager died.
        KeyboardInterrupt: NNI was interrupted twice.
    """
    import nni
    from nni.nas.experiment import NasExperiment

    nni.silence_stdout()  # it stays in the experiment's log
    experiment = NasExperiment(growth_model_space(space), evaluator, strategy)
    config = experiment.config
    config.experiment_name = name
    config.experiment_working_directory = str(folder.resolve())
    config.max_trial_number = trials
    config.trial_concurrency = 1  # proposals depend on what is known: one run after the other, the same each time
    _place(config, engine)
    port = free_port()
    if engine == "local":
        on_portal(f"http://127.0.0.1:{port}")
    with node_on_loopback():
        try:
            with interrupted_when(should_stop):
                ended = experiment.run(port)  # None: it was interrupted, and has stopped
            return bool(ended and strategy.engine.budget_available())
        finally:
            experiment.stop()


def _place(config: NasExperimentConfig, engine: Engine) -> None:
    """Say where the trials run."""
    from nni.nas.experiment.config import SequentialEngineConfig

    if engine == "sequential":
        config.execution_engine = SequentialEngineConfig(continue_on_failure=True)
        config.training_service = None
    else:
        config._trial_command_params = {"python": shlex.quote(sys.executable)}  # its path may hold a space


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def node_on_loopback() -> Iterator[None]:
    """Inside, NNI's node manager listens on loopback only, and ends when this process dies (`nni_node.js`).

    It is waited for as long as a busy machine needs to start it; NNI itself gives up after three seconds.
    """
    from nni.experiment import launcher

    before, check = os.environ.get("NODE_OPTIONS"), launcher._check_rest_server
    os.environ["NODE_OPTIONS"] = f'{before or ""} --require "{NODE_MODULE}"'.strip()
    launcher._check_rest_server = partial(check, retry=START_SECONDS)
    try:
        yield
    finally:
        launcher._check_rest_server = check
        if before is None:
            del os.environ["NODE_OPTIONS"]
        else:
            os.environ["NODE_OPTIONS"] = before


@contextmanager
def interrupted_when(asked: Callable[[], bool]) -> Iterator[None]:
    """Inside, the main thread gets a KeyboardInterrupt once `asked` says so: NNI waits in loops that ask nobody."""
    ended = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            if asked():
                signal.pthread_kill(main, signal.SIGUSR1)
                ended.wait(STOP_SECONDS)

    previous = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGUSR1, previous)
