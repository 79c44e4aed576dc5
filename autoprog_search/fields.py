"""Fields that users set: their types, which are finite and bounded, and the one line for a wrong one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from autoprog_search.errors import AutoProgError, ConfigError, shown, there_are
from autoprog_search.values import DEPTH_LIMIT, LARGEST, UNPRINTABLE

TEXT_LENGTH = 4096
"""Characters of a name, a path or a description: Linux's longest path."""

OPTION_DEPTH = DEPTH_LIMIT // 2
"""Brackets within brackets of options, which stand within others themselves when they are stored."""

MOST_WORKERS = 1024  # processes or threads: a bound that nobody should meet


class Settings(BaseModel):
    """A group of fields. Frozen; no others than these; every number finite.

    Attributes:
        also: names that are read as well, and become one of the fields, with what they mean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    also: ClassVar[dict[str, str]] = {}

    @staticmethod
    def became(name: str, value: Any) -> str | None:
        """What to say of a field that was one of these before; None where there never was one."""
        return None


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):  # Python counts with them
        raise ValueError("a truth value is no number")
    return value


def check_text(value: str) -> str:
    """The text, if a YAML file can hold it.

    Raises:
        ValueError: it is too long, or holds control characters.
    """
    if len(value) > TEXT_LENGTH:
        raise ValueError(f"{len(value):,} characters are more than {TEXT_LENGTH:,}")
    if found := UNPRINTABLE.search(value):
        raise ValueError(f"character {found.start() + 1} is {found.group()!r}, no text")
    return value


def _check_options(value: Any, *, depth: int = 0) -> Any:
    if depth > OPTION_DEPTH:
        raise ValueError(f"more than {OPTION_DEPTH} brackets within brackets")
    if isinstance(value, Mapping):
        for name, part in value.items():
            if not isinstance(name, str):
                raise ValueError(f"the key {shown(name)} is no text")
            check_text(name)
            _check_options(part, depth=depth + 1)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_options(part, depth=depth + 1)
    elif isinstance(value, str):
        check_text(value)
    elif isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:  # so that NaN is refused
        raise ValueError(f"{shown(value)} is not finite, or beyond {LARGEST:.0e}")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth)]


def _whole_if_it_is(value: float) -> float:
    return int(value) if value == int(value) else value


Epochs = Annotated[
    float,
    BeforeValidator(_no_truth),
    Field(gt=0),
    AfterValidator(_whole_if_it_is),
    PlainSerializer(_whole_if_it_is, return_type=int | float),
]
"""A length; a whole number stays one, in files and hashes too."""
Real = Annotated[float, BeforeValidator(_no_truth), Field(ge=-LARGEST, le=LARGEST)]
Text = Annotated[str, AfterValidator(check_text)]
Options = Annotated[dict[str, Any], AfterValidator(_check_options)]
"""Fields that something else knows, such as timm."""

Model = TypeVar("Model", bound=BaseModel)


def read_fields(model: type[Model], data: Any, where: str, error: type[AutoProgError] = ConfigError) -> Model:
    """Build a configuration object; pydantic's many lines become one that names field and value.

    Args:
        where: begins the message, if anything does.
        error: what to raise for the first wrong field.
    """
    if not isinstance(data, Mapping):
        raise error(f"{where}: {shown(data)} is not a mapping of fields")
    try:
        return model.model_validate(data)
    except ValidationError as found:
        first = found.errors(include_url=False, include_context=False)[0]
    *parents, last = first["loc"] or ("",)
    place = ", ".join(filter(None, (where, ".".join(map(str, first["loc"])))))
    if first["type"] == "extra_forbidden":
        group = group_at(model, parents)
        became = group.became(str(last), first["input"]) if group and issubclass(group, Settings) else None
        raise error(f"{place}: {became or unknown_field(str(last), fields_at(model, parents), first['input'])}")
    if first["type"] == "missing":
        raise error(f"{place}: missing; the field is required")
    got = "" if last == "storage" else f", got {shown(first['input'])}"  # which may hold a password
    raise error(f"{place}: {first['msg'].removeprefix('Value error, ')}{got}")


def flat(settings: BaseModel, before: str = "") -> dict[str, Any]:
    """Every field by its path; those of groups within it, such as `search.share`, too."""
    values: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        values |= flat(value, f"{before}{name}.") if isinstance(value, BaseModel) else {f"{before}{name}": value}
    return values


def unknown_field(name: str, known: Sequence[str], value: Any) -> str:
    """What to say of a field that is none."""
    return f"unknown field; {there_are(name, known)}; got {shown(value)}"


def fields_at(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Names of the fields at a place within a group of fields; none where anything may stand."""
    group = group_at(model, path)
    if group is None:
        return []
    return [*(name for name, field in group.model_fields.items() if not field.exclude), *getattr(group, "also", ())]


def group_at(model: type[BaseModel], path: Sequence[Any]) -> type[BaseModel] | None:
    """The fields at a place within a group of fields; None where anything may stand."""
    annotation: Any = model
    for name in path:
        if (group := _group(annotation)) is not None:
            annotation = group.model_fields[name].annotation if name in group.model_fields else None
        else:  # of a mapping: what its values are
            annotation = get_args(annotation)[-1] if get_args(annotation) else None
    return _group(annotation)


def _group(annotation: Any) -> type[BaseModel] | None:
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType] if NoneType in get_args(annotation) else []
    kind = kinds[0] if len(kinds) == 1 else annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
