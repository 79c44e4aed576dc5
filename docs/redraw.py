"""Redraw every figure and table of README.md and docs/ that quotes a study: `make docs-figures`.

A page asks for one between two comments, and what stands between them is rewritten from the study's folder:

    <!-- table: studies/digits compare -->          the folder of study.yaml and results.csv, a name in TABLES
    <!-- end -->
    <!-- figure: studies/digits pareto seconds -->  a name in report/figures.py, a cost (flops where none is given)
    <!-- end -->
    <!-- screenshot: studies/digits report -->      of the study's report, a name in docs/screenshots.py
    <!-- end -->

    <!-- columns: results -->                       the columns of a kind of rows, a name in COLUMNS
    <!-- /columns -->

Figures and screenshots need a Chrome (`pip install '.[figures]'`), tables nothing; a test compares the pages' text.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from autoprog_search.analysis import regret
from autoprog_search.analysis.ablations import ablations
from autoprog_search.analysis.compare import compare
from autoprog_search.analysis.findings import last_growths
from autoprog_search.analysis.regret import regret_summary, scored
from autoprog_search.analysis.targets import DRAWS, MARGIN, cost_to_target
from autoprog_search.analysis.validity import validity
from autoprog_search.analysis.verdict import verdicts
from autoprog_search.cost import CostKind
from autoprog_search.errors import AutoProgError, ConfigError
from autoprog_search.files import write_atomic
from autoprog_search.report.figures import FIGURES
from autoprog_search.report.texts import comparison_rows, regret_rows, validity_rows
from autoprog_search.report.verdict import verdict_text
from autoprog_search.report.writing import write_figure
from autoprog_search.runs import row
from autoprog_search.study.results import StudyFrames, published_frames
from autoprog_search.tables.format import ESTIMATES, RUNS
from autoprog_search.tables.loading import table_like
from docs import settings
from docs.screenshots import SHOTS, screenshot
from docs.texts import ablation_rows, described, growth_rows, length_rows, markdown, target_rows

ROOT = Path(__file__).parent.parent
FIGURE_FOLDER = "docs/figures"
BLOCK = re.compile(r"(<!-- (figure|table|screenshot): ([^\n]*?) -->\n)(.*?)(<!-- end -->)", flags=re.DOTALL)
COLUMN_BLOCK = re.compile(r"(<!-- columns: ([^\n]*?) -->\n)(.*?)(<!-- /columns -->)", flags=re.DOTALL)
WIDE = 0.5  # points below full that five seeds can tell
COSTS: dict[str, CostKind] = {"flops": "flops", "seconds": "seconds"}


@dataclass(frozen=True)
class Quote:
    """A figure, table or screenshot that a page asks for.

    Attributes:
        page: the page's file, for messages and for links from it.
        root: the repository; `folder` is the study's, as the page names it from there.
        name: in TABLES, FIGURES or SHOTS.
    """

    page: Path
    root: Path
    kind: str
    folder: str
    name: str
    cost: CostKind

    @property
    def study(self) -> StudyFrames:
        """The study's tables."""
        return _published(self.root / self.folder)

    @property
    def image(self) -> Path:
        """Where the figure or the screenshot lies."""
        cost = f"_{self.cost}" if self.kind == "figure" else ""
        return self.root / FIGURE_FOLDER / f"{self.study.config.name}_{self.name}{cost}.png"

    def link(self, path: Path) -> str:
        """How the page links to a file."""
        return Path(os.path.relpath(path, self.page.parent)).as_posix()


# ── tables: rows, and a sentence that says how to read them ───────────────────────────────────────────────────────


def _compare(study: StudyFrames) -> tuple[str, str]:
    config = study.config
    shorter = " (full-short: fewer, to autoprog's cost)" if "full-short" in config.methods else ""
    return markdown(comparison_rows(compare(study.trials, config.tolerance))), (
        f"All methods scheduled for {config.recipe.epochs} epochs{shorter}. ±: standard error over seeds; differences "
        "are paired by seed, with Student's t interval; costs and speed-ups include the search; spent: FLOPs of all "
        "trials that finding the schedule took, over one run of full."
    )


