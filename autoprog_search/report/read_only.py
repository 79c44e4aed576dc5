"""A study's storage and files, to be read alone: what optuna-dashboard is given to show."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn
from uuid import uuid4

from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autoprog_search.errors import StudyError

if TYPE_CHECKING:
    from optuna.study._frozen import FrozenStudy


def _refuse() -> NoReturn:
    raise StudyError("dashboard: a study is shown, not changed; use the command line")


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

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Refused, as all that follows."""
        _refuse()

    def delete_study(self, study_id: int) -> None:
        """Refused."""
        _refuse()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Refused."""
        _refuse()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Refused."""
        _refuse()

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Refused."""
        _refuse()

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Refused."""
        _refuse()

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Refused."""
        _refuse()

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refused."""
        _refuse()

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refused."""
        _refuse()


class ReadOnlyFiles:
    """An Optuna artifact store of what is offered. Its names cannot be guessed: pages of others may ask for them."""

    def __init__(self) -> None:
        self._read: dict[str, Callable[[], bytes]] = {}

    def offer(self, read: Callable[[], bytes]) -> str:
        """Under what name it can be had.

        Args:
            read: called whenever somebody asks for it.
        """
        name = str(uuid4())
        self._read[name] = read
        return name

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """What was offered under that name.

        Raises:
            ArtifactNotFound: nothing was.
        """
        if (read := self._read.get(artifact_id)) is None:
            raise ArtifactNotFound(artifact_id)
        return io.BytesIO(read())

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Refused."""
        _refuse()

    def remove(self, artifact_id: str) -> None:
        """Refused."""
        _refuse()
