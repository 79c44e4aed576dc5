"""README and docs quote stored results; here the two are compared, and the commands of docs/start.md are run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from autoprog_search.growth.space_cost import cost_of
from autoprog_search.schedule import SubNetwork
from autoprog_search.study import leases, standing
from autoprog_search.study.identity import study_hash
from autoprog_search.study.resolve import config_from_file
from autoprog_search.study.results import published_frames
from autoprog_search.study.store import open_study
from docs import pictures, redraw, settings
from tests.tiny import cli_here, run_here

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "studies/published/demo"
START = (ROOT / "docs/start.md").read_text()


@pytest.mark.parametrize("page", redraw.pages(), ids=lambda page: page.name)
def test_pages_quote_the_published_studies(page):
    """`make docs-figures` would change nothing."""
    assert redraw.rewritten(page) == page.read_text()


def test_the_pages_say_the_columns_of_all_that_is_stored():
    asked = [name for page in redraw.pages() for name in re.findall(r"<!-- columns: (.*?) -->", page.read_text())]
    assert sorted(asked) == sorted(redraw.COLUMNS)


def test_the_figures_of_the_pages_are_drawn_and_no_other():
    quotes = [quote for page in redraw.pages() for quote in redraw.quotes(page)]
    assert {quote.image for quote in quotes if quote.kind != "table"} == set((ROOT / "docs/figures").iterdir())
    assert all(quote.image.stat().st_size < 200_000 for quote in quotes if quote.kind == "screenshot")


def test_published_demo_is_todays_configuration():
    """When a default changes, the demo has to be run and published again."""
    from importlib.resources import files

    stored = published_frames(DEMO).config
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


def test_the_caches_speed_is_the_stored_benchmarks():
    stored = max((ROOT / "benchmarks/results").glob("loader_cpu_*.json"))
    rows = []
    for case, ways in json.loads(stored.read_text())["figures"]["ways"].items():
        speed = {way: found["core"] for way, found in ways.items()}
        cells = (f"{value:.0f} ({value / speed['floats']:.2f} x)" for value in speed.values())
        rows.append(f"| {' | '.join((case, *cells))} |")
    assert quoted("docs/data.md", "cache").splitlines()[2:] == rows


def test_the_steps_by_threads_are_the_stored_benchmarks():
    stored = max((ROOT / "benchmarks/results").glob("threads_cpu_*.json"))
    measured = json.loads(stored.read_text())["figures"]["milliseconds"]
    rows = []
    for name, sides in measured.items():
        cells = [f"{ms['median']:,.0f} ({ms['least']:,.0f})" for ms in sides.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    assert quoted("docs/scale.md", "threads").splitlines()[2:] == rows


def test_what_storages_take_is_the_stored_benchmarks():
    figures = json.loads(max((ROOT / "benchmarks/results").glob("load_cpu_*.json")).read_text())["figures"]
    rates = figures["trials_per_second"]
    a_worker = 1 / standing.EVERY_SECONDS + leases.RENEWALS / leases.DEFAULT_SECONDS  # values a second
    serves = {kind: f"{int(30 * rates[kind] / a_worker):,}" for kind in ("sqlite", "postgresql")}
    names = {"journal": "journal", "sqlite": "sqlite", "postgresql": "postgresql", "ray": "journal, by Ray"}
    rows = [f"| {name} | {rates[kind]:.1f} | {serves.get(kind, 'for tables')} |" for kind, name in names.items()]
    assert quoted("docs/scale.md", "storages").splitlines()[2:] == rows
    rows = [f"| `study {command}` | {seconds:.1f} |" for command, seconds in figures["seconds_of_10000"].items()]
    assert quoted("docs/scale.md", "answers").splitlines()[2:] == rows


@pytest.mark.parametrize("page", redraw.pages(), ids=lambda page: page.name)
def test_torchrun_starts_a_module(page):
    """A command's name it takes for a file to run."""
    for line in page.read_text().replace("\\\n", "").splitlines():
        if re.match(r"(srun )?torchrun ", line):
            assert re.search(r" -m (autoprog_search|benchmarks\.\w+)\b", line), line


