"""Imports point down only, and what is slow to import is imported where it is needed (docs/design.md)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

import autoprog_search
from autoprog_search.methods.kinds import NNI_NEEDS

PACKAGE = Path(autoprog_search.__file__).parent
# From the bottom up; a module imports its own layer and those below it.
LAYERS = [
    ["errors"],
    ["faults"],
    ["values"],
    ["files"],
    ["fields"],
    ["schedule"],
    ["patching"],
    ["levels", "monotone", "parameters"],
    ["space", "cost"],
    ["choosing"],
    ["randomness", "interrupt"],
    ["growth"],
    ["oneshot"],
    ["settings"],
    ["data"],
    ["training"],
    ["loggers"],
    ["methods"],
    ["runs"],
    ["tables"],
    ["study"],
    ["analysis"],
    ["engines"],
    ["report"],
    ["cli"],
    ["integrations"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def test_design_lists_the_layers():
    """From the top down, a line each, its modules' names before what they are."""
    page = (PACKAGE.parent / "docs/design.md").read_text()
    listed = page.partition("<!-- layers: ")[2].partition("```\n")[2].partition("```")[0]
    assert [re.split(" {2,}", line)[0].split(", ") for line in listed.splitlines()] == LAYERS[::-1]


def modules() -> list[Path]:
    """All but what stands beside the layers: the package's front, and the suites for tests."""
    apart = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}
    return sorted(p for p in PACKAGE.rglob("*.py") if p not in apart and layer_of(p) != "testing")


def imports(path: Path, *, types: bool = False) -> Iterator[str]:
    """Every module that a file imports when it runs, wherever in it.

    Args:
        types: whether those under TYPE_CHECKING are wanted too.
    """
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = node.body if types else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    for name in imports(path, types=True):
        if name.startswith("autoprog_search."):
            assert RANK.get(name.split(".")[1], 0) <= RANK[layer_of(path)], f"{path.name} imports {name}"


def test_no_file_holds_more_than_350_lines():
    assert [path.name for path in PACKAGE.rglob("*.py") if len(path.read_text().splitlines()) > 350] == []


def test_no_modules_import_each_other():
    """However long the circle, and also where only types are imported."""
    names = {
        ".".join(("autoprog_search", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in modules()
    }
    graph = {name: {found for found in imports(path, types=True) if found in names} for name, path in names.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        raise AssertionError(f"a circle of imports: {' <- '.join(circle.args[1])}") from None


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_stay_where_they_belong(path):
    where = str(path.relative_to(PACKAGE).with_suffix(""))
    for name in imports(path):
        library = name.split(".")[0]
        if library in {"torch", "timm", "torchvision"}:
            assert layer_of(path) in {"growth", "data", "training", "integrations"} or where in {
                "oneshot/estimate",
                "loggers/tensorboard",
            }, f"{where} imports {name}"
        if name.startswith("optuna.samplers") or library == "nni":
            assert layer_of(path) == "methods", f"{where} imports {name}"
        if library == "ray":
            assert where in {"engines/ray_cluster", "engines/ray", "engines/ray_worker", "methods/tune"}, (
                f"{where} imports {name}"
            )
        if library == "plotly":
            assert layer_of(path) == "report", f"{where} imports {name}"


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import autoprog_search", {"torch", "timm", "optuna", "pandas", "plotly", "pydantic"}),
        ("from autoprog_search import GrowthSpace, GrowthSchedule", {"torch", "timm", "optuna", "pandas", "plotly"}),
        ("from autoprog_search import AutoProgSampler", {"torch", "timm", "plotly"}),
        ("import autoprog_search.cli.study, autoprog_search.cli.demo", {"torch", "timm", "optuna", "pandas", "plotly"}),
        ("import autoprog_search.loggers.registry", {"torch", "tensorboard", "wandb", "mlflow"}),
        ("import autoprog_search.report.page, autoprog_search.analysis.compare", {"torch", "timm"}),
    ],
)
def test_fresh_process_loads_no_more_than_it_needs(statement, absent):
    assert not loaded_by(statement) & absent


def test_help_is_fast():
    """Under 0.5 s; the best of three, since a busy machine slows a process but never speeds one up."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "autoprog_search", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


def test_public_names_are_there():
    assert all(getattr(autoprog_search, name) is not None for name in autoprog_search.__all__)
    if all(map(find_spec, NNI_NEEDS)):
        assert autoprog_search.AutoProgStrategy is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = autoprog_search.nothing


def test_dir_shows_the_public_names_in_a_fresh_process():
    """And loads none of them; so does tab completion."""
    code = """
import sys, rlcompleter
import autoprog_search
shown = dir(autoprog_search)
completer = rlcompleter.Completer({"autoprog_search": autoprog_search})
typed = [completer.complete("autoprog_search.Growth", n) for n in range(2)]
heavy = {"torch", "optuna", "pandas"} & set(sys.modules)
for line in (shown, typed, heavy, [autoprog_search.__version__]):
    print(*line)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, typed, heavy, version = done.stdout.splitlines()
    assert {*autoprog_search.__all__, "__version__"} <= set(shown.split())
    assert ("AutoProgStrategy" in shown.split()) == all(map(find_spec, NNI_NEEDS))
    assert not {"Any", "TYPE_CHECKING", "annotations", "import_module", "_PUBLIC"} & set(shown.split())
    assert [name.rstrip("(") for name in typed.split()] == [
        f"autoprog_search.{n}" for n in ("GrowthSchedule", "GrowthSpace")
    ]
    assert heavy == ""
    assert version == metadata.version("autoprog-search")


def test_dir_shows_what_is_loaded_too():
    import autoprog_search.report.units

    assert "report" in dir(autoprog_search)


def test_the_version_of_a_tree_that_is_not_installed(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert autoprog_search.__version__ == "0+unknown"


def test_the_version_is_looked_up_when_asked_for():
    code = "import sys, autoprog_search; print('importlib.metadata' in sys.modules)"
    # Without site: an editable installation's hook may load it.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(PACKAGE.parent)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
