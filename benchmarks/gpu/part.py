"""What each part of `gpu_check` is given, and where it leaves what it finds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import timm
import torch

import autoprog_search
from autoprog_search.training.device import pick_device

Step = Callable[[int], Any]
"""Takes a training step of that number."""


class Part:
    """What a part is given, and where it leaves what it finds."""

    def __init__(self, name: str, out: Path, fashion: str, seconds: float, toy: bool) -> None:
        self.out, self.fashion, self.toy = out, fashion, toy
        self._path, self._ends = out / f"{name}.json", time.monotonic() + seconds
        self.device = torch.device("cpu") if toy else pick_device("cuda")
        on_gpu = self.device.type == "cuda"
        self._found: dict[str, Any] = {
            "device": torch.cuda.get_device_name() if on_gpu else "cpu",
            "torch": torch.__version__,
            "timm": timm.__version__,
            "version": autoprog_search.__version__,
            "rows": [],
            "figures": {},
        }

    @property
    def left(self) -> float:
        """Seconds."""
        return self._ends - time.monotonic()

    def row(self, what: str, text: str, **figures: Any) -> None:
        """Say and store something that was found."""
        print(f"{what}: {text}", flush=True)
        self._found["rows"].append([what, text])
        self._found["figures"][what] = figures
        self._path.write_text(json.dumps(self._found, indent=1))

    def wait(self) -> float:
        """Until the device has done all; the clock then."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def in_turns(self, sides: dict[Any, Step], rounds: int, each: int, warm_up: int) -> dict[Any, float]:
        """Median seconds a step of each side; the sides take turns, so that what slows one slows all."""
        if self.toy:
            rounds, each, warm_up = 1, 1, 1
        taken = 0
        for name, step in sides.items():
            began = self.wait()
            for _ in range(warm_up):
                step(taken := taken + 1)
            print(f"  {name}: warm after {self.wait() - began:.1f} s", flush=True)
        times: dict[Any, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, step in sides.items():
                began = self.wait()
                for _ in range(each):
                    step(taken := taken + 1)
                times[name].append((self.wait() - began) / each)
        return {name: median(found) for name, found in times.items()}
