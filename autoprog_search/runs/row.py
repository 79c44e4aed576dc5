"""What is stored of a run."""

from __future__ import annotations

import json
from typing import Any

from autoprog_search.training.profile import StepProfile
from autoprog_search.training.spec import RunSpec
from autoprog_search.training.state import RunResult, RunState


def result_row(spec: RunSpec, result: RunResult, profile: StepProfile | None, epoch_steps: int) -> dict[str, Any]:
    """What is stored of a finished run: plain values, one a column of `study/results.py`, and its details."""
    return cost_row(spec, result.state, result.train_flops, profile, epoch_steps) | {
        "val_top1": result.val.top1,
        "top1": result.test.top1,
        "top5": result.test.top5,
        "ema_top1": result.test_ema.top1,
        "loss": result.test.loss,
        "step_flops_full": result.step_flops_full,
    }


def cost_row(
    spec: RunSpec, state: RunState, train_flops: int, profile: StepProfile | None, epoch_steps: int
) -> dict[str, Any]:
    """What is stored of a run wherever it ended: the stages it began, what it spent, how it went."""
    space = spec.space
    chosen = [record.chosen for record in state.stages]
    train_seconds = (
        sum(count * profile.seconds[s] for s, count in state.steps.items())
        if profile is not None and all(s in profile.seconds for s in state.steps)
        else state.wall_seconds - state.search_seconds
    )
    searched = any(record.candidates for record in state.stages)
    used = (
        profile if searched and spec.growth.search.score_cost == "seconds" else None
    )  # then the profile is a cost of search
    search_flops = state.search_flops + (used.flops if used else 0)
    search_seconds = state.search_seconds + (used.profile_seconds if used else 0.0)
    return {
        "depths": [s.depth for s in chosen],
        "patches": [s.patches for s in chosen],
        "resolutions": [s.resolution(space.patch_size) for s in chosen],
        "stage_epochs": [steps / epoch_steps for steps in spec.stage_steps[: len(chosen)]],
        "train_flops": train_flops,
        "search_flops": search_flops,
        "total_flops": train_flops + search_flops,
        "train_seconds": train_seconds,
        "search_seconds": search_seconds,
        "loader_seconds": state.loader_seconds,
        "stage_seconds": state.stage_seconds,
        "wall_seconds": state.wall_seconds,
        "epochs": state.step / epoch_steps,
        "growth_top1": state.growth_top1,
        "curve": state.curve,
        "stages": [record.to_dict() for record in state.stages],
        "versions": versions(),
        "device": profile.device if profile is not None else "",
    }


def versions() -> str:
    """Versions of what decides a result's bits."""
    from importlib.metadata import version

    from autoprog_search import __version__

    return json.dumps({"autoprog-search": __version__} | {name: version(name) for name in ("torch", "timm", "optuna")})
