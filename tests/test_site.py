"""The hooks of the documentation site: links, lists, navigation. `make docs` builds the site itself, and is strict."""

from __future__ import annotations

import pytest

from docs import site

PAGES = sorted(path.relative_to(site.ROOT / "docs").as_posix() for path in (site.ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize(
    ("path", "text", "shown"),
    [
        ("docs/data.md", "[a](models.md#volo)", "[a](models.md#volo)"),
        ("docs/data.md", "[a](../README.md)", "[a](repository/README.md)"),
        ("docs/data.md", "[a](../examples/own_loop.py)", "[a](repository/examples/own_loop.py.md)"),
        ("docs/data.md", "[a](../examples)", "[a](repository/examples/index.md)"),
        ("docs/evidence/size.md", "[a](../../studies/b/results.csv)", "[a](../repository/studies/b/results.csv)"),
        ("README.md", "![a](docs/figures/a.png) [b](docs/data.md)", "![a](../figures/a.png) [b](../data.md)"),
        ("docs/data.md", "[a](https://example.org/x.md) [b](#here)", "[a](https://example.org/x.md) [b](#here)"),
        ("docs/data.md", "```\n[a](../README.md)\n```", "```\n[a](../README.md)\n```"),
    ],
)  # fmt: skip
def test_links_out_of_docs_lead_to_copies(path, text, shown):
    assert site.relinked(path, text) == shown


def test_all_that_pages_link_to_comes_along():
    """Also what README links to, which the front page does."""
    found = site.reached()
    assert found["examples/own_loop.py"].count("```") == 2
    assert "- [own_loop.py](examples/own_loop.py)" in found["examples"]
    assert found["studies/fashion_mnist/results.csv"] == ""  # as it is
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= set(found)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Words:\n- one\n- two", "Words:\n\n- one\n- two"),
        ("- one\n  more\n- two\n  - below", "- one\n  more\n- two\n    - below"),
        ("```\nWords\n- no list\n```", "```\nWords\n- no list\n```"),
    ],
)
def test_lists_are_as_github_reads_them(text, read):
    assert site.as_python_markdown(text) == read


def test_every_page_is_in_the_navigation_once():
    nav = [
        {"Start": ["index.md"]},
        {"Guides": ["data.md", "*"]},
        {"Evidence": ["evidence/*"]},
        {"More": ["reference/*"]},
    ]
    filled = site.expanded(nav, PAGES)
    named = [page for section in filled for pages in section.values() for page in pages]
    assert sorted(named) == PAGES
    assert filled[0] == {"Start": ["index.md"]}
