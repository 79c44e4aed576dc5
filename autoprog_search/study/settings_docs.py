"""Every field that `--set` and a study.yaml know: its type, its bounds, its default, and what it means.

All of it is read off the configuration's own classes; what a field means stands in their docstrings' `Attributes:`
sections and nowhere else. An entry there may name several fields (`mixup, cutmix: ...`), and go on with others in the
same paragraph (`... sched: ... min_lr: ...`). A name that is no field is another way to write fields in a file.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from inspect import cleandoc
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from autoprog_search.errors import ConfigError
from autoprog_search.study.config import StudyConfig
from autoprog_search.values import LARGEST

STUDY = "study"
"""The group of the fields that stand at the top."""

NAME = "NAME"
"""Stands for a method's name in `methods.NAME.trials`."""

REQUIRED, FIELDS, MAPPING = "required", "fields", "mapping"
NO_BOUND = LARGEST  # that every number has


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of the configuration.

    Attributes:
        path: as one types it after `--set`.
        group: the fields it stands among: what comes before its last dot, or `study`.
        kind: its type in words, with its bounds or its choices.
        default: plain data; None too where it is required.
        required: whether there is no default.
        text: what it means.
    """

    path: str
    group: str
    kind: str
    default: Any
    required: bool
    text: str

    @property
    def default_text(self) -> str:
        """The default as one types it."""
        if self.required:
            return REQUIRED
        return self.default if isinstance(self.default, str) and self.default else json.dumps(self.default)

    @property
    def summary(self) -> str:
        """The first sentence of its text."""
        found = re.match(r".*?[.](?=\s+[A-Z`])", self.text)
        return (found[0] if found else self.text).rstrip(".")


@cache
def settings() -> tuple[Setting, ...]:
    """Every field, group by group, those at the top first."""
    return tuple(_settings_of(StudyConfig, ""))


def groups() -> dict[str, str]:
    """Every group of fields, and what it is for: the first paragraph of its class."""
    return {STUDY: _about(StudyConfig)} | {path: _about(model) for path, model in _groups(StudyConfig, "")}


def find(name: str) -> tuple[Setting, ...]:
    """The field of that path, and those below it; of a group, all its fields.

    What a method changes (`methods.full.trials`, `methods.linear+a.growth.operator`) and what lies in a mapping
    (`recipe.opt_args.eps`) is found as well.

    Raises:
        ConfigError: there is none; the nearest names are said.
    """
    wanted = _general(name)
    found = tuple(s for s in settings() if s.path == wanted or s.path.startswith(f"{wanted}.") or s.group == wanted)
    if found:
        return found
    above = next((s for s in settings() if s.kind == MAPPING and wanted.startswith(f"{s.path}.")), None)
    if above is None:
        raise ConfigError(f"config: there is no field {name!r}; {_near(wanted, [s.path for s in settings()])}")
    return (above,)


def group_named(name: str) -> str:
    """The group of that name.

    Raises:
        ConfigError: there is none; the nearest names are said.
    """
    known = {group: group for group in groups()} | {"methods": f"methods.{NAME}"}
    if name not in known:
        raise ConfigError(f"config: there is no group {name!r}; {_near(name, list(groups()))}")
    return known[name]


def _general(name: str) -> str:
    """The path with NAME for a method's name; what a method changes is a field of the study's."""
    parts = name.split(".")
    if parts[0] == "methods" and len(parts) > 3 and parts[2] in ("growth", "space"):
        return ".".join(parts[2:])
    return ".".join(["methods", NAME, *parts[2:]]) if parts[0] == "methods" and len(parts) > 1 else name


def _near(name: str, known: list[str]) -> str:
    def likeness(path: str) -> float:
        last = (name.rpartition(".")[2], path.rpartition(".")[2])
        return max(SequenceMatcher(None, *pair).ratio() for pair in ((name, path), last))

    return f"near it are {', '.join(sorted(known, key=likeness, reverse=True)[:5])}"


# ── classes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _settings_of(model: type[BaseModel], path: str) -> Iterator[Setting]:
    texts, group = attribute_docs(model), path.rstrip(".") or STUDY
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        kind = _kind(field.annotation, field.metadata)
        default = field.get_default(call_default_factory=True)
        plain = _plain(default) if not field.is_required() else None
        yield Setting(f"{path}{name}", group, kind, plain, field.is_required(), texts.get(name, ""))
    for name in texts:
        if name not in model.model_fields:
            yield Setting(f"{path}{name}", group, "in files, instead of other fields", None, False, texts[name])
    for name, field in model.model_fields.items():
        if (inner := _group_in(field.annotation)) is not None:
            yield from _settings_of(inner[1], f"{path}{name}.{inner[0]}")


def _groups(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        if (inner := _group_in(field.annotation)) is not None:
            below = f"{path}{name}.{inner[0]}"
            yield below.rstrip("."), inner[1]
            yield from _groups(inner[1], below)


def _group_in(annotation: Any) -> tuple[str, type[BaseModel]] | None:
    """The fields that a field consists of, and what stands before their names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "", annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict and (inner := _group_in(arguments[1])) is not None:
        return f"{NAME}.{inner[0]}", inner[1]
    if origin in (Union, types.UnionType):
        return next((inner for part in arguments if (inner := _group_in(part)) is not None), None)
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {}  # all defaults of its own
    return json.loads(json.dumps(value))  # tuples become lists, as in a file


