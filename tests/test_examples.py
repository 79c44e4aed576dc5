"""The examples run as they are, and stay as short as promised."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from tests.tiny import environment

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_own_loop(tmp_path):
    script = EXAMPLES / "own_loop.py"
    assert len(script.read_text().splitlines()) <= 40
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    losses = [float(line.rsplit(" ", 1)[1]) for line in done.stdout.splitlines()]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    weights = torch.load(tmp_path / "digits_vit.pt", weights_only=True)
    assert sum(name.endswith("attn.qkv.weight") for name in weights) == 6
