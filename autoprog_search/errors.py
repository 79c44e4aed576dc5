"""The errors that users see: one line that names the field, the value and what would be right.

`cli/` turns every `AutoProgError` into that line and its exit code, in one place; a traceback is for our own bugs.
"""

from errno import ENOSPC


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


class EnvironmentFault(AutoProgError):
    """What the system refused: a file, space on a disk, memory."""


def environment_error(error: BaseException) -> AutoProgError | None:
    """What an exception of the system says to a user; None: it is none.

    Of torch's errors those that say that memory ran out; they are known by name, as torch may not be loaded.
    """
    if isinstance(error, OSError) and error.strerror:
        what = f"{error.filename}: " if error.filename is not None else "output: " if error.errno == ENOSPC else ""
        return EnvironmentFault(f"{what}{error.strerror.lower()}")
    text = str(error)
    no_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if no_memory or (isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)):
        return EnvironmentFault(
            "memory: there is not enough; a smaller recipe.batch_size or a larger recipe.grad_accum needs less; the "
            "same command goes on"
        )
    return None
