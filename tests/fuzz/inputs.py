"""Inputs for the fuzzer: every valid file of the project, and every field that `--set` reaches, changed at random."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from autoprog_search.errors import ConfigError
from autoprog_search.fields import fields_at
from autoprog_search.files import read_yaml
from autoprog_search.methods.fixed import linear
from autoprog_search.methods.registry import METHODS
from autoprog_search.schedule import GrowthSchedule
from autoprog_search.settings.recipe import RECIPES
from autoprog_search.settings.retired import stored_study
from autoprog_search.space import PRESETS, GrowthSpace
from autoprog_search.study.config import StudyConfig
from autoprog_search.values import dump_yaml, parse_yaml
from tests.published import FOLDERS

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Input:
    """A file of some kind, and what `--set` changes of it; of a study made on the command line there is no file."""

    kind: str  # space, recipe, study, schedule, options
    data: bytes = b""
    overrides: tuple[str, ...] = ()


NASTY = (
    *(
        ".inf",
        "-.inf",
        ".nan",
        "1e300",
        "1e999",
        "1e-400",
        "-1",
        "0",
        "-0.0",
        "2.5",
        "2e1",
        "1e6",
        "1e9",
        "1e18",
        "9" * 5000,
    ),
    *(str(10**30), str(2**63), "1e-6", "012", "0o17", "0x1F", "1_000", "1:30", "+1", ".5", "5.", "0b1", "1e"),
    *(
        "yes",
        "no",
        "on",
        "true",
        "~",
        "",
        "''",
        "{}",
        "[]",
        "[[]]",
        "[1, [2, [3]]]",
        "{a: {b: {c: 1}}}",
        "[null, {}]",
        "- 1",
    ),
    *(
        "2024-01-01",
        "2024-13-45",
        "12:00:61",
        "'1e-6'",
        '"1"',
        "=",
        "<<",
        "!",
        "@x",
        "`x",
        "%x",
        "|",
        ">",
        "#",
        "? a",
        ": b",
    ),
    *("!!bool x", "!!timestamp x", "!!int '3'", "!!binary aGk=", "!!python/object:os.system x", "!own 3", "! 3"),
    *(
        "&a [*a]",
        "&a {a: *a}",
        "*a",
        "[&a 1, *a, *a]",
        "{<<: {trials: 2}}",
        "{<<: 3}",
        "{<<: &a [*a]}",
        "{? [1] : 2}",
        "{1: 2}",
    ),
    *(
        "{a: 1, a: 2}",
        "{true: 1, 'true': 2}",
        "a: b: c",
        "a\n---\nb",
        "...",
        "--- 3",
        "\t3",
        "3\t",
        "a\n b",
        "'a\n\n b'",
    ),
    *(
        '"\\0"',
        '"\\e[31m"',
        '"\\ud800"',
        '"\\u202e"',
        "\x00",
        "\x1b[2J",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
        "\ud800",
        "\udcff",
        "é",
    ),
    *(
        "[" * 33 + "]" * 33,
        "{a: " * 17 + "1" + "}" * 17,
        "[" * 30 + "]" * 30,
        "[" * 5000,
        "{a: " * 40 + "1" + "}" * 40,
        "[" + "1, " * 20_000 + "1]",
        "[" + "{}, " * 5000 + "{}]",
    ),
    *(
        "x" * 5000,
        "x" * 200_000,
        "{" + ", ".join(f"a{i}: 1" for i in range(5000)) + "}",
        "[" + ", ".join(["full"] * 500) + "]",
    ),
    "[" + ", ".join(f"&a{i} [*a{i - 1}, *a{i - 1}]" if i else "&a0 [x, x]" for i in range(40)) + "]",
    "[&s " + "x" * 3000 + ", " + "*s , " * 3000 + "*s ]",
    *(
        "digits",
        "table:fashion",
        "table:x.parquet",
        "table:/dev/zero.parquet",
        "../x",
        "full",
        "random",
        "survey",
        "grid",
    ),
)
"""Texts of values that ought to be read right or refused; some are valid in some places."""


@cache
def corpus() -> tuple[tuple[str, str], ...]:
    """(kind, text) of every valid file; published studies of what was taken out since make no others."""
    published = [folder / "study.yaml" for folder in FOLDERS]
    studies = [path for path in published if not stored_study(read_yaml(path, ConfigError))["retired"]]
    files = {
        "space": sorted(PRESETS.glob("*.yaml")),
        "recipe": sorted(RECIPES.glob("*.yaml")),
        "study": [*sorted(studies), ROOT / "tests" / "tiny.yaml"],
    }
    found = [(kind, path.read_text()) for kind, paths in files.items() for path in paths]
    for name in GrowthSpace.presets():
        space = GrowthSpace.load(name)
        found.append(
            (
                "schedule",
                dump_yaml(
                    GrowthSchedule.of(space.part_epochs(100), [space.at(*pair) for pair in linear(space)]).to_dict()
                ),
            )
        )
    found.append(
        ("schedule", "stages:\n- {epochs: 0.5, depth: 4, resolution: 32}\n- {epochs: 1, depth: 6, resolution: 64}\n")
    )
    return tuple(found)


# ── mutations of text ───────────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def mutated_text(draw: DrawFn, text: str) -> str:
    """A few cuts, insertions, repetitions and exchanges."""
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.sampled_from((0, 1, 1, 2, 8, 60))))
        new = draw(
            st.one_of(
                st.just(""),
                st.sampled_from(NASTY),
                st.sampled_from(
                    (":", ": ", "-", "- ", "\n", "  ", "\t", "[", "]", "{", "}", ",", "&a ", "*a", "!", "'", '"', "#")
                ),
                st.text(st.characters(codec=None), max_size=3),
                st.just(text[begin:end] * 2),
            )
        )
        text = text[:begin] + new + text[end:]
    return text


@st.composite
def mutated_bytes(draw: DrawFn, data: bytes) -> bytes:
    """A few bytes changed, whatever text that makes."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        if changed:
            changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    return bytes(changed[: draw(st.integers(0, len(changed)))] if draw(st.integers(0, 9)) == 0 else changed)


