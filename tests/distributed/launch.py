"""torchrun on this machine: real processes that meet over gloo."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """torchrun, on a port that is free."""
    return torchrun("--standalone", "--nproc-per-node", str(processes), *map(str, arguments))


def torchrun(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *arguments]


def nodes(count: int) -> list[list[str]]:
    """A launcher for each of so many machines with one process, all of them this one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ("--master-addr", "127.0.0.1", "--master-port", str(port), "--nproc-per-node", "1")
    return [torchrun("--nnodes", str(count), "--node-rank", str(node), *where) for node in range(count)]


def start(words: Sequence[str | Path], cwd: Path, **more: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = environment() | {"PYTHONPATH": path} | more
    return subprocess.Popen(
        [*map(str, words)], cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def end(process: subprocess.Popen[str]) -> Ended:
    out, errors = process.communicate(timeout=200)
    ours = [line for line in errors.splitlines() if line.startswith(("error: ", "Error: ", "interrupted", "warning: "))]
    codes = re.findall(r"rank +: (\d+) .*\n +exitcode +: (-?\d+)", errors)
    reported = {int(rank): int(code) for rank, code in codes}
    seconds = time.time() - max(map(float, re.findall(r"signal at ([\d.]+)", errors)), default=0.0)
    return Ended(process.returncode, ours, reported, seconds, errors + out)


def run(processes: int, *arguments: str | Path, cwd: Path, **more: str) -> Ended:
    """Launch so many processes, and wait for their end."""
    return end(start(launcher(processes, *arguments), cwd, **more))