def _about(model: type[BaseModel]) -> str:
    return " ".join(cleandoc(model.__doc__ or "").partition("Attributes:")[0].split())


# ── docstrings ──────────────────────────────────────────────────────────────────────────────────────────────────────

_NAMES = r"\w+(?:, \w+)*"


def attribute_docs(model: type[BaseModel]) -> dict[str, str]:
    """What a class' docstring says of each name in its `Attributes:` section."""
    section = cleandoc(model.__doc__ or "").partition("Attributes:\n")[2]
    section = re.split(r"\n(?=\S)", section)[0]  # up to the next section
    # A new entry is indented once, its further lines deeper.
    entries = [" ".join(entry.split()) for entry in re.split(r"(?:^|\n) {4}(?=\S)", section) if entry.strip()]
    known = {*model.model_fields, *(name for entry in entries for name in _names_of(entry))}
    said: dict[str, list[tuple[int, str]]] = {}
    for entry in entries:
        for part in _parts(entry, known):
            names, _, text = part.partition(": ")
            for name in names.split(", "):
                said.setdefault(name, []).append((names.count(","), text))
    # What is said of a field alone goes before what is said of several.
    return {name: " ".join(text for _, text in sorted(texts, key=lambda t: t[0])) for name, texts in said.items()}


def _names_of(entry: str) -> list[str]:
    found = re.match(f"({_NAMES}): ", entry)
    return found[1].split(", ") if found else []


def _parts(entry: str, known: set[str]) -> Iterator[str]:
    """An entry, cut before every `name: ` or `name, name: ` of known names that begins a sentence."""
    cuts = [m.start(1) for m in re.finditer(rf"(?:^|(?<=[.;] ))({_NAMES}): ", entry) if {*m[1].split(", ")} <= known]
    for start, end in zip(cuts, [*cuts[1:], len(entry)], strict=True):
        yield entry[start:end].strip().rstrip(";")


# ── types ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Any: "anything"}
_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def _kind(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """A type in words, with its bounds; lists as YAML writes them."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0], [*arguments[1:], *metadata])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " | ".join("null" if part is types.NoneType else _kind(part, metadata) for part in arguments)
    if origin is tuple:
        return f"[{', '.join('...' if part is Ellipsis else _kind(part) for part in arguments)}]"
    if _group_in(annotation) is not None:
        return FIELDS
    if origin is dict:
        return MAPPING
    return " ".join(filter(None, (_WORDS.get(annotation, str(annotation)), _bounds(metadata))))


def _bounds(metadata: Sequence[Any]) -> str:
    """For example `≥ 0, < 1`."""
    flat = [m for item in metadata for m in (item.metadata if isinstance(item, FieldInfo) else [item])]
    given = [(sign, getattr(m, name, None)) for name, sign in _SIGNS.items() for m in flat]
    return ", ".join(f"{sign} {bound:.15g}" for sign, bound in given if bound is not None and abs(bound) < NO_BOUND)
