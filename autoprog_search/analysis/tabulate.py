"""Tabulate finished studies: one of every schedule, and surveys of AutoProg's searches, become a table's files.

The studies can be killed and resumed like any other; this only reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from autoprog_search.errors import StudyError
from autoprog_search.fields import flat
from autoprog_search.methods.oneshot import survey_paths
from autoprog_search.oneshot.score import SCORES
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.retired import refusal
from autoprog_search.space import GrowthSpace, Levels
from autoprog_search.study.checks import CHOOSING
from autoprog_search.study.identity import study_hash
from autoprog_search.study.store import Job, StoredStudy
from autoprog_search.tables.format import EPOCHS, ESTIMATES, RUNS, TableInfo, estimates_path, write_rows

GRID, SURVEY = "grid", "survey"  # the methods whose trials make a table
Runs = Mapping[tuple[int, Levels], FrozenTrial]
"""The trials of the grid, by seed and schedule."""
Surveys = Sequence[tuple[StoredStudy, Sequence[tuple[Job, FrozenTrial]]]]
"""Studies of `survey` with their trials."""


def tabulate(source: StoredStudy, surveys: Sequence[StoredStudy], path: Path) -> list[Path]:
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
    surveyed = []
    for survey in surveys:
        paths = survey_paths(survey.config.space, survey.config.growth.force_growth)
        surveyed.append((survey, _finished(survey, SURVEY, len(paths))))
    runs = {(job.seed, space.from_parameters(t.params or t.system_attrs["fixed_params"])): t for job, t in trials}
    info = _info(source, runs, surveyed)
    order = {levels: place for place, levels in enumerate(space.enumerate())}
    rows = [_run_row(*key, runs[key]) for key in sorted(runs, key=lambda key: (key[0], order[key[1]]))]
    written = [write_rows(path, rows, RUNS, info)]
    if surveys:
        found = [row for survey, done in surveyed for row in _estimate_rows(survey, done)]
        written.append(write_rows(estimates_path(path), found, ESTIMATES, info))
    return written


def _info(source: StoredStudy, runs: Runs, surveyed: Surveys) -> TableInfo:
    space, any_run = source.config.space, next(iter(runs.values())).user_attrs
    all_steps = round(any_run["full_flops"] / any_run["step_flops_full"])
    return TableInfo(
        **source.config.model_dump(include={"space", "data", "recipe", "growth", "threads"}),
        seeds=source.config.methods[GRID].seeds,
        stage_steps=tuple(round(all_steps * e / any_run["epochs"]) for e in any_run["stage_epochs"]),
        sources={study.name: study_hash(study.config) for study in (source, *(survey for survey, _ in surveyed))},
        search_effects={
            survey.config.growth.force_growth: _search_effect(space, runs, done) for survey, done in surveyed
        },
    )


def _check_same(source: StoredStudy, survey: StoredStudy) -> None:
    """Refuse a survey whose searches are not those of the source's runs."""
    ours, theirs = source.config, survey.config
    pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in ("space", "data", "recipe", "threads")]
    own, other = flat(ours.growth), flat(theirs.growth)
    growth = (own.keys() | other.keys()) - CHOOSING - {"target_speedup"}
    pairs += [(f"growth.{name}", own.get(name), other.get(name)) for name in sorted(growth)]
    for name, a, b in pairs:
        if a != b:
            raise StudyError(f"estimates: {theirs.name} and {ours.name} differ in {name}; make both of one study.yaml")
    search = theirs.growth.search
    if search.score_cost != "flops":
        raise StudyError(f"estimates: {theirs.name} has growth.search.score_cost {search.score_cost!r}; use 'flops'")
    if SCORES[search.score].decrease:
        raise StudyError(f"estimates: {theirs.name} has growth.search.score {search.score!r}; use 'loss_cost'")


def _finished(study: StoredStudy, method: str, needed: int) -> list[tuple[Job, FrozenTrial]]:
    """The method's finished trials; refused where some are missing."""
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
    if any("stage_flops" not in trial.user_attrs for _, trial in done):
        raise StudyError(f"study {name!r}: it ran before runs stored what their stages cost; run one anew")
    return done


def _search_effect(space: GrowthSpace, runs: Runs, done: Sequence[tuple[Job, FrozenTrial]]) -> tuple[float, float, int]:
    """How much more accurate runs with searches are than their schedules without: mean, standard error, runs."""
    differences = []
    for job, trial in done:
        pairs = zip(trial.user_attrs["depths"], trial.user_attrs["patches"], strict=True)
        fixed = runs[job.seed, tuple(space.levels_of(SubNetwork(*pair)) for pair in pairs)]
        differences.append(trial.user_attrs["val_top1"] - fixed.user_attrs["val_top1"])
    error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
    return fmean(differences), error, len(differences)


def _run_row(seed: int, levels: Levels, trial: FrozenTrial) -> dict[str, Any]:
    attributes = trial.user_attrs
    return {
        **{column.name: attributes[column.name] for column in RUNS if column.name in attributes},
        **{f"epoch_{name}": [point[name] for point in attributes["curve"]] for name in EPOCHS},
        "seed": seed,
        "depth_levels": [i for i, _ in levels],
        "patches_levels": [j for _, j in levels],
        "stage_flops": [float(flops) for flops in attributes["stage_flops"]],
    }


def _estimate_rows(survey: StoredStudy, trials: Sequence[tuple[Job, FrozenTrial]]) -> Iterator[dict[str, Any]]:
    """A row a candidate of every search; trials share the searches of the paths that they share: each is taken once."""
    seen = set()
    for job, trial in trials:
        attributes = trial.user_attrs
        path: list[tuple[int, int]] = []
        for k, stage in enumerate(attributes["stages"], start=1):
            if stage["candidates"] and (job.seed, *path) not in seen:
                seen.add((job.seed, *path))
                shared = {
                    "force_growth": survey.config.growth.force_growth,
                    "seed": job.seed,
                    "stage": k,
                    "path_depths": [depth for depth, _ in path],
                    "path_patches": [patches for _, patches in path],
                    "searched_steps": stage["searched_steps"],
                    "supernet_flops": float(stage["supernet_flops"]),
                    "search_flops": float(stage["search_flops"]),
                    "search_seconds": attributes["search_seconds"] * stage["search_flops"] / attributes["search_flops"],
                }
                measured = zip(stage["candidates"], stage["losses"], stage["loss_ses"], stage["costs"], strict=True)
                for (depth, patches), loss, loss_se, cost in measured:
                    yield {**shared, "depth": depth, "patches": patches, "loss": loss, "loss_se": loss_se, "cost": cost}
            depth, patches = stage["chosen"]
            path.append((depth, patches))
