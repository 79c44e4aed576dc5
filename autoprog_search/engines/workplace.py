"""What a process trains with, opened once: the study's data, a device, step times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoprog_search.choosing import Method
from autoprog_search.data.data_set import Data
from autoprog_search.engines.profile import shared_profiles
from autoprog_search.loggers.logbook import NAMES, Logbook, logged
from autoprog_search.loggers.registry import logger_named
from autoprog_search.methods.registry import method_named
from autoprog_search.runs.program import spec_under
from autoprog_search.runs.row import versions
from autoprog_search.study.claims import UNSHARED, Kept
from autoprog_search.study.opening import open_data
from autoprog_search.study.store import Job, StoredStudy
from autoprog_search.training.device import pick_device, use_threads
from autoprog_search.training.profile import Profiles, StepProfile
from autoprog_search.training.run import Run
from autoprog_search.training.spec import RunSpec, check_search, planned_steps
from autoprog_search.training.world import ALONE, World

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Task:
    """What processes train together: a run to the end of that part of it, and which stages need estimates."""

    spec: RunSpec
    needs_estimates: tuple[bool, ...]
    last: int


@dataclass(frozen=True)
class Workplace:
    """What runs need besides their study; `kept`: where their files are; `loggers`: who is told of them, by name."""

    data: Data
    device: torch.device
    profiles: Profiles
    world: World = ALONE
    kept: Kept = UNSHARED
    loggers: tuple[str, ...] = ()

    def profile(self, spec: RunSpec) -> StepProfile:
        """The step times of a run's sub-networks."""
        return self.profiles[spec.space.patches_by]

    def run(self, spec: RunSpec, checkpoint: Path, method: Method, last: int | None = None) -> Run:
        """That run, here. Where several processes train together, the others begin to train it as well.

        Args:
            method: who will choose.
            last: the part of it to whose end it is to be trained; default: all of them.
        """
        parts = len(spec.part_steps)
        self.kept.fetch(checkpoint)
        self.world.tell(Task(spec, tuple(map(method.needs_estimates, range(1, parts))), last or parts))
        return Run(
            spec,
            self.data,
            device=self.device,
            checkpoint=checkpoint,
            world=self.world,
            before_save=self.kept.check,
            after_save=partial(self.kept.put_if_possible, checkpoint),
        )

    @contextmanager
    def logged(self, run: Run, job: Job, study: StoredStudy) -> Iterator[Logbook]:
        """Inside, the loggers are told what a trial's run does, as the same run wherever it goes on."""
        folder = study.trial_folder(job)
        if self.loggers:
            self.kept.fetch(folder / NAMES)
        loggers = [logger_named(name) for name in self.loggers]
        with logged(loggers, run, name=str(job), group=study.config.name, folder=folder) as book:
            if (folder / NAMES).exists():
                self.kept.put_if_possible(folder / NAMES)
            yield book


def open_workplace(
    study: StoredStudy,
    device_name: str,
    index: int = 0,
    *,
    should_stop: Callable[[], bool],
    on_measuring: Callable[[str], None] = lambda device: None,
    world: World = ALONE,
    loggers: tuple[str, ...] = (),
) -> Workplace:
    """Open what the study's runs need.

    Args:
        index: of the worker, which takes a device of its own where there are several.
        world: the processes that train together, of which this is rank 0 (`engines/together.py` has the others).
        loggers: of its runs.
        on_measuring: told the device's name, should its step times have to be measured.

    Raises:
        ConfigError: a stage is less than a step long, or too short for its search.
        Interrupted: `should_stop` said so.
    """
    device = pick_device(device_name, index)
    use_threads(study.config.threads)
    world.tell(study.config)
    data = open_data(study, device, should_stop)
    _check_stages(study, data)
    check_alike(world, data)
    profiles = shared_profiles(study, data, device, should_stop=should_stop, on_measuring=on_measuring, world=world)
    world.tell(profiles)
    return Workplace(data, device, profiles, world, loggers=loggers)


def check_alike(world: World, data: Data) -> None:
    """Whether all processes have the same package and the same data.

    Raises:
        ConfigError: they have not.
    """
    world.check_alike(versions=versions(), data=data.fingerprint(sizes=False).to_dict())


def _check_stages(study: StoredStudy, data: Data) -> None:
    """What cannot be told before the data are open, said before any trial runs."""
    config = study.config
    for name, own in config.methods.items():
        if name in config.retired:
            continue
        kind, space, growth = method_named(name), config.space_of(name), config.growth_of(name)
        recipe = config.recipe.model_copy(update={"epochs": min(own.epochs, default=config.recipe.epochs)})
        spec = RunSpec(space, recipe, growth, (), seed=0)
        if (program := kind.program(space)) is not None:
            spec_under(program, spec, data)
        elif kind.needs_estimates(1) or space.clock == "free":
            spec = replace(spec, part_steps=planned_steps(space, recipe, data.train_size))
            check_search(spec, kind.needs_estimates)