def _verdict(study: StudyFrames) -> tuple[str, str]:
    compared = compare(study.trials, study.config.tolerance)
    return "\n".join(f"- {verdict_text(found)}" for found in verdicts(study.trials, compared)), (
        "What `study compare` says first. Points of test accuracy against full of the same seed, with a 95 % interval; "
        "numbers of seeds are for a power of 80 % at the spread measured."
    )


def _targets(study: StudyFrames) -> tuple[str, str]:
    epochs = study.config.recipe.epochs
    table = cost_to_target(study.trials, epochs)
    targets = table[table["method"] == "full"].groupby("split")["target"].first()
    return markdown(target_rows(table)), (
        f"How many times cheaper than {epochs} epochs of full each method reaches full's accuracy minus {MARGIN:g} "
        f"points ({targets['test']:.2f} % on the test split, {targets['validation']:.2f} % on validation), search "
        f"included unless a column says without. Intervals: bootstrap over paired seeds, {DRAWS:,} draws; 0 as an end: "
        "some draws do not reach it."
    )


def _targets_by_length(study: StudyFrames) -> tuple[str, str]:
    trials = study.trials
    lengths = sorted(
        trials.loc[(trials["method"] == "full") & (trials["state"] == "COMPLETE"), "scheduled_epochs"].unique()
    )
    tables = {epochs: (cost_to_target(trials, epochs, WIDE), cost_to_target(trials, epochs)) for epochs in lengths}
    named = ", ".join(f"{epochs:g}" for epochs in lengths)
    return markdown(length_rows(tables)), (
        f"How many times fewer FLOPs than {named} epochs of full each method takes to full's test accuracy minus "
        f"{WIDE:g} points; after the semicolon minus {MARGIN:g}. Search included; a method's curve is through all its "
        f"lengths. Intervals: bootstrap over paired seeds, {DRAWS:,} draws; 0 as an end: some draws do not reach it."
    )


def _ablations(study: StudyFrames) -> tuple[str, str]:
    epochs = study.config.recipe.epochs
    return markdown(ablation_rows(ablations(study.trials, epochs))), (
        f"All scheduled for {epochs} epochs (equal compute trains longer). ±: standard error over seeds; differences "
        "are in validation accuracy, paired by seed, with Student's t interval; FLOPs include the search. Growth: "
        "validation accuracy of the reported EMA just before and after it (autoprog's: into the supernet)."
    )


def _regret(study: StudyFrames) -> tuple[str, str]:
    return markdown(regret_rows(regret_summary(scored(study)))), (
        "Costs in runs of full; regret: share of the best hypervolume left out by a seed's trials, interquartile mean "
        "and 95 % bootstrap interval; until autoprog's run: FLOPs until a trial is as accurate in truth as autoprog's "
        "run and no dearer, median over seeds (never: seeds that never get there)."
    )


def _validity(study: StudyFrames) -> tuple[str, str]:
    config = study.config
    table = table_like(config.space, config.recipe, config.data)
    return markdown(validity_rows(validity(table, study.estimates))), (
        f"Against what the candidates came to when trained, from the table `{table.name}`: mean over its seeds but the "
        "search's own. ±: standard error over seeds. `survey+...` are other ways to estimate, from this study; all "
        f"other rows are the table's alone (`autoprog-search table validity {table.name}`)."
    )


def _last_growths(study: StudyFrames) -> tuple[str, str]:
    epochs, trials = study.config.recipe.epochs, study.trials
    done = trials[(trials["state"] == "COMPLETE") & (trials["scheduled_epochs"] == epochs)]
    return markdown(growth_rows(last_growths(done))), (
        f"Validation accuracy, means over all runs that were scheduled for {epochs} epochs. Before: of the smaller "
        "network just before the last growth, while the learning rate was still high. End: of the full network, once "
        "it had decayed."
    )


TABLES: dict[str, Callable[[StudyFrames], tuple[str, str]]] = {
    "compare": _compare,
    "verdict": _verdict,
    "targets": _targets,
    "targets-by-length": _targets_by_length,
    "ablations": _ablations,
    "validity": _validity,
    "regret": _regret,
    "last-growths": _last_growths,
}

COLUMNS = {
    "results": row.COLUMNS,
    "curves": row.columns_of(row.CurveRow),
    "estimates": row.columns_of(row.EstimateRow),
    "clock": row.columns_of(row.ClockRow),
    "table": RUNS,
    "table estimates": ESTIMATES,
    "regret": tuple(row.Column(name, "", text) for name, text in regret.COLUMNS.items()),
}

