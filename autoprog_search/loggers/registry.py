"""The table of loggers: `--logger` and `train(..., loggers=[...])` read it. Importing it loads none of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pkgutil import resolve_name

from autoprog_search.errors import ConfigError, MissingExtraError, shown, there_are
from autoprog_search.loggers.logger import Logger


@dataclass(frozen=True)
class LoggerInfo:
    """A logger that is known by name.

    Attributes:
        description: what it is, and where its logs go.
        logger: import path of its class, which takes no argument.
        needs: the package that has to be there; `pip install 'autoprog-search[NAME]'` brings it.
    """

    description: str
    logger: str
    needs: str


HERE = "autoprog_search.loggers"
LOGGERS = {
    "tensorboard": LoggerInfo(
        "TensorBoard's event files, in the run's folder", f"{HERE}.tensorboard:TensorBoard", "tensorboard"
    ),
    "wandb": LoggerInfo("Weights & Biases, as WANDB_PROJECT, WANDB_MODE, ... say", f"{HERE}.wandb:WandB", "wandb"),
    "mlflow": LoggerInfo(
        "MLflow, as MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say", f"{HERE}.mlflow:MLflow", "mlflow"
    ),
}


def check_loggers(names: Iterable[str]) -> None:
    """Whether these can log, said before anything is trained.

    Raises:
        ConfigError: there is none of that name, or one is asked for twice.
        MissingExtraError: its package is not installed.
    """
    seen: set[str] = set()
    for name in names:
        if name not in LOGGERS:
            raise ConfigError(f"logger: {shown(name)} is none; {there_are(name, LOGGERS)}")
        if name in seen:
            raise ConfigError(f"logger: {name} is asked for twice; once is enough")
        if find_spec(LOGGERS[name].needs) is None:
            raise MissingExtraError(
                f"logger: {name} is not installed; install it with: pip install 'autoprog-search[{name}]'"
            )
        seen.add(name)


def logger_named(name: str) -> Logger:
    """A new logger of that name.

    Raises:
        ConfigError, MissingExtraError: as `check_loggers`.
    """
    check_loggers([name])
    made: Logger = resolve_name(LOGGERS[name].logger)()
    return made
