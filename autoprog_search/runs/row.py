"""The one schema of what a run leaves: its result row, a row an epoch, a row a candidate of its searches.

A field's annotation says its type, its unit and what it means. Columns and their kinds, the texts in CSV, tables of
growth schedules and docs/results.md follow from these fields. Importing it loads no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, get_args, get_origin, get_type_hints

from autoprog_search.oneshot.clock import came_back
from autoprog_search.parameters import AXES
from autoprog_search.space import TICKS

if TYPE_CHECKING:
    from autoprog_search.training.profile import StepProfile
    from autoprog_search.training.spec import RunSpec
    from autoprog_search.training.state import RunResult, RunState, StageRecord


class CurveRow(TypedDict, total=False):
    """An epoch of a run."""

    epoch: Annotated[float, "epochs", "passes over the training data so far"]
    stage: Annotated[int, "", "that trains, from 1"]
    depth: Annotated[int, "blocks", "of the sub-network that runs"]
    patches: Annotated[int, "", "patches that it sees"]
    lr: Annotated[float, "", "learning rate at the end of the epoch"]
    train_loss: Annotated[float, "nats", "training loss, mean over the epoch's steps"]
    val_loss: Annotated[float, "nats", "validation cross-entropy after the epoch, of the sub-network that runs"]
    val_top1: Annotated[float, "%", "validation accuracy, likewise"]
    flops: Annotated[float, "FLOPs", "training and search so far"]


class EstimateRow(TypedDict, total=False):
    """A candidate of a one-shot search."""

    stage: Annotated[int, "", "that opens with the search, from 1"]
    depth: Annotated[int, "blocks", "of the candidate"]
    patches: Annotated[int, "", "patches of the candidate"]
    operator: Annotated[str | None, "", "by which it was grown, where the search tried several growth operators"]
    loss: Annotated[float, "nats", "its estimate: mean cross-entropy with the supernet's weights"]
    loss_se: Annotated[float, "nats", "the estimate's standard error over the images that it was evaluated on"]
    decrease: Annotated[float | None, "nats", "by how much its loss fell, where the score asks for it"]
    cost: Annotated[float, "", "of one of its training steps as the score took it, FLOPs or s"]
    w: Annotated[float | None, "", "exponent that the score gave the cost"]
    margin: Annotated[float | None, "", "how far the runner-up's score lies above the winner's, relative to it"]
    chosen: Annotated[bool, "", "whether the search took it"]


class ClockRow(TypedDict, total=False):
    """An axis of a stage of a run under a free clock: what was decided as it opened, and what came of it."""

    stage: Annotated[int, "", "that opens, from 1"]
    axis: Annotated[str, "", "depth or patches"]
    tick: Annotated[float, "ticks", "at which it opens, of the run's 36"]
    step: Annotated[int, "steps", "optimiser steps of the run before it"]
    size: Annotated[int, "", "of the axis from here on: blocks, or patches"]
    grew: Annotated[bool, "", "whether the axis grew as the stage opened"]
    probed: Annotated[int, "steps", "of each branch by which mixing was measured as the stage opened; 0: none was"]
    mixing: Annotated[float | None, "steps", "that a growth to full size is expected to take to mix, by the probe"]
    deadline: Annotated[
        float | None, "ticks", "at which the axis is to grow, as known here; null where no clock says, or it has grown"
    ]
    mixed: Annotated[
        float | None, "steps", "after which the training loss was back, where it grew; null: not while it was watched"
    ]
    watched: Annotated[int, "steps", "for which it was: until the next growth or the end; 0 where patches were dropped"]


class ResultRow(TypedDict, total=False):
    """A trial, or a run alone; what it did not come to is absent. Fields without a unit and a text are no columns.

    A run fills in what it knows of itself; study, method, seed, trial, state, metric, speed-ups and config_hash are
    its study's.
    """

    study: Annotated[str, "", "name of the study"]
    method: Annotated[str, "", "how the schedule was chosen"]
    seed: Annotated[int, "", "seed of weights, order and augmentation"]
    trial: Annotated[int, "", "number within the method and seed"]
    w_scale: Annotated[float, "", "autoprog: multiple of the fitted exponent w, 1 in its first trial"]
    state: Annotated[str, "", "COMPLETE, PRUNED (stopped early: no test accuracy), FAIL, RUNNING or WAITING"]
    depths: Annotated[list[int], "blocks", "depth of each stage"]
    patches: Annotated[list[int], "", "patches of each stage"]
    resolutions: Annotated[list[int], "px", "image side of each stage"]
    stage_epochs: Annotated[list[float], "epochs", "length of each stage"]
    val_top1: Annotated[float, "%", "validation accuracy of the eval_weights; drives every choice between trials"]
    growth_top1: Annotated[list[Any], "%", "per stage, val_top1 before and after its growth; null where nothing grew"]
    top1: Annotated[float, "%", "test accuracy of the recipe's eval_weights; only reported"]
    top5: Annotated[float, "%", "test top-5 accuracy"]
    ema_top1: Annotated[float, "%", "test accuracy of the EMA weights"]
    loss: Annotated[float, "nats", "test cross-entropy"]
    train_flops: Annotated[float, "FLOPs", "of all training steps, supernet steps included"]
    search_flops: Annotated[float, "FLOPs", "of one-shot estimates, and of the profile if the score used it"]
    total_flops: Annotated[float, "FLOPs", "training and search"]
    own_flops: Annotated[float, "FLOPs", "of its own steps: pbt's without what it copied, with what it gave up"]
    metric: Annotated[float, "points", "val_top1 - nni.cost_lambda * total_flops / full's: what NNI maximises"]
    train_seconds: Annotated[float, "s", "steps x the sub-network's median step time in the profile of the device"]
    search_seconds: Annotated[float, "s", "clock time of what search_flops counts"]
    loader_seconds: Annotated[list[float], "s", "clock time of each stage's training steps spent waiting for images"]
    stage_seconds: Annotated[list[float], "s", "clock time of each stage's training steps"]
    wall_seconds: Annotated[float, "s", "clock time of the run, all interruptions left out"]
    speedup_flops: Annotated[float, "", "total_flops of full of the same seed over this trial's"]
    speedup_seconds: Annotated[float, "", "the same of train_seconds + search_seconds"]
    epochs: Annotated[float, "epochs", "passes over the training data"]
    scheduled_epochs: Annotated[float, "epochs", "as the recipe or the sweep says; full-short trains fewer"]
    device: Annotated[str, "", "where it ran"]
    world_size: Annotated[int, "", "processes that trained it together when it ended; seconds are of them all"]
    versions: Annotated[str, "", "of autoprog-search, torch, timm and Optuna"]
    config_hash: Annotated[str, "", "of the settings that the trial ran under: version of the rule, and digest"]
    curve: Sequence[Mapping[str, Any]]
    stages: Sequence[Mapping[str, Any]]
    clock: Sequence[ClockRow]
    stage_flops: Sequence[float]
    step_flops_full: float
    full_flops: float


Kind = Literal["text", "count", "number", "flag", "list"]
KINDS: dict[type, Kind] = {str: "text", int: "count", float: "number", bool: "flag", list: "list"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; a list has an entry a stage, if nothing else is said."""

    name: str
    unit: str
    description: str
    kind: Kind = "number"


