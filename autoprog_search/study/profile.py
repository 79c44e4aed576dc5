"""The step times of every sub-network on this device, measured once a study and shared by all of its workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from autoprog_search.files import write_atomic
from autoprog_search.study.locking import locked
from autoprog_search.study.store import StoredStudy

if TYPE_CHECKING:
    import torch

    from autoprog_search.training.data import Data
    from autoprog_search.training.profile import StepProfile


def shared_profile(
    study: StoredStudy,
    data: Data,
    device: torch.device,
    *,
    should_stop: Callable[[], bool],
    on_measuring: Callable[[str], None] = lambda device: None,
) -> StepProfile:
    """The study's step profile on this kind of device, measured by the first process while the others wait.

    Raises:
        Interrupted: `should_stop` said so.
    """
    from autoprog_search.training.device import device_name
    from autoprog_search.training.profile import StepProfile, profile_steps

    path = study.folder / "profile.json"
    with locked(study.folder / ".profile.lock", should_stop):
        stored = json.loads(path.read_text()) if path.exists() else {}
        name = device_name(device)
        if name not in stored:
            on_measuring(name)
            measured = profile_steps(
                study.config.space,
                study.config.recipe,
                num_classes=data.num_classes,
                in_chans=data.in_chans,
                device=device,
                should_stop=should_stop,
            )
            stored[name] = measured.to_dict()
            write_atomic(path, json.dumps(stored).encode())
    return StepProfile.from_dict(stored[name])
