"""The errors that users see: one line that names the field, the value and what would be right.

`cli/` turns every `AutoProgError` into that line and its exit code, in one place; a traceback is for our own bugs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from reprlib import Repr
from typing import Any

PASSWORD = re.compile(r"(?<=://)([^:/\s]*):(\S*)@")  # SQLAlchemy's rule, but up to the last @: a password may hold one
QUERY_SECRET = re.compile(r"([?&][^=&#\s]*(?:pass(?!file)|pwd|secret|token)[^=&#\s]*=)([^&#\s'\"]*)", re.IGNORECASE)
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A password in a URL, one in its query; the name of an environment variable instead of either."""

LINE = 400
"""Characters of the longest message; from a longer one the middle is left out: the field stands first."""
REASON = 200
"""Characters of another library's message within ours; some quote a whole file."""


class AutoProgError(Exception):
    """An error of the input or the environment, not of the program. Its message is one line, whatever it quotes."""

    exit_code = 2

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


class SpaceError(AutoProgError):
    """A growth space that cannot exist, or cannot be found."""


class ScheduleError(AutoProgError):
    """A growth schedule that cannot run."""


class GrowthError(AutoProgError):
    """A model that cannot be made elastic, or a growth that has no meaning."""


class ConfigError(AutoProgError):
    """A recipe, a growth setting or a study configuration with a wrong field."""


class EstimateError(AutoProgError):
    """One-shot estimates that no choice can be made from."""


class MissingExtraError(AutoProgError, ImportError):
    """An optional part of the package whose dependencies are not installed."""


class DataError(AutoProgError):
    """A data set that is missing, empty or malformed."""


class StudyError(AutoProgError):
    """A study that exists, does not exist, cannot be written or has no results yet."""


class RunFailedError(AutoProgError):
    """A training run that started and did not end well, for example with a loss that is not finite."""

    exit_code = 1


class LostClaim(AutoProgError):
    """Another process has taken up what this one ran, since it was out of reach for too long."""

    exit_code = 1


class LostProcess(AutoProgError):
    """Another process of the same run is gone, or cannot be reached."""

    exit_code = 1


class SaidElsewhere(AutoProgError):
    """What ends this process has been said by another one of the same run; it ends with the same exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process of the run has said what is wrong")
        self.exit_code = exit_code


class EnvironmentFault(AutoProgError):
    """What the system refused: a file, space on a disk, memory."""


def masked(text: str) -> str:
    """The text without the passwords of URLs in it; references to environment variables (`${NAME}`) are none."""

    def hidden(match: re.Match[str]) -> str:
        return f"{match[1]}:{match[2] if REFERENCE.fullmatch(match[2]) else '***'}@"

    def hidden_value(match: re.Match[str]) -> str:
        return match[1] + (match[2] if REFERENCE.fullmatch(match[2]) else "***")

    return QUERY_SECRET.sub(hidden_value, PASSWORD.sub(hidden, text))


def one_line(text: str) -> str:
    """The text without line breaks, escape codes and passwords, cut to `LINE` characters."""
    text = masked(_cut(text, 4 * LINE))  # before every character is looked at: a file may have been quoted
    text = re.sub(r"\s*[^\S ]\s*", " ", text).strip()  # a path may have two spaces, and keeps them
    return _cut(printable(text), LINE)


def printable(text: str) -> str:
    """The text with its control characters spelt out, so that no name moves a terminal's cursor or colours it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: 3 * length // 4 - 2]} … {text[-(length // 4) + 1 :]}"


def shown(value: Any) -> str:
    """A value in a message: its `repr`, with the middle of long ones left out."""
    try:
        return _short.repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number of thousands of digits"


_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80
_short.maxlist = _short.maxtuple = _short.maxdict = 8


def there_are(name: str, known: Iterable[str]) -> str:
    """What to say after an unknown name: the nearest of the known ones first, then all of them."""
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(name[:LINE], names, n=1, cutoff=0.6)
    return (f"did you mean {near[0]}? There are " if near else "there are ") + (", ".join(names) or "none")


def why(error: BaseException) -> str:
    """What an exception says, in one short line; its kind where it says nothing, as a MemoryError does."""
    text = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(" ".join(text[: 4 * LINE].split())[:REASON]) or type(error).__name__
