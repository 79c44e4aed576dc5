"""The step times of every sub-network on this device, measured once a study and shared by all of its workers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from autoprog_search.errors import ScheduleError
from autoprog_search.files import write_atomic
from autoprog_search.interrupt import locked
from autoprog_search.methods.registry import method_named
from autoprog_search.patching import PatchesBy
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace
from autoprog_search.study.claims import Kept
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.store import StoredStudy

if TYPE_CHECKING:
    import torch

    from autoprog_search.data.data_set import Data
    from autoprog_search.training.profile import Profiles, StepProfile
    from autoprog_search.training.world import World


def shared_profiles(
    study: StoredStudy,
    data: Data,
    device: torch.device,
    *,
    should_stop: Callable[[], bool],
    on_measuring: Callable[[str], None] = lambda device: None,
    world: World | None = None,
) -> Profiles:
    """The study's step profiles on this kind of device, measured by the first worker while the others wait.

    Args:
        world: the processes that train together, default this one; rank 0 has them measure with it.

    Returns:
        One for each way in which its methods come by fewer patches.

    Raises:
        Interrupted: `should_stop` said so.
    """
    from autoprog_search.training.profile import profiled_name
    from autoprog_search.training.world import ALONE

    path, world, kept = study.folder / "profile.json", world or ALONE, Kept(artifacts=study.artifacts)
    with locked(study.folder / ".profile.lock", should_stop):
        if not path.exists():
            kept.fetch(path)
        name, stored, wanted = (
            profiled_name(study.config.recipe, device, world),
            _stored(path),
            sub_networks(study.config),
        )
        names = {by: name if by == study.config.space.patches_by else f"{name}, patches by {by}" for by in wanted}
        if not world.decided(lambda: all(_covers(stored.get(names[by]), of) for by, of in wanted.items())):
            on_measuring(name)
            found = measured(study.config, data, device, should_stop, world)
            stored |= {names[by]: profile for by, profile in found.items()}
            write_atomic(path, json.dumps({name: of.to_dict() for name, of in stored.items()}).encode())
            kept.put_if_possible(path)
    return {by: stored[name] for by, name in names.items()}


def _covers(profile: StepProfile | None, sub_networks: list[SubNetwork]) -> bool:
    return profile is not None and set(sub_networks) <= set(profile.seconds)


def measured(
    config: StudyConfig, data: Data, device: torch.device, should_stop: Callable[[], bool], world: World
) -> Profiles:
    """Step times of every sub-network that a trial may train; all processes of the world measure together.

    Raises:
        Interrupted: `should_stop` of one said so.
    """
    from autoprog_search.training.profile import profile_steps

    return {
        by: profile_steps(
            _union(config, by), config.recipe, data, device, sub_networks=wanted, should_stop=should_stop, world=world
        )
        for by, wanted in sub_networks(config).items()
    }


def _stored(path: Path) -> dict[str, StepProfile]:
    """The profiles measured so far, by device; what cannot be read is measured again."""
    from autoprog_search.training.profile import StepProfile

    if not path.exists():
        return {}
    try:
        return {name: StepProfile.from_dict(data) for name, data in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, ScheduleError) as error:
        logging.getLogger("autoprog_search").warning(
            f"{path} cannot be read ({type(error).__name__}: {str(error)[:80]}): step times are measured again"
        )
        return {}


def sub_networks(config: StudyConfig) -> dict[PatchesBy, list[SubNetwork]]:
    """Every sub-network that a trial may train: those of each method's space, and of its fixed schedule.

    Returns:
        By how they come by fewer patches, the study's own way first.
    """
    found: dict[PatchesBy, dict[SubNetwork, None]] = {config.space.patches_by: {config.space.full: None}}
    for name in config.methods:
        space = config.space_of(name)
        own = found.setdefault(space.patches_by, {space.full: None})  # a dictionary keeps their order
        own |= dict.fromkeys(method_named(name).sub_networks(space))
    return {by: list(own) for by, own in found.items()}


def _union(config: StudyConfig, by: PatchesBy) -> GrowthSpace:
    """The study's space with the depths of all its methods' spaces, its patches by that."""
    depths = {depth for name in config.methods for depth in config.space_of(name).depths}
    changed = {"depths": tuple(sorted({*config.space.depths, *depths})), "patches_by": by}
    return config.space.model_copy(update=changed)
