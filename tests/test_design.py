"""docs/design.md names files: they exist. (Its list of layers is compared in test_imports.py.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import autoprog_search

ROOT = Path(__file__).parent.parent
PACKAGE = Path(autoprog_search.__file__).parent
PAGE = (ROOT / "docs/design.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w./-]+(?:\.(?:py|yaml|md)|/))`", PAGE)))


def part(name: str) -> str:
    """What stands between the page's two comments of that name."""
    found = re.search(rf"<!-- {name}:.*?-->\n(.*?)<!-- /{name} -->", PAGE, flags=re.DOTALL)
    assert found is not None, f"design.md has no part {name}"
    return found[1]


def test_it_names_files():
    assert len(NAMED) > 30


@pytest.mark.parametrize("name", NAMED)
def test_the_files_it_names_exist(name):
    assert (PACKAGE / name).exists() or (ROOT / name).exists()


def test_a_schedules_way_takes_ten_steps_at_most_each_a_file_of_its_own():
    steps = re.findall(r"^(\d+)\. `([^`]+)`", part("way"), flags=re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    assert 1 < len(steps) <= 10
    assert len({file for _, file in steps}) == len(steps)
    assert {file for _, file in steps} <= set(NAMED)
