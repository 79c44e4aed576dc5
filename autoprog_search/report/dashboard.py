"""A study in optuna-dashboard: its trials as they are stored, our verdict as a note, our figures as plots.

What is shown is the storage behind a front that reads: notes and plots stay in memory, all else that the dashboard
would write is refused. So a study is not changed by being looked at.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autoprog_search.analysis.compare import compare
from autoprog_search.analysis.verdict import verdicts
from autoprog_search.errors import ConfigError, MissingExtraError, StudyError
from autoprog_search.interrupt import POLL_SECONDS, signals_ask
from autoprog_search.report.figures import FIGURES
from autoprog_search.report.verdict import READING, verdict_text
from autoprog_search.study.results import StudyFrames, stored_frames
from autoprog_search.study.store import StoredStudy

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from optuna.study._frozen import FrozenStudy

NEEDS = "dashboard: optuna-dashboard is not installed; install it: pip install 'autoprog-search[dashboard]'"


class ReadOnlyStorage(BaseStorage):
    """A storage that is read as it is; attributes of studies that are written to it stay in memory.

    Args:
        stored: what is read.
        names: of the Optuna studies that are shown; others of the same storage are not.
    """

    def __init__(self, stored: BaseStorage, names: Container[str]) -> None:
        self._stored, self._names = stored, names
        self._written: dict[int, dict[str, Any]] = {}

    # ── what is read ──────────────────────────────────────────────────────────────────────────────────────────────

    def get_all_studies(self) -> list[FrozenStudy]:
        """Those shown, with what was written in memory."""
        shown = [copy.copy(study) for study in self._stored.get_all_studies() if study.study_name in self._names]
        for study in shown:
            study.system_attrs = study.system_attrs | self._written.get(study._study_id, {})
        return shown

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """The stored ones, and what was written in memory."""
        return self._stored.get_study_system_attrs(study_id) | self._written.get(study_id, {})

    def get_study_id_from_name(self, study_name: str) -> int:
        """As stored."""
        return self._stored.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """As stored."""
        return self._stored.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """As stored."""
        return self._stored.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """As stored."""
        return self._stored.get_study_user_attrs(study_id)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """As stored."""
        return self._stored.get_trial(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As stored."""
        return self._stored.get_all_trials(study_id, deepcopy, states)

    # ── what is written ───────────────────────────────────────────────────────────────────────────────────────────

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Kept in memory: notes and plots."""
        self._written.setdefault(study_id, {})[key] = value

    def _refuse(self) -> NoReturn:
        raise StudyError("dashboard: a study is shown, not changed; use the command line")

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Refused, as all that follows."""
        self._refuse()

    def delete_study(self, study_id: int) -> None:
        """Refused."""
        self._refuse()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Refused."""
        self._refuse()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Refused."""
        self._refuse()

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Refused."""
        self._refuse()

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Refused."""
        self._refuse()

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Refused."""
        self._refuse()

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refused."""
        self._refuse()

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refused."""
        self._refuse()


def shown(study: StoredStudy) -> ReadOnlyStorage:
    """The study's storage with a note and figures at each of its Optuna studies, as they are now.

    Raises:
        MissingExtraError: optuna-dashboard is not installed.
        StudyError: the storage cannot be read.
    """
    if find_spec("optuna_dashboard") is None:
        raise MissingExtraError(NEEDS)
    from optuna_dashboard import save_note, save_plotly_graph_object

    names = {study.optuna_name(method, seed) for method, seed in study.pairs()}
    front, frames = ReadOnlyStorage(study.storage, names), stored_frames(study)
    text, drawn = note(frames), dict(figures(frames))
    for stored in front.get_all_studies():
        opened = optuna.load_study(study_name=stored.study_name, storage=front)
        save_note(opened, text)
        for name, figure in drawn.items():
            save_plotly_graph_object(opened, figure, graph_object_id=name)
    return front


def note(frames: StudyFrames) -> str:
    """The verdict on each method of the study, in Markdown."""
    table = compare(frames.trials, frames.config.tolerance)
    if table.empty:
        return f"# {frames.config.name}\n\nNo trial of it has finished yet."
    lines = [f"- {_plain(verdict_text(found))}" for found in verdicts(frames.trials, table)]
    return "\n".join([f"# {frames.config.name}", "", *lines, "", READING, "", "As of the dashboard's start."])


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#|" else letter for letter in text)


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
    front = shown(study)
    from optuna_dashboard import wsgi

    try:
        server = make_server(host, port, cast(Any, wsgi(front)), WSGIServer, _Quiet)
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
