"""Clocks of headline trials, and the learning rate as timm makes it."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from autoprog_search.analysis.clock import clocks, rates
from autoprog_search.settings.recipe import Recipe
from autoprog_search.space import TICKS
from autoprog_search.training.optim import build_scheduler

STEPS = 720


@pytest.mark.parametrize(
    "fields",
    [
        {"sched": "wsd"},
        {"sched": "wsd", "warmup_share": 0.25, "decay_share": 1.0, "min_lr": 1e-4},
        {"sched": "cosine", "warmup_share": 0.1, "min_lr": 1e-5},
        {"sched": "wsd", "warmup_share": 0.0, "lr_batch_size": 256},
    ],
    ids=str,
)
def test_rates_are_timms(fields):
    recipe = Recipe(**fields)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=recipe.scaled_lr)
    scheduler = build_scheduler(recipe, optimizer, STEPS)
    found = rates(recipe)
    assert (found["tick"].iloc[0], found["tick"].iloc[-1]) == (0, TICKS)
    for tick, rate in found[:-1].itertuples(index=False):
        scheduler.step_update(round(tick / TICKS * STEPS))
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"] / recipe.scaled_lr, abs=1e-9)


def test_mixing_times_become_ticks():
    row = {"method": "autoprog", "seed": 0, "trial": 0, "axis": "depth", "deadline": None, "probed": 0}
    rows = [
        {**row, "stage": 1, "tick": 0.0, "step": 0, "size": 2, "grew": False, "mixing": None, "mixed": None},
        {**row, "stage": 2, "tick": 9.0, "step": 90, "size": 4, "grew": True, "mixing": 20.0, "mixed": 35.0},
        {**row, "stage": 3, "tick": 18.0, "step": 180, "size": 6, "grew": True, "mixing": 1e6, "mixed": None},
    ]
    never = [{**row, "trial": 1, "stage": 1, "tick": 0.0, "step": 0, "grew": False, "mixing": None, "mixed": None}]
    heads = pd.DataFrame({"method": ["linear", *["autoprog"] * 3], "seed": [0, 0, 0, 1], "trial": [0, 1, 0, 0]})
    (found,) = (found := clocks(pd.DataFrame(rows + never), heads)).values()
    assert found["expected"].tolist() == pytest.approx([float("nan"), 11.0, TICKS], nan_ok=True)
    assert found["came"].tolist() == pytest.approx([float("nan"), 12.5, float("nan")], nan_ok=True)
    assert clocks(pd.DataFrame(), heads) == {}
