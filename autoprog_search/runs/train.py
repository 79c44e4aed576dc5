"""One training run outside a study: `autoprog-search train`, and `autoprog_search.train` in Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from autoprog_search.choosing import Method
from autoprog_search.errors import ConfigError, ScheduleError, StudyError, shown, there_are
from autoprog_search.files import file_lock, sweep, write_atomic, write_yaml
from autoprog_search.schedule import GrowthSchedule
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.settings.recipe import Recipe, load_recipe
from autoprog_search.space import GrowthSpace
from autoprog_search.training.checkpoint import drop_checkpoints, export_weights

if TYPE_CHECKING:
    from autoprog_search.methods.fixed import Program
    from autoprog_search.settings.data import DataConfig
    from autoprog_search.training.state import Progress

OUTPUTS = ("checkpoint.pt", "weights.safetensors", "schedule.yaml", "result.json")
SEEDS = 2**32  # as many as NumPy's generators take


def train(
    space: GrowthSpace | str,
    data: DataConfig | str = "digits",
    *,
    schedule: GrowthSchedule | str = "autoprog",
    recipe: Recipe | None = None,
    growth: GrowthSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    out: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train one model under a growth schedule.

    Args:
        space: a growth space, or a preset's name.
        data: a data configuration, or a data set's name.
        schedule: a schedule; a method with a fixed one (`full`, `linear`, ...); or `autoprog`: found during the run.
        recipe, growth: default: the space's recipe, and the measured defaults.
        threads: torch's, on the CPU, as a study's `threads`: the same run has the same bits there. What the caller had
            set is set again afterwards.
        out: folder for the checkpoint while it runs, then `weights.safetensors` (the full timm model's),
            `schedule.yaml` and `result.json`. A run that was interrupted goes on from there. None: nothing is written.

    Returns:
        The columns of a study's result row (`study/results.py`), with `curve`, `stages` and `create_model`: the
        arguments with which `timm.create_model` builds the model that the weights are of.

    Raises:
        AutoProgError: something of the input is wrong, or the run failed.
    """
    from autoprog_search.training.device import cpu_threads

    with cpu_threads(threads):
        return _train(space, data, schedule, recipe, growth, seed, device, out, on_progress, should_stop)


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Inside, no other run writes into that folder.

    Raises:
        StudyError: one does.
    """
    path, held = out / ".lock", False
    while not held:
        lock = file_lock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StudyError(f"output: another process runs in {out}; wait for it, or choose another folder") from None
        except OSError as error:
            raise StudyError(f"output: {out} cannot be written: {str(error.strerror).lower()}") from None
        held = path.exists()  # else whoever held it has just removed it: another may make a new one
        if not held:
            lock.release()
    try:
        sweep(out, OUTPUTS)
        yield
    finally:
        path.unlink(missing_ok=True)
        if not any(out.iterdir()):  # wrong input: nothing was done, nothing is left
            out.rmdir()
        lock.release()


def _train(
    space: GrowthSpace | str,
    data: DataConfig | str,
    schedule: GrowthSchedule | str,
    recipe: Recipe | None,
    growth: GrowthSettings | None,
    seed: int,
    device: str,
    out: Path | None,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> dict[str, Any]:
    from autoprog_search.data.load import load_data
    from autoprog_search.runs.program import run_program
    from autoprog_search.runs.row import result_row
    from autoprog_search.settings.data import DataConfig
    from autoprog_search.training.device import pick_device
    from autoprog_search.training.profile import profile_steps
    from autoprog_search.training.run import Run
    from autoprog_search.training.spec import RunSpec, planned_steps, steps_of_stages
    from autoprog_search.training.steps import Hooks
    from autoprog_search.training.trainer import Trainer

    if not 0 <= seed < SEEDS:
        raise ConfigError(f"seed: {shown(seed)} is below 0 or above {SEEDS - 1:,}")
    space = GrowthSpace.load(space) if isinstance(space, str) else space
    recipe = recipe or load_recipe(space.recipe)
    growth = growth or GrowthSettings()
    torch_device = pick_device(device)
    data = DataConfig(name=data) if isinstance(data, str) else data
    _check_runs(schedule, space, recipe.epochs)
    opened = load_data(data, space, recipe, torch_device)
    epoch_steps = opened.train_size // recipe.batch_size
    spec = RunSpec(space, recipe, growth, (), seed, data=data, method=str(schedule))
    if isinstance(schedule, GrowthSchedule):
        stage_steps = steps_of_stages(tuple(s.epochs for s in schedule.stages), epoch_steps)
        depths = tuple(s.sub_network.depth for s in schedule.stages)
        spec, method = replace(spec, stage_steps=stage_steps, extra_depths=depths), _method(schedule, growth, seed)
    elif (program := _program(schedule)) is not None:
        spec, method = run_program(program(space), spec, opened)
    else:
        stage_steps = planned_steps(space, recipe, opened.train_size)
        spec, method = replace(spec, stage_steps=stage_steps), _method(schedule, growth, seed)
    checkpoint = out / "checkpoint.pt" if out is not None else None
    profile = None
    if growth.search.score_cost == "seconds" and schedule == "autoprog":
        profile = profile_steps(
            space,
            recipe,
            num_classes=opened.num_classes,
            in_chans=opened.in_chans,
            device=torch_device,
            should_stop=should_stop,
        )
    with _alone_in(out) if out is not None else nullcontext():
        run = Run(spec, opened, device=torch_device, checkpoint=checkpoint)
        result = Trainer(run, method, profile=profile, hooks=Hooks(on_progress, should_stop)).train()
        row = result_row(spec, result, profile, epoch_steps)
        channels = {} if opened.in_chans == 3 else {"in_chans": opened.in_chans}
        row["create_model"] = {
            "model_name": space.model,
            "num_classes": opened.num_classes,
            **channels,
            **space.model_args,
        }
        if out is not None and checkpoint is not None:
            ran = GrowthSchedule.of(row["stage_epochs"], [r.chosen for r in result.state.stages])
            export_weights(out / "weights.safetensors", result.weights)
            write_yaml(out / "schedule.yaml", ran.to_dict())
            write_atomic(out / "result.json", json.dumps(row, indent=1).encode())
            drop_checkpoints(checkpoint)
    return row


def _check_runs(schedule: GrowthSchedule | str, space: GrowthSpace, epochs: int) -> None:
    """What can be told before the data are open.

    Raises:
        AutoProgError: there is no such schedule, it does not fit the space, or the epochs are too few for its stages.
    """
    if isinstance(schedule, GrowthSchedule):
        _check_fits(schedule, space)
    elif (program := _program(schedule)) is not None:
        program(space).check_epochs(space, epochs)
    else:
        space.stage_epochs(epochs)


def _check_fits(schedule: GrowthSchedule, space: GrowthSpace) -> None:
    for k, stage in enumerate(schedule.stages, start=1):
        depth, patches = stage.sub_network.depth, stage.sub_network.patches
        if depth > space.full.depth:
            raise ScheduleError(f"stage {k}, depth: {depth} is above {space.model}'s {space.full.depth}")
        if patches > space.full.patches:
            raise ScheduleError(f"stage {k}, patches: {patches} is above {space.model}'s {space.full.patches}")
    if schedule.stages[-1].sub_network != space.full:
        last = schedule.stages[-1].sub_network
        raise ScheduleError(f"stage {len(schedule.stages)}: {last} is not the full network ({space.full})")


def _program(schedule: str) -> Callable[[GrowthSpace], Program] | None:
    """The fixed schedule of that name; None for the search.

    Raises:
        ConfigError: there is none.
    """
    from autoprog_search.methods.registry import METHODS

    known = {name: info.program for name, info in METHODS.items() if info.program is not None}
    if schedule not in known and schedule != "autoprog":
        names = there_are(schedule, [*known, "autoprog"])
        raise ConfigError(f"schedule: {shown(schedule)} is neither a .yaml file nor a schedule by name; {names}")
    return known.get(schedule)


def _method(schedule: GrowthSchedule | str, growth: GrowthSettings, seed: int) -> Method:
    from autoprog_search.methods.fixed import FixedMethod

    if isinstance(schedule, GrowthSchedule):
        return FixedMethod([s.sub_network for s in schedule.stages])
    import optuna

    from autoprog_search.methods.optuna import OptunaMethod, autoprog_sampler

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return OptunaMethod(optuna.create_study(sampler=autoprog_sampler(growth, seed)).ask())
