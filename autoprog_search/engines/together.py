"""Run a study's trials in several processes that train each trial together: rank 0 takes the trials, all train them.

Only rank 0 knows the study. It tells the others what its configuration is, then run after run what to train (`Task`);
whatever has to be decided on the way it decides. Where it fails, so do they (`training/joining.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoprog_search.choosing import Choice, StageContext
from autoprog_search.data.load import load_data
from autoprog_search.engines.events import Tell
from autoprog_search.engines.profile import measured
from autoprog_search.engines.worker import REST, run_trials
from autoprog_search.engines.workplace import Task, Workplace, check_alike
from autoprog_search.errors import ConfigError, RunFailedError
from autoprog_search.interrupt import Interrupted, StoppedEarly, signals_ask
from autoprog_search.methods.registry import method_named
from autoprog_search.study.locking import in_use
from autoprog_search.study.scheduling import to_run, unfinished
from autoprog_search.study.store import StoredStudy
from autoprog_search.training.device import pick_device, use_threads
from autoprog_search.training.run import Run
from autoprog_search.training.steps import Hooks
from autoprog_search.training.trainer import Trainer

if TYPE_CHECKING:
    from autoprog_search.study.config import StudyConfig
    from autoprog_search.training.world import World


def run_together(
    study: StoredStudy,
    world: World,
    tell: Tell,
    should_stop: Callable[[], bool] = lambda: False,
    loggers: tuple[str, ...] = (),
) -> None:
    """Run whatever is unfinished, as rank 0.

    Args:
        should_stop: asked besides signals.

    Raises:
        ConfigError: trials of the study are run by something else, or a batch cannot be parted.
        KeyboardInterrupt: a signal asked any of the processes to stop; the checkpoint is written.
    """
    left = unfinished(to_run(study))
    _check(study.config, {job.method for job in left})
    world.check_batch(study.config.recipe)
    if not left:
        world.tell(None)
        return
    with in_use(study.folder), signals_ask() as asked_to_stop:
        run_trials(study, "auto", world.local_rank, tell, lambda: asked_to_stop() or should_stop(), world, loggers)
    if unfinished(to_run(study)):
        raise KeyboardInterrupt


def _check(config: StudyConfig, methods: set[str]) -> None:
    if config.data.table is not None:
        raise ConfigError("data: results of a table are looked up, not trained; run this study without torchrun")
    if hosted := sorted(method for method in methods if method_named(method).host == "nni"):
        raise ConfigError(f"methods: NNI starts processes of its own for {hosted[0]}; run this study without torchrun")


def follow(world: World) -> None:
    """Train with rank 0 whatever it trains, until it has nothing left.

    Raises:
        KeyboardInterrupt: a signal asked any of the processes to stop; the checkpoint is written.
    """
    config: StudyConfig | None = world.hear()
    if config is None:
        return
    with signals_ask() as asked_to_stop:
        try:
            place = _open(config, world, asked_to_stop)
            while (task := world.hear()) is not None:
                if task != REST:
                    _train(task, place, asked_to_stop)
                elif world.any_of(asked_to_stop())[0]:
                    raise Interrupted
        except Interrupted:
            raise KeyboardInterrupt from None


def _open(config: StudyConfig, world: World, should_stop: Callable[[], bool]) -> Workplace:
    """As `open_workplace` does it for rank 0, without the study."""
    device = pick_device("auto", world.local_rank)
    use_threads(config.threads)
    data = load_data(config.data, config.space, config.recipe, device, should_stop)
    check_alike(world, data)
    if not world.hear():  # whether there are step times already
        measured(config, data, device, should_stop, world)
    return Workplace(data, device, world.hear(), world)


def _train(task: Task, place: Workplace, should_stop: Callable[[], bool]) -> None:
    """Train a run as far as rank 0 does. How it ended is rank 0's to store."""
    run = Run(task.spec, place.data, device=place.device, world=place.world)
    hooks = Hooks(should_stop=should_stop)
    try:
        Trainer(run, Told(task.needs_estimates), profile=place.profile(task.spec), hooks=hooks).train_parts(task.last)
    except (StoppedEarly, RunFailedError):
        return
    if task.last == len(run.ends):
        run.result()


@dataclass(frozen=True)
class Told:
    """Stands for a run's method in processes that do not know it: rank 0 asks it, for all."""

    needed: tuple[bool, ...]

    def needs_estimates(self, stage: int) -> bool:
        """As the method itself."""
        return self.needed[stage - 1]

    def choose(self, context: StageContext) -> Choice:
        """Never asked."""
        raise AssertionError("rank 0 asks the method")
