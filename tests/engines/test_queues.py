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
from tests.tiny import SHORT, TINY, cli_here, environment, run_here, set_to, without_measuring

PAGE = Path(__file__).parents[2] / "docs/queues.md"
JOB = "1234567"
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


def test_a_job_that_is_warned_is_put_back_and_goes_on(job):
    requeued, checkpoint = job.parent / "requeued", job.parent / "studies/tiny/trials/full-s0-t0/checkpoint.pt"
    batch = submitted(job)
    assert batch.stderr is not None
    while not batch.stderr.readline().startswith("start"):
        assert batch.poll() is None
    os.killpg(int((job.parent / "step").read_text()), signal.SIGUSR1)  # all of the step, as `--signal=USR1@60` does it
    said = batch.stderr.read()
    assert batch.wait(60) == 130
    assert said.splitlines()[-1] == "interrupted; run the same command again to go on"
    assert "Traceback" not in said
    assert "resource_tracker" not in said
    assert requeued.read_text() == f"requeue {JOB}\n"
    assert checkpoint.exists()

    study = open_study(job.parent / "studies", "tiny")
    run_here(study)
    assert set(trials_frame(study)["state"]) == {"COMPLETE"}
