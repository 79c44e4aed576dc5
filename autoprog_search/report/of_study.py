"""Each figure of a study, drawn from its tables: what analysis finds in them, and the ink for it.

Importing it loads neither plotly nor pandas. A function raises ConfigError where that cost is not stored for its
figure, StudyError where the study has nothing to draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoprog_search.cost import CostKind
from autoprog_search.errors import ConfigError, StudyError

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from autoprog_search.study.results import StudyFrames


def pareto(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.pareto import pareto_front
    from autoprog_search.report.pareto import draw_pareto_front

    front = pareto_front(study.trials, cost)
    if not len(front.cost):
        raise nothing_finished(study)
    return draw_pareto_front(front)


def cost_to_target(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.targets import target_curves
    from autoprog_search.report.cost_to_target import draw_target_curves

    if not (study.trials["state"] == "COMPLETE").any():
        raise nothing_finished(study)
    curves = target_curves(study.trials, study.config.recipe.epochs, cost)
    return draw_target_curves(curves, "FLOPs" if cost == "flops" else "seconds")


def schedule(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.schedules import staircases
    from autoprog_search.report.schedules import draw_schedules

    return draw_schedules(staircases(_heads(study)))


def curves(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.curves import validation_curves
    from autoprog_search.report.curves import draw_curves

    curves = validation_curves(study.curves, _heads(study), cost)
    if not curves:
        raise StudyError(f"study {study.config.name!r} has no learning curves: they were not published")
    return draw_curves(curves)


def estimates(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.estimates import stage_estimates
    from autoprog_search.report.estimates import draw_estimates

    stored = study.config.growth.search.score_cost
    if cost != stored:
        raise ConfigError(f"cost: this study's estimates are stored against {stored} only, got {cost!r}; use {stored}")
    stages = stage_estimates(study.estimates)
    if not stages:
        raise StudyError(f"study {study.config.name!r} has no one-shot estimates: no finished trial searched")
    return draw_estimates(stages, "FLOPs" if stored == "flops" else "s")


def clock(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.clock import clocks, rates
    from autoprog_search.report.clock import draw_clocks

    found = clocks(study.clock, _heads(study))
    if not found:
        raise StudyError(f"study {study.config.name!r} has no clock to draw: no finished trial grew under one")
    return draw_clocks(found, rates(study.config.recipe))


def ranks(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.ranks import estimated_ranks
    from autoprog_search.report.ranks import draw_ranks

    if not (study.trials["state"] == "COMPLETE").any():
        raise nothing_finished(study)
    return draw_ranks(estimated_ranks(study))


def importance(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.importance import importance as found_by
    from autoprog_search.analysis.sizes import sizes_of
    from autoprog_search.report.importance import draw_importance

    if not (study.trials["state"] == "COMPLETE").any():
        raise nothing_finished(study)
    return draw_importance(found_by(study), sizes_of(study.trials))


def parallel(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.schedules import parallel_schedules
    from autoprog_search.report.parallel import draw_parallel

    found = parallel_schedules(study.trials, study.config.space.stages, cost)
    if not len(found.values):
        raise nothing_finished(study)
    return draw_parallel(found)


def loading(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.loading import waiting
    from autoprog_search.report.loading import draw_loading

    if not (study.trials["state"] == "COMPLETE").any():
        raise nothing_finished(study)
    found = waiting(study.trials)
    if found.empty:
        raise StudyError(f"study {study.config.name!r} does not say how long its runs waited for images")
    return draw_loading(found)


def regret(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.regret import regret_curves, scored
    from autoprog_search.report.regret import draw_regret

    if cost != "flops":
        raise ConfigError(f"cost: regret is drawn against flops only, got {cost!r}; use flops")
    return draw_regret(regret_curves(scored(study)))


def attainment(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.attainment import attainment
    from autoprog_search.report.attainment import draw_attainment

    found = attainment(study.trials, cost)
    if not found.attained:
        raise nothing_finished(study)
    return draw_attainment(found)


def performance(studies: Sequence[StudyFrames], cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.performance import performance_profile
    from autoprog_search.report.performance import draw_performance

    for study in studies:
        if not (study.trials["state"] == "COMPLETE").any():
            raise nothing_finished(study)
    return draw_performance(performance_profile(studies, cost), "FLOPs" if cost == "flops" else "seconds")


def _heads(study: StudyFrames) -> pd.DataFrame:
    from autoprog_search.analysis.headline import headline

    heads = headline(study.trials, study.config.tolerance)
    if heads.empty:
        raise nothing_finished(study)
    return heads


def nothing_finished(study: StudyFrames) -> StudyError:
    return StudyError(f"study {study.config.name!r} has no finished trial yet; run it first")
