"""Processes that need not import torch and timm, which takes seconds: forked from this one, which has.

They are processes like others: of a number and a session of their own, they are sent signals, and die.
"""

from __future__ import annotations

import fcntl
import gc
import io
import logging
import multiprocessing
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
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


class OnTerminal:
    """`autoprog-search`, forked, on a terminal of its own.

    Attributes:
        settings: the terminal's, as they were before.
        said: all that it has shown, escape codes included.
    """

    def __init__(self, *arguments: str | Path, cwd: Path) -> None:
        self._screen, keyboard = pty.openpty()
        self.settings = termios.tcgetattr(keyboard)
        self.said = ""
        words = ["autoprog-search", *map(str, arguments)]
        env = environment() | {"TERM": "xterm-256color", "LINES": "30", "COLUMNS": "140"}
        self._process = Forked(partial(_on_terminal, keyboard, words), cwd=cwd, env=env, piped=False)
        self._keyboard = keyboard

    def __enter__(self) -> OnTerminal:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        os.close(self._screen)
        os.close(self._keyboard)

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Read what it shows until that is there."""
        until = time.monotonic() + seconds
        while text not in self.said:
            self._read()
            assert time.monotonic() < until, self.said

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def end(self, seconds: float = 60) -> int:
        """Its exit code, once it has ended by itself; and the terminal's settings are as they were."""
        until = time.monotonic() + seconds
        while self._process.poll() is None:
            self._read()
            assert time.monotonic() < until, self.said
        self._read()
        assert termios.tcgetattr(self._keyboard) == self.settings
        return self._process.wait()

    def _read(self) -> None:
        while select.select([self._screen], [], [], 0.02)[0]:
            self.said += os.read(self._screen, 2**16).decode(errors="replace")


def _on_terminal(terminal: int, words: list[str]) -> None:
    """Be as a shell's program in the foreground."""
    for stream in range(3):
        os.dup2(terminal, stream)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C is the session's, which is its own
    sys.stdout, sys.stderr = (os.fdopen(os.dup(stream), "w", buffering=1) for stream in (1, 2))
    _command(words)


def _command(words: list[str]) -> None:
    with mock.patch.object(sys, "argv", words), mock.patch.object(multiprocessing, "get_context", return_value=FORK):
        main()
