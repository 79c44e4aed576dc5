"""A queue that warns before it ends a job, and starts it again: docs/queues.md's script, as bash runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import open_study
from autoprog_search.training.checkpoint import load_checkpoint
from tests.tiny import SHORT, TINY, cli_here, environment, set_to, without_measuring

PAGE = Path(__file__).parents[2] / "docs/queues.md"
JOB = "1234567"
CHECKPOINT = "studies/tiny/trials/full-s0-t0/checkpoint.pt"
pytestmark = [pytest.mark.services, pytest.mark.usefixtures("all_digits")]  # as the job has, which is started anew


@pytest.fixture
def job(tmp_path):
    """The page's job script, for a study that is there, and stand-ins for what SLURM and an installation bring."""
    methods = ("methods={full: {seeds: 1}}", "recipe.epochs=60")
    done = cli_here("study", "create", "tiny", "--config", TINY, *set_to(*SHORT, *methods), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    without_measuring(open_study(tmp_path / "studies", "tiny"))
    stands_in = {
        "srun": 'echo $$ > step; exec setsid "$@"',  # a step's processes are a group of their own
        "scontrol": 'echo "$@" >> requeued',
        "autoprog-search": f'exec {sys.executable} -m autoprog_search "$@"',
    }
    for name, body in stands_in.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/bash\n{body}\n")
        program.chmod(0o755)
    found = re.search(r"<!-- array -->\n```bash\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert found is not None
    script = tmp_path / "job.sh"
    script.write_text(found[1].replace("imagenet_s", "tiny"))
    return script


def submitted(script: Path) -> subprocess.Popen[str]:
    path = f"{script.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", script],
        cwd=script.parent,
        env=environment() | {"PATH": path, "SLURM_JOB_ID": JOB},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def warned(script: Path, number: int, after: str) -> int:
    """Submit the job, and send all of its step that signal once it says so; at which step its run then stands."""
    batch = submitted(script)
    assert batch.stderr is not None
    while after not in batch.stderr.readline():
        assert batch.poll() is None
    os.killpg(int((script.parent / "step").read_text()), number)
    said = batch.stderr.read()
    assert batch.wait(60) == 130
    assert said.splitlines()[-1] == "interrupted; run the same command again to go on"
    assert "Traceback" not in said
    assert "resource_tracker" not in said
    step: int = load_checkpoint(script.parent / CHECKPOINT)["state"]["step"]
    return step


def test_a_job_that_is_warned_or_pre_empted_is_put_back_and_goes_on_to_its_end(job):
    """By the same script each time: `--signal=USR1@60`, then a job that another pushes out, then one with time."""
    requeued = job.parent / "requeued"
    first = warned(job, signal.SIGUSR1, after="%")
    assert first > 0
    assert requeued.read_text() == f"requeue {JOB}\n"
    assert warned(job, signal.SIGTERM, after="start") >= first
    assert requeued.read_text() == f"requeue {JOB}\n" * 2

    batch = submitted(job)
    _, said = batch.communicate(timeout=120)
    assert batch.returncode == 0, said
    assert "done   full seed 0" in said
    assert requeued.read_text() == f"requeue {JOB}\n" * 2
    study = open_study(job.parent / "studies", "tiny")
    assert trials_frame(study)["state"].tolist() == ["COMPLETE"]
    assert not (job.parent / CHECKPOINT).exists()
