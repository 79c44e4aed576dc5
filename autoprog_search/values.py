"""Values as users write them: YAML 1.2's core schema, the same in files and in `--set`, within limits.

PyYAML reads YAML 1.1, in which `1e-6` and `012` are other things than they look, `no` is false and `2024-01-01` a date.
Here its parser splits the text, on libyaml where there is one, and what the parts mean is said below. Values are built
from the parser's events as they come: what is too deep or too large is refused before it is in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from io import StringIO
from math import inf, nan
from typing import TYPE_CHECKING, Any, NoReturn

from autoprog_search.errors import AutoProgError, ConfigError, shown

if TYPE_CHECKING:
    from yaml import SafeDumper
    from yaml.events import Event

LARGEST = 10**18
"""The largest number anywhere, either sign: whole ones fit in 64 bits."""

TEXT_LIMIT = 64 * 1024
"""Characters of a file or a value, read in a quarter of a second. The longest study.yaml of ours has 6,000."""

SIZE_LIMIT = 4 * TEXT_LIMIT
"""Values and characters when every alias is written out."""

DEPTH_LIMIT = 32
"""Brackets within brackets."""

UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no YAML text holds: control characters, halves of surrogate pairs (bytes that were no UTF-8)."""

NAMED: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + name: inf for sign in ("", "+") for name in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), nan),
}
WHOLE = {10: re.compile("[-+]?[0-9]+"), 8: re.compile("0o[0-7]+"), 16: re.compile("0x[0-9a-fA-F]+")}
FRACTION = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

MERGE = object()
"""The key `<<`."""


def parse_yaml(text: str, error: type[AutoProgError], what: str) -> Any:
    """What a YAML text means; empty is None.

    Infinity and NaN are numbers here: the field that gets one says what it takes. Keys are text, whatever they look
    like. `<<` merges mappings.

    Args:
        error: what to raise where the text is no YAML, or beyond the limits.
        what: begins its message.
    """
    import yaml

    try:
        if len(text) > TEXT_LIMIT:
            raise ValueError(f"it has {len(text):,} characters, more than {TEXT_LIMIT:,}")
        if found := UNPRINTABLE.search(text):
            raise ValueError(f"character {found.start() + 1} is {found.group()!r}, which no YAML text holds")
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return _Builder().build(events)
    except yaml.MarkedYAMLError as reason:
        mark = reason.problem_mark or reason.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise error(f"{what} cannot be read: {reason.problem or reason.context}{place}") from None
    except (ValueError, yaml.YAMLError) as reason:
        raise error(f"{what} cannot be read: {reason}") from None


@dataclass
class _Open:
    """A list or a mapping whose end has not come yet.

    Attributes:
        began: size of all that came before it.
        height: of what is in it, in brackets.
        key: of a mapping, that waits for its value.
        merged: what `<<` brings.
    """

    value: list[Any] | dict[str, Any]
    anchor: str | None
    began: int
    height: int = 1
    key: Any = None
    merged: list[Any] = field(default_factory=list)


