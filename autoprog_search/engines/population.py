"""Train the population of a (method, seed) stage by stage, in the worker that has claimed it.

At a stage boundary everybody's accuracy decides who copies whom, so the members take turns, a stage each, and how many
workers there are makes no difference. What a member did in a stage is stored with its trial, and the stage's checkpoint
lies in its folder until nobody goes on from it; who does what is a pure function of these. So a population that is
killed anywhere goes on, and ends the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from autoprog_search.engines.events import Event, Tell, end_of, tell_progress
from autoprog_search.engines.opening import open_trial
from autoprog_search.engines.trial import finish, plan
from autoprog_search.errors import RunFailedError
from autoprog_search.files import write_atomic
from autoprog_search.methods.fixed import through
from autoprog_search.methods.pbt import exploit, explore
from autoprog_search.randomness import derive
from autoprog_search.space import Levels
from autoprog_search.study.store import Job, StoredStudy, fail, record_parameters
from autoprog_search.training.checkpoint import before, drop_checkpoints
from autoprog_search.training.steps import Hooks
from autoprog_search.training.trainer import Trainer

if TYPE_CHECKING:
    from optuna.trial import Trial

    from autoprog_search.engines.workplace import Workplace
    from autoprog_search.loggers.logbook import Logbook
    from autoprog_search.training.run import Run


@dataclass(frozen=True)
class Turn:
    """What a member trains in a stage.

    Attributes:
        parent: whose run it goes on with, its own number unless it copies.
        levels: the schedule of that run; beyond this stage it may change still.
    """

    parent: int
    levels: Levels


@dataclass(frozen=True)
class Trained(Turn):
    """Where a member stood when its turn was over.

    Attributes:
        val_top1: validation accuracy, per cent.
        total_flops: of the run so far, what was copied included.
        own_flops: of all steps that the member itself took so far, in runs that it gave up, too.
    """

    val_top1: float
    total_flops: int
    own_flops: int


def run_population(
    study: StoredStudy, job: Job, place: Workplace, *, tell: Tell, should_stop: Callable[[], bool]
) -> None:
    """Train the population that a trial belongs to, until all of its members have ended. The caller has claimed it.

    A member whose training fails leaves the population.

    Raises:
        Interrupted: `should_stop` said so.
    """
    started: set[Job] = set()
    for stage in range(1, study.config.space.stages + 1):
        for number, turn in turns(study, job, stage).items():
            member = replace(job, trial=number)
            if study.trial(member).state.is_finished() or trained(study, member, stage) is not None:
                continue
            if member not in started:
                started.add(member)
                tell(Event("start", member))
            try:
                _train(study, member, stage, turn, place, Hooks(partial(tell_progress, tell, member), should_stop))
            except RunFailedError as error:
                fail(study, member, str(error))
            if study.trial(member).state.is_finished():
                tell(end_of(study, member))
        _drop_checkpoints(study, job, stage - 1, place)
    _drop_checkpoints(study, job, study.config.space.stages, place)


def turns(study: StoredStudy, job: Job, stage: int) -> dict[int, Turn]:
    """Who trains what in a stage, by number; all of the stage before are done.

    Nobody copies when the last stage opens. All train the full network in it: a copy would have nothing to explore, and
    would end as its parent, bit for bit.
    """
    config = study.config
    members = [replace(job, trial=number) for number in range(config.methods[job.method].trials)]
    if stage == 1:
        drawn = [study.trial(member).system_attrs["fixed_params"] for member in members]
        return {number: Turn(number, config.space.from_parameters(drawn[number])) for number in range(len(members))}
    stood = {m.trial: done for m in members if (done := trained(study, m, stage - 1)) is not None}
    if stage == config.space.stages:
        return {number: Turn(number, done.levels) for number, done in stood.items()}
    found = {}
    for number, parent in exploit({number: done.val_top1 for number, done in stood.items()}).items():
        levels = stood[parent].levels
        if parent != number:
            rng = Random(derive(config.name, job.method, job.seed, number, stage))
            levels = explore(config.space, levels, stage, rng)
        found[number] = Turn(parent, levels)
    return found


def trained(study: StoredStudy, member: Job, stage: int) -> Trained | None:
    """Where a member stood at the end of a stage, if it has come so far."""
    stored = study.trial(member).user_attrs.get(_name(stage))
    if stored is None:
        return None
    return Trained(**stored | {"levels": tuple((i, j) for i, j in stored["levels"])})


def _train(study: StoredStudy, member: Job, stage: int, turn: Turn, place: Workplace, hooks: Hooks) -> None:
    """A member's turn, from its checkpoint, else from its parent's of the stage before."""
    trial, checkpoint = open_trial(study, member), _checkpoint(study, member, stage)
    parent = replace(member, trial=turn.parent)
    stood = _checkpoint(study, parent, stage - 1)
    place.kept.fetch(checkpoint)
    begun = checkpoint.exists() or before(checkpoint).exists()
    if stage > 1 and not begun:
        place.kept.fetch(stood)
    if stage > 1 and not begun and stood.exists():  # without it the stages before are trained again
        place.kept.check()
        write_atomic(checkpoint, stood.read_bytes())
    # As the first member's: a run keeps its name whoever goes on with it.
    schedule = through(study.config.space, turn.levels)
    spec, method = plan(study, replace(member, trial=0), trial, place.data, schedule)
    run = place.run(spec, checkpoint, method, stage)
    with place.logged(run, member, study) as book:
        Trainer(run, method, profile=place.profile(spec), hooks=book.hooks(hooks)).train_parts(stage)
        _after(study, member, stage, turn, trial, run, place, book)


def _after(
    study: StoredStudy, member: Job, stage: int, turn: Turn, trial: Trial, run: Run, place: Workplace, book: Logbook
) -> None:
    """Store what a member did in its turn, and after the last one what it ended with."""
    space, parent = study.config.space, replace(member, trial=turn.parent)
    total = own = run.train_flops()
    if stage > 1:
        mine, copied = trained(study, member, stage - 1), trained(study, parent, stage - 1)
        assert mine is not None, "it is in the population"
        assert copied is not None, "so is its parent"
        own = mine.own_flops + total - copied.total_flops
    if stage < space.stages:
        done = Trained(turn.parent, turn.levels, run.state.curve[-1]["val_top1"], total, own)
        trial.set_user_attr(_name(stage), asdict(done))
        return
    record_parameters(study, study.trial(member), space.to_parameters(turn.levels))
    finish(study, member, trial, run, place, book, own_flops=own)


def _name(stage: int) -> str:
    """Of a stage's checkpoint, and of what is stored of it."""
    return f"stage{stage}"


def _checkpoint(study: StoredStudy, member: Job, stage: int) -> Path:
    return study.trial_folder(member) / f"{_name(stage)}.pt"


def _drop_checkpoints(study: StoredStudy, job: Job, stage: int, place: Workplace) -> None:
    for number in range(study.config.methods[job.method].trials):
        checkpoint = _checkpoint(study, replace(job, trial=number), stage)
        drop_checkpoints(checkpoint)
        place.kept.drop(checkpoint)
