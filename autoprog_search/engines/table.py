"""Answer a study's trials from a table instead of training: the same methods, parameters and samplers, in seconds.

All trials of a (method, seed) run as one: in memory, and stored when the last has ended. A kill loses at most those,
which then run again to the same end, whoever runs them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import accumulate
from typing import Any

import optuna
from optuna.storages import InMemoryStorage

from autoprog_search.choosing import Choice, Estimate, Method, StageContext
from autoprog_search.engines.events import Event, Tell
from autoprog_search.engines.opening import info_of, open_trial
from autoprog_search.errors import LostClaim
from autoprog_search.interrupt import POLL_SECONDS
from autoprog_search.methods.registry import method_named
from autoprog_search.oneshot.candidates import ForceGrowth, candidates, reachable
from autoprog_search.runs.row import ResultRow
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace
from autoprog_search.study.claims import claim, lost_if_taken
from autoprog_search.study.creation import create_trials
from autoprog_search.study.opening import check_inputs, inputs_of
from autoprog_search.study.store import Job, StoredStudy
from autoprog_search.tables.loading import load_table
from autoprog_search.tables.table import GrowthTable, StoredSearch, Walk

AS_STORED = ("depths", "patches", "val_top1", "top1", "top5", "ema_top1", "loss", "train_seconds", "versions")
"""What a row has from the table unchanged."""


def answer_trials(study: StoredStudy, tell: Tell, should_stop: Callable[[], bool]) -> None:
    """Answer all trials that nobody else does, until none is left (or `should_stop`)."""
    # The Gaussian process computes with torch, which reads this when it is imported.
    os.environ["OMP_NUM_THREADS"] = str(study.config.threads)
    assert study.config.data.table is not None
    table = load_table(study.config.data.table)
    inputs = inputs_of(study)
    check_inputs(study, inputs)
    plans = study.config.methods
    # Chains of trials first: they take longest.
    pending = sorted(study.pairs(), key=lambda pair: not method_named(pair[0]).learns_from(plans[pair[0]].trials))
    while pending := [pair for pair in pending if not _is_whole(study, *pair)]:
        answered = False
        for method, seed in pending:
            if should_stop():
                return
            first = Job(method, seed, 0)
            if (ours := claim(study, study.lock_path(first))) is None:
                continue  # another worker's
            try:
                if _is_whole(study, method, seed):
                    continue
                with lost_if_taken(ours):
                    _remove_part(study, method, seed)
                    _answer_seed(study, table, method, seed, inputs)
                answered = True
                count = plans[method].trials
                tell(Event("done", first, message=f"{count} trials from {table.name}", trials=count))
            except LostClaim as lost:
                tell(Event("warning", message=str(lost)))
            finally:
                ours.release()
        if not answered and not should_stop():
            time.sleep(POLL_SECONDS)  # others answer what is left; should one die, it is free again


def _is_whole(study: StoredStudy, method: str, seed: int) -> bool:
    """Whether all trials are there. Asked often, so without the copies that Optuna makes of all studies."""
    try:
        number = study.storage.get_study_id_from_name(study.optuna_name(method, seed))
        return study.storage.get_n_trials(number) >= study.config.methods[method].trials
    except KeyError:  # not yet, or removed between the two, by who answers them now
        return False


def _remove_part(study: StoredStudy, method: str, seed: int) -> None:
    """Remove what a worker that died left of them."""
    with suppress(KeyError):  # there is nothing
        study.storage.delete_study(study.storage.get_study_id_from_name(study.optuna_name(method, seed)))


def _answer_seed(study: StoredStudy, table: GrowthTable, method: str, seed: int, inputs: Mapping[str, Any]) -> None:
    scratch = StoredStudy(study.folder, study.config, InMemoryStorage())
    last_seed = max(seed for _, seed in study.pairs())
    create_trials(scratch, method, seed, inputs)
    for number in range(study.config.methods[method].trials):
        job = Job(method, seed, number)
        trial, info = open_trial(scratch, job), info_of(scratch, job)
        chooser = method_named(method).course(info, trial, {}).method
        row = answer(table, info.growth.force_growth, chooser, table.seed_of(seed, number, last_seed))
        for name, value in row.items():
            trial.set_user_attr(name, value)
        trial.study.tell(trial.number, [row["total_flops"], row["val_top1"]])
    name = study.optuna_name(method, seed)
    optuna.copy_study(from_study_name=name, from_storage=scratch.storage, to_storage=study.storage)


# ── one trial ───────────────────────────────────────────────────────────────────────────────────────────────────────


def answer(table: GrowthTable, force_growth: ForceGrowth, method: Method, seed: int) -> ResultRow:
    """What is stored of a run, for the schedule that the method chooses.

    A run with searches has the accuracy of its schedule's fixed run; its cost is that of its own steps and estimates.

    Args:
        seed: of the table.
    """
    space, info = table.info.space, table.info
    chosen, records, searches = _play(table, force_growth, method, seed)
    run = table.runs[seed, tuple(space.levels_of(s) for s in chosen)]
    train = list(run["stage_flops"])
    for k, search in enumerate(searches):
        if search is not None:
            steps = info.stage_steps[k]
            train[k] = search.supernet_flops + (steps - search.searched_steps) * train[k] / steps
    estimates = [search.search_flops if search else 0.0 for search in searches]
    search_seconds = sum(search.search_seconds for search in searches if search)
    stage_epochs = [info.recipe.epochs * steps / sum(info.stage_steps) for steps in info.stage_steps]
    return {
        **{name: run[name] for name in AS_STORED},  # type: ignore[typeddict-item]
        "resolutions": [space.patching.image_side(s) for s in chosen],
        "stage_epochs": stage_epochs,
        "train_flops": float(sum(train)),
        "search_flops": float(sum(estimates)),
        "total_flops": float(sum(train) + sum(estimates)),
        "search_seconds": search_seconds,
        "wall_seconds": run["wall_seconds"] + search_seconds,
        "epochs": sum(stage_epochs),
        "scheduled_epochs": info.recipe.epochs,
        "step_flops_full": table.full_flops / sum(info.stage_steps),
        "full_flops": table.full_flops,
        "curve": _curve(run, chosen, [a + b for a, b in zip(train, estimates, strict=True)], stage_epochs),
        "stages": records,
        "stage_flops": train,
        "device": f"table {table.name}: {run['device']}",
    }


def _play(
    table: GrowthTable, force_growth: ForceGrowth, method: Method, seed: int
) -> tuple[list[SubNetwork], list[dict[str, Any]], list[StoredSearch | None]]:
    """The sub-network, the record and the search of each stage, the last one's included."""
    found: dict[int, StoredSearch] = {}

    def search(walk: Walk, allowed: tuple[SubNetwork, ...]) -> tuple[Estimate, ...]:
        found[len(walk)] = table.search(force_growth, seed, walk, allowed)
        return found[len(walk)].estimates

    space = table.info.space
    choices = [*(choice for _, choice in ask(method, space, force_growth, search)), Choice(space.full)]
    searches = [found.get(k) for k in range(space.stages)]
    records = [_record(k, *pair) for k, pair in enumerate(zip(choices, searches, strict=True), start=1)]
    return [choice.sub_network for choice in choices], records, searches


