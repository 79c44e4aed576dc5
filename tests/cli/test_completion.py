"""What a shell is told when TAB is pressed, as click's script asks for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from autoprog_search.cli.main import cli
from tests.tiny import environment

INTEGRATIONS = Path(__file__).parents[2] / "docs/integrations.md"


def completed(*words: str) -> list[str]:
    """What may stand for the last word."""
    asked = ShellComplete(cli, {}, "autoprog-search", "_AUTOPROG_SEARCH_COMPLETE")
    return [item.value for item in asked.get_completions(list(words[:-1]), words[-1])]


def test_names_of_studies_are_completed(tmp_path, monkeypatch):
    for name in ("mine", "more", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.yaml").write_text("")
    assert completed("--root", str(tmp_path), "study", "run", "m") == ["mine", "more"]
    assert completed("--root", str(tmp_path), "study", "compare", "mine", "o") == ["other"]
    monkeypatch.setenv("AUTOPROG_SEARCH_ROOT", str(tmp_path))
    assert completed("study", "show", "") == ["mine", "more", "other"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("tra",), {"train"}),
        (("study", "create", "x", "--space", "deit_s"), {"deit_small"}),
        (("study", "create", "x", "--methods", "full,lin"), {"full,linear"}),
        (("train", "--schedule", "aut"), {"autoprog"}),
        (("space", "show", "digi"), {"digits"}),
        (("train", "--logger", "tensor"), {"tensorboard"}),
    ],
)
def test_what_is_known_by_name_is_completed(words, expected):
    assert expected <= set(completed(*words))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the command as pip would install it, and another with a study."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "autoprog-search").write_text(
        f"#!{sys.executable}\nfrom autoprog_search.__main__ import main as m\nm()\n"
    )
    (folder / "autoprog-search").chmod(0o755)
    (folder / "studies/mine").mkdir(parents=True)
    (folder / "studies/mine/study.yaml").touch()
    return folder


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("study run mi", "mine"),
        ("space show digits_t", "digits_table"),
        ("train --space deit_small_", "deit_small_04"),
        ("study create x --methods full,nsg", "full,nsga2"),
    ],
)
def test_bash_completes_by_what_the_docs_say_to_put_into_bashrc(line, expected, installed):
    (rc,) = re.findall(r"^(eval .*bash_source.*?) +#", INTEGRATIONS.read_text(), flags=re.MULTILINE)
    words = ["autoprog-search", *line.split()]
    tab = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}"  # what bash sets at TAB
    called = "$(complete -p autoprog-search | sed 's/.*-F \\([^ ]*\\) .*/\\1/') autoprog-search"
    script = f'{rc}; {tab}; {called}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    path = f"{installed}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, cwd=installed, env=environment() | {"PATH": path}
    )
    assert done.stderr == ""
    assert done.stdout.split() == [expected]


def test_replay_is_no_schedule_of_a_single_run():
    assert not completed("train", "--schedule", "repl")
