"""One HTML page that holds a whole study: tables, notes and figures, without any network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from autoprog_search.analysis.compare import COLUMNS, compare
from autoprog_search.analysis.findings import findings
from autoprog_search.analysis.headline import headline
from autoprog_search.analysis.margin import MARGIN
from autoprog_search.analysis.verdict import verdicts
from autoprog_search.cost import CostKind
from autoprog_search.errors import AutoProgError
from autoprog_search.methods.registry import METHODS
from autoprog_search.report.document import document, placed, text
from autoprog_search.report.figures import FIGURES
from autoprog_search.report.notes import reading_notes
from autoprog_search.report.page_tables import STATES, comparison_table, swatch, trials_table
from autoprog_search.report.texts import HEADERS
from autoprog_search.report.verdict import verdict_text
from autoprog_search.study.identity import study_hash
from autoprog_search.study.results import StudyFrames


def report_page(study: StudyFrames, margin: float = MARGIN) -> str:
    """The study's self-contained HTML page.

    Args:
        margin: of test accuracy, that may be lost against full (`analysis.noninferiority`), points.
    """
    trials = study.trials
    compared = compare(trials, study.config.tolerance, margin)
    finished = bool((trials["state"] == "COMPLETE").any())
    sections = [
        _header(study),
        _section("Verdict", _verdicts(trials, compared) if finished else "<p>No trial has finished yet.</p>"),
        *([_section("Comparison", _comparison(compared))] if finished else ()),
        _section("How to read it", _list(reading_notes(findings(trials, study.config.tolerance)))),
        *(_figures(study) if finished else ()),
        *([_trials(study)] if len(trials) else ()),
        _section("Configuration and provenance", _configuration(study)),
    ]
    return document(f"Study {study.config.name}", "\n".join(sections))


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _header(study: StudyFrames) -> str:
    config, space, trials = study.config, study.config.space, study.trials
    sides = space.patching.image_sides(space.patches)
    kept = "resolution" if len({*sides}) == len(sides) else f"{_value([*space.patches])} patches of"
    sizes = f"{kept} {_value([*dict.fromkeys(sides)])} px"
    states = trials["state"].value_counts()
    counts = ", ".join(f"{states[state]} {word}" for state, word in STATES.items() if state in states)
    return (
        f"<header><h1>Study {text(config.name)}</h1>"
        f'<p class="lead">Growth schedules for <b>{text(space.model)}</b> on <b>{text(config.data.name)}</b>: '
        f"depth {_value([*space.depths])} of {space.depth} blocks, {sizes}, {space.stages} "
        f"stages in {config.recipe.epochs} epochs. {len(config.methods)} methods, {len(trials)} trials: "
        f"{counts or 'none'}.</p></header>"
    )


def _verdicts(trials: pd.DataFrame, compared: pd.DataFrame) -> str:
    items = ""
    for found in verdicts(trials, compared):
        said = verdict_text(found).removeprefix(found.method)
        items += f"<li>{swatch(found.method)}<b>{text(found.method)}</b>{text(said)}</li>"
    return f'<ul class="verdicts">{items}</ul>'


def _comparison(compared: pd.DataFrame) -> str:
    columns = {
        header: "; ".join(COLUMNS[name] for name in names)
        for header, (_, names) in HEADERS.items()
        if header != "method"
    }
    methods = {name: METHODS[name].description for name in compared["method"] if name in METHODS}
    return (
        f"{comparison_table(compared)}<details><summary>What the columns mean</summary>{_facts(columns)}</details>"
        f"<details><summary>What the methods are</summary>{_facts(methods)}</details>"
    )


def _figures(study: StudyFrames) -> Iterable[str]:
    """A section a figure that tells something, the Pareto front for both costs; last why others are left out."""
    stored: CostKind = study.config.growth.search.score_cost
    costs: dict[str, tuple[CostKind, ...]] = {"pareto": ("flops", "seconds"), "estimates": (stored,)}
    left_out = {}
    for key, info in FIGURES.items():
        if reason := info.silent(study):
            left_out[info.title] = reason
            continue
        for cost in costs.get(key, ("flops",)):
            title = f"{info.title}, {'FLOPs' if cost == 'flops' else 'seconds'}" if key == "pareto" else info.title
            try:
                figure = info.draw(study, cost)
            except AutoProgError as error:
                left_out[title] = str(error)
                continue
            caption = f'<p class="caption">{text(info.caption)}</p>'
            yield _section(title, placed(figure, f"figure-{key}-{cost}") + caption)
    if left_out:
        yield _section("Figures that are left out", _list(f"{title}: {why}." for title, why in left_out.items()))


def _trials(study: StudyFrames) -> str:
    """Closed, since of a large study it is long."""
    table = trials_table(study.trials, headline(study.trials, study.config.tolerance))
    return _section(
        "Trials",
        f"<details><summary>All {len(study.trials):,} trials</summary>{table}</details>"
        '<p class="caption">headline: the trial that stands for its method and seed above.</p>',
    )


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
    parts = "".join(f"<div><h3>{text(name)}</h3>{_facts(values)}</div>" for name, values in groups.items())
    return f'{_facts(provenance)}<details><summary>All settings</summary><div class="columns">{parts}</div></details>'


# ── HTML ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _section(title: str, html: str) -> str:
    return f"<section><h2>{text(title)}</h2>{html}</section>"


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{text(sentence)}</li>" for sentence in sentences) + "</ul>"


def _facts(facts: Mapping[str, Any]) -> str:
    """A table of two columns."""
    rows = "".join(f"<tr><th scope='row'>{text(k)}</th><td>{text(_value(v))}</td></tr>" for k, v in facts.items())
    return f'<div class="scroll"><table class="facts">{rows}</table></div>'


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_value(v)}" for k, v in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(_value(v) for v in value) or "–"
    return "–" if value is None or value == "" else str(value)
