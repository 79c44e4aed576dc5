"""What workers tell whoever watches a study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from autoprog_search.study.standing import Notebook
from autoprog_search.study.store import Job, StoredStudy

if TYPE_CHECKING:
    from autoprog_search.training.state import Progress


@dataclass(frozen=True)
class Event:
    """What a worker tells: it profiles, what the study will take, where NNI's portal is, a trial started, goes on,
    ended or failed, something to know, or that it failed itself.

    Attributes:
        progress: a `training.state.Progress`, of `progress` events.
        trials: how many trials ended.
        message: an error in one line, a finished trial's summary, an experiment and its address.
    """

    kind: Literal["profile", "budget", "portal", "start", "progress", "done", "fail", "warning", "error"]
    job: Job | None = None
    progress: Any = None
    message: str = ""
    trials: int = 1


Tell = Callable[[Event], None]
"""Whoever watches the study."""


def tell_progress(tell: Tell, job: Job, progress: Progress) -> None:
    """Tell where a trial stands."""
    tell(Event("progress", job, progress))


def noted(study: StoredStudy, tell: Tell) -> Tell:
    """Tell, and keep with a trial where it stands, for those who watch the study from elsewhere."""
    notebook = Notebook(study)

    def telling(event: Event) -> None:
        if event.kind == "progress" and event.job is not None:
            notebook.note(event.job, event.progress)
        tell(event)

    return telling


def end_of(study: StoredStudy, job: Job) -> Event:
    """The event of a trial that has ended, with its result or its error."""
    trial = study.trial(job)
    if trial.state.name == "COMPLETE":
        return Event("done", job, message=f"val {trial.user_attrs['val_top1']:.2f} %")
    if trial.state.name == "PRUNED":
        share = trial.user_attrs["total_flops"] / trial.user_attrs["full_flops"]
        accuracy = f"val {trial.user_attrs['val_top1']:.2f} %"
        return Event("done", job, message=f"stopped early at {100 * share:.0f} % of full's cost, {accuracy}")
    return Event("fail", job, message=trial.user_attrs["error"])
