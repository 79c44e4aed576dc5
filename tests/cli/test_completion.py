"""What a shell is told when TAB is pressed, as click's script asks for it."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from autoprog_search.cli.main import cli


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
        (("train", "--logger", "tensor"), {"tensorboard"}),
    ],
)
def test_what_is_known_by_name_is_completed(words, expected):
    assert expected <= set(completed(*words))


def test_replay_is_no_schedule_of_a_single_run():
    assert not completed("train", "--schedule", "repl")
