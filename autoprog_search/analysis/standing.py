"""Where a study stands: what runs, what has ended, the best so far, how long the rest may take. It only reads."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from optuna.trial import FrozenTrial

from autoprog_search.study.scheduling import to_run
from autoprog_search.study.standing import Standing, standing_of
from autoprog_search.study.store import Job, StoredStudy

SILENT_SECONDS = 60.0


@dataclass(frozen=True)
class Finished:
    """A trial that was trained to its end.

    Attributes:
        val_top1: per cent.
        flops: training and search.
        share: of full's FLOPs.
    """

    job: Job
    val_top1: float
    flops: float
    share: float


@dataclass(frozen=True)
class Running:
    """A trial that has begun.

    Attributes:
        standing: where it stood last; None where it has not said.
        silent: whether it should have said something since.
    """

    job: Job
    standing: Standing | None
    silent: bool

    @property
    def share(self) -> float:
        """Of its epochs, how many it has trained, by what it said last."""
        return self.standing.epoch / self.standing.epochs if self.standing is not None else 0.0


@dataclass(frozen=True)
class MethodStanding:
    """What a method has come to.

    Attributes:
        ended, failed, trials: how many, failed ones among those that ended.
        best: the most accurate on validation; of equals the cheapest.
    """

    method: str
    ended: int
    failed: int
    trials: int
    best: Finished | None


@dataclass(frozen=True)
class StudyStanding:
    """Where a study stands.

    Attributes:
        running: in the study's order.
        ended: jobs that have ended, and how.
        trials: how many there are.
        methods: in the study's order.
        best: of all, the most accurate on validation; of equals the cheapest.
        workers: how many processes run trials, of those that have said something lately.
        seconds_left: a guess; None while there is nothing to guess from.
    """

    name: str
    running: tuple[Running, ...]
    ended: Mapping[Job, str]
    trials: int
    methods: tuple[MethodStanding, ...]
    best: Finished | None
    workers: int
    seconds_left: float | None

    @property
    def over(self) -> bool:
        """Whether nothing is left to run."""
        return len(self.ended) == self.trials


class Watch:
    """When trials last said something, by the clock of whoever watches: those of other hosts may be minutes off.

    Only the first look takes a worker's word for when it spoke, and none for a time that is yet to come. From then on
    a trial was heard of when something new was seen of it.
    """

    def __init__(self) -> None:
        self._heard: dict[Job, tuple[float, float]] = {}

    def silent_for(self, job: Job, told: float, now: float) -> float:
        """Seconds since a trial was last heard of; never less than none.

        Args:
            told: when it spoke last, by its worker's clock.
            now: by this one's.
        """
        known = self._heard.get(job)
        if known is None:
            self._heard[job] = told, min(told, now)
        elif known[0] != told:
            self._heard[job] = told, now
        return max(now - self._heard[job][1], 0.0)


def study_standing(study: StoredStudy, now: float | None = None, watch: Watch | None = None) -> StudyStanding:
    """Where a study stands, by its storage alone.

    Args:
        now: Unix time, default the clock's.
        watch: of who looks again and again; default: this look is the first.

    Raises:
        StudyError: its trials cannot be read.
    """
    now = time.time() if now is None else now
    trials = to_run(study)
    running = tuple(_running(trials, now, watch or Watch()))
    ended = {job: trial.state.name for job, trial in trials.items() if trial.state.is_finished()}
    finished = [_finished(job, trials[job]) for job, state in ended.items() if state == "COMPLETE"]
    heard = {r.standing.worker for r in running if r.standing is not None and not r.silent}
    left = [job for job in trials if job not in ended]
    return StudyStanding(
        name=study.name,
        running=running,
        ended=ended,
        trials=len(trials),
        methods=tuple(_method(name, trials, ended, finished) for name in study.config.methods),
        best=_best(finished),
        workers=len(heard),
        seconds_left=_seconds_left(trials, left, running, len(heard)),
    )


def _running(trials: Mapping[Job, FrozenTrial], now: float, watch: Watch) -> Iterator[Running]:
    for job, trial in trials.items():
        if trial.state.name == "RUNNING":
            standing = standing_of(trial)
            begun = trial.datetime_start.timestamp() if trial.datetime_start is not None else now
            silent = watch.silent_for(job, begun if standing is None else standing.told, now)
            yield Running(job, standing, silent > SILENT_SECONDS)


def _finished(job: Job, trial: FrozenTrial) -> Finished:
    row: Mapping[str, Any] = trial.user_attrs
    flops = float(row["total_flops"])
    return Finished(job, float(row["val_top1"]), flops, flops / float(row["full_flops"]))


def _best(finished: Collection[Finished]) -> Finished | None:
    return max(finished, key=lambda found: (found.val_top1, -found.flops), default=None)


def _method(
    name: str, trials: Mapping[Job, FrozenTrial], ended: Mapping[Job, str], finished: Collection[Finished]
) -> MethodStanding:
    states = [state for job, state in ended.items() if job.method == name]
    best = _best([found for found in finished if found.job.method == name])
    return MethodStanding(name, len(states), states.count("FAIL"), sum(job.method == name for job in trials), best)


def _seconds_left(
    trials: Mapping[Job, FrozenTrial], left: Collection[Job], running: Collection[Running], workers: int
) -> float | None:
    """What running trials say of themselves, and waiting ones at their method's mean, shared out among the workers."""
    taken: dict[str, list[float]] = {}
    for job, trial in trials.items():
        if "wall_seconds" in trial.user_attrs:
            taken.setdefault(job.method, []).append(trial.user_attrs["wall_seconds"])
    known = {r.job: r.standing for r in running if r.standing is not None}
    for job, standing in known.items():
        if standing.epochs > standing.epoch > 0:
            taken.setdefault(job.method, []).append(standing.seconds_left / (1 - standing.epoch / standing.epochs))
    waiting = [job for job in left if job not in known]
    if waiting and not taken:
        return None
    anyone = fmean(seconds for found in taken.values() for seconds in found) if taken else 0.0
    ahead = sum(fmean(taken[job.method]) if job.method in taken else anyone for job in waiting)
    longest = max((standing.seconds_left for standing in known.values()), default=0.0)
    return max(longest, (ahead + sum(s.seconds_left for s in known.values())) / max(workers, 1))
