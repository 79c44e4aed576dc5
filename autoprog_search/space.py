"""Growth spaces (Omega): all monotone growth schedules over the levels of depth and of patches.

A space is one YAML file under `search_spaces/`. The last stage always trains the full network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, combinations_with_replacement, pairwise, product
from math import comb
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from autoprog_search.errors import ScheduleError, SpaceError, shown, there_are
from autoprog_search.fields import Options, Real, Settings, Text, Whole, fields_at, read_fields, unknown_field
from autoprog_search.files import read_yaml
from autoprog_search.levels import (
    MOST_ARGUMENT,
    MOST_BLOCKS,
    MOST_LENGTHS,
    MOST_LEVELS,
    MOST_PIXELS,
    MOST_STAGES,
    check_lengths,
    resolve_levels,
)
from autoprog_search.patching import PatchesBy, Patching
from autoprog_search.schedule import MOST_EPOCHS, GrowthSchedule, SubNetwork, check_square, patches_at

if TYPE_CHECKING:
    from optuna.distributions import IntDistribution

Levels = tuple[tuple[int, int], ...]
"""(depth level, patches level) per stage."""

AXES = ("depth", "patches")
LENGTHS = "stage_lengths_level"
"""Name of the choice of stage lengths in Optuna."""

PRESETS = Path(__file__).parent / "search_spaces"
if not PRESETS.is_dir():  # a source checkout: the folder lies beside the package, in a wheel inside it
    PRESETS = Path(__file__).parent.parent / "search_spaces"


class GrowthSpace(Settings):
    """A timm model, its full size, the levels it may grow through, and the stages.

    Give each axis once: `depths` or `depth_fractions`; `patches`, `resolutions` or `resolution_fractions`. After
    validation `depths` and `patches` hold the levels, ascending, the full size last.
    """

    also: ClassVar[dict[str, str]] = {
        "depth_fractions": "the same as `depths`, as shares of the full network's.",
        "resolutions": "the same as `patches`, as image sides in pixels, or shares of the full one.",
        "resolution_fractions": "the same as `patches`, as image sides in pixels, or shares of the full one.",
        "resolution_step": "fractions of the resolution are rounded to multiples of this many pixels.",
    }

    name: Text
    """of the space, by default its file's."""
    description: Text = ""
    """a line for `space list`."""
    model: Text
    """timm model name."""
    model_args: Options = Field(default_factory=dict)
    """what else `timm.create_model` is given."""
    pos_embed: Literal["timm", "sincos"] = "timm"
    """initial position embedding: timm's, or fixed-frequency sines and cosines at scale 1 (still trained), without
    which very small ViTs on little data hardly learn (docs/LOG.md)."""
    depth: Whole = Field(ge=1, le=MOST_BLOCKS)
    """blocks of the full network."""
    resolution: Whole = Field(ge=1, le=MOST_PIXELS)
    """its images' side in pixels."""
    patch_size: Whole = Field(ge=1, le=MOST_PIXELS)
    """its patches' side in pixels."""
    depths: tuple[Whole, ...] = Field(default=(), max_length=MOST_LEVELS)
    """numbers of blocks that a stage may run, ascending, the full network's last."""
    patches: tuple[Whole, ...] = Field(default=(), max_length=MOST_LEVELS)
    """numbers of patches that a stage may train on, squares, ascending, the full network's last."""
    patches_by: PatchesBy = "resolution"
    """how a stage comes by fewer patches: smaller images (`resolution`, the paper), or the full ones in larger patches
    (`patch_size`), embedded by a weight of their own (`growth.blocks.patch_operator`)."""
    stages: Whole = Field(default=4, ge=1, le=MOST_STAGES)
    """number of stages K, equally long unless `stage_lengths` are given."""
    stage_lengths: tuple[Real, ...] = ()
    """shares of the epochs, one a stage, that sum to 1."""
    stage_length_choices: tuple[tuple[Real, ...], ...] = Field(default=(), max_length=MOST_LENGTHS)
    """further stage lengths, beside the space's own, among which Optuna's samplers and uniform draws choose, one a
    trial. All other methods train the space's own."""
    equal_compute: bool = False
    """each stage is to cost the K-th part of what training the full network costs: what growing saves is spent on more
    epochs, early ones. For schedules that are known before they run."""
    recipe: Text = "imagenet_deit_100ep"
    """name of the recipe that a study on this space uses unless told otherwise."""

    @model_validator(mode="before")
    @classmethod
    def _resolve_levels(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = fields_at(cls, ())
        for name in data:  # first, since a field that is missing may be one that is misspelt
            if name not in known:
                raise SpaceError(f"{name}: {unknown_field(str(name), known, data[name])}")
        return resolve_levels(data)

    @model_validator(mode="after")
    def _check(self) -> GrowthSpace:
        for name, value in self.model_args.items():
            if isinstance(value, int | float) and abs(value) > MOST_ARGUMENT:
                raise SpaceError(f"model_args, {name}: {value:g} is beyond {MOST_ARGUMENT:,}")
        if self.model_args.get("depth", self.depth) != self.depth:
            raise SpaceError(
                f"model_args, depth: {shown(self.model_args['depth'])} is not the space's depth {self.depth}; "
                "give the same twice"
            )
        for n in self.patches:
            check_square(n)
        full_patches = patches_at(self.resolution, self.patch_size)
        for axis, levels, full in (("depths", self.depths, self.depth), ("patches", self.patches, full_patches)):
            if list(levels) != sorted(set(levels)) or not levels or levels[0] < 1:
                raise SpaceError(f"{axis}: {shown(list(levels))} are not ascending distinct numbers above 0")
            if levels[-1] > full:
                raise SpaceError(f"{axis}: {levels[-1]} is above {self.model}'s {full}")
            if levels[-1] != full:
                raise SpaceError(f"{axis}: the last level is {levels[-1]}, it must be the full size {full}")
        if self.equal_compute and (self.stage_lengths or self.stage_length_choices):
            given = "stage_lengths" if self.stage_lengths else "stage_length_choices"
            raise SpaceError(f"equal_compute: it says how long stages are, so {given} cannot")
        if self.stage_lengths:
            check_lengths("stage_lengths", self.stage_lengths, self.stages)
        for lengths in self.stage_length_choices:
            check_lengths("stage_length_choices", lengths, self.stages)
        return self

    # ── files ───────────────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def load(cls, name_or_path: str) -> GrowthSpace:
        """The preset of that name, or the space in that YAML file.

        Raises:
            SpaceError: no such preset or file, or what it holds is no growth space.
        """
        path = Path(name_or_path)
        if path.suffix not in (".yaml", ".yml"):
            path = PRESETS / f"{name_or_path}.yaml"
            if name_or_path not in cls.presets():
                known = there_are(name_or_path, cls.presets())
                raise SpaceError(f"space: {shown(name_or_path)} is neither a .yaml file nor a preset; {known}")
        data = read_yaml(path, SpaceError, "space: ")
        if not isinstance(data, dict):
            raise SpaceError(f"space: {path} is not a mapping of fields")
        try:
            return read_fields(cls, {"name": path.stem, **data}, "", SpaceError)
        except (SpaceError, ScheduleError) as error:
            raise SpaceError(f"space {path.stem}, {error}") from None

    @staticmethod
    def presets() -> list[str]:
        """Names of the spaces that come with the package."""
        return sorted(path.stem for path in PRESETS.glob("*.yaml"))

    @property
    def in_chans(self) -> int | None:
        """Image channels, where the space says so; else the data's."""
        value = self.model_args.get("in_chans")
        return int(value) if value is not None else None

    # ── sub-networks and levels ─────────────────────────────────────────────────────────────────────────────────

    @property
    def patching(self) -> Patching:
        """How its images are cut into patches."""
        return Patching(self.patches_by, self.resolution, self.patch_size)

    @cached_property
    def full(self) -> SubNetwork:
        """The full network."""
        return SubNetwork(self.depths[-1], self.patches[-1])

    @cached_property
    def sub_networks(self) -> tuple[SubNetwork, ...]:
        """Every combination of levels, shallow first."""
        return tuple(SubNetwork(d, n) for d, n in product(self.depths, self.patches))

    def at(self, depth_level: int, patches_level: int) -> SubNetwork:
        """The sub-network at these level indices."""
        return SubNetwork(self.depths[depth_level], self.patches[patches_level])

    def levels_of(self, sub_network: SubNetwork) -> tuple[int, int]:
        """(depth level, patches level) of a sub-network of this space.

        Raises:
            SpaceError: it is not one of them.
        """
        if sub_network.depth not in self.depths:
            raise SpaceError(f"depth: {sub_network.depth} is not a level of {self.name}: {shown(list(self.depths))}")
        if sub_network.patches not in self.patches:
            given = shown(list(self.patches))
            raise SpaceError(f"patches: {sub_network.patches} is not a level of {self.name}: {given}")
        return self.depths.index(sub_network.depth), self.patches.index(sub_network.patches)

    # ── stage lengths ───────────────────────────────────────────────────────────────────────────────────────────

    def lengths_parameters(self) -> tuple[dict[str, int], ...]:
        """Every choice of stage lengths as a named integer, 0 the space's own; no name where there is no choice."""
        if not self.stage_length_choices:
            return ({},)
        return tuple({LENGTHS: level} for level in range(1 + len(self.stage_length_choices)))

    def at_lengths(self, parameters: Mapping[str, Any]) -> GrowthSpace:
        """This space with the stage lengths that the named integers mean (its own by default), and no choice."""
        if not self.stage_length_choices:
            return self
        lengths = (self.stage_lengths, *self.stage_length_choices)[int(parameters.get(LENGTHS, 0))]
        return self.model_copy(update={"stage_lengths": lengths, "stage_length_choices": ()})

    # ── schedules ───────────────────────────────────────────────────────────────────────────────────────────────

    def stage_epochs(self, epochs: int) -> tuple[int, ...]:
        """Whole epochs of each stage: stage k starts at floor((k-1)E/K), or at its share of E.

        Raises:
            SpaceError: fewer epochs than stages would leave one empty; or there are too many.
        """
        if epochs > MOST_EPOCHS:
            raise SpaceError(f"epochs: {shown(epochs)} is more than {MOST_EPOCHS:,}")
        if self.stage_lengths:
            # The nudge keeps 0.7 + 0.2 + 0.1 from losing an epoch to the last bit.
            begun = accumulate(self.stage_lengths[:-1], initial=0.0)
            starts = [*(int(epochs * share + 1e-9) for share in begun), epochs]
        else:
            starts = [k * epochs // self.stages for k in range(self.stages + 1)]
        parts = tuple(b - a for a, b in pairwise(starts))
        if min(parts) < 1:
            k = parts.index(min(parts)) + 1
            raise SpaceError(f"epochs: {epochs} leave stage {k} of {self.stages} without an epoch; train longer")
        return parts

    def schedule(self, levels: Sequence[tuple[int, int]], epochs: int) -> GrowthSchedule:
        """The schedule through these levels, one pair a stage."""
        return GrowthSchedule.of(self.stage_epochs(epochs), [self.at(i, j) for i, j in levels])

    def count(self) -> int:
        """How many monotone schedules there are, of the same stage lengths; the last stage is fixed."""
        free = self.stages - 1
        return comb(len(self.depths) + free - 1, free) * comb(len(self.patches) + free - 1, free)

    def enumerate(self) -> Iterator[Levels]:
        """Every monotone schedule as level indices."""
        free, last = self.stages - 1, (len(self.depths) - 1, len(self.patches) - 1)
        for i, j in product(
            combinations_with_replacement(range(len(self.depths)), free),
            combinations_with_replacement(range(len(self.patches)), free),
        ):
            yield (*zip(i, j, strict=True), last)

    def numbered(self, place: int) -> Levels:
        """The schedule at that place of `enumerate`, without the others."""
        free, last = self.stages - 1, (len(self.depths) - 1, len(self.patches) - 1)
        of_patches = comb(len(self.patches) + free - 1, free)
        i, j = (
            _multiset(len(levels), free, at)
            for levels, at in zip((self.depths, self.patches), divmod(place, of_patches), strict=True)
        )
        return (*zip(i, j, strict=True), last)

    def sample(self, rng: Random) -> Levels:
        """A schedule drawn uniformly over *schedules*, not over the choices stage by stage.

        A uniform draw of a non-decreasing sequence is a uniform draw of a multiset ("stars and bars"); the two axes are
        independent. Drawing each stage from what the last one left would pile up at full size.
        """
        free = self.stages - 1

        def draw(levels: int) -> list[int]:
            chosen = sorted(rng.sample(range(levels + free - 1), free))
            return [c - k for k, c in enumerate(chosen)]

        pairs = zip(draw(len(self.depths)), draw(len(self.patches)), strict=True)
        return (*pairs, (len(self.depths) - 1, len(self.patches) - 1))

    def repair(self, levels: Sequence[tuple[int, int]]) -> Levels:
        """The running maximum of each axis, ending at full size: monotone, and the same if it already was."""
        i = j = 0
        repaired = []
        for a, b in levels:
            i, j = max(i, a), max(j, b)
            repaired.append((i, j))
        return (*repaired[:-1], (len(self.depths) - 1, len(self.patches) - 1))

    def from_parameters(self, parameters: Mapping[str, Any]) -> Levels:
        """The schedule that the named integers mean; where they shrink, their running maximum."""

        def level(k: int, axis: str) -> int:
            return int(parameters[parameter_name(k, axis)])

        free = [(level(k, "depth"), level(k, "patches")) for k in range(1, self.stages)]
        return self.repair([*free, (0, 0)])  # the last stage's are always the full network's

    def distributions(self) -> dict[str, IntDistribution]:
        """Optuna distributions of the free stages' levels, in stage order, with static ranges."""
        from optuna.distributions import IntDistribution

        return {
            parameter_name(k, axis): IntDistribution(0, len(levels) - 1)
            for k in range(1, self.stages)
            for axis, levels in zip(AXES, (self.depths, self.patches), strict=True)
        }


def _multiset(levels: int, count: int, place: int) -> list[int]:
    """`combinations_with_replacement(range(levels), count)` at that place."""
    chosen: list[int] = []
    level = 0
    for left in reversed(range(count)):
        while place >= (ways := comb(levels - level + left - 1, left)):  # on from here, with this level next
            place -= ways
            level += 1
        chosen.append(level)
    return chosen


def parameter_name(stage: int, axis: str) -> str:
    """Name of a stage's level in Optuna (and in NNI): stages count from 1, the axis is `depth` or `patches`."""
    return f"stage{stage}_{axis}_level"


def to_parameters(levels: Levels) -> dict[str, int]:
    """A schedule as named integers, the free stages' levels: what Optuna and NNI search."""
    free = enumerate(levels[:-1], start=1)
    return {parameter_name(k, axis): v for k, pair in free for axis, v in zip(AXES, pair, strict=True)}
