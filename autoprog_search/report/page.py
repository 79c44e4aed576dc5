"""One HTML page that holds a whole study: tables, notes and figures, without any network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from plotly.offline import get_plotlyjs

from autoprog_search.analysis.compare import COLUMNS, compare
from autoprog_search.analysis.findings import findings
from autoprog_search.analysis.margin import MARGIN
from autoprog_search.analysis.verdict import verdicts
from autoprog_search.cost import CostKind
from autoprog_search.errors import AutoProgError
from autoprog_search.methods.registry import METHODS
from autoprog_search.report.colours import colour_of
from autoprog_search.report.figures import FIGURES
from autoprog_search.report.layout import CONFIG
from autoprog_search.report.notes import reading_notes
from autoprog_search.report.page_style import CSS
from autoprog_search.report.texts import HEADERS, comparison_rows
from autoprog_search.report.verdict import verdict_text
from autoprog_search.study.identity import study_hash
from autoprog_search.study.results import StudyFrames

if TYPE_CHECKING:
    from pandas import DataFrame

STATES = {
    "COMPLETE": "finished",
    "PRUNED": "stopped early",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}


def report_page(study: StudyFrames, margin: float = MARGIN) -> str:
    """The study's self-contained HTML page; plotly.js is in it once.

    Args:
        margin: of test accuracy, that may be lost against full (`analysis.noninferiority`), points.
    """
    trials = study.trials
    compared = compare(trials, study.config.tolerance, margin)
    title = f"Study {study.config.name}"
    finished = bool((trials["state"] == "COMPLETE").any())
    sections = [
        _header(study),
        _section("Verdict", _verdicts(trials, compared) if finished else "<p>No trial has finished yet.</p>"),
        *([_section("Comparison", _comparison(compared))] if finished else ()),
        _section("How to read it", _list(reading_notes(findings(trials, study.config.tolerance)))),
        *(_figures(study) if finished else ()),
        _section("Configuration and provenance", _configuration(study)),
    ]
    script = f"<script>{get_plotlyjs()}</script>" if finished else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n{script}\n</head>\n<body>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _header(study: StudyFrames) -> str:
    config, space, trials = study.config, study.config.space, study.trials
    resolutions = [space.patching.image_side(space.at(0, j)) for j in range(len(space.patches))]
    states = trials["state"].value_counts()
    counts = ", ".join(f"{states[state]} {word}" for state, word in STATES.items() if state in states)
    return (
        f"<header><h1>Study {escape(config.name)}</h1>"
        f'<p class="lead">Growth schedules for <b>{escape(space.model)}</b> on <b>{escape(config.data.name)}</b>: '
        f"depth {_value([*space.depths])} of {space.depth} blocks, resolution {_value(resolutions)} px, {space.stages} "
        f"stages in {config.recipe.epochs} epochs. {len(config.methods)} methods, {len(trials)} trials: "
        f"{counts or 'none'}.</p></header>"
    )


def _verdicts(trials: DataFrame, compared: DataFrame) -> str:
    items = ""
    for found in verdicts(trials, compared):
        said = verdict_text(found).removeprefix(found.method)
        items += f"<li>{_swatch(found.method)}<b>{escape(found.method)}</b>{escape(said)}</li>"
    return f'<ul class="verdicts">{items}</ul>'


def _comparison(compared: DataFrame) -> str:
    rows = comparison_rows(compared)
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in HEADERS)
    body = ""
    for row in rows:
        method = row["method"]
        cells = "".join(f"<td>{escape(text)}</td>" for header, text in row.items() if header != "method")
        body += f'<tr><th scope="row">{_swatch(method)}{escape(method)}</th>{cells}</tr>'
    columns = {
        header: "; ".join(COLUMNS[name] for name in names)
        for header, (_, names) in HEADERS.items()
        if header != "method"
    }
    methods = {row["method"]: METHODS[row["method"]].description for row in rows if row["method"] in METHODS}
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"<details><summary>What the columns mean</summary>{_facts(columns)}</details>"
        f"<details><summary>What the methods are</summary>{_facts(methods)}</details>"
    )


def _figures(study: StudyFrames) -> Iterable[str]:
    """The section of each figure that can be drawn, the Pareto front for both costs; why, for one that cannot."""
    stored: CostKind = study.config.growth.search.score_cost
    costs: dict[str, tuple[CostKind, ...]] = {"pareto": ("flops", "seconds"), "estimates": (stored,)}
    for key, info in FIGURES.items():
        if not info.tells(study):
            continue
        for cost in costs.get(key, ("flops",)):
            title = f"{info.title}, {'FLOPs' if cost == 'flops' else 'seconds'}" if key == "pareto" else info.title
            try:
                figure = info.draw(study, cost)
            except AutoProgError as error:
                yield _section(title, f"<p>{escape(str(error))}.</p>")
                continue
            drawn = figure.to_html(
                full_html=False, include_plotlyjs=False, config=CONFIG, div_id=f"figure-{key}-{cost}"
            )
            caption = f'<p class="caption">{escape(info.caption)}</p>'
            yield _section(title, f'<div class="plot">{drawn}</div>{caption}')


def _configuration(study: StudyFrames) -> str:
    done = study.trials[study.trials["state"] == "COMPLETE"]
    provenance: dict[str, Any] = {
        "device": [str(d) for d in done["device"].dropna().unique() if d],
        "versions": [json.loads(versions) for versions in done["versions"].dropna().unique()],
        "config hash": study_hash(study.config),
    }
    # The storage's URL is left out: it may hold a password.
    stored = study.config.model_dump(mode="json", exclude={"name", "storage"})
    groups = {name: value for name, value in stored.items() if isinstance(value, dict)}
    groups["study"] = {name: value for name, value in stored.items() if not isinstance(value, dict)}
    parts = "".join(f"<div><h3>{escape(name)}</h3>{_facts(values)}</div>" for name, values in groups.items())
    return f'{_facts(provenance)}<details><summary>All settings</summary><div class="columns">{parts}</div></details>'


# ── HTML ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _swatch(method: str) -> str:
    return f'<span class="swatch" style="background:{colour_of(method)}"></span>'


def _section(title: str, html: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{html}</section>"


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def _facts(facts: Mapping[str, Any]) -> str:
    """A table of two columns."""
    rows = "".join(f"<tr><th scope='row'>{escape(k)}</th><td>{escape(_value(v))}</td></tr>" for k, v in facts.items())
    return f'<div class="scroll"><table class="facts">{rows}</table></div>'


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_value(v)}" for k, v in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(_value(v) for v in value) or "–"
    return "–" if value is None or value == "" else str(value)
