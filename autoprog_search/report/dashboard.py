"""A study in optuna-dashboard: its trials as stored, our verdict as a note, figures as plots, weights as artifacts.

What is shown is the storage behind a front that reads: notes and plots stay in memory, all else that the dashboard
would write is refused. So a study is not changed by being looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
import pandas as pd
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import FrozenTrial, TrialState

from autoprog_search.analysis.compare import compare
from autoprog_search.analysis.verdict import verdicts
from autoprog_search.errors import ConfigError, MissingExtraError, StudyError, printable
from autoprog_search.files import WEIGHTS
from autoprog_search.interrupt import POLL_SECONDS, signals_ask
from autoprog_search.report.figures import FIGURES
from autoprog_search.report.read_only import ReadOnlyFiles, ReadOnlyStorage
from autoprog_search.report.verdict import READING, verdict_text
from autoprog_search.study.artifacts import Artifacts
from autoprog_search.study.results import StudyFrames, stored_frames
from autoprog_search.study.store import ENDED_WELL, Job, StoredStudy

if TYPE_CHECKING:
    import plotly.graph_objects as go

BYTES = "application/octet-stream"
NEEDS = "dashboard: optuna-dashboard is not installed; install it: pip install 'autoprog-search[dashboard]'"


def shown(study: StoredStudy) -> tuple[ReadOnlyStorage, ReadOnlyFiles]:
    """The study's storage with a note and figures at each of its Optuna studies, as they are now, and trials' files.

    Raises:
        MissingExtraError: optuna-dashboard is not installed.
        StudyError: the storage cannot be read.
    """
    if find_spec("optuna_dashboard") is None:
        raise MissingExtraError(NEEDS)
    from optuna_dashboard import save_note, save_plotly_graph_object

    names = {study.optuna_name(method, seed): (method, seed) for method, seed in study.pairs()}
    trials = study.trials()
    front, files, frames = ReadOnlyStorage(study.storage, names), ReadOnlyFiles(), stored_frames(study, trials)
    text, drawn = note(frames), dict(figures(frames))
    numbers = {}
    for stored in front.get_all_studies():
        numbers[names[stored.study_name]] = stored._study_id
        opened = optuna.load_study(study_name=stored.study_name, storage=front)
        save_note(opened, text)
        for name, figure in drawn.items():
            save_plotly_graph_object(opened, figure, graph_object_id=name)
    for job, trial in trials.items():
        for name, kind, read in trial_files(study, job, trial):
            identity = files.offer(read)
            described = {"artifact_id": identity, "filename": name, "mimetype": kind, "encoding": None}
            # Where the dashboard looks for those of a trial; Optuna's own place is the trial, of which all is stored.
            key = f"dashboard:artifacts:{trial._trial_id}:{identity}"
            front.set_study_system_attr(numbers[job.method, job.seed], key, json.dumps(described))
    return front, files


def trial_files(study: StoredStudy, job: Job, trial: FrozenTrial) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Name, MIME type and content of what a trial that has ended left: its weights, its learning curve."""
    if trial.state.name not in ENDED_WELL:
        return
    if curve := trial.user_attrs.get("curve"):
        yield "curve.csv", "text/csv", lambda: pd.DataFrame(curve).to_csv(index=False).encode()
    path = study.trial_folder(job) / WEIGHTS
    if path.exists():
        yield WEIGHTS, BYTES, path.read_bytes
    elif study.artifacts is not None and trial.state == TrialState.COMPLETE:
        yield WEIGHTS, BYTES, partial(_kept_elsewhere, study.artifacts, path)


def _kept_elsewhere(artifacts: Artifacts, path: Path) -> bytes:
    if (data := artifacts.read(path)) is None:
        raise ArtifactNotFound(path.name)
    return data


def note(frames: StudyFrames) -> str:
    """The verdict on each method of the study, in Markdown."""
    table = compare(frames.trials, frames.config.tolerance)
    if table.empty:
        return f"# {frames.config.name}\n\nNo trial of it has finished yet."
    lines = [f"- {_plain(verdict_text(found))}" for found in verdicts(frames.trials, table)]
    return "\n".join([f"# {frames.config.name}", "", *lines, "", READING, "", "As of the dashboard's start."])


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#|&" else letter for letter in printable(text))


def figures(frames: StudyFrames) -> Iterator[tuple[str, go.Figure]]:
    """Those of the study's figures that there is something to draw for."""
    for name, info in FIGURES.items():
        try:
            if not info.silent(frames):
                yield name, info.draw(frames, "flops")
        except (StudyError, ConfigError):
            continue  # nothing of it is stored, or not yet


class _Quiet(WSGIRequestHandler):
    timeout = 10  # seconds that a client may take to ask: one at a time is answered

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


def serve(study: StoredStudy, host: str, port: int, on_start: Callable[[str], None]) -> None:
    """Serve the study until a signal asks to stop.

    Args:
        port: 0: one that is free.
        on_start: told the address.

    Raises:
        ConfigError: the address cannot be had.
        MissingExtraError: optuna-dashboard is not installed.
    """
    front, files = shown(study)
    from optuna_dashboard import wsgi

    try:
        server = make_server(host, port, cast(Any, wsgi(front, files)), WSGIServer, _Quiet)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"host, port: {host}:{port} cannot be had ({error}); --port 0 takes any that is free"
        ) from None
    server.timeout = POLL_SECONDS
    # Asked between requests: inside of one, wsgiref takes Ctrl-C for an error of the page.
    with server, signals_ask() as asked_to_stop:
        on_start(f"http://{host}:{server.server_port}")
        while not asked_to_stop():
            server.handle_request()
