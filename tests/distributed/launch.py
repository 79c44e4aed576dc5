"""torchrun on this machine: real processes that meet over gloo.

They are forked from this one, all but the ranks where `anew` says so: each imports torch for seconds.
"""

from __future__ import annotations

import os
import re
import runpy
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.subprocess_handler import SubprocessHandler

from tests.forked import Forked
from tests.tiny import environment

ROOT = Path(__file__).parents[2]
COMMAND = ("-m", "autoprog_search")


@dataclass(frozen=True)
class Ended:
    """What a launcher left.

    Attributes:
        said: our own lines; torchrun's report of processes that failed is left out.
        exit_codes: of the processes that failed, as torchrun reports them, by rank.
        seconds: from the (last) signal of `tests.distributed.program` on.
    """

    returncode: int
    said: list[str]
    exit_codes: dict[int, int]
    seconds: float
    errors: str


def launcher(processes: int, *arguments: str | Path) -> list[str]:
    """torchrun's words, for a port that is free."""
    return ["--standalone", "--nproc-per-node", str(processes), *map(str, arguments)]


def nodes(count: int) -> list[list[str]]:
    """A launcher for each of so many machines with one process, all of them this one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ("--master-addr", "127.0.0.1", "--master-port", str(port), "--nproc-per-node", "1")
    return [["--nnodes", str(count), "--node-rank", str(node), *where] for node in range(count)]


def start(words: Sequence[str | Path], cwd: Path, anew: bool = False, **more: str) -> Forked:
    """Start torchrun; `anew`: it starts programs, as it does for a user."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = environment() | {"PYTHONPATH": path} | more
    return Forked(partial(torchrun.main if anew else _launch, [*map(str, words)]), cwd=cwd, env=env)


def _launch(words: list[str]) -> None:
    """Be torchrun, but fork where it starts programs."""
    with mock.patch.object(SubprocessHandler, "_popen", _fork):
        torchrun.main(words)


def _fork(self: SubprocessHandler, words: Sequence[str], env: dict[str, str]) -> Forked:
    module = words.index("-m") + 1
    return Forked(partial(_run_module, [*words[module:]]), env=env, piped=False)


def _run_module(words: list[str]) -> None:
    """`python -m` with these words."""
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def end(process: Forked) -> Ended:
    _, errors = process.communicate(timeout=200)
    assert process.returncode is not None
    ours = [line for line in errors.splitlines() if line.startswith(("error: ", "Error: ", "interrupted", "warning: "))]
    codes = re.findall(r"rank +: (\d+) .*\n +exitcode +: (-?\d+)", errors)
    reported = {int(rank): int(code) for rank, code in codes}
    seconds = time.time() - max(map(float, re.findall(r"signal at ([\d.]+)", errors)), default=0.0)
    return Ended(process.returncode, ours, reported, seconds, errors)


def run(processes: int, *arguments: str | Path, cwd: Path, anew: bool = False, **more: str) -> Ended:
    """Launch so many processes, and wait for their end."""
    return end(start(launcher(processes, *arguments), cwd, anew, **more))
