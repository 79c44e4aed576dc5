"""Artificial tables: a space of 3 stages whose accuracies, costs and estimates are written down, not trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoprog_search.oneshot.candidates import ForceGrowth, candidates, paths
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.settings.recipe import Recipe
from autoprog_search.space import GrowthSpace, Levels
from autoprog_search.tables.format import ESTIMATES, RUNS, TableInfo, estimates_path, write_rows

FIELDS: dict[str, Any] = {"model": "vit_tiny_patch16_224", "patch_size": 4, "resolution": 16, "depth": 4, "stages": 3}
SPACE = GrowthSpace.model_validate({"name": "nine", **FIELDS, "depths": [2, 4], "resolutions": [8, 16]})
"""Two levels an axis, three stages: 9 schedules; costs of a step are 8, 16, 32 and 64."""
STEPS = (10, 10, 20)
SEARCHED = 4


def step_cost(sub_network: SubNetwork) -> float:
    return float(sub_network.depth * sub_network.patches)


def cost(levels: Levels, space: GrowthSpace = SPACE) -> float:
    return sum(steps * step_cost(space.at(*pair)) for steps, pair in zip(STEPS, levels, strict=True))


def rising(levels: Levels, seed: int) -> float:
    """Accuracy rises with the cost; seeds differ by a point."""
    return 90 + cost(levels) / 1000 + seed


def steady(candidate: SubNetwork, path: tuple[SubNetwork, ...], seed: int) -> float:
    """The deeper, the better: losses 1/2 and 1/4, whatever the resolution."""
    return 1 / candidate.depth


def write_artificial(
    path: Path,
    *,
    space: GrowthSpace = SPACE,
    seeds: int = 2,
    accuracy: Callable[[Levels, int], float] = rising,
    loss: Callable[[SubNetwork, tuple[SubNetwork, ...], int], float] = steady,
    surveys: tuple[ForceGrowth, ...] = ("none",),
) -> Path:
    """Write a table: 4 epochs of 10 steps; a search takes 4 of its stage's, and 1 FLOP a candidate to evaluate."""
    info = TableInfo(
        space=space,
        data=DataConfig(),
        recipe=Recipe(epochs=4),
        growth=GrowthSettings(),
        threads=1,
        seeds=seeds,
        stage_steps=STEPS,
        sources={"made up": "0"},
    )
    runs = [run_row(space, seed, levels, accuracy) for seed in range(seeds) for levels in space.enumerate()]
    write_rows(path, runs, RUNS, info)
    estimates = [
        row
        for force_growth in surveys
        for seed in range(seeds)
        for count in range(space.stages - 1)
        for walk in paths(space, count, force_growth)
        for row in search_rows(space, force_growth, seed, walk, loss)
    ]
    if estimates:
        write_rows(estimates_path(path), estimates, ESTIMATES, info)
    return path


def run_row(space: GrowthSpace, seed: int, levels: Levels, accuracy: Callable[[Levels, int], float]) -> dict[str, Any]:
    chosen = [space.at(*pair) for pair in levels]
    top1 = accuracy(levels, seed)
    return {
        "seed": seed,
        "depth_levels": [i for i, _ in levels],
        "patches_levels": [j for _, j in levels],
        "depths": [s.depth for s in chosen],
        "patches": [s.patches for s in chosen],
        "stage_flops": [steps * step_cost(s) for steps, s in zip(STEPS, chosen, strict=True)],
        "val_top1": top1,
        "top1": top1 - 1,
        "top5": 100.0,
        "ema_top1": top1 - 1,
        "loss": 0.1,
        "train_seconds": 10.0,
        "wall_seconds": 11.0,
        **{f"epoch_{name}": [4.0, 3.0, 2.0, 1.0] for name in ("train_loss", "val_loss", "val_top1", "lr")},
        "device": "none",
        "versions": '{"autoprog-search": "0"}',
    }


def search_rows(
    space: GrowthSpace,
    force_growth: ForceGrowth,
    seed: int,
    walk: tuple[SubNetwork, ...],
    loss: Callable[[SubNetwork, tuple[SubNetwork, ...], int], float],
) -> list[dict[str, Any]]:
    found = candidates(space, len(walk) + 1, walk[-1] if walk else None, force_growth)
    mean = sum(map(step_cost, found)) / len(found)
    shared = {
        "force_growth": force_growth,
        "seed": seed,
        "stage": len(walk) + 1,
        "path_depths": [s.depth for s in walk],
        "path_patches": [s.patches for s in walk],
        "searched_steps": SEARCHED,
        "supernet_flops": SEARCHED * mean,
        "search_flops": mean,
        "search_seconds": 1.0,
    }
    return [
        {
            **shared,
            "depth": c.depth,
            "patches": c.patches,
            "loss": loss(c, walk, seed),
            "loss_se": 0.01,
            "cost": step_cost(c),
        }
        for c in (found if len(found) > 1 else ())
    ]
