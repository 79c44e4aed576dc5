"""Predictions against closed forms by hand, what growth can gain at most, and the figures that docs/scale.md quotes."""

from __future__ import annotations

import re
import shlex
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from math import nan
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from autoprog_search.analysis.planning import (
    ACCELERATORS,
    Accelerator,
    PlannedRun,
    Resources,
    accelerator_named,
    cheapest,
    cheapest_cost,
    full_share,
    images_per_second,
    most_estimate_share,
    most_speedup,
    plan_runs,
    schedule_flops,
    speedup_of,
)
from autoprog_search.cli.main import cli as command_line
from autoprog_search.cost import ModelCost
from autoprog_search.errors import ConfigError, SpaceError
from autoprog_search.methods.fixed import full, linear
from autoprog_search.report.units import flops_text
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace
from tests.strategies import growth_spaces


@dataclass(frozen=True)
class Blocks:
    """A cost that can be done by hand: `unit` FLOPs a block and patch, `rest` an image."""

    unit: int = 1
    rest: int = 0

    def forward_flops(self, sub_network: SubNetwork) -> int:
        return self.rest + self.unit * sub_network.depth * sub_network.patches

    def step_flops(self, sub_network: SubNetwork, batch_size: int) -> int:
        return 3 * batch_size * self.forward_flops(sub_network)


costs = st.builds(Blocks, st.integers(1, 10**9), st.integers(0, 10**9))
SPACE = GrowthSpace.model_validate(
    {
        "name": "by_hand",
        "model": "vit_tiny_patch16_224",
        "depth": 12,
        "resolution": 64,
        "patch_size": 16,
        "depths": [6, 12],
        "resolutions": [32, 64],
        "stages": 2,
    }
)
TOY = Accelerator("toy", peak_flops=1000.0)


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_by_hand():
    # full: 10 epochs x 5 images x 3 passes x 12 blocks x 16 patches; both others: 5 epochs of that, 5 of 6 x 4.
    of_full, of_linear, of_cheapest = plan_runs(SPACE, Blocks(), Resources(TOY, 2, 0.5), epochs=10, images=5)
    assert (of_full.schedule, of_full.flops) == ("full", 10 * 5 * 3 * 192)
    assert (of_cheapest.schedule, of_cheapest.flops) == ("cheapest", 25 * 3 * 192 + 25 * 3 * 24)
    assert of_linear.flops == of_cheapest.flops  # two stages leave `linear` no other choice
    assert of_full.seconds == 28800 / 500 / 2
    assert of_full.gpu_hours == 28800 / 500 / 3600
    assert (of_full.speedup, of_linear.speedup) == (1, pytest.approx(28800 / 16200))


def test_images_per_second_by_hand():
    assert images_per_second(Blocks(), SubNetwork(2, 4), Resources(TOY, devices=8)) == pytest.approx(350 / 24)


def test_deit_small_reaches_the_bound():
    """2.7x for DeiT-S at f = 0.25, half depth, 128 px."""

    def multiply_adds(depth: int, patches: int) -> int:
        tokens, width = patches + 1, 384
        block = 12 * tokens * width**2 + 2 * tokens**2 * width
        return depth * block + patches * 768 * width + width * 1000

    assert most_speedup(0.25, multiply_adds(6, 64) / multiply_adds(12, 196)) == pytest.approx(2.7, abs=0.05)


def test_estimates_add_their_share_of_every_stage_but_the_last():
    assert most_estimate_share(0.03, full_share(SPACE, epochs=10)) == pytest.approx(0.015)


# ── properties ──────────────────────────────────────────────────────────────────────────────────────────────────────


@given(space=growth_spaces(), cost=costs, more=st.integers(0, 50))
def test_cheapest_gains_the_closed_form_and_nothing_gains_more(space, cost, more):
    epochs = space.stages + more
    most = most_speedup(full_share(space, epochs), cheapest_cost(space, cost))
    assert speedup_of(space, cost, cheapest(space), epochs) == pytest.approx(most)
    assert 1 <= speedup_of(space, cost, linear(space), epochs) <= most * (1 + 1e-9)


@given(space=growth_spaces(), cost=costs, data=st.data())
def test_no_monotone_schedule_costs_less_than_cheapest_or_more_than_full(space, cost, data):
    levels = space.sample(data.draw(st.randoms(use_true_random=False)))
    least, own, most = (schedule_flops(space, cost, s, 20, 1) for s in (cheapest(space), levels, full(space)))
    assert least <= own <= most


@given(
    space=growth_spaces(),
    cost=costs,
    devices=st.integers(1, 4096),
    utilisation=st.floats(0.01, 1),
    images=st.integers(1, 10**7),
)
def test_devices_share_the_hours_and_a_run_takes_its_images(space, cost, devices, utilisation, images):
    resources = Resources(TOY, devices, utilisation)
    runs = plan_runs(space, cost, resources, epochs=20, images=images)
    for run in runs:
        assert run.seconds * devices == pytest.approx(3600 * run.gpu_hours)
        assert run.gpu_hours * 3600 * 1000 * utilisation == pytest.approx(run.flops)
    rate = images_per_second(cost, space.full, resources)
    assert 3600 * runs[0].gpu_hours * rate == pytest.approx(20 * images)


