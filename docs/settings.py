"""Write docs/settings.md, every field of a study, from the settings' own classes: `python -m docs.settings`."""

from __future__ import annotations

from pathlib import Path

from autoprog_search.files import write_atomic
from autoprog_search.settings.retired import LAST_COMMIT, MOVED
from autoprog_search.study.settings_docs import STUDY, Setting, groups, settings

BAR = "\\|"  # within a cell
PAGE = Path(__file__).parent / "settings.md"
FRONT = """# Settings

*Answers: what can be set, within which bounds, with which default, and what does it mean?*

Every field that `--set FIELD=VALUE` and a study.yaml know. `autoprog-search config list` shows them in a terminal,
`autoprog-search config show FIELD` all that there is to know about one. Defaults are the fields' own: a space, a recipe
or a table that is named brings others. `NAME` stands for a method; within `methods.NAME.growth` and
`methods.NAME.space` any field of `growth` and of `space` may stand.

Only settings of `growth` may be tuned for growth methods; [evidence/defaults.md](evidence/defaults.md) has what
supports their defaults.

Written by `make docs-figures` from the classes in `autoprog_search/settings/`, `space.py` and `study/config.py`.
"""
BEFORE = """## Names of before

Studies and files of before are read as ever; `--set` answers an old name with the new one. Taken out, as no evidence
paid for them: `growth.other_operators`, `growth.loss_errors`, `growth.path`,
`growth.supernet_draws`, and `rewarm` of `growth.optimizer_state`.
Studies that used these load, compare, export and redraw, and what they say is kept with them; a trial that needs one is
refused: commit `{commit}` is the last that runs it.
"""


def text() -> str:
    """The page: a section a group of fields, those at the top first."""
    about = groups()
    order = [STUDY, *(group for group in about if group != STUDY)]
    return "\n".join([FRONT, *(_section(group, about[group]) for group in order), _before()])


def _section(group: str, about: str) -> str:
    title = "At the top" if group == STUDY else f"`{group}`"
    rows = [_row(setting) for setting in settings() if setting.group == group]
    return "\n".join(
        [f"## {title}", "", about, "", "| field | values | default | meaning |", "| --- | --- | --- | --- |", *rows, ""]
    )


def _row(setting: Setting) -> str:
    default = "required" if setting.required else f"`{setting.default_text}`"
    cells = (f"`{setting.path}`", setting.kind, default, setting.summary)
    return f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"


def _before() -> str:
    """The section on what was."""
    moved = [f"| `growth.{old}` | `growth.{new}` |" for old, new in MOVED.items()]
    return "\n".join([BEFORE.format(commit=LAST_COMMIT), "| was | is |", "| --- | --- |", *moved, ""])


def write() -> bool:
    """Bring the page up to date, and say whether it was not."""
    new = text()
    if PAGE.exists() and PAGE.read_text() == new:
        return False
    write_atomic(PAGE, new.encode())
    return True


if __name__ == "__main__":
    print(f"{PAGE.name}: {'written' if write() else 'as it was'}")
