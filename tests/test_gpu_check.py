"""`make gpu-check` at toy size on the CPU: its parts, its time boxes, its table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import TimeoutExpired
from types import SimpleNamespace

import pytest

from autoprog_search.schedule import SubNetwork
from benchmarks import gpu_check
from benchmarks.gpu import deit, fashion
from benchmarks.gpu.part import Part
from tests.data.files import make_fashion_mnist
from tests.forked import Forked, start


def check(monkeypatch, capsys, *words: str) -> list[str]:
    """The command's table, in this process."""
    monkeypatch.setattr(sys, "argv", ["gpu_check", *words])
    assert gpu_check.main() == 0
    return capsys.readouterr().out.splitlines()


def test_a_step_is_compared_with_timms_and_every_size_with_its_flops(tmp_path):
    part = Part("steps", tmp_path, "", 60, toy=True)
    deit.steps(part)
    deit.sizes(part)
    found = json.loads((tmp_path / "steps.json").read_text())
    assert found["device"] == "cpu"
    for name in ("timm", "ours", "ours, recorded", "ours, compiled and recorded"):
        figures = found["figures"][f"step, {name}"]
        assert figures["ratio"] > 0
        assert 0 < figures["utilisation"] < 1
    rows = found["figures"]["sizes, recorded"]["depth_patches_s_flops_ratio"]
    assert [row[:2] for row in rows] == [[2, 4], [2, 16], [4, 4], [4, 16]]
    assert rows[-1][4] == 1  # of the full network over itself
    assert found["figures"]["fit, recorded"]["b"] != 0


def test_the_cost_of_growths_and_searches_is_told(tmp_path):
    deit.growth(Part("growth", tmp_path, "", 60, toy=True))
    found = json.loads((tmp_path / "growth.json").read_text())
    assert {what for what, _ in found["rows"]} == {
        "steps of a search",
        "steps of a train",
        "pauses",
        "run",
        "a growth alone",
    }
    assert len(found["figures"]["pauses"]["seconds"]) >= 3
    assert found["figures"]["a growth alone"]["s"] > 0


def test_the_fit_finds_a_line():
    networks = [SubNetwork(1, side**2) for side in range(1, 9)]
    flops = {network: 10**9 * network.patches for network in networks}
    fixed, rate, errors = deit.fit(networks, flops, {n: 0.004 + 2e-12 * flops[n] for n in networks})
    assert (fixed, rate) == (pytest.approx(0.004), pytest.approx(2e-12))
    assert max(errors) < 1e-9


def forked(words: list[str], cwd: Path) -> Forked:
    """A process of the command line, as `subprocess.Popen` starts it, but forked from this one."""
    assert words[:3] == [sys.executable, "-m", "autoprog_search"]
    process = start(*words[3:], cwd=cwd)
    assert isinstance(process, Forked)
    return process


def run_forked(words: list[str], cwd: Path, check: bool) -> None:
    process = forked(words, cwd)
    _, said = process.communicate()
    assert check
    assert process.returncode == 0, said


@pytest.mark.slow
def test_the_study_runs_through_the_command_line_and_can_be_gone_on_with(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    make_fashion_mnist(tmp_path / "data")
    processes = SimpleNamespace(run=run_forked, Popen=forked, TimeoutExpired=TimeoutExpired)
    monkeypatch.setattr(fashion, "subprocess", processes)
    fashion.study(Part("study", tmp_path, str(tmp_path / "data"), 250, toy=True))
    rows = json.loads((tmp_path / "study.json").read_text())["rows"]
    assert [what for what, _ in rows] == ["study", "full, n=1"]
    assert {path.name for path in (tmp_path / "studies/fashion_gpu").iterdir()} >= {
        "study.yaml",
        "study.db",
        "results.csv",
    }


def test_whatever_happens_in_a_part_the_next_begins_and_the_table_is_printed(tmp_path, monkeypatch, capsys):
    """One takes too long, one fails, for one no time is left."""
    monkeypatch.setattr(gpu_check, "PARTS", {"growth": (1.0, 0), "nothing": (60, 0), "study": (300, 100)})
    table = check(monkeypatch, capsys, "--out", str(tmp_path), "--limit", "90")
    assert any(line.startswith("growth ") and "ended by force after 1 s" in line for line in table)
    assert any(line.startswith("nothing ") and "failed (1): KeyError: 'nothing'" in line for line in table)
    assert any(line.startswith("study ") and "not begun" in line for line in table)
    assert "KeyError" in (tmp_path / "nothing.log").read_text()


def test_the_table_has_forty_lines_at_most(tmp_path):
    rows = [[f"row {n}", "x" * 500] for n in range(100)]
    (tmp_path / "steps.json").write_text(json.dumps({"rows": rows, "device": "d", "torch": "1", "timm": "1"}))
    lines = gpu_check.table(tmp_path, ["steps"], 1.0).splitlines()
    assert len(lines) == 40
    assert max(map(len, lines)) <= 200
    assert "62 more" in lines[-1]


def test_an_unknown_part_is_refused(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        check(monkeypatch, capsys, "--parts", "steps,nothing", "--out", str(tmp_path))
    assert end.value.code == 2
    assert "'nothing' is none; there are tests, steps" in capsys.readouterr().err
