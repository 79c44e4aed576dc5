"""One training run outside a study: `autoprog-search train`, and `autoprog_search.train` in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from autoprog_search.choosing import Method
from autoprog_search.data.data_set import Data
from autoprog_search.data.load import load_data
from autoprog_search.errors import ConfigError, ScheduleError, shown, there_are
from autoprog_search.files import CHECKPOINT, WEIGHTS
from autoprog_search.loggers.logbook import logged, results_of
from autoprog_search.loggers.logger import End, Logger
from autoprog_search.loggers.registry import logger_named
from autoprog_search.methods.fixed import Program
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.methods.registry import METHODS
from autoprog_search.runs.folder import alone_in, leave
from autoprog_search.runs.program import spec_under
from autoprog_search.runs.row import result_row, versions
from autoprog_search.schedule import GrowthSchedule
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.settings.recipe import Recipe, load_recipe
from autoprog_search.space import GrowthSpace
from autoprog_search.training.device import cpu_threads, pick_device
from autoprog_search.training.profile import profile_steps
from autoprog_search.training.run import Run
from autoprog_search.training.spec import RunSpec, planned_steps, steps_of_stages
from autoprog_search.training.state import Progress
from autoprog_search.training.steps import Hooks
from autoprog_search.training.trainer import Trainer
from autoprog_search.training.world import World, current_world

if TYPE_CHECKING:
    import torch
    from optuna.trial import Trial

SEARCHED = "autoprog"  # the one schedule by name that is found during the run
Chosen: TypeAlias = "GrowthSchedule | Trial | str"  # what was asked for: a schedule, or who chooses one
SEEDS = 2**32  # as many as NumPy's generators take


def train(
    space: GrowthSpace | str,
    data: DataConfig | str = "digits",
    *,
    schedule: GrowthSchedule | str = SEARCHED,
    trial: Trial | None = None,
    recipe: Recipe | None = None,
    growth: GrowthSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    out: Path | None = None,
    loggers: Sequence[Logger | str] = (),
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train one model under a growth schedule; where torch.distributed is initialised, all its processes together.

    Args:
        space: a growth space, or a preset's name.
        data: a data configuration, or a data set's name.
        schedule: a schedule; a method with a fixed one (`full`, `linear`, ...); or `autoprog`: found during the run.
        trial: a running trial of an Optuna study of one's own. Its sampler chooses the schedule, which becomes the
            trial's parameters: an `AutoProgSampler` from estimates of this run, any other from earlier trials.
        recipe, growth: default: the space's recipe, and the measured defaults.
        threads: torch's, on the CPU, during the run; with as many the same run has the same bits in a study.
        out: folder for checkpoints, from which an interrupted run goes on, then for weights.safetensors (the full timm
            model's), schedule.yaml and result.json. None: nothing is written. Of several processes rank 0 writes.
        loggers: told what the run does: names of the table (`loggers/registry.py`), or loggers of one's own
            (`loggers.logger.Logger`). They change no result; one that fails is left out, with a warning.

    Returns:
        What a run fills in of a result row (`runs.row.ResultRow`), with `curve`, `stages` and `create_model`: the
        arguments with which `timm.create_model` builds the model that the weights are of.

    Raises:
        AutoProgError: something of the input is wrong, or the run failed.
    """
    with cpu_threads(threads):
        space = GrowthSpace.load(space) if isinstance(space, str) else space
        recipe, growth = recipe or load_recipe(space.recipe), growth or GrowthSettings()
        data = DataConfig(name=data) if isinstance(data, str) else data
        world = current_world()
        torch_device = pick_device(device, world.local_rank)
        chosen = schedule if trial is None else _steering(trial, schedule, world)
        told = [logger_named(each) if isinstance(each, str) else each for each in loggers if world.first]
        spec = RunSpec(space, recipe, growth, (), seed, data=data, method=_name(chosen))
        _check(chosen, spec)
        world.check_batch(recipe)
        opened = load_data(data, space, recipe, torch_device, should_stop)
        spec, method = _decided(chosen, spec, opened)
        world.check_alike(settings=spec.identity(), versions=versions(), data=opened.fingerprint(sizes=False).to_dict())
        return _run(spec, method, opened, torch_device, out, Hooks(on_progress, should_stop), world, told)


# ── what runs ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _steering(trial: Trial, schedule: GrowthSchedule | str, world: World) -> Trial:
    if schedule != SEARCHED:
        raise ConfigError("schedule: the trial's sampler chooses it; give one of the two, trial or schedule")
    if world.size > 1:
        raise ConfigError("trial: it is known to one process only; under torchrun give a schedule")
    return trial