def test_the_settings_are_those_of_the_classes():
    """Else: python -m docs.settings, or make docs-figures."""
    assert settings.PAGE.read_text() == settings.text()


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_the_pictures_are_what_the_package_draws(name):
    """Else: python -m docs.pictures, or make docs-figures."""
    assert pictures.path_of(name).read_text() == pictures.PICTURES[name]()


def test_files_that_the_docs_link_to_exist():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.slow
def test_the_first_commands_run(tmp_path):
    """All of them, in order, as they stand, but with a network and an epoch count that take seconds."""
    fields = (
        "recipe.epochs=2",
        "data.train_share=0.2",
        "recipe.batch_size=20",
        "space.model_args.embed_dim=12",
        "space.stages=2",
    )
    levels = ("space.depths=[3,6]", "space.patches=[9,36]")
    short = {"create": " ".join(f"--set {field}" for field in (*fields, *levels))}
    short["train"] = short["create"]
    short["create"] += " --set methods.random.trials=1"
    short["create"] += "".join(
        f" --set methods.{m}.seeds=1" for m in ("full", "full-short", "linear", "autoprog", "random")
    )
    commands = re.findall(r"^autoprog-search (?!demo)(.*)$", START, flags=re.MULTILINE)
    assert len(commands) >= 8
    for line in commands:
        words = shlex.split(line)
        extra = next((shlex.split(more) for word, more in short.items() if word in words[:2]), [])
        if "--schedule" in words and words[words.index("--schedule") + 1].endswith(".yaml"):
            extra = extra[2:]  # a schedule file brings its own epochs
        if words[:2] == ["study", "run"]:  # in this process: torch and timm take seconds to import
            run_here(open_study(tmp_path / "studies", words[2]))
        done = cli_here(*words, *extra, cwd=tmp_path)
        assert done.returncode == 0, (line, done.stderr)
    assert (tmp_path / "pareto.html").stat().st_size > 1e6
    assert (tmp_path / "studies/mine/report.html").read_text().count("<html") == 1


def test_the_steps_on_a_gpu_are_the_stored_ones():
    parts = json.loads((ROOT / "benchmarks/results/gpu_check_cuda_2026-11-27.json").read_text())["parts"]
    rows = []
    for what, figures in parts["steps"]["figures"].items():
        if what.startswith("step, "):
            seconds, used, ratio = (figures[name] for name in ("seconds", "utilisation", "ratio"))
            cells = f"{1e3 * seconds:.2f} | {256 / seconds:,.0f} | {used:.3f} | {ratio:.3f}"
            rows.append(f"| {what.removeprefix('step, ')} | {cells} |")
    assert quoted("docs/gpu.md", "steps").splitlines()[2:] == rows


def test_what_small_sub_networks_save_on_a_gpu_is_what_was_stored():
    figures = json.loads((ROOT / "benchmarks/results/gpu_check_cuda_2026-11-27.json").read_text())["parts"]["sizes"]
    kinds = [figures["figures"][f"sizes, {kind}"] for kind in ("recorded", "compiled and recorded")]
    recorded, compiled = (kind["depth_patches_s_flops_ratio"] for kind in kinds)
    full_seconds, full_flops = recorded[-1][2:4]
    rows = []
    for (depth, patches, seconds, flops, ratio), (_, _, theirs, _, other) in zip(recorded, compiled, strict=True):
        assert ratio == pytest.approx(full_seconds / seconds / (full_flops / flops))
        size = f"{depth} x {16 * round(patches**0.5)} px"
        cells = f"{1e3 * seconds:.1f} ({ratio:.2f}) | {1e3 * theirs:.1f} ({other:.2f})"
        rows.append(f"| {size} | {full_flops / flops:.2f} | {cells} |")
    assert quoted("docs/gpu.md", "sizes").splitlines()[2:] == rows


def test_a_smaller_model_is_a_control_of_a_study(tmp_path):
    """Its space is a variant's, and all of it trains in every step: nothing grows."""
    yaml = "\n".join(quoted("docs/evidence/size.md", "control").splitlines()[1:-1])
    (tmp_path / "study.yaml").write_text(yaml)
    config = config_from_file(tmp_path / "study.yaml", "control")
    small = config.space_of("full+small")
    assert cost_of(small).forward_flops(small.full) < 0.2 * cost_of(config.space).forward_flops(config.space.full)
    assert small.sub_networks == (small.full,) == (SubNetwork(3, 9),)
