"""The errors that users see: one line that names the field, the value and what would be right.

`cli/` turns every `AutoProgError` into that line and its exit code, in one place; a traceback is for our own bugs.
"""


class AutoProgError(Exception):
    """An error of the input or the environment, not of the program."""

    exit_code = 2


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
