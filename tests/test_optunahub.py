"""The packages for OptunaHub's registry, loaded as the registry loads them; their examples and what their pages say."""

from __future__ import annotations

import runpy
from pathlib import Path

import optuna
import pytest
import yaml

from autoprog_search import AutoProgSampler
from autoprog_search.tables.loading import load_table

optunahub = pytest.importorskip("optunahub")
ROOT = Path(__file__).parent.parent / "optunahub"
PACKAGES = ("samplers/autoprog", "benchmarks/growth_schedules")


def load(package: str):
    return optunahub.load_local_module(package, registry_root=str(ROOT))


@pytest.fixture
def registry(monkeypatch):
    """As if they were registered."""
    monkeypatch.setattr(optunahub, "load_module", load)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_what_the_registry_asks_for(package):
    page = (ROOT / package / "README.md").read_text()
    front = yaml.safe_load(page.split("---")[1])
    assert set(front) == {"author", "title", "description", "tags", "optuna_versions", "license"}
    assert package.split("/")[0].rstrip("s") in front["tags"]
    assert optuna.__version__.split(".")[0] in {version.split(".")[0] for version in front["optuna_versions"]}
    assert (ROOT / package / "LICENSE").read_text() == (ROOT.parent / "LICENSE").read_text()
    assert load(package).__all__
    for heading in ("## Abstract", "## APIs", "## Installation", "## Example"):
        assert f"\n{heading}\n" in page


def test_the_benchmark_is_the_table():
    problem, table = load("benchmarks/growth_schedules").Problem(), load_table("fashion")
    space = table.info.space
    for levels, values in table.truth.items():
        parameters = space.to_parameters(levels)
        assert set(parameters) == set(problem.search_space)
        assert problem.evaluate(parameters) == values
    one = load("benchmarks/growth_schedules").Problem(seed=3)
    levels = next(iter(table.truth))
    assert one.evaluate(space.to_parameters(levels))[1] == table.runs[3, levels]["val_top1"]


def test_nothing_beats_the_benchmarks_front():
    problem = load("benchmarks/growth_schedules").Problem()
    front, all_of_it = problem.pareto_front, load_table("fashion").truth.values()
    for flops, accuracy in all_of_it:
        assert any(cheaper <= flops and better >= accuracy for cheaper, better in front)
    for flops, accuracy in front:
        assert not any(f <= flops and a >= accuracy and (f, a) != (flops, accuracy) for f, a in all_of_it)


def test_a_seed_that_the_table_lacks():
    with pytest.raises(ValueError, match="seed: 5 is none of the table's, which are 0 to 4"):
        load("benchmarks/growth_schedules").Problem(seed=5)


def test_the_benchmarks_example_runs(registry, capsys):
    runpy.run_path(str(ROOT / "benchmarks/growth_schedules/example.py"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["TPESampler", "RandomSampler"]


def test_the_samplers_example_runs_up_to_its_trainings(registry, monkeypatch, capsys):
    """Which are those of `examples/own_optuna_study.py`."""
    monkeypatch.setattr(optuna.Study, "optimize", lambda study, objective, n_trials: None)
    found = runpy.run_path(str(ROOT / "samplers/autoprog/example.py"))
    assert isinstance(found["study"].sampler, AutoProgSampler)
    assert callable(found["objective"])
    assert capsys.readouterr().out == "[]\n"
