"""README, CONTRIBUTING and docs: headings that they link to, questions that they answer, code that they show."""

from __future__ import annotations

import os
import re
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
SOURCES = [
    path
    for folder in ("autoprog_search", "tests", "docs", "benchmarks", "examples", "search_spaces")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".yaml")
]


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links, as GitHub does it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_headings_that_pages_link_to_exist():
    """Whether the files do is asked in test_docs.py."""
    linked = [
        (page, page.parent / path if path else page, heading)
        for page in PAGES
        for path, heading in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text())
    ]
    assert linked
    for page, target, heading in linked:
        assert heading in anchors(target), f"{page.name} links to {heading} of {target.name}"


def test_documents_that_the_sources_refer_to_are_in_the_repository():
    """By their file, `docs/NAME.md`; where a heading follows, `docs/NAME.md, "HEADING"`, that too."""
    for source in SOURCES:
        for name, heading in re.findall(r'\b(docs/[a-z_/]+\.md)(?:, "([^"]+)")?', source.read_text()):
            page = ROOT / name
            assert page.exists(), f"{source.name} refers to {name}"
            found = not heading or heading.lower().replace(" ", "-") in anchors(page)
            assert found, f"{source.name} refers to {name}, {heading}"


def answered(page: Path) -> str:
    """The question that a page says it answers, in the line below its title."""
    title, _, answers, *_ = page.read_text().split("\n")
    found = re.fullmatch(r"\*Answers: (.*\?)\*", answers)
    assert title.startswith("# "), page.name
    assert found is not None, f"{page.name}: no question below its title"
    return found[1][0].upper() + found[1][1:]


@pytest.mark.parametrize(
    ("index", "pages"),
    [
        ("docs/index.md", [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]),
        ("docs/evidence.md", [*(ROOT / "docs/evidence").glob("*.md")]),
    ],
)
def test_every_page_stands_under_its_question(index, pages):
    rows = [line for line in (ROOT / index).read_text().splitlines() if line.startswith("| ")]
    for page in sorted({*pages} - {ROOT / index, ROOT / "docs/LOG.md"}):
        place = os.path.relpath(page, (ROOT / index).parent)
        assert any(f"| {answered(page)} |" in row and f"({place})" in row for row in rows), f"{index} lacks {place}"


ENTRY = re.compile(r'^(GROWTH_OPERATORS|METHODS)\["(.*?)"\] = ', flags=re.MULTILINE)


@pytest.mark.parametrize(
    "code", re.findall(r"```python\n(.*?)```", CONTRIBUTING, flags=re.DOTALL), ids=lambda code: ENTRY.search(code)[2]
)
def test_what_contributing_adds_can_be_added(code):
    """Its lines run where they belong, and what they add is found under its name."""
    from autoprog_search.growth import operators
    from autoprog_search.growth.elastic import ElasticModel
    from autoprog_search.methods import fixed, registry
    from autoprog_search.schedule import SubNetwork
    from tests.growth.models import tiny

    table, name = ENTRY.search(code).groups()
    with mock.patch.dict(operators.GROWTH_OPERATORS), mock.patch.dict(registry.METHODS):
        exec(code, {**vars(operators), **vars(fixed), **vars(registry)})
        if table == "METHODS":
            assert registry.method_named(name).description
            return
        elastic = ElasticModel(tiny("deit"), depths=(3, 6))
        elastic.activate(SubNetwork(3, 36))
        assert sorted(elastic.grow(elastic.full, name)) == [1, 3, 5]