def columns_of(row: type, *names: str) -> tuple[Column, ...]:
    """The columns that a class of rows describes: those names, by default all."""
    found = {}
    for name, hint in get_type_hints(row, include_extras=True).items():
        if get_origin(hint) is Annotated:
            kind, unit, description = get_args(hint)
            kind = get_args(kind)[0] if isinstance(kind, UnionType) else kind  # the other is None
            found[name] = Column(name, unit, description, KINDS[get_origin(kind) or kind])
    return tuple(found[name] for name in names or found)


COLUMNS = columns_of(ResultRow)
"""Of a study's trials table, in its order."""
LISTS = tuple(column.name for column in COLUMNS if column.kind == "list")
"""Those of lists; None where a trial has not got so far."""


def list_text(value: list[Any] | None) -> str | None:
    """How CSV, which has no lists, holds one: as JSON."""
    return json.dumps(value) if value is not None else None


def list_in(text: str) -> list[Any] | None:
    """What `list_text` wrote.

    Raises:
        ValueError: it is no list.
    """
    value = json.loads(text) if text else None
    if not isinstance(value, list | None):
        raise ValueError(f"{text!r} is no list")
    return value


# ── of a run ────────────────────────────────────────────────────────────────────────────────────────────────────


def result_row(
    spec: RunSpec, result: RunResult, profile: StepProfile | None, epoch_steps: int, world_size: int
) -> ResultRow:
    """What is stored of a finished run."""
    row = cost_row(spec, result.state, result.train_flops, profile, epoch_steps, world_size)
    row |= {
        "val_top1": result.val.top1,
        "top1": result.test.top1,
        "top5": result.test.top5,
        "ema_top1": result.test_ema.top1,
        "loss": result.test.loss,
        "step_flops_full": result.step_flops_full,
    }
    return row