# ── mutations of structure ──────────────────────────────────────────────────────────────────────────────────────────


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all parts of a value."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*path, name))


def changed_at(value: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed_at(value[path[0]], path[1:], change)
    return copy


@st.composite
def mutated_structure(draw: DrawFn, text: str) -> str:
    """A few values replaced, keys misspelt, added, repeated or left out."""
    data = parse_yaml(text, ConfigError, "corpus")
    snippets: dict[str, str] = {}

    def nasty() -> str:
        mark = f"@@{len(snippets)}@@"
        snippets[mark] = draw(st.sampled_from(NASTY))
        return mark

    def changed(value: Any) -> Any:
        kind = draw(
            st.sampled_from(("value", "value", "value", "wrap", "repeat", "misspell", "leave out", "add", "other"))
        )
        if kind == "wrap":
            return draw(st.sampled_from(([value], {"a": value}, [value, value])))
        if kind == "repeat" and isinstance(value, list):
            return value * draw(st.sampled_from((0, 2, 1000)))
        if kind == "repeat" and isinstance(value, int | float):
            return value * draw(st.sampled_from((-1, 0, 10, 10**6, 10**15)))
        if isinstance(value, dict) and value:
            name = draw(st.sampled_from(sorted(value)))
            rest = {key: part for key, part in value.items() if key != name}
            if kind == "misspell":
                return {**rest, draw(st.sampled_from((name[:-1], name + "s", name.upper(), nasty()))): value[name]}
            if kind == "leave out":
                return rest
            if kind == "add":
                return {**value, nasty(): nasty()}
        if kind == "other":
            return draw(st.sampled_from([part for _, part in all_parts(data)]))
        return nasty()

    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(data))))
        data = changed_at(data, path, changed)
    written = dump_yaml(data) if draw(st.booleans()) else json.dumps(data)  # block or flow style
    for mark, snippet in snippets.items():
        for quoted in (f"'{mark}'", f'"{mark}"', mark):
            written = written.replace(quoted, snippet)
    return written


def all_parts(value: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Every place of a value and what stands there."""
    found = []
    for path in places(value):
        part = value
        for name in path:
            part = part[name]
        found.append((path, part))
    return found


# ── options ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def field_paths() -> tuple[str, ...]:
    """Every field that `--set` reaches, of a study with the method `full`."""

    def below(path: tuple[str, ...]) -> Iterator[str]:
        for name in fields_at(StudyConfig, path):
            yield ".".join((*path, name))
            yield from below((*path, name))

    free = (
        "recipe.opt_args.eps",
        "space.model_args.embed_dim",
        "methods.full.growth.tie_se",
        "methods.full.space.stages",
    )
    return (*below(()), *(f"methods.full.{name}" for name in fields_at(StudyConfig, ("methods", "full"))), *free)


@st.composite
def overrides(draw: DrawFn) -> str:
    """`field=value`, either of them mutated."""
    path = draw(st.sampled_from(field_paths()))
    if draw(st.integers(0, 5)) == 0:
        path = draw(mutated_text(path))
    value = draw(
        st.one_of(
            st.sampled_from(NASTY),
            st.sampled_from(
                ("1", "2", "0.5", "5e-1", "true", "null", "[1]", "{}", "text", "own", "32", "[3, 6]", "raw")
            ),
            st.integers(-(10**6), 10**6).map(str),
            st.floats().map(str),
            st.sampled_from(sorted(METHODS)).map(lambda name: f"{{{name!r}: {{trials: 3}}}}"),
            st.sampled_from([text for kind, text in corpus() if kind != "schedule"]).flatmap(mutated_text),
        )
    )
    return draw(st.sampled_from((f"{path}={value}",) * 9 + (path + value,)))


@st.composite
def inputs(draw: DrawFn) -> Input:
    """Anything that a user may hand to the package as values."""
    chosen = draw(st.integers(0, 9))
    if chosen < 3:
        return Input("options", overrides=tuple(draw(st.lists(overrides(), min_size=1, max_size=3))))
    kind, text = draw(st.sampled_from(corpus()))
    extra = tuple(draw(st.lists(overrides(), max_size=2))) if kind == "study" and chosen == 3 else ()
    if chosen == 9:
        return Input(kind, draw(mutated_bytes(text.encode())))
    written = draw(mutated_structure(text) if chosen < 7 else mutated_text(text))
    return Input(kind, written.encode(errors="surrogatepass"), extra)
