"""Every figure, once: `plot --kind` and the HTML page read this table. Importing it loads neither plotly nor pandas."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from autoprog_search.cost import CostKind
from autoprog_search.errors import ConfigError, StudyError
from autoprog_search.files import write_atomic

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from autoprog_search.study.results import StudyFrames

NO_CHROME = (
    "png: no Chrome for kaleido; `pip install autoprog-search[png]` and a Chrome or Chromium (`plotly_get_chrome` "
    "downloads one) make it work, and .html works without"
)
PNG_WIDTH = 1000  # px, drawn at twice that


@dataclass(frozen=True)
class FigureInfo:
    """A figure of a study.

    Attributes:
        caption: one line that says how to read it.
        draw: (a study's tables, cost) to a plotly figure; raises ConfigError where that cost is not stored for it,
            StudyError where there is nothing to draw yet.
        draw_several: the same of several studies together, where there is such a figure.
        tells: whether a finished study's figure says something that no other does; the page leaves it out otherwise.
    """

    title: str
    caption: str
    draw: Callable[[StudyFrames, CostKind], go.Figure]
    draw_several: Callable[[Sequence[StudyFrames], CostKind], go.Figure] | None = None
    tells: Callable[[StudyFrames], bool] = lambda study: True


def _pareto(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.pareto import pareto_front
    from autoprog_search.report.pareto import draw_pareto_front

    front = pareto_front(study.trials, cost)
    if not len(front.cost):
        raise _nothing_finished(study)
    return draw_pareto_front(front)


def _cost_to_target(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.targets import target_curves
    from autoprog_search.report.cost_to_target import draw_target_curves

    if not (study.trials["state"] == "COMPLETE").any():
        raise _nothing_finished(study)
    curves = target_curves(study.trials, study.config.recipe.epochs, cost)
    return draw_target_curves(curves, "FLOPs" if cost == "flops" else "seconds")


def _schedule(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.schedules import staircases
    from autoprog_search.report.schedules import draw_schedules

    return draw_schedules(staircases(_heads(study)))


def _curves(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.curves import validation_curves
    from autoprog_search.report.curves import draw_curves

    curves = validation_curves(study.curves, _heads(study), cost)
    if not curves:
        raise StudyError(f"study {study.config.name!r} has no learning curves: they were not published")
    return draw_curves(curves)


def _estimates(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.estimates import stage_estimates
    from autoprog_search.report.estimates import draw_estimates

    stored = study.config.growth.search.score_cost
    if cost != stored:
        raise ConfigError(f"cost: this study's estimates are stored against {stored} only, got {cost!r}; use {stored}")
    stages = stage_estimates(study.estimates, study.config.space.patching)
    if not stages:
        raise StudyError(f"study {study.config.name!r} has no one-shot estimates: no finished trial searched")
    return draw_estimates(stages, "FLOPs" if stored == "flops" else "s")


def _clock(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.clock import clocks, rates
    from autoprog_search.report.clock import draw_clocks

    found = clocks(study.clock, _heads(study))
    if not found:
        raise StudyError(f"study {study.config.name!r} has no clock to draw: no finished trial grew under one")
    return draw_clocks(found, rates(study.config.recipe))


def _regret(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.regret import regret_curves, scored
    from autoprog_search.report.regret import draw_regret

    if cost != "flops":
        raise ConfigError(f"cost: regret is drawn against flops only, got {cost!r}; use flops")
    return draw_regret(regret_curves(scored(study)))


def _attainment(study: StudyFrames, cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.attainment import attainment
    from autoprog_search.report.attainment import draw_attainment

    found = attainment(study.trials, cost)
    if not found.attained:
        raise _nothing_finished(study)
    return draw_attainment(found)


def _performance(studies: Sequence[StudyFrames], cost: CostKind) -> go.Figure:
    from autoprog_search.analysis.performance import performance_profile
    from autoprog_search.report.performance import draw_performance

    for study in studies:
        if not (study.trials["state"] == "COMPLETE").any():
            raise _nothing_finished(study)
    return draw_performance(performance_profile(studies, cost), "FLOPs" if cost == "flops" else "seconds")


def _sweeps(study: StudyFrames) -> bool:
    """Whether a method has several lengths, so that there is a curve to meet the target."""
    return bool((study.trials.groupby("method")["scheduled_epochs"].nunique() > 1).any())


def _searches(study: StudyFrames) -> bool:
    """Whether a method has several trials of one length and seed."""
    done = study.trials[study.trials["state"] == "COMPLETE"]
    return bool((done.groupby(["method", "seed", "scheduled_epochs"], dropna=False).size() > 1).any())


def _has_fronts(study: StudyFrames) -> bool:
    """Whether a method has several trials on several seeds."""
    done = study.trials[study.trials["state"] == "COMPLETE"]
    trials = done.groupby(["method", "seed"]).size()
    return bool((trials[trials > 1].groupby("method").size() > 1).any())


def _has_free_clock(study: StudyFrames) -> bool:
    """Whether a method may grow at any tick."""
    return any(study.config.space_of(method).clock == "free" for method in study.config.methods)


def _heads(study: StudyFrames) -> pd.DataFrame:
    from autoprog_search.analysis.headline import headline

    heads = headline(study.trials, study.config.tolerance)
    if heads.empty:
        raise _nothing_finished(study)
    return heads


def _nothing_finished(study: StudyFrames) -> StudyError:
    return StudyError(f"study {study.config.name!r} has no finished trial yet; run it first")


FIGURES: dict[str, FigureInfo] = {
    "pareto": FigureInfo(
        "Accuracy against cost",
        "Every finished trial of every seed: test top-1 against the cost of training and search. Steps: the best a "
        "method reached at that cost or less (its filled points); broad grey: the best of all methods.",
        _pareto,
    ),
    "cost-to-target": FigureInfo(
        "Cost to target",
        "Test top-1 (mean over seeds, bars: one standard error) against cost, a point a training length, full training "
        "at the recipe's epochs = 1. Dashed: the target, full's accuracy minus 0.2 points; a ring where a method's "
        "(non-decreasing) curve meets it. The further left, the cheaper; the legend says how many times. Runs that end "
        "more than 3 points below the target lie outside.",
        _cost_to_target,
        tells=_sweeps,
    ),
    "schedule": FigureInfo(
        "Growth schedules",
        "What trained when, for the headline trial of each method and seed. Lines are shifted a little vertically so "
        "that no method hides another.",
        _schedule,
    ),
    "curves": FigureInfo(
        "Validation accuracy over the cost spent",
        "The headline trials, a line a seed: validation top-1 after each epoch against the FLOPs spent until then, "
        "search included.",
        _curves,
    ),
    "estimates": FigureInfo(
        "One-shot estimates",
        "What each search saw when its stage opened: a candidate's estimated loss (bars: one standard error over the "
        "images) against the cost of its training step. Stars were chosen.",
        _estimates,
    ),
    "clock": FigureInfo(
        "When the networks grew",
        "The headline trials under a free clock, an axis a column, below the recipe's learning rate; a line is thick "
        "from the growth on. Diamond: the probe; bars across: the deadline, as known at each decision. Above the line "
        "the steps that the growth was expected to take to mix, below it those after which the training loss was back; "
        "as numbers on the right.",
        _clock,
        tells=_has_free_clock,
    ),
    "regret": FigureInfo(
        "Regret over compute",
        "How much of the best hypervolume (of cost and accuracy) a method's trials so far leave out, against what they "
        "took: interquartile mean over seeds and 95 % bootstrap band. On a table: of all schedules, by its mean "
        "validation accuracies; else of all trials of the seed, by their own, on the seeds that every method has.",
        _regret,
        tells=_searches,
    ),
    "attainment": FigureInfo(
        "Accuracy attained over seeds",
        "The validation accuracy that half of a method's seeds attain with a run of that cost or less (line); of up to "
        "five methods also what every seed and the best seed attain (band). The best of several trials counts, so that "
        "noise favours methods of many.",
        _attainment,
        tells=_has_fronts,
    ),
    "profile": FigureInfo(
        "Performance profile",
        "On how many seeds of the studies a method solves the problem, within that multiple of the cheapest solution's "
        "cost: to end no more than 0.5 points of test accuracy below full. All trials that it took are paid.",
        lambda study, cost: _performance([study], cost),
        draw_several=_performance,
        tells=lambda study: False,
    ),
}


def write_figure(figure: go.Figure, path: Path) -> None:
    """Write a figure as a self-contained .html or as a .png.

    Raises:
        ConfigError: another suffix.
        StudyError: a .png without kaleido or without a Chrome that runs; or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".html":
        from autoprog_search.report.layout import CONFIG

        write_atomic(path, figure.to_html(include_plotlyjs=True, config=CONFIG, div_id="figure").encode())
    elif suffix == ".png":
        write_atomic(path, _png(figure))
    else:
        raise ConfigError(f"output: {str(path)!r} ends in {path.suffix!r}; figures are written as .html or .png")


def _png(figure: go.Figure) -> bytes:
    # Not through figure.to_image: that one makes the browser fetch MathJax from the network, which we never use.
    for name in ("kaleido", "choreographer"):  # they log tracebacks of what they then ignore
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        kaleido = import_module("kaleido")
        opts = {"format": "png", "width": PNG_WIDTH, "height": figure.layout.height or 500, "scale": 2}
        return cast(bytes, kaleido.calc_fig_sync(figure.to_dict(), opts=opts, kopts={"mathjax": False}))
    except (ImportError, AttributeError):  # not installed, or older than 1
        raise StudyError(NO_CHROME) from None
    except (RuntimeError, OSError, TimeoutError) as error:
        reason = " ".join(str(error).split())
        missing = type(error).__name__ == "ChromeNotFoundError"
        raise StudyError(NO_CHROME if missing or not reason else f"{NO_CHROME} ({reason[:120]})") from None
