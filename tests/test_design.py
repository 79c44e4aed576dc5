"""docs/design.md describes the package as it is. (Its list of layers is compared in test_imports.py.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import autoprog_search

ROOT = Path(__file__).parent.parent
PACKAGE = Path(autoprog_search.__file__).parent
PAGE = (ROOT / "docs/design.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w./-]+(?:\.(?:py|yaml|md)|/))`", PAGE)))


@pytest.mark.parametrize("name", NAMED)
def test_the_files_it_names_exist(name):
    assert (PACKAGE / name).exists() or (ROOT / name).exists()


def test_a_schedules_way_takes_ten_steps_at_most_each_a_file_of_its_own():
    way = PAGE.partition("<!-- way: ")[2].partition("<!-- /way -->")[0]
    steps = re.findall(r"^(\d+)\. `([^`]+)`", way, flags=re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    assert 1 < len(steps) <= 10
    assert len({file for _, file in steps}) == len(steps)
    assert {file for _, file in steps} <= set(NAMED)  # they exist


@pytest.mark.parametrize(
    "page",
    [p for p in sorted(ROOT.glob("docs/**/*.md")) if p.name not in ("LOG.md", "design.md")],
    ids=lambda p: p.name,
)
def test_source_files_that_other_pages_name_exist(page):
    for name in set(re.findall(r"[\w./-]+\.py\b", page.read_text())):
        assert any((folder / name).exists() for folder in (PACKAGE, ROOT, page.parent)), name