@given(full_share=st.floats(0.01, 1), cost=st.floats(0.001, 1))
def test_the_bound_lies_between_no_gain_and_the_full_share_alone(full_share, cost):
    assert 1 - 1e-9 <= most_speedup(full_share, cost) <= min(1 / full_share, 1 / cost) + 1e-9


# ── the table, and bad input ────────────────────────────────────────────────────────────────────────────────────────


def test_accelerators_have_plausible_peaks():
    for key, accelerator in ACCELERATORS.items():
        assert accelerator_named(key) is accelerator
        assert 1e13 < accelerator.peak_flops < 1e16  # FLOPs, not TFLOPs, and not the figure with sparsity
    assert ACCELERATORS["a100"].peak_flops < ACCELERATORS["h100"].peak_flops < ACCELERATORS["b200"].peak_flops
    assert ACCELERATORS["v100"].precision == "float32"


def test_unknown_accelerator_lists_the_known():
    with pytest.raises(ConfigError, match=r"device: 'h1000' .*; there are v100, a100, h100, .*mi300x"):
        accelerator_named("h1000")


@pytest.mark.parametrize("utilisation", [0, -0.1, 1.01, nan])
def test_utilisation_is_a_share(utilisation):
    with pytest.raises(ConfigError, match=rf"utilisation: {utilisation} is not a share"):
        Resources(TOY, utilisation=utilisation)


def test_counts_start_at_one():
    with pytest.raises(ConfigError, match="devices: 0 is below 1"):
        Resources(TOY, devices=0)
    with pytest.raises(ConfigError, match="images: 0 is below 1"):
        plan_runs(SPACE, Blocks(), Resources(TOY), epochs=10, images=0)
    with pytest.raises(SpaceError, match="epochs: 1 leave stage 1 of 2"):
        plan_runs(SPACE, Blocks(), Resources(TOY), epochs=1)


# ── docs/scale.md ───────────────────────────────────────────────────────────────────────────────────────────────────

PAGE = (Path(__file__).parents[2] / "docs/scale.md").read_text()
SPACES = ("deit_small", "deit_base", "volo_d1_05", "volo_d1_04", "volo_d2_05", "volo_d2_04")
TIMM_RTX3090 = {  # images/s, timm's results/benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv
    "deit_tiny": 2290.33,
    "deit_small": 1050.70,
    "deit_base": 390.04,
    "volo_d1_05": 437.04,
    "volo_d2_05": 238.89,
}
EFFICIENCY = 0.9  # of eight GPUs that train one trial
H100 = Resources(ACCELERATORS["h100"])


@cache
def model_cost(name: str) -> ModelCost:
    from autoprog_search.growth.space_cost import cost_of

    return cost_of(GrowthSpace.load(name))


@cache
def planned(name: str) -> dict[str, PlannedRun]:
    runs = plan_runs(GrowthSpace.load(name), model_cost(name), H100, epochs=100, images=1_153_050)
    return {run.schedule: run for run in runs}


def runs_table() -> list[tuple[str, ...]]:
    rows = [("space", "FLOPs of full", "linear", "at most", "GPU-hours: full", "linear", "cheapest")]
    for name in SPACES:
        runs = planned(name)
        hours = (f"{run.gpu_hours:.2f}" for run in runs.values())
        speedups = (f"{runs[schedule].speedup:.2f}×" for schedule in ("linear", "cheapest"))
        rows.append((name, flops_text(runs["full"].flops), *speedups, *hours))
    return rows


def study_hours(name: str) -> tuple[float, float, float]:
    """GPU-hours of a run of full, of a study of 12 trials, and of its trials that wait for each other."""
    full_hours, linear_hours = (planned(name)[schedule].gpu_hours for schedule in ("full", "linear"))
    return full_hours, 3 * (full_hours + 3 * linear_hours), max(full_hours, 2 * linear_hours)


def studies_table() -> list[tuple[str, ...]]:
    rows = [("12 trials of", "GPU-hours", "wall hours on 8, at least", "wall hours on 64, at least")]
    total, longest = 0.0, 0.0
    for name in SPACES:
        _, own, chain = study_hours(name)
        rows.append((name, f"{own:.1f}", f"{max(chain, own / 8):.1f}", f"{max(chain, own / 64):.1f}"))
        total, longest = total + own, max(longest, chain)
    rows.append(
        ("all six, 72 trials", f"{total:.1f}", f"{max(longest, total / 8):.1f}", f"{max(longest, total / 64):.1f}")
    )
    return rows