# ── pages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def pages(root: Path = ROOT) -> list[Path]:
    """README and the pages of docs, those in its folders too."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def quotes(page: Path, root: Path = ROOT) -> list[Quote]:
    """What a page asks for, in its order.

    Raises:
        ConfigError: a comment that opens or ends nothing, or asks for what there is not.
    """
    text = page.read_text()
    begun, ended = len(re.findall(r"<!-- (?:figure|table|screenshot):", text)), text.count("<!-- end -->")
    if not begun == ended == len(BLOCK.findall(text)):
        raise ConfigError(f"{page}: {begun} comments begin a figure or table and {ended} end one; each needs both")
    return [_quote(page, root, block) for block in BLOCK.finditer(text)]


def rewritten(page: Path, root: Path = ROOT) -> str:
    """The page's text with all that it quotes as the studies say it now."""
    asked = iter(quotes(page, root))
    text = BLOCK.sub(lambda block: f"{block[1]}{quoted(next(asked))}\n{block[5]}", page.read_text())
    return COLUMN_BLOCK.sub(lambda block: f"{block[1]}{_columns(page, block[2])}\n{block[4]}", text)


def _columns(page: Path, name: str) -> str:
    """The columns of that name, as a table."""
    if name not in COLUMNS:
        raise ConfigError(f"{page}: columns: {name!r} is none of {', '.join(COLUMNS)}")
    return described(COLUMNS[name])


def quoted(quote: Quote) -> str:
    """What stands between the two comments."""
    if quote.kind == "table":
        content, reading = TABLES[quote.name](quote.study)
    elif quote.kind == "screenshot":
        content, reading = f"![{SHOTS[quote.name].title}]({quote.link(quote.image)})", f"{SHOTS[quote.name].title}."
    else:
        info = FIGURES[quote.name]
        content, reading = f"![{info.title}, study {quote.study.config.name}]({quote.link(quote.image)})", info.caption
    name, folder = quote.study.config.name, quote.root / quote.folder
    return (
        f"{content}\n\n<sub>{reading} Study `{name}`: [results]({quote.link(folder / 'results.csv')}) under "
        f"[these settings]({quote.link(folder / 'study.yaml')}), written here by `make docs-figures`; to run it again: "
        f"`autoprog-search --root again study create {name} --config {quote.folder}/study.yaml`, then "
        f"`autoprog-search --root again study run {name}`.</sub>"
    )


def _quote(page: Path, root: Path, block: re.Match[str]) -> Quote:
    match block[2], block[3].split():
        case ("table", [folder, name]) if name in TABLES:
            return Quote(page, root, "table", folder, name, "flops")
        case ("screenshot", [folder, name]) if name in SHOTS:
            return Quote(page, root, "screenshot", folder, name, "flops")
        case ("figure", [folder, name]) if name in FIGURES:
            return Quote(page, root, "figure", folder, name, "flops")
        case ("figure", [folder, name, cost]) if name in FIGURES and cost in COSTS:
            return Quote(page, root, "figure", folder, name, COSTS[cost])
    known = {"table": TABLES, "figure": FIGURES, "screenshot": SHOTS}[block[2]]
    more = " [flops|seconds]" if block[2] == "figure" else ""
    raise ConfigError(f"{page}: {block[2]}: {block[3]!r} is not FOLDER NAME{more} with one of {', '.join(known)}")


@lru_cache
def _published(folder: Path) -> StudyFrames:
    return published_frames(folder)


def main() -> None:
    """Redraw the figures, rewrite the pages and docs/settings.md, say which files were written."""
    try:
        for page in pages():
            for quote in quotes(page):
                if quote.kind == "figure":
                    write_figure(FIGURES[quote.name].draw(quote.study, quote.cost), quote.image)
                elif quote.kind == "screenshot":
                    write_atomic(quote.image, screenshot(quote.study, SHOTS[quote.name]))
                if quote.kind != "table":
                    print(quote.image.relative_to(ROOT))
            text = rewritten(page)
            if text != page.read_text():
                write_atomic(page, text.encode())
                print(page.relative_to(ROOT))
        if settings.write():
            print(settings.PAGE.relative_to(ROOT))
    except AutoProgError as error:
        sys.exit(_failed(error))


def _failed(error: AutoProgError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    main()
