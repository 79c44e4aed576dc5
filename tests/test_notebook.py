"""The notebook that analyses a published study: its cells run, in order, and say what the committed tables say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoprog_search.analysis.pareto import pareto_front

NOTEBOOK = Path(__file__).parent.parent / "examples/published_study.ipynb"


@pytest.fixture(scope="module")
def left(request):
    """What the cells leave behind. A cell's last expression is evaluated too, as a notebook shows it."""
    names: dict = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, {cell['id']}", "exec"), names)
    return names


def test_it_is_kept_without_what_it_showed():
    """Outputs would go stale, and hold the paths of whoever ran it."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_its_numbers_are_the_packages_own(left):
    own = left["compared"].set_index("method")
    assert left["difference"].mean()["linear"] == pytest.approx(own.loc["linear", "difference"])
    assert left["table"].loc["autoprog", "speedup"] == pytest.approx(own.loc["autoprog", "speedup_flops"], rel=0.01)


def test_its_figure_is_the_published_front(left):
    front = pareto_front(left["study"].trials, "flops")
    assert (left["front"].on_front == front.on_front).all()
    assert len(left["figure"].data) > 1


@pytest.mark.services
def test_it_runs_in_jupyter():
    """In a kernel of its own, as its readers run it; needs nbclient and ipykernel."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient").NotebookClient
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("points" in output.get("data", {}).get("text/html", "") for output in shown)
