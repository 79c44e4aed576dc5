"""The parts of `gpu_check`, a process each: `python -m benchmarks.gpu NAME OUT FASHION SECONDS [--toy]`."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.gpu.part import Part

PARTS = {
    "tests": "__main__",
    "steps": "benchmarks.gpu.deit",
    "sizes": "benchmarks.gpu.deit",
    "growth": "benchmarks.gpu.deit",
    "study": "benchmarks.gpu.fashion",
}
"""Where each part's function is: torch takes seconds to import, which a name that is none need not wait for."""

MARKED = ("tests/gpu", "tests/data/test_prefetch.py")


def tests(part: Part) -> None:
    """The tests marked `gpu`."""
    words = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "--tb=short", "-rfE", *MARKED]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    print(told.stdout, told.stderr)
    summary = [line for line in told.stdout.splitlines() if line.strip()]
    part.row("tests", summary[-1].strip("= ") if summary else f"pytest ended with {told.returncode}")
    for line in summary:
        if line.startswith(("FAILED", "ERROR")):
            part.row("", line[:160])


def main() -> None:
    """Run one part."""
    name, out, fashion, seconds, *toy = sys.argv[1:]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    run = getattr(import_module(PARTS[name]), name)
    from benchmarks.gpu.part import Part

    run(Part(name, Path(out), fashion, float(seconds), bool(toy)))


if __name__ == "__main__":
    main()