class _Builder:
    """Builds the value that a stream of events describes."""

    def __init__(self) -> None:
        self.size = 0
        self.open = [_Open([], None, 0)]  # the document, as the only entry of a list
        self.anchors: dict[str, tuple[Any, int, int] | None] = {}  # value, size, height; None: still open

    def build(self, events: Iterator[Event]) -> Any:
        """The value of the stream's one document."""
        import yaml

        parts: dict[type[Event], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.SequenceStartEvent: lambda event: self._begin(event, []),
            yaml.MappingStartEvent: lambda event: self._begin(event, {}),
            yaml.SequenceEndEvent: self._end,
            yaml.MappingEndEvent: self._end,
            yaml.DocumentStartEvent: self._document,
        }
        for event in events:
            if (part := parts.get(type(event))) is not None:
                part(event)
        documents: Any = self.open[0].value
        return documents[0] if documents else None

    def _document(self, event: Any) -> None:
        if self.open[0].value:
            _refuse(event, "a second document begins")

    def _scalar(self, event: Any) -> None:
        _check_tag(event)
        if found := UNPRINTABLE.search(event.value):  # written as an escape
            _refuse(event, f"the text holds {found.group()!r}")
        plain, parent = event.implicit[0], self.open[-1]
        self._grow(event, 1 + len(event.value))
        if isinstance(parent.value, dict) and parent.key is None:
            value: Any = event.value
            if plain and value == "<<":
                parent.key = MERGE
                return
        else:
            try:
                value = scalar(event.value) if plain else event.value
            except ValueError as reason:
                _refuse(event, str(reason))
        self._put(event, value, 0)
        self._name(event.anchor, value, 1 + len(event.value), 0)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            _refuse(event, f"*{event.anchor} is the name of nothing before it")
        known = self.anchors[event.anchor]
        if known is None:
            _refuse(event, f"*{event.anchor} is within what it stands for")
        value, size, height = known
        self._grow(event, size)
        if len(self.open) - 1 + height > DEPTH_LIMIT:
            _refuse(event, f"more than {DEPTH_LIMIT} brackets within brackets")
        self._put(event, _copy(value), height)  # a copy: what is set in one place stays there

    def _begin(self, event: Any, value: list[Any] | dict[str, Any]) -> None:
        _check_tag(event)
        if len(self.open) > DEPTH_LIMIT:
            _refuse(event, f"more than {DEPTH_LIMIT} brackets within brackets")
        self._name(event.anchor, None, 0, None)
        self.open.append(_Open(value, event.anchor, self.size))
        self._grow(event, 1)

    def _end(self, event: Any) -> None:
        done = self.open.pop()
        value = done.value
        if isinstance(value, dict) and done.merged:
            merged: dict[str, Any] = {}
            for part in reversed(done.merged):  # of several, the first wins
                merged |= part
            value = merged | value
        self._put(event, value, done.height)
        self._name(done.anchor, value, self.size - done.began, done.height)

    def _put(self, event: Any, value: Any, height: int) -> None:
        """Into the list or mapping that is open: an entry, a key, or the value of the key before."""
        parent = self.open[-1]
        parent.height = max(parent.height, 1 + height)
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is None:
            if not isinstance(value, str):
                _refuse(event, f"the key {shown(value)} is no text")
            if value in parent.value:
                _refuse(event, f"{shown(value)} is given twice")
            parent.key = value
        elif parent.key is MERGE:
            parts = value if isinstance(value, list) else [value]
            if not all(isinstance(part, dict) for part in parts):
                _refuse(event, f"<<: {shown(value)} is neither a mapping nor a list of them")
            parent.merged += parts
            parent.key = None
        else:
            parent.value[parent.key] = value
            parent.key = None

    def _name(self, anchor: str | None, value: Any, size: int, height: int | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = None if height is None else (value, size, height)

    def _grow(self, event: Any, size: int) -> None:
        self.size += size
        if self.size > SIZE_LIMIT:
            _refuse(event, f"written out, its aliases come to more than {SIZE_LIMIT:,} characters")


def _copy(value: Any) -> Any:
    """As `copy.deepcopy`, several times as fast on plain data."""
    if isinstance(value, dict):
        return {name: _copy(part) for name, part in value.items()}
    return [_copy(part) for part in value] if isinstance(value, list) else value


def scalar(text: str) -> Any:
    """What an unquoted word means in YAML 1.2's core schema: nothing, a truth value, a number, else text.

    Raises:
        ValueError: a number beyond `LARGEST`.
    """
    if text in NAMED:
        return NAMED[text]
    base = next((base for base, pattern in WHOLE.items() if pattern.fullmatch(text)), None)
    if base is None and not FRACTION.fullmatch(text):
        return text
    # Before it is read: Python reads no whole number of more than 4300 digits.
    value = inf if len(text) > 1000 else float(text) if base is None else int(text, base)
    if not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{shown(text)[1:-1]} is beyond {LARGEST:.0e}")
    return value


def _check_tag(event: Any) -> None:
    if event.tag is not None:
        tag = shown(event.tag.replace("tag:yaml.org,2002:", "!!"))[1:-1]
        _refuse(event, f"tag {tag}: a value is what it looks like, quotes make it text")


def _refuse(event: Any, reason: str) -> NoReturn:
    mark = event.start_mark
    raise ValueError(f"{reason} (line {mark.line + 1}, column {mark.column + 1})")


def dump_yaml(data: Any) -> str:
    """The YAML text of plain data, which `parse_yaml` reads back the same: text that looks like a number is quoted.

    Raises:
        ConfigError: it is longer than `parse_yaml` takes.
    """
    import yaml

    text = _Text()
    yaml.dump(data, text, Dumper=_dumper(), sort_keys=False)
    return text.getvalue()


class _Text(StringIO):
    def write(self, text: str) -> int:
        if self.tell() + len(text) > TEXT_LIMIT:
            raise ConfigError(f"settings: written out they take more than {TEXT_LIMIT:,} characters of YAML")
        return super().write(text)


@lru_cache(maxsize=1)
def _dumper() -> type[SafeDumper]:
    """PyYAML's, which quotes what YAML 1.1 takes for something else; and what 1.2 does."""
    from yaml import SafeDumper

    class Dumper(SafeDumper):
        pass

    number = re.compile(rf"({FRACTION.pattern}|{WHOLE[8].pattern})\Z")
    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return Dumper
