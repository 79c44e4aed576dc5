"""README and docs quote stored results; here the two are compared, and the README's commands are run."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from unittest import mock

import pytest
import yaml

from autoprog_search.study.config import StudyConfig
from autoprog_search.study.identity import study_hash
from docs import redraw
from tests.tiny import cli, cli_here

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "studies/published/demo"
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", redraw.pages(), ids=lambda page: page.name)
def test_pages_quote_the_published_studies(page):
    """`make docs-figures` would change nothing."""
    assert redraw.rewritten(page) == page.read_text()


def test_the_figures_of_the_pages_are_drawn_and_no_other():
    shown = {quote.image for page in redraw.pages() for quote in redraw.quotes(page) if quote.kind == "figure"}
    assert shown == set((ROOT / "docs/figures").iterdir())


def test_published_demo_is_todays_configuration():
    """When a default changes, the demo has to be run and published again."""
    from importlib.resources import files

    from autoprog_search.study.resolve import config_from_file

    stored = StudyConfig.model_validate(yaml.safe_load((DEMO / "study.yaml").read_text()))
    today = config_from_file(Path(str(files("autoprog_search.study") / "demo.yaml")), "demo")
    assert study_hash(stored) == study_hash(today)
    assert stored.methods == today.methods


def quoted(page: str, name: str) -> str:
    """What stands between a page's `<!-- name... -->` and `<!-- /name -->`."""
    found = re.search(rf"<!-- {name}.*?-->\n(.*?)\n<!-- /{name} -->", (ROOT / page).read_text(), flags=re.DOTALL)
    assert found is not None, f"{page} quotes no {name}"
    return found[1]


def test_the_table_of_models_is_the_adapters():
    from autoprog_search.growth.adapters import ADAPTERS

    grows = {
        "dynamic": ("depth and patches", "timm's dynamic image size"),
        "resampled": ("depth and patches", "the position embedding is resampled at every step"),
        "fixed": ("depth only", "would replace parameters"),
    }
    rows = [(name, entry.description, *grows[entry.resolution]) for name, entry in ADAPTERS.items()]
    assert quoted("docs/models.md", "families").splitlines()[2:] == [f"| {' | '.join(row)} |" for row in rows]


def test_the_loaders_speed_is_the_stored_benchmarks():
    stored = max((ROOT / "benchmarks/results").glob("loader_cpu_*.json"))
    speed = json.loads(stored.read_text())["figures"]["images_per_second"]
    rows = [f"| {side} px | {value:.0f} | {value / speed['224']:.2f} |" for side, value in speed.items()]
    assert quoted("docs/data.md", "loader").splitlines()[2:] == rows
    assert speed["112"] / speed["224"] >= 1.3


def test_the_steps_by_threads_are_the_stored_benchmarks():
    stored = max((ROOT / "benchmarks/results").glob("threads_cpu_*.json"))
    measured = json.loads(stored.read_text())["figures"]["milliseconds"]
    rows = []
    for name, sides in measured.items():
        cells = [f"{ms['median']:,.0f} ({ms['least']:,.0f})" for ms in sides.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    assert quoted("docs/scale.md", "threads").splitlines()[2:] == rows


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links, as GitHub does it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_the_pages_link_to_exists(page):
    """Files, folders, images and headings."""
    for path, _, heading in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]+))?\)", page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {path}"
        assert not heading or heading in anchors(target), f"{page.name} links to {path}#{heading}"


SOURCES = [
    path
    for folder in ("autoprog_search", "tests", "docs", "benchmarks", "examples", "search_spaces")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".yaml")
]


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


def test_readme_commands_run(tmp_path):
    """All of them, in order, as they stand, but with a network and an epoch count that take seconds."""
    fields = ("recipe.epochs=4", "recipe.batch_size=125", "space.model_args.embed_dim=12", "space.stages=2")
    levels = ("space.depths=[3,6]", "space.patches=[9,36]")
    short = {"create": " ".join(f"--set {field}" for field in (*fields, *levels))}
    short["train"] = short["create"]
    short["create"] += " --set methods.random.trials=1"
    short["create"] += "".join(
        f" --set methods.{m}.seeds=1" for m in ("full", "full-short", "linear", "autoprog", "random")
    )
    commands = re.findall(r"^autoprog-search (.*)$", README, flags=re.MULTILINE)
    assert len(commands) >= 8
    for line in commands:
        words = shlex.split(line)
        extra = next((shlex.split(more) for word, more in short.items() if word in words[:2]), [])
        if "--schedule" in words and words[words.index("--schedule") + 1].endswith(".yaml"):
            extra = extra[2:]  # a schedule file brings its own epochs
        # Only what trains gets a process of its own: torch and timm take seconds to import.
        done = (cli if words[0] == "train" or "run" in words else cli_here)(*words, *extra, cwd=tmp_path)
        assert done.returncode == 0, (line, done.stderr)
    assert (tmp_path / "pareto.html").stat().st_size > 1e6
    assert (tmp_path / "studies/mine/report.html").read_text().count("<html") == 1
