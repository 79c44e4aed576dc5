"""What docs/loops.md and docs/results.md ask a reader to copy runs as it stands."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import optuna
import pandas as pd
import pytest
import timm
import torch

import autoprog_search
from autoprog_search import AutoProgSampler, ElasticModel, SubNetwork, train
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.study.creation import create_study
from tests.tiny import SHORT, run_here, tiny_config, without_measuring

pytestmark = pytest.mark.slow  # they train
DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: str) -> list[str]:
    return re.findall(r"^```(\w*\n.*?)^```$", (DOCS / page).read_text(), flags=re.DOTALL | re.MULTILINE)


def code(page: str, place: int) -> str:
    """The Python block at that place of the page."""
    language, _, lines = blocks(page)[place].partition("\n")
    assert language == "python"
    return lines


def test_every_block_of_the_two_pages_is_run():
    """Those below, and the command of results.md in report/test_browser.py."""
    assert len(blocks("loops.md")) == 2
    assert [block.split()[0] for block in blocks("results.md")] == ["python", "autoprog-search"]


def test_a_loop_of_ones_own():
    torch.manual_seed(0)
    sizes = {"img_size": 56, "patch_size": 4, "embed_dim": 12, "depth": 12, "num_heads": 3}
    model = timm.create_model("vit_tiny_patch16_224", **sizes, num_classes=3, dynamic_img_size=True)
    optimizer = torch.optim.AdamW(model.parameters())
    names = {"ElasticModel": ElasticModel, "SubNetwork": SubNetwork, "model": model, "optimizer": optimizer}
    exec(code("loops.md", 0), names)
    assert names["elastic"].sub_network == SubNetwork(12, 196)
    assert names["elastic"](torch.randn(2, 3, 56, 56)).shape == (2, 3)


def test_an_optuna_study_of_ones_own():
    short = {"epochs": 4, "batch_size": 10}
    names = {
        "optuna": optuna,
        "AutoProgSampler": AutoProgSampler,
        "load_recipe": lambda name: load_recipe(name).model_copy(update=short),
        "train": partial(train, data=DataConfig(name="digits", train_share=0.2), device="cpu"),
    }
    exec(code("loops.md", 1), names)
    (trial,) = names["study"].trials
    assert {"lr", "stage1_depth_level", "stage1_patches_level"} <= set(trial.params)
    assert trial.values == [names["found"]["total_flops"], names["found"]["val_top1"]]


def test_a_studys_tables(tmp_path, monkeypatch):
    """As the page says them: a trial's row, its epochs', and of what it did not do columns alone."""
    config = tiny_config("methods={full: {seeds: 1}}", *SHORT, name="mine")
    run_here(without_measuring(create_study(tmp_path / "studies", config)))
    monkeypatch.chdir(tmp_path)
    *lines, last = code("results.md", 0).strip().splitlines()
    names = {"autoprog_search": autoprog_search}
    exec("\n".join(lines), names)
    tables = eval(last, names)
    assert all(isinstance(table, pd.DataFrame) and len(table.columns) for table in tables)
    results, epochs, estimates, clock = tables
    assert set(results["state"]) == {"COMPLETE"}
    assert set(epochs["trial"]) == set(results["trial"])
    assert (len(estimates), len(clock)) == (0, 0)