def together_table() -> list[tuple[str, ...]]:
    """Eight GPUs a trial, eight trials at a time: the chain and the sum of `studies_table`, each an eighth as long."""
    rows = [("12 trials of", "wall hours of one full", "of 12 trials on 8 GPUs", "on 64")]
    for name in SPACES:
        full_hours, own, chain = study_hours(name)
        hours = (full_hours, own, max(chain, own / 8))
        rows.append((name, *(f"{each / 8 / EFFICIENCY:.2f}" for each in hours)))
    return rows


def utilisation_table() -> list[tuple[str, ...]]:
    rows = [("model", "images/s, timm on an RTX 3090", "images/s at the peak", "utilisation")]
    for name, measured in TIMM_RTX3090.items():
        space = GrowthSpace.load(name)
        peak = images_per_second(model_cost(name), space.full, Resources(ACCELERATORS["rtx3090"], utilisation=1))
        rows.append((space.model, f"{measured:,.0f}", f"{peak:,.0f}", f"{measured / peak:.2f}"))
    return rows


def loader_table() -> list[tuple[str, ...]]:
    rows = [("space", "stage 1", "stage 2", "stage 3", "stage 4")]
    for name in SPACES:
        space = GrowthSpace.load(name)
        stages = [space.at(*pair) for pair in linear(space)]
        rates = (images_per_second(model_cost(name), s, H100) for s in stages)
        parts = zip(rates, stages, strict=True)
        rows.append((name, *(f"{rate:,.0f} at {s.resolution(space.patch_size)} px" for rate, s in parts)))
    return rows


def memory_table(printed: dict[str, tuple[float, float]]) -> list[tuple[str, ...]]:
    rows = [("space", "parameters", "resident", "kept an image", "kept of 1,024 images")]
    for name, (millions, megabytes) in printed.items():
        resident, kept = f"{24 * millions / 1000:.1f} GB", f"{1.024 * megabytes:.0f} GB"
        rows.append((name, f"{millions:.1f} M", resident, f"{megabytes:.0f} MB", kept))
    return rows


def disk_table(printed: dict[str, tuple[float, float]]) -> list[tuple[str, ...]]:
    rows = [("space", "weights of 12 trials", "a checkpoint", "64 trials, at most")]
    for name, (millions, _) in printed.items():
        weights, checkpoint = f"{12 * 4 * millions / 1000:.1f} GB", 20 * millions / 1000
        rows.append((name, weights, f"{checkpoint:.2f} GB", f"{64 * checkpoint / 15:.1f} GB/s"))
    return rows


def markdown(rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "| --- |" + " ---: |" * (len(rows[0]) - 1), *lines[1:]])


TABLES = {
    "runs": runs_table,
    "studies": studies_table,
    "together": together_table,
    "utilisation": utilisation_table,
    "loader": loader_table,
}


@pytest.mark.parametrize("name", TABLES)
def test_the_page_quotes_what_is_predicted(name):
    assert quoted(name) == markdown(TABLES[name]())


@pytest.mark.slow
def test_the_page_quotes_what_its_script_prints():
    """For the smallest model: the others are slow on a CPU."""
    script = re.search(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert script is not None
    with redirect_stdout(StringIO()) as output:
        exec(re.sub(r"for name in \(.*\)", 'for name in ("deit_small",)', script[1]), {})
    printed = read_printed(output.getvalue())
    assert list(printed) == ["deit_small"]
    for name, table in (("memory", memory_table), ("disk", disk_table)):
        assert quoted(name).startswith(markdown(table(printed)))


@pytest.mark.slow
def test_the_pages_commands_run(tmp_path):
    """Those that take no GPU; a SQLite file stands for the database server, four images for ImageNet."""
    blocks = "".join(re.findall(r"^```\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE))
    commands = [shlex.split(line) for line in blocks.splitlines() if line.startswith("autoprog-search")]
    for place in ("train/a", "train/b", "val/a", "val/b"):
        (tmp_path / "imagenet" / place).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "imagenet" / place / "0.png")
    there = {"/shared/studies": str(tmp_path / "shared"), "/data/imagenet": str(tmp_path / "imagenet")}
    there["postgresql+psycopg://autoprog@dbhost/studies"] = f"sqlite:///{tmp_path / 'server.db'}"
    ran = []
    for words in (command[1:] for command in commands if "run" not in command):
        root = [] if "--root" in words else ["--root", str(tmp_path / "local")]
        done = CliRunner().invoke(command_line, [*root, *(there.get(word, word) for word in words)])
        assert done.exit_code == 0, (words, done.output)
        ran.append("create" if "create" in words else "show")
    assert ran == ["show", "create", "create"]


def read_printed(text: str) -> dict[str, tuple[float, float]]:
    """What the page's script prints: millions of parameters and MB an image, by space."""
    found = re.findall(r"(\w+): ([\d.]+) M parameters, (\d+) MB an image", text)
    return {name: (float(millions), float(megabytes)) for name, millions, megabytes in found}


def quoted(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", PAGE, flags=re.DOTALL)
    assert found is not None
    return found[1]
