"""Processes that need not import torch and timm, which takes seconds: forked from this one, which has.

They are processes like others: of a number and a session of their own, they are sent signals, and die.
"""

from __future__ import annotations

import gc
import io
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from unittest import mock

from autoprog_search.__main__ import main
from tests.tiny import FORK, command, environment


class Forked:
    """A process that calls something and ends; to whom started it, as much of a `subprocess.Popen` as is used.

    Attributes:
        stderr: the end of a pipe, of all that the process and those that it starts say; None: they say it where this
            one does.
    """

    def __init__(
        self, call: Callable[[], object], *, cwd: Path | None = None, env: Mapping[str, str], piped: bool = True
    ) -> None:
        theirs = None
        self.stderr: io.TextIOWrapper | None = None
        if piped:
            ours, theirs = os.pipe()
            self.stderr = os.fdopen(ours)
        self._process = FORK.Process(target=_begin, args=(call, cwd, dict(env), theirs))
        self._process.start()
        if theirs is not None:
            os.close(theirs)
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout or 0.0)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and kill it after so many seconds; what it has said on both of its streams comes second."""
        assert self.stderr is not None
        patience = threading.Timer(timeout or threading.TIMEOUT_MAX, self._kill_all)
        patience.start()
        with self.stderr:
            said = self.stderr.read()  # before it is waited for: a pipe holds no more than 64 KB
        patience.cancel()
        self.wait()
        return "", said

    def _kill_all(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def _begin(call: Callable[[], object], cwd: Path | None, env: dict[str, str], output: int | None) -> None:
    """Be as a process that has just been started, but that it has imported everything."""
    os.setsid()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.getLogger().handlers.clear()  # pytest's
    os.environ.clear()
    os.environ.update(env)
    if cwd is not None:
        os.chdir(cwd)
    for stream in (1, 2) if output is not None else ():
        os.dup2(output, stream)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(stream), "w", buffering=1) for stream in (1, 2))
    call()


def start(*arguments: str | Path, cwd: Path, anew: bool = False, **more: str) -> Forked | subprocess.Popen[str]:
    """Start `autoprog-search`, in a session of its own, so that SIGKILL can reach its workers too.

    Args:
        anew: as a program, and its workers anew, as a user does; else it is forked, and they are.
        more: further environment.
    """
    env = environment() | more
    if not anew:
        return Forked(partial(_command, ["autoprog-search", *map(str, arguments)]), cwd=cwd, env=env)
    return subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _command(words: list[str]) -> None:
    with mock.patch.object(sys, "argv", words), mock.patch.object(multiprocessing, "get_context", return_value=FORK):
        main()