def _name(chosen: Chosen) -> str:
    """Of how the schedule is chosen, so that nobody goes on from the checkpoint of another trial."""
    if isinstance(chosen, GrowthSchedule | str):
        return str(chosen)
    return f"{chosen.study.study_name} trial {chosen.number}"


def _check(chosen: Chosen, spec: RunSpec) -> None:
    """What can be told before the data are open."""
    if not 0 <= spec.seed < SEEDS:
        raise ConfigError(f"seed: {shown(spec.seed)} is below 0 or above {SEEDS - 1:,}")
    space, epochs = spec.space, spec.recipe.epochs
    if isinstance(chosen, GrowthSchedule):
        _check_fits(chosen, space)
    elif isinstance(chosen, str) and (program := _program(chosen, space)) is not None:
        program.check_epochs(space, epochs)
    else:
        space.part_epochs(epochs)


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


def _program(schedule: str, space: GrowthSpace) -> Program | None:
    """The fixed schedule of that name; None for the search."""
    if schedule == SEARCHED:
        return None
    if schedule in METHODS and (program := METHODS[schedule].program(space)) is not None:
        return program
    if schedule in METHODS and (other := METHODS[schedule].follows(0)) is not None:
        raise ConfigError(
            f"schedule: {schedule} follows a trial of {other[0]}, so it runs in a study; see study create"
        )
    names = there_are(schedule, [*(name for name, kind in METHODS.items() if kind.program(space)), SEARCHED])
    raise ConfigError(f"schedule: {shown(schedule)} is neither a .yaml file nor a schedule by name; {names}")


def _decided(chosen: Chosen, spec: RunSpec, data: Data) -> tuple[RunSpec, Method]:
    """The run with its parts in steps, and who chooses."""
    if isinstance(chosen, GrowthSchedule):
        sub_networks = tuple(stage.sub_network for stage in chosen.stages)
        epoch_steps = data.train_size // spec.recipe.batch_size
        stage_steps = steps_of_stages(tuple(stage.epochs for stage in chosen.stages), epoch_steps)
        depths = tuple(s.depth for s in sub_networks)
        return replace(spec, part_steps=stage_steps, extra_depths=depths), Program(sub_networks)
    method = _method(chosen, spec)
    if isinstance(method, Program):
        return spec_under(method, spec, data), method
    return replace(spec, part_steps=planned_steps(spec.space, spec.recipe, data.train_size)), method


def _method(chosen: Trial | str, spec: RunSpec) -> Method:
    if isinstance(chosen, str):
        return _program(chosen, spec.space) or OneShotMethod(spec.growth.rule())
    from autoprog_search.methods.optuna import steered_by

    return steered_by(chosen, spec.space)


# ── running it ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _run(
    spec: RunSpec,
    method: Method,
    data: Data,
    device: torch.device,
    out: Path | None,
    hooks: Hooks,
    world: World,
    loggers: Sequence[Logger],
) -> dict[str, Any]:
    profile = None
    if method.needs_estimates(1) and spec.growth.search.score_cost == "seconds":
        profile = profile_steps(spec.space, spec.recipe, data, device, should_stop=hooks.should_stop, world=world)
    out = out if world.first else None
    with alone_in(out) if out is not None else nullcontext():
        run = Run(spec, data, device=device, checkpoint=out / CHECKPOINT if out is not None else None, world=world)
        with logged(loggers, run, name=f"{spec.method} seed {spec.seed}", folder=out) as book:
            result = Trainer(run, method, profile=profile, hooks=book.hooks(hooks)).train()
            row = result_row(spec, result, profile, run.epoch_steps, world.size)
            found = {**row, "create_model": _create_model(spec.space, data)}
            if out is not None:
                ran = GrowthSchedule.of(row["stage_epochs"], [record.chosen for record in result.state.stages])
                leave(out, result.weights, ran, found)
            book.finish(End("finished", results_of(row), out / WEIGHTS if out is not None else None))
    return found


def _create_model(space: GrowthSpace, data: Data) -> dict[str, Any]:
    """Arguments of `timm.create_model` for the model that was trained."""
    channels = {} if data.in_chans == 3 else {"in_chans": data.in_chans}
    return {"model_name": space.model, "num_classes": data.num_classes, **channels, **space.model_args}