def cost_row(
    spec: RunSpec, state: RunState, train_flops: int, profile: StepProfile | None, epoch_steps: int, world_size: int
) -> ResultRow:
    """What is stored of a run wherever it ended: the stages it began, what it spent, how it went."""
    chosen = [record.chosen for record in state.stages]
    searched = any(record.candidates for record in state.stages)
    timed = searched and spec.growth.search.score_cost == "seconds"
    used = profile if timed else None  # then the profile is a cost of search
    search_flops = state.search_flops + (used.flops if used else 0)
    return {
        "depths": [s.depth for s in chosen],
        "patches": [s.patches for s in chosen],
        "resolutions": [spec.space.patching.image_side(s) for s in chosen],
        "stage_epochs": [steps / epoch_steps for steps in stage_steps(spec.part_steps, state.stages)],
        "train_flops": train_flops,
        "search_flops": search_flops,
        "total_flops": train_flops + search_flops,
        "train_seconds": _train_seconds(state, profile),
        "search_seconds": state.search_seconds + (used.profile_seconds if used else 0.0),
        "loader_seconds": state.loader_seconds,
        "stage_seconds": state.stage_seconds,
        "wall_seconds": state.wall_seconds,
        "epochs": state.step / epoch_steps,
        "growth_top1": state.growth_top1,
        "curve": state.curve,
        "stages": [record.to_dict() for record in state.stages],
        **({"clock": clock_rows(spec, state.stages)} if spec.space.clock == "free" else {}),
        "stage_flops": state.stage_flops,
        "versions": versions(),
        "device": profile.device if profile is not None else "",
        "world_size": world_size,
    }


def stage_steps(part_steps: Sequence[int], stages: Sequence[StageRecord]) -> list[int]:
    """Optimiser steps of the stages that a run has begun, as long as they were to be."""
    untils = [0, *(record.until for record in stages)]
    return [sum(part_steps[a:b]) for a, b in pairwise(untils)]


def clock_rows(spec: RunSpec, stages: Sequence[StageRecord]) -> list[ClockRow]:
    """What is stored of a free clock, a row an axis of a stage. Where both axes grow at once, they mix as one.

    Where patches were dropped before and none are now, the loss falls by that alone: it is not said when it was back.
    """
    rows: list[ClockRow] = []
    begins = accumulate(stage_steps(spec.part_steps, stages), initial=0)
    mixing: Mapping[str, float] = {}
    dropped = spec.space.patches_by == "dropout"
    for k, (step, record, before) in enumerate(zip(begins, stages, (None, *stages), strict=False), start=1):
        mixing = record.mixing or mixing
        for axis in AXES:
            size = getattr(record.chosen, axis)
            grew = before is not None and size > getattr(before.chosen, axis)
            easier = dropped and before is not None and record.chosen.patches > before.chosen.patches
            watched = record.watched if grew and not easier else 0
            came = came_back(record.level, record.spans, watched) if watched and record.level is not None else None
            rows.append(
                {
                    "stage": k,
                    "axis": axis,
                    "tick": _tick(step, spec.steps),
                    "step": step,
                    "size": size,
                    "grew": grew,
                    "probed": len(record.probe.get("stayed", ())),
                    "mixing": mixing.get(axis),
                    "deadline": record.deadlines.get(axis),
                    "mixed": came,
                    "watched": watched,
                }
            )
    return rows


def _tick(step: int, steps: int) -> float:
    """Where a step of the run is, in ticks: a whole number where one begins within a step of it."""
    tick = step * TICKS / steps
    return float(round(tick)) if abs(round(tick) - tick) * steps < TICKS else tick


def _train_seconds(state: RunState, profile: StepProfile | None) -> float:
    """By the profile, where there is one of all that was trained; else by the clock."""
    if profile is not None and all(s in profile.seconds for s in state.steps):
        return sum(count * profile.seconds[s] for s, count in state.steps.items())
    return state.wall_seconds - state.search_seconds


def versions() -> str:
    """Versions of what decides a result's bits."""
    from importlib.metadata import version

    from autoprog_search import __version__

    return json.dumps({"autoprog-search": __version__} | {name: version(name) for name in ("torch", "timm", "optuna")})
