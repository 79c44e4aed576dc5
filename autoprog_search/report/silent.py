"""Why a finished study's page leaves a figure out: it would say nothing, or nothing that another does not.

Each function gives the reason, empty where the figure tells something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from autoprog_search.study.results import StudyFrames

LEAST_SHARE = 0.5  # per cent of a stage's time


def one_length(study: StudyFrames) -> str:
    """There is no curve to meet the target."""
    sweeps = (study.trials.groupby("method")["scheduled_epochs"].nunique() > 1).any()
    return "" if sweeps else "no method was trained at several lengths (methods.NAME.epochs)"


def no_search(study: StudyFrames) -> str:
    """No method has several trials of one length and seed."""
    sizes = _finished(study).groupby(["method", "seed", "scheduled_epochs"], dropna=False).size()
    return "" if (sizes > 1).any() else "no method has several trials a seed"


def no_front(study: StudyFrames) -> str:
    """No method has several trials on several seeds."""
    trials = _finished(study).groupby(["method", "seed"]).size()
    fronts = (trials[trials > 1].groupby("method").size() > 1).any()
    return "" if fronts else "no method has several trials on several seeds"


def given_stages(study: StudyFrames) -> str:
    """No method may grow at any tick."""
    free = any(study.config.space_of(method).clock == "free" for method in study.config.methods)
    return "" if free else "stages are given (space.clock: stages)"


def several_studies(study: StudyFrames) -> str:
    """Of one study it says what the comparison says."""
    return "it compares several studies (study plot NAME NAME ... --kind profile)"


def no_waiting(study: StudyFrames) -> str:
    """No run waited for its images."""
    from autoprog_search.analysis.loading import waiting

    shares = waiting(study.trials)["share"]
    if shares.empty:
        return "how long runs waited for images is not stored of this study"
    return "" if (shares >= LEAST_SHARE).any() else "no run waited for images"


def _finished(study: StudyFrames) -> pd.DataFrame:
    return study.trials[study.trials["state"] == "COMPLETE"]
