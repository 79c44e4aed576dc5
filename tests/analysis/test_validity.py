"""Estimates against trained candidates, on tables whose truth is written down."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from autoprog_search.analysis.validity import COLUMNS, COST, LOSS, RANDOM, TRAINED, axis_shares, validity
from autoprog_search.errors import ConfigError
from autoprog_search.report.texts import validity_rows
from autoprog_search.space import Levels
from autoprog_search.tables.loading import load_table
from autoprog_search.tables.table import GrowthTable
from tests.tabulated import SPACE, write_artificial
from tests.tiny import cli_here

SMALL, WIDE, DEEP, FULL = (SPACE.at(i, j) for i in (0, 1) for j in (0, 1))


def accuracy(levels: Levels, seed: int) -> float:
    """Depth adds a point a stage, patches take half a point; a seed adds its number."""
    return 90 + sum(i - j / 2 for i, j in levels) + seed


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> GrowthTable:
    """Estimates follow depth alone; at the end of stage 1 patches are all that counts, of stage 2 depth."""
    written = load_table(str(write_artificial(tmp_path_factory.mktemp("t") / "t.parquet", seeds=3, accuracy=accuracy)))
    runs = {
        (seed, levels): {
            **row,
            "epoch_val_top1": [50.0 + 2 * levels[0][1], 60.0 + levels[1][0], 0.0, 0.0],
            "epoch_val_loss": [1.0 - levels[0][1] / 10, 1.0 - levels[1][0] / 10, 0.0, 0.0],
        }
        for (seed, levels), row in written.runs.items()
    }
    return replace(written, runs=runs)


def of(frame: pd.DataFrame, proxy: str, stage: int) -> pd.Series:
    (row,) = frame[(frame["proxy"] == proxy) & (frame["stage"] == stage)].to_dict("records")
    return pd.Series(row)


def test_first_stage_by_hand(table):
    frame = validity(table)
    assert list(frame) == list(COLUMNS)
    loss, random, trained = (of(frame, proxy, 1) for proxy in (LOSS, RANDOM, TRAINED))
    # Losses tie in pairs by depth, accuracies at the end of the stage by patches: 2 pairs agree, 2 do not.
    assert loss["tau_stage"] == 0
    assert trained["tau_stage"] == 1
    assert trained["regret_stage"] == 0
    assert random["regret_stage"] == 1  # 52 - (50 + 52 + 50 + 52) / 4
    assert random["tau_end"] == 0
    # Ends: mean over the schedules that begin so, less the last stage, which is the full network for all (+0.5).
    #   small: 90 + mean(0, -.5, 1, .5) + .5; wide: 90 - .5 + mean(-.5, .5) + .5; deep: 91 + mean(1, .5) + .5;
    #   full: 90.5 + .5 + .5, each + the mean seed.
    ends = {SMALL: 90.75, WIDE: 90.0, DEEP: 92.25, FULL: 91.5}
    assert loss["regret_end"] == pytest.approx(92.25 - (ends[DEEP] + ends[FULL]) / 2)
    assert random["regret_end"] == pytest.approx(92.25 - sum(ends.values()) / 4)
    assert of(frame, COST, 1)["regret_end"] == pytest.approx(92.25 - ends[FULL])  # the dearest comes first
    # Strict order deep > full > small > wide; losses: deep = full < small = wide: 4 of 6 pairs agree, 2 tie.
    assert loss["tau_end"] == pytest.approx(4 / (4 * 6) ** 0.5)
    assert loss["tau_end_se"] == pytest.approx(0, abs=1e-12)
    assert loss["searches"] == 3


def test_later_stages_are_judged_along_every_path(table):
    frame = validity(table)
    assert of(frame, LOSS, 2)["searches"] == 3 * 3  # from small, wide and deep; the full network has one way to go on
    assert of(frame, TRAINED, 2)["regret_stage"] == 0
    assert of(frame, LOSS, 2)["regret_stage"] == 0


def test_what_each_axis_explains(table):
    """Accuracies are a part by depth plus one by patches of half its size, so of a quarter of its variance."""
    depth, patches = axis_shares(table)
    assert depth + patches == pytest.approx(1)
    assert depth == pytest.approx(4 * patches)


def test_a_search_is_not_judged_by_its_own_seed(table):
    """Seed 0's runs are all alike: its losses are judged by the others, theirs also by it."""
    runs = {key: {**row, "val_top1": 0.0} if key[0] == 0 else row for key, row in table.runs.items()}
    loss = of(validity(replace(table, runs=runs)), LOSS, 1)
    whole, half = 92.25 - (92.25 + 91.5) / 2, (92.25 - (92.25 + 91.5) / 2) / 2
    assert loss["regret_end"] == pytest.approx((whole + half + half) / 3)


def test_a_study_adds_proxies_by_decrease_or_by_loss(table):
    def search(method, trial, stage, rows):
        shared = {"method": method, "seed": 0, "trial": trial, "stage": stage}
        return [
            shared | {"depth": s.depth, "patches": s.patches, "loss": loss, "decrease": fell, "chosen": s == chosen}
            for chosen in (SMALL,)
            for s, loss, fell in rows
        ]

    wrong = [(SMALL, 0.1, None), (WIDE, 0.2, None), (DEEP, 0.4, None), (FULL, 0.3, None)]
    right = [(SMALL, 0.1, 0.3), (WIDE, 0.2, 0.2), (DEEP, 0.4, 0.9), (FULL, 0.3, 0.5)]
    rows = [row for trial in (0, 1) for row in search("survey+loss", trial, 1, wrong)]
    rows += [*search("survey+fall", 0, 1, right), *search("survey+fall", 0, 2, right)]
    frame = validity(table, pd.DataFrame(rows))
    assert of(frame, "survey+loss", 1)["searches"] == 1  # both trials share it
    assert of(frame, "survey+loss", 1)["tau_end"] == pytest.approx((1 - 5) / 6)
    assert of(frame, "survey+fall", 1)["tau_end"] == 1
    assert of(frame, "survey+fall", 1)["regret_end"] == 0
    assert of(frame, "survey+fall", 2)["searches"] == 1
    assert len(validity_rows(frame)) == len(frame) == 11


def test_what_it_takes(tmp_path):
    for settings in ({"seeds": 1}, {"surveys": ("any",)}):
        table = load_table(str(write_artificial(tmp_path / f"{len(settings)}{settings}.parquet", **settings)))
        with pytest.raises(ConfigError, match=r"two seeds or more and estimates"):
            validity(table)


def test_the_command_line_shows_it(tmp_path):
    path = write_artificial(tmp_path / "t.parquet", accuracy=accuracy)
    done = cli_here("table", "validity", str(path), "-f", "csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == ",".join(COLUMNS)
