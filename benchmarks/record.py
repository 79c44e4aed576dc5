"""Where a benchmark's figures go: `results/<what>_<device>_<date>.json`, with all that they depend on."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from autoprog_search.errors import masked

RESULTS = Path(__file__).parent / "results"


def record(what: str, **figures: Any) -> Path:
    """Store figures with device, date, versions, commit and command."""
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else f"{cpu_name()}, {torch.get_num_threads()} thread(s)"
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    content = {
        "what": what,
        "figures": figures,
        "device": device,
        "date": date.today().isoformat(),
        "versions": {name: version(name) for name in ("autoprog-search", "torch", "timm", "optuna")},
        "python": platform.python_version(),
        "commit": commit,
        "command": masked(f"python -m benchmarks.{what} {' '.join(sys.argv[1:])}".strip()),  # a URL may hold a password
    }
    RESULTS.mkdir(exist_ok=True)
    kind = "cuda" if cuda else "cpu"
    path = RESULTS / f"{what}_{kind}_{content['date']}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "CPU"
