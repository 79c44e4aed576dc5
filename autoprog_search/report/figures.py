"""Every figure, once: `plot --kind` and the HTML page read this table. Importing it loads neither plotly nor pandas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING

from autoprog_search.cost import CostKind
from autoprog_search.errors import ConfigError, printable
from autoprog_search.report import of_study, silent

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from autoprog_search.study.results import StudyFrames


@dataclass(frozen=True)
class FigureInfo:
    """A figure of a study.

    Attributes:
        caption: one line that says how to read it.
        ink: (a study's tables, cost) to a plotly figure; raises ConfigError where that cost is not stored for it,
            StudyError where there is nothing to draw.
        silent: why a finished study's page leaves it out, since it would say nothing, or nothing that no other does;
            empty where it tells something.
        several: the same of several studies together, where there is such a figure.
    """

    title: str
    caption: str
    ink: Callable[[StudyFrames, CostKind], go.Figure]
    silent: Callable[[StudyFrames], str] = lambda study: ""
    several: Callable[[Sequence[StudyFrames], CostKind], go.Figure] | None = None

    def draw(self, study: StudyFrames, cost: CostKind) -> go.Figure:
        """The figure of a study, whatever its methods are called; raises as `ink` does."""
        return self.ink(with_plain_names(study), cost)

    def draw_several(self, studies: Sequence[StudyFrames], cost: CostKind) -> go.Figure:
        """The figure of several studies, or of one; raises as `several` does."""
        if self.several is None:
            raise ConfigError(f"{self.title}: draws one study, got {len(studies)}")
        return self.several([with_plain_names(study) for study in studies], cost)


def with_plain_names(study: StudyFrames) -> StudyFrames:
    """The study with its methods' names as plotly shows them: it takes tags and %{...} in a text for its own."""
    tables = {name: getattr(study, name) for name in ("trials", "curves", "estimates", "clock")}
    named = {name: table for name, table in tables.items() if "method" in table}
    names = {method: _plain(method) for table in named.values() for method in table["method"].unique()}
    plain = {name: table.assign(method=table["method"].map(names)) for name, table in named.items()}
    return replace(study, **plain)


def _plain(name: str) -> str:
    return escape(printable(str(name)), quote=False).replace("%", "&#37;")


FIGURES: dict[str, FigureInfo] = {
    "pareto": FigureInfo(
        "Accuracy against cost",
        "Every finished trial of every seed: test top-1 against the cost of training and search. Steps: the best a "
        "method reached at that cost or less (its filled points); broad grey: the best of all methods.",
        of_study.pareto,
    ),
    "cost-to-target": FigureInfo(
        "Cost to target",
        "Test top-1 (mean over seeds, bars: one standard error) against cost, a point a training length, full training "
        "at the recipe's epochs = 1. Dashed: the target, full's accuracy minus 0.2 points; a ring where a method's "
        "(non-decreasing) curve meets it. The further left, the cheaper; the legend says how many times. Runs that end "
        "more than 3 points below the target lie outside.",
        of_study.cost_to_target,
        silent.one_length,
    ),
    "schedule": FigureInfo(
        "Growth schedules",
        "What trained when, for the headline trial of each method and seed. Lines are shifted a little vertically so "
        "that no method hides another.",
        of_study.schedule,
    ),
    "curves": FigureInfo(
        "Validation accuracy over the cost spent",
        "The headline trials, a line a seed: validation top-1 after each epoch against the FLOPs spent until then, "
        "search included. Rings: the network grows.",
        of_study.curves,
    ),
    "estimates": FigureInfo(
        "One-shot estimates",
        "What each search saw when its stage opened: a candidate's estimated loss (bars: one standard error over the "
        "images) against the cost of one of its training steps. Large and filled: chosen.",
        of_study.estimates,
    ),
    "ranks": FigureInfo(
        "Estimated against true rank",
        "Where what the searches put on each place (by estimated loss) comes out when it is trained: mean true rank by "
        "validation accuracy, from a table of all schedules. On the dotted line estimates are right; a flat line says "
        "nothing.",
        of_study.ranks,
    ),
    "parallel": FigureInfo(
        "All schedules side by side",
        "Every finished trial, a line: the size of each stage that differs between trials, then cost and validation "
        "top-1. Lines of equal sizes lie side by side.",
        of_study.parallel,
    ),
    "importance": FigureInfo(
        "What decides accuracy and cost",
        "How much of the variance between drawn schedules each stage's depth and resolution explain (Optuna's fANOVA, "
        "seeds' means taken out). It takes sizes for independent; a schedule never shrinks, so later stages share "
        "what earlier ones decide.",
        of_study.importance,
    ),
    "clock": FigureInfo(
        "When the networks grew",
        "The headline trials under a free clock, an axis a column, below the recipe's learning rate; a line is thick "
        "from the growth on. Diamond: the probe; bars across: the deadline, as known at each decision. Above the line "
        "the steps that the growth was expected to take to mix, below it those after which the training loss was back; "
        "as numbers on the right.",
        of_study.clock,
        silent.given_stages,
    ),
    "loading": FigureInfo(
        "Waiting for images",
        "Share of each stage's training time that a method's finished runs waited for the loader: where it is large, "
        "fewer FLOPs save no seconds.",
        of_study.loading,
        silent.no_waiting,
    ),
    "regret": FigureInfo(
        "Regret over compute",
        "How much of the best hypervolume (of cost and accuracy) a method's trials so far leave out, against what they "
        "took: interquartile mean over seeds and 95 % bootstrap band. On a table: of all schedules, by its mean "
        "validation accuracies; else of all trials of the seed, by their own, on the seeds that every method has.",
        of_study.regret,
        silent.no_search,
    ),
    "attainment": FigureInfo(
        "Accuracy attained over seeds",
        "The validation accuracy that half of a method's seeds attain with a run of that cost or less (line); of up to "
        "five methods also what every seed and the best seed attain (band). The best of several trials counts, so that "
        "noise favours methods of many.",
        of_study.attainment,
        silent.no_front,
    ),
    "profile": FigureInfo(
        "Performance profile",
        "On how many seeds of the studies a method solves the problem, within that multiple of the cheapest solution's "
        "cost: to end no more than 0.5 points of test accuracy below full. All trials that it took are paid.",
        lambda study, cost: of_study.performance([study], cost),
        silent.several_studies,
        several=of_study.performance,
    ),
}
