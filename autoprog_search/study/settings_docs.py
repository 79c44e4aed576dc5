"""Every field that `--set` and a study.yaml know: its type, its bounds, its default, and what it means.

All of it is read off the configuration's own classes; what a field means stands below it there, and nowhere else.
"""

from __future__ import annotations

import ast
import json
import re
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from inspect import getsource
from itertools import pairwise
from textwrap import dedent
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
    return tuple(setting for path, model in _groups(StudyConfig) for setting in _settings_of(model, path))


def groups() -> dict[str, str]:
    """Every group of fields, and what it is for: the first paragraph of its class."""
    return {path.rstrip(".") or STUDY: _about(model) for path, model in _groups(StudyConfig)}


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


def _groups(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """A group of fields and all below it, with what stands before their names."""
    yield path, model
    for name, field in model.model_fields.items():
        if (inner := _group_in(field.annotation)) is not None:
            yield from _groups(inner[1], f"{path}{name}.{inner[0]}")


def _settings_of(model: type[BaseModel], path: str) -> Iterator[Setting]:
    """A group's own fields, then the other ways to write them."""
    texts, group = _texts(model), path.rstrip(".") or STUDY
    for name, field in model.model_fields.items():
        if not field.exclude:
            kind = _kind(field.annotation, field.metadata)
            default = _plain(field.get_default(call_default_factory=True)) if not field.is_required() else None
            yield Setting(f"{path}{name}", group, kind, default, field.is_required(), texts.get(name, ""))
    for name, text in getattr(model, "also", {}).items():
        yield Setting(f"{path}{name}", group, "in files, instead of other fields", None, False, text)


def _texts(model: type[BaseModel]) -> dict[str, str]:
    """What stands below each field of a class. Pydantic would look for it whenever the class is made, which is slow."""
    try:
        (made,) = ast.parse(dedent(getsource(model))).body
    except OSError:  # installed without its source
        return {}
    assert isinstance(made, ast.ClassDef), "a class' source is a class"
    texts = {}
    for field, below in pairwise(made.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = " ".join(text.split())
    return texts


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
    return " ".join((model.__doc__ or "").split())


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
