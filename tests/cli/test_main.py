"""The command's ends: output that is full or closed, Ctrl-C as early as it can come, questions, names of any kind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from autoprog_search.faults import environment_error
from tests.tiny import TINY, cli, cli_here, environment

COMMAND = [sys.executable, "-m", "autoprog_search"]
LIST = "space list"


def shell(words: str, redirection: str) -> subprocess.CompletedProcess[str]:
    command = f"{' '.join(COMMAND)} {words} {redirection}"
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment(), timeout=60)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("words", [LIST, "space list -f json", "config list", "--help", "study list"])
def test_a_full_output_is_one_line(words, tmp_path):
    done = shell(f"--root {tmp_path} {words}", "> /dev/full")
    assert done.stderr.splitlines() == ["error: output: no space left on device"]
    assert done.returncode == 2


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "<&-", "| true", "| head -c 1 > /dev/null"])
def test_a_closed_output_is_no_traceback(redirection):
    done = shell(LIST, redirection)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_file_that_is_opened_later_does_not_become_the_output(tmp_path):
    """With its standard output closed, the first file that a process opens would take its number."""
    study = tmp_path / "before"
    shutil.copytree(Path(__file__).parents[1] / "study/before", study)
    done = shell(f"--root {tmp_path} study export before", ">&-")
    assert done.returncode == 0, done.stderr
    files = [path for path in study.rglob("*") if path.is_file()]
    assert study / "results.csv" in files
    assert not [path for path in files if str(study / "results.csv").encode() in path.read_bytes()]  # what it prints


@pytest.mark.parametrize("module", ["click", "torch"])
def test_ctrl_c_while_it_imports_is_no_traceback(tmp_path, module):
    """The command's own modules, and those that a command waits for: each made slow by one of that name."""
    slow, marker = tmp_path / "slow" / module, tmp_path / "marker"
    slow.mkdir(parents=True)
    (slow / "__init__.py").write_text(f"import time\nopen({str(marker)!r}, 'w').close()\ntime.sleep(60)\n")
    words = ["train", "--space", "digits", "--device", "cpu", "-o", str(tmp_path / "o")]
    process = subprocess.Popen(
        [*COMMAND, *words],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**environment(), "PYTHONPATH": str(tmp_path / "slow")},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )
    wait_until(marker.exists, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors.strip() == "interrupted; run the same command again to go on"
    assert process.returncode == 130


def test_ctrl_c_while_workers_start_is_no_traceback(tmp_path):
    assert cli_here("study", "create", "tiny", "--config", TINY, cwd=tmp_path).returncode == 0
    process = subprocess.Popen(
        [*COMMAND, "study", "run", "tiny", "--workers", "2", "--device", "cpu"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(),
        start_new_session=True,
    )
    wait_until(lambda: workers_of(process.pid) == 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == "interrupted; run the same command again to go on"
    assert process.returncode == 130
    assert workers_of(process.pid) == 0


def workers_of(group: int) -> int:
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            mine = os.getpgid(int(folder.name)) == group
            found += mine and b"spawn_main" in (folder / "cmdline").read_bytes()
    return found


def wait_until(happened, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_no_answer_is_no_interruption(tmp_path):
    assert cli_here("study", "create", "tiny", "--config", TINY, cwd=tmp_path).returncode == 0
    for answer in ("n\n", ""):
        done = cli("study", "delete", "tiny", cwd=tmp_path, input=answer)
        assert done.returncode == 1
        assert done.stderr.endswith("aborted\n")
    assert (tmp_path / "studies/tiny/study.yaml").exists()


def test_arguments_move_no_terminal(tmp_path, monkeypatch):
    """On a terminal click leaves escape codes in; elsewhere it drops them."""
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *stream: False)
    evil, shown = "\x1b[2J", r"\x1b[2J"
    for words in (
        ("train", "--space", "digits", "--schedule", evil, "--target-speedup", "2", "-o", "out"),
        ("train", "--space", "digits", "--set", f"name.{evil}=1", "-o", "out"),
        ("space", "show", evil),
        ("--root", evil, "study", "create", "s", "--data", "table:fashion", "--methods", "full", "--seeds", "1"),
        ("--root", evil, "study", "delete", "s", "--yes"),
    ):
        done = cli_here(*words, cwd=tmp_path)
        assert shown in done.stdout + done.stderr
        assert evil not in done.stdout + done.stderr


def test_errors_of_the_system_are_one_line(tmp_path):
    (tmp_path / "file").touch()
    done = cli_here("train", "--space", "digits", "--device", "cpu", "-o", "file/below", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_what_memory_and_files_say():
    assert "there is not enough" in str(environment_error(MemoryError()))
    assert "there is not enough" in str(environment_error(RuntimeError("[enforce fail] can't allocate memory: 7 GB")))
    assert str(environment_error(PermissionError(13, "Permission denied", "/x"))) == "/x: permission denied"
    assert environment_error(RuntimeError("shapes do not match")) is None
    assert environment_error(ValueError("no")) is None


def test_warnings_are_lines_on_standard_error(tmp_path):
    assert cli_here("study", "create", "tiny", "--config", TINY, cwd=tmp_path).returncode == 0
    broken = tmp_path / "studies/broken"
    broken.mkdir()
    (broken / "study.yaml").write_text("name: [")
    done = cli("study", "list", "-f", "json", cwd=tmp_path)
    assert done.returncode == 0
    assert '"tiny"' in done.stdout
    assert done.stderr.startswith("warning: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_name_that_is_not_utf8_is_shown(tmp_path):
    done = cli("study", "show", os.fsdecode(b"b\xe4r"), cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