def ask(
    method: Method,
    space: GrowthSpace,
    force_growth: ForceGrowth,
    search: Callable[[Walk, tuple[SubNetwork, ...]], tuple[Estimate, ...]],
) -> Iterator[tuple[StageContext, Choice]]:
    """Ask a method for all stages but the last, as the trainer does.

    Args:
        search: the estimates of a stage's candidates, after the sub-networks of the stages before.
    """
    walk: Walk = ()
    history: tuple[tuple[Estimate, ...], ...] = ()
    for stage in range(1, space.stages):
        previous, searches = walk[-1] if walk else None, method.needs_estimates(stage)
        allowed = candidates(space, stage, previous, force_growth) if searches else reachable(space, previous)
        estimates = search(walk, allowed) if searches and len(allowed) > 1 else None
        context = StageContext(stage, allowed, previous, estimates, history, space.depths, space.patches)
        choice = method.choose(context)
        yield context, choice
        walk = (*walk, choice.sub_network)
        history = (*history, estimates) if estimates else history


def _record(stage: int, choice: Choice, search: StoredSearch | None) -> dict[str, Any]:
    """As `training.state.StageRecord` is stored."""
    estimates = search.estimates if search else ()
    return {
        "chosen": [choice.sub_network.depth, choice.sub_network.patches],
        "candidates": [[e.sub_network.depth, e.sub_network.patches] for e in estimates],
        "losses": [e.loss for e in estimates],
        "loss_ses": [e.loss_se for e in estimates],
        "costs": [e.cost for e in estimates],
        "w": choice.w,
        "margin": choice.margin,
        "searched_steps": search.searched_steps if search else 0,
        "until": stage,
        "probe": {},
        "mixing": {},
        "deadlines": {},
        "level": None,
        "watched": 0,
        "spans": [],
        "decreases": [],
        "supernet_flops": search.supernet_flops if search else 0,
        "search_flops": search.search_flops if search else 0,
    }


def _curve(
    run: Mapping[str, Any], chosen: list[SubNetwork], stage_flops: list[float], stage_epochs: list[float]
) -> list[dict[str, Any]]:
    """A row an epoch; what a stage costs is spread evenly over its epochs."""
    of_epoch = [k for k, epochs in enumerate(stage_epochs) for _ in range(round(epochs))]
    spent = accumulate(stage_flops[k] / stage_epochs[k] for k in of_epoch)
    names = ("lr", "train_loss", "val_loss", "val_top1")
    measured = zip(*(run[f"epoch_{name}"] for name in names), strict=True)
    rows: list[dict[str, Any]] = []
    for epoch, (k, flops, values) in enumerate(zip(of_epoch, spent, measured, strict=True), start=1):
        where = {"epoch": epoch, "stage": k + 1, "depth": chosen[k].depth, "patches": chosen[k].patches}
        rows.append({**where, **dict(zip(names, values, strict=True)), "flops": flops})
    return rows
