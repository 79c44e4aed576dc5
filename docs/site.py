"""Hooks of the documentation site (mkdocs.yml): links out of docs/, lists as GitHub reads them, the navigation.

The pages are written for GitHub, where they link to files of the repository. The site knows no address of that to send
readers to, so what a page links to comes along as it was when the site was built, under `repository/`: pages as pages,
sources as listings, folders as lists of their files, tables and figures as they are.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
REPOSITORY = "repository"
LISTED = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".cfg": "ini", ".sh": "bash", "": "text"}
LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)((?:#[^)\s]*)?\))")
FENCE = re.compile(r"^(```.*?^```[^\n]*$)", flags=re.DOTALL | re.MULTILINE)
ITEM = re.compile(r" *(?:[-*]|\d+\.) ")
NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n"


# ── links ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def place(path: str) -> str:
    """Where a file or folder of the repository lies in the site's sources; both as paths from their roots."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    full = ROOT / path
    if full.is_dir():
        return f"{REPOSITORY}/{path}/index.md"
    if full.suffix == ".md":
        return f"{REPOSITORY}/{path}"
    return f"{REPOSITORY}/{path}.md" if full.suffix in LISTED else f"{REPOSITORY}/{path}"


def linked(path: str, text: str) -> Iterator[str]:
    """The files and folders of the repository that a page there links to, as paths from its root."""
    for part in FENCE.split(text)[::2]:
        for match in LINK.finditer(part):
            yield _target(path, match[2])


def _target(path: str, link: str) -> str:
    return os.path.normpath(PurePosixPath(path).parent / link)


def relinked(path: str, text: str) -> str:
    """The page's text with its links as they are in the site."""
    here = PurePosixPath(place(path)).parent

    def link(match: re.Match[str]) -> str:
        there = place(_target(path, match[2]))
        return f"{match[1]}{PurePosixPath(os.path.relpath(there, here))}{match[3]}"

    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(link, part) for part in parts[::2]]
    return "".join(parts)


def reached() -> dict[str, str]:
    """All outside docs/ that pages link to, directly or not: paths from the repository's root, and a page's text.

    The text of what is copied as it is, is empty.
    """
    waiting = [f"docs/{path.relative_to(ROOT / 'docs').as_posix()}" for path in (ROOT / "docs").rglob("*.md")]
    found: dict[str, str] = {}
    texts = {path: (ROOT / path).read_text() for path in waiting}
    while waiting:
        path = waiting.pop()
        for target in linked(path, texts[path]):
            if target.startswith("docs/") or target in found or not (ROOT / target).exists():
                continue  # what is not there, mkdocs says
            found[target] = texts[target] = page_of(target)
            if (texts[target] and (ROOT / target).suffix == ".md") or (ROOT / target).is_dir():
                waiting.append(target)
    return found


def page_of(path: str) -> str:
    """A page that shows a file or folder of the repository; empty where the file itself does."""
    full = ROOT / path
    if full.is_dir():
        files = subprocess.run(["git", "ls-files", path], cwd=ROOT, capture_output=True, text=True, check=True)
        names = [name.removeprefix(f"{path}/") for name in files.stdout.split()]
        return "\n".join([f"# {path}/", "", *(f"- [{name}]({full.name}/{name})" for name in names), ""])
    if full.suffix == ".md":
        return full.read_text()
    if full.suffix not in LISTED:
        return ""
    return f"{NOT_SEARCHED}# {path}\n\n````{LISTED[full.suffix]}\n{full.read_text().rstrip()}\n````\n"


# ── Markdown ──────────────────────────────────────────────────────────────────────────────────────────────────────


def as_python_markdown(text: str) -> str:
    """The text with lists that Python-Markdown reads as GitHub does: an empty line before, four spaces a level."""
    parts = FENCE.split(text)
    parts[::2] = ["\n".join(_lists(part.split("\n"))) for part in parts[::2]]
    return "".join(parts)


def _lists(lines: list[str]) -> Iterator[str]:
    before, in_list = "", False
    for line in lines:
        is_item = ITEM.match(line) is not None
        if is_item and not in_list and before.strip():
            yield ""
        in_list = is_item or (in_list and bool(line.strip()) and not line.startswith(("#", "<", "|")))
        indent = len(line) - len(line.lstrip(" "))
        yield " " * indent + line if is_item else line  # two spaces a level become four
        before = line


# ── what mkdocs calls ─────────────────────────────────────────────────────────────────────────────────────────────


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in the navigation's patterns."""
    pages = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
    config.nav = expanded(config.nav or [], pages)
    return config


def expanded(nav: list[Any], pages: list[str]) -> list[Any]:
    """The navigation with the pages that stand for its patterns, which are named nowhere in it."""
    named = {page for section in nav for page in _named(section)}

    def fill(entries: list[Any]) -> Iterator[Any]:
        for entry in entries:
            if isinstance(entry, str) and "*" in entry:
                depth = entry.count("/")
                found = (p for p in pages if fnmatch(p, entry) and p.count("/") == depth and p not in named)
                yield from found
            elif isinstance(entry, dict):
                yield {title: list(fill(below)) if isinstance(below, list) else below for title, below in entry.items()}
            else:
                yield entry

    return list(fill(nav))


def _named(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, list):
        for below in entry:
            yield from _named(below)
    else:
        for below in entry.values():
            yield from _named(below)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what pages link to outside docs/."""
    from mkdocs.structure.files import File, InclusionLevel

    for path, text in reached().items():
        if text:
            file = File.generated(config, place(path), content=as_python_markdown(relinked(path, text)))
        else:
            file = File.generated(config, place(path), abs_src_path=str(ROOT / path))
        file.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(file)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page of docs/ as Python-Markdown reads it, its links as they are in the site."""
    if page.file.src_uri.startswith(f"{REPOSITORY}/"):
        return markdown
    return as_python_markdown(relinked(f"docs/{page.file.src_uri}", markdown))
