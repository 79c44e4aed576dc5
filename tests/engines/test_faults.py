"""Studies that are killed at random moments, whose files are damaged, whose disk fills up: nothing is lost.

A few of each here; `make faults` does many (AUTOPROG_FAULTS=25: so many kills, and disks and damages in proportion).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest

from autoprog_search.study.creation import create_study
from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import StoredStudy, open_study
from tests.faulty import NoDisk, damage, fill, small_disk
from tests.forked import Forked, start
from tests.tiny import FEW, SHORT, cli_here, run_here, tiny_config, without_measuring

KILLS = int(os.environ.get("AUTOPROG_FAULTS", "1"))
DISKS = max(1, KILLS // 8)
DAMAGES = max(1, KILLS // 2)
MANY = KILLS > 2
pytestmark = [pytest.mark.usefixtures("all_digits")] if MANY else []  # processes that are started anew have them
TRAINED = "methods={full: {seeds: 1}, linear: {seeds: 1}, autoprog: {seeds: 1}}"
FEW_TRAINED = "methods={autoprog: {seeds: 1}}"
LOOKED_UP = (
    "name: faults\ndata: {name: 'table:fashion'}\n"
    "methods: {random: {trials: 40, seeds: 6}, tpe: {trials: 12, seeds: 2}, full: {seeds: 1}}\n"
)


def trained(root: Path) -> StoredStudy:
    """A study that trains, in SQLite."""
    create_study(root, tiny_config(TRAINED) if MANY else tiny_config(FEW_TRAINED, *SHORT, *FEW))
    return without_measuring(open_study(root, "tiny"))


def looked_up(root: Path) -> StoredStudy:
    """A study on a table, in a journal."""
    from autoprog_search.study.resolve import config_from_file

    root.mkdir(parents=True, exist_ok=True)
    (root / "given.yaml").write_text(LOOKED_UP)
    return create_study(root, config_from_file(root / "given.yaml", "tiny"))


KINDS = {"trained": trained, "looked up": looked_up}


def run(root: Path) -> Forked | subprocess.Popen[str]:
    words = ("--root", root, "study", "run", "tiny", "--workers", 1 + MANY, "--device", "cpu")
    return start(*map(str, words), cwd=root.parent, anew=MANY)


def finish(root: Path) -> None:
    run_here(open_study(root, "tiny"))
    done = cli_here("--root", root, "study", "run", "tiny", cwd=root)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def wait_until_it_runs(root: Path, process: Forked | subprocess.Popen[str]) -> None:
    """Until its workers, as long as it takes them to import torch, hold the study."""
    deadline = time.monotonic() + 120
    while process.poll() is None and len(list((root / "tiny/.running").glob("*.lock"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def table(root: Path) -> pd.DataFrame:
    frame = trials_frame(open_study(root, "tiny"))
    return frame[[name for name in frame.columns if not name.endswith("_seconds")]]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def undisturbed(kind, tmp_path_factory):
    """(table, seconds that it took)."""
    root = tmp_path_factory.mktemp("undisturbed")
    KINDS[kind](root)
    began = time.monotonic()
    finish(root)
    return table(root), time.monotonic() - began


def check(root: Path, undisturbed) -> None:
    """After whatever happened: the same table, and nothing left of what was killed."""
    pd.testing.assert_frame_equal(table(root), undisturbed[0])
    left = [path.name for path in root.rglob("*") if path.name.endswith(".tmp") or path.name.startswith("checkpoint")]
    assert left == []


@pytest.mark.skipif(not MANY, reason="few: the next test kills, too")
def test_killed_at_random_moments(kind, undisturbed, tmp_path):
    rng = random.Random(KILLS)
    study = KINDS[kind](tmp_path)
    for number in range(KILLS):
        process = run(tmp_path)
        time.sleep(rng.uniform(0.5, max(2.0, undisturbed[1])))
        number_of_signal = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        os.killpg(process.pid, number_of_signal)
        _, errors = process.communicate(timeout=120)
        assert "Traceback" not in errors, (number, number_of_signal)
        if process.returncode == 0:  # it was done by then: again, from the start
            check(tmp_path, undisturbed)
            shutil.rmtree(study.folder)
            KINDS[kind](tmp_path)
    finish(tmp_path)
    check(tmp_path, undisturbed)


def test_killed_and_then_damaged(kind, undisturbed, tmp_path):
    """What a power cut leaves: files without their ends, zeros where they should be."""
    rng = random.Random(DAMAGES)
    study = KINDS[kind](tmp_path)
    for _ in range(DAMAGES):
        process = run(tmp_path)
        wait_until_it_runs(tmp_path, process)
        time.sleep(rng.uniform(0.3, 1.0) * undisturbed[1])
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=120)
        for path in [*study.folder.glob("trials/*/checkpoint.pt"), study.folder / "profile.json"]:
            if path.exists():
                damage(path, rng)
        journal = study.folder / "study.log"
        if journal.exists() and (content := journal.read_bytes()):
            journal.write_bytes(content[: -rng.randrange(1, 20)])  # within its last line
    finish(tmp_path)
    check(tmp_path, undisturbed)


@pytest.mark.skipif(shutil.which("mount") is None or os.getuid() != 0, reason="needs to mount a small file system")
def test_a_disk_that_fills_up(kind, undisturbed, tmp_path):
    disk, rng = tmp_path / "disk", random.Random(DISKS)
    with ExitStack() as mounted:
        try:
            mounted.enter_context(small_disk(disk, 24_000))
        except NoDisk:
            pytest.skip("no file system can be mounted here")
        KINDS[kind](disk)
        for _ in range(DISKS):
            filler = disk / "filler"
            fill(filler, leave=rng.choice([4_096, 40_000, 150_000]))
            process = run(disk)
            _, errors = process.communicate(timeout=280)
            assert "Traceback" not in errors
            last = errors.strip().splitlines()[-1]
            assert process.returncode == 0 or last.startswith("error: "), errors
            filler.unlink()
        finish(disk)
        check(disk, undisturbed)
