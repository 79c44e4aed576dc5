"""Make a table of growth schedules from finished studies: one of every schedule, and surveys of AutoProg's searches.

The studies can be killed and resumed like any other; this only reads them. FLOPs of stages and of searches are taken
from the learning curves, which count them while a run goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from autoprog_search.errors import StudyError
from autoprog_search.fields import flat
from autoprog_search.files import write_atomic
from autoprog_search.oneshot.draws import shuffled
from autoprog_search.oneshot.score import SCORES
from autoprog_search.randomness import derive
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.retired import refusal
from autoprog_search.space import GrowthSpace, Levels
from autoprog_search.study.checks import CHOOSING
from autoprog_search.study.identity import study_hash
from autoprog_search.study.store import Job, StoredStudy
from autoprog_search.tables.table import ESTIMATES, METADATA, RUNS, TableInfo, estimates_path

GRID, SURVEY = "grid", "survey"  # the methods whose trials make a table
TOLERANCE = 1e-6  # of FLOPs that are counted in two ways


def make_table(source: StoredStudy, surveys: Sequence[StoredStudy], path: Path) -> list[Path]:
    """Write a table's files.

    Args:
        source: a study with every schedule: `grid` with as many trials as the space has schedules.
        surveys: studies with every trial of `survey`, each under another `growth.force_growth`.
        path: NAME.parquet; the estimates go beside it.

    Returns:
        The files written.

    Raises:
        StudyError: trials are missing, or the studies do not belong together.
    """
    space = source.config.space
    for study in (source, *surveys):
        if study.config.retired:
            raise StudyError(f"{study.name}: {refusal(study.config.retired)}; no table is made of it")
    for survey in surveys:
        _check_same(source, survey)
    trials = _finished(source, GRID, space.count())
    surveyed = [_finished(s, SURVEY, len(_paths(s))) for s in surveys]
    runs = {(job.seed, space.from_parameters(t.params or t.system_attrs["fixed_params"])): t for job, t in trials}
    any_run = next(iter(runs.values())).user_attrs
    all_steps = round(any_run["full_flops"] / any_run["step_flops_full"])
    stage_steps = tuple(round(all_steps * e / any_run["epochs"]) for e in any_run["stage_epochs"])
    info = TableInfo(
        **source.config.model_dump(include={"space", "data", "recipe", "growth", "threads"}),
        seeds=source.config.methods[GRID].seeds,
        stage_steps=stage_steps,
        sources={study.name: study_hash(study.config) for study in (source, *surveys)},
        search_effects={
            survey.config.growth.force_growth: _search_effect(space, runs, done)
            for survey, done in zip(surveys, surveyed, strict=True)
        },
    )
    order = {levels: place for place, levels in enumerate(space.enumerate())}
    rows = [_run_row(*key, runs[key]) for key in sorted(runs, key=lambda key: (key[0], order[key[1]]))]
    written = [write_rows(path, rows, RUNS, info)]
    if surveys:
        step_flops = _step_flops(rows, stage_steps)
        found = [
            row
            for survey, done in zip(surveys, surveyed, strict=True)
            for row in _estimate_rows(survey, done, step_flops, stage_steps)
        ]
        written.append(write_rows(estimates_path(path), found, ESTIMATES, info))
    return written


def _paths(survey: StoredStudy) -> Sequence[Any]:
    from autoprog_search.methods.survey import survey_paths

    return survey_paths(survey.config.space, survey.config.growth.force_growth)


def _check_same(source: StoredStudy, survey: StoredStudy) -> None:
    """Whether a survey's searches are those of the source's runs.

    Raises:
        StudyError: something that decides them differs.
    """
    ours, theirs = source.config, survey.config
    pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in ("space", "data", "recipe", "threads")]
    own, other = flat(ours.growth), flat(theirs.growth)
    growth = (own.keys() | other.keys()) - CHOOSING - {"target_speedup"}
    pairs += [(f"growth.{name}", own.get(name), other.get(name)) for name in sorted(growth)]
    for name, a, b in pairs:
        if a != b:
            raise StudyError(f"estimates: {theirs.name} and {ours.name} differ in {name}; make both of one study.yaml")
    if theirs.growth.search.score_cost != "flops":
        raise StudyError(
            f"estimates: {theirs.name} has growth.search.score_cost {theirs.growth.search.score_cost!r}; use 'flops'"
        )
    if SCORES[theirs.growth.search.score].decrease:
        raise StudyError(
            f"estimates: {theirs.name} has growth.search.score {theirs.growth.search.score!r}; use 'loss_cost'"
        )


def _finished(study: StoredStudy, method: str, needed: int) -> list[tuple[Job, FrozenTrial]]:
    """The method's finished trials, if none is missing.

    Raises:
        StudyError: some are.
    """
    name, plan = study.name, study.config.methods.get(method)
    if plan is None or plan.trials < needed:
        there = "none" if plan is None else plan.trials
        raise StudyError(f"study {name!r}: a table needs {needed} trials of {method} a seed, it has {there}")
    if study.config.first_seed:
        raise StudyError(f"study {name!r}: first_seed is {study.config.first_seed}, a table's seeds count from 0")
    if plan.growth or plan.space or plan.epochs or study.config.space.equal_compute:
        raise StudyError(
            f"study {name!r}: a table needs {method} with stages of the same length and no settings of its own"
        )
    done = [
        (job, trial)
        for job, trial in study.trials().items()
        if job.method == method and trial.state == TrialState.COMPLETE
    ]
    if missing := needed * plan.seeds - len(done):
        raise StudyError(
            f"study {name!r}: {missing} of {needed * plan.seeds} trials of {method} ({needed} x {plan.seeds} seeds) "
            f"have not finished; go on with: autoprog-search study run {name}"
        )
    return done


def _search_effect(
    space: GrowthSpace, runs: Mapping[tuple[int, Levels], FrozenTrial], done: Sequence[tuple[Job, FrozenTrial]]
) -> tuple[float, float, int]:
    """How much more accurate runs with searches are than their schedules without: mean, standard error, runs."""
    differences = []
    for job, trial in done:
        pairs = zip(trial.user_attrs["depths"], trial.user_attrs["patches"], strict=True)
        fixed = runs[job.seed, tuple(space.levels_of(SubNetwork(*pair)) for pair in pairs)]
        differences.append(trial.user_attrs["val_top1"] - fixed.user_attrs["val_top1"])
    error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
    return fmean(differences), error, len(differences)


def _stage_ends(curve: Sequence[Mapping[str, Any]]) -> list[float]:
    """FLOPs spent at the end of each stage: stages are whole epochs long."""
    ends = {point["stage"]: float(point["flops"]) for point in curve}
    return [ends[stage] for stage in sorted(ends)]


def _differences(ends: Sequence[float]) -> list[float]:
    return [b - a for a, b in zip([0.0, *ends], ends, strict=False)]


def _run_row(seed: int, levels: Levels, trial: FrozenTrial) -> dict[str, Any]:
    attributes = trial.user_attrs
    curve = attributes["curve"]
    epochs = {
        f"epoch_{name}": [point[name] for point in curve] for name in ("train_loss", "val_loss", "val_top1", "lr")
    }
    return {
        **{name: attributes[name] for name in RUNS if name in attributes},
        **epochs,
        "seed": seed,
        "depth_levels": [i for i, _ in levels],
        "patches_levels": [j for _, j in levels],
        "stage_flops": _differences(_stage_ends(curve)),
    }


def _step_flops(rows: Sequence[Mapping[str, Any]], stage_steps: Sequence[int]) -> dict[SubNetwork, float]:
    """FLOPs of a training step of every sub-network."""
    return {
        SubNetwork(depth, patches): flops / steps
        for row in rows
        for depth, patches, flops, steps in zip(
            row["depths"], row["patches"], row["stage_flops"], stage_steps, strict=True
        )
    }


def _estimate_rows(
    survey: StoredStudy,
    trials: Sequence[tuple[Job, FrozenTrial]],
    step_flops: Mapping[SubNetwork, float],
    stage_steps: Sequence[int],
) -> Iterator[dict[str, Any]]:
    """A row a candidate of every search; the trials share the searches of the paths that they share."""
    seen = set()
    for job, trial in trials:
        attributes = trial.user_attrs
        spent = _differences(_stage_ends(attributes["curve"]))
        path: tuple[SubNetwork, ...] = ()
        searches = []
        for k, stage in enumerate(attributes["stages"]):
            chosen = SubNetwork(*stage["chosen"])
            if candidates := [SubNetwork(*c) for c in stage["candidates"]]:
                steps, seed = stage["searched_steps"], derive(job.seed, "draw", k + 1)
                supernet = sum(step_flops[shuffled(candidates, seed, step)] for step in range(steps))
                evaluating = spent[k] - supernet - (stage_steps[k] - steps) * step_flops[chosen]
                searches.append((k + 1, path, stage, steps, supernet, evaluating))
            path = (*path, chosen)
        total = sum(search[-1] for search in searches)
        if abs(total - attributes["search_flops"]) > TOLERANCE * attributes["total_flops"]:
            raise StudyError(
                f"study {survey.name!r}, {job}: its curve has {total:.6g} FLOPs of estimates, the run counted "
                f"{attributes['search_flops']:.6g}; it does not belong to these schedules"
            )
        for stage_number, before, stage, steps, supernet, evaluating in searches:
            if (job.seed, before) in seen:
                continue
            seen.add((job.seed, before))
            shared = {
                "force_growth": survey.config.growth.force_growth,
                "seed": job.seed,
                "stage": stage_number,
                "path_depths": [s.depth for s in before],
                "path_patches": [s.patches for s in before],
                "searched_steps": steps,
                "supernet_flops": supernet,
                "search_flops": evaluating,
                "search_seconds": attributes["search_seconds"] * evaluating / total,
            }
            columns = zip(stage["candidates"], stage["losses"], stage["loss_ses"], stage["costs"], strict=True)
            for (depth, patches), loss, loss_se, cost in columns:
                yield {**shared, "depth": depth, "patches": patches, "loss": loss, "loss_se": loss_se, "cost": cost}


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], info: TableInfo) -> Path:
    """A parquet file of the rows, with what the table was made of in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([{name: row[name] for name in columns} for row in rows])
    table = table.replace_schema_metadata({METADATA: info.model_dump_json().encode()})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    write_atomic(path, buffer.getvalue().to_pybytes())
    return path
