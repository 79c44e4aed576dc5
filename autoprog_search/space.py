"""Growth spaces (Omega): all monotone growth schedules over the levels of depth and of patches.

A space is one YAML file under `search_spaces/`. The last stage always trains the full network.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise, product, zip_longest
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
    MOST_LEVELS,
    MOST_PIXELS,
    MOST_STAGES,
    became,
    check_lengths,
    resolve_levels,
)
from autoprog_search.monotone import Monotone
from autoprog_search.parameters import AXES, parameter_name, tick_name
from autoprog_search.patching import PatchesBy, Patching
from autoprog_search.schedule import MOST_EPOCHS, SubNetwork, check_square, patches_at

if TYPE_CHECKING:
    from optuna.distributions import IntDistribution

Levels = tuple[tuple[int, int], ...]
"""(depth level, patches level) per stage; under a free clock per tick."""

TICKS = 36
"""Parts of a run under a free clock: what grows begins with one of them."""

NUDGE = 1e-9  # keeps 0.7 + 0.2 + 0.1, or the third of nine, from losing an epoch to the last bit

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
    """how a stage comes by fewer patches: smaller images (`resolution`, the paper), the full ones in larger patches
    (`patch_size`), embedded by a weight of their own (`growth.blocks.patch_operator`), or a random part of the full
    ones' patches, anew at each step (`dropout`)."""
    clock: Literal["stages", "free"] = "stages"
    """when a network may grow: where one of the given `stages` begins (the paper), or at any of 36 ticks of a run
    (`free`), depth and patches at times of their own. Fixed schedules that speak of stages keep them."""
    stages: Whole = Field(default=4, ge=1, le=MOST_STAGES)
    """number of stages K, equally long unless `stage_lengths` are given."""
    stage_lengths: tuple[Real, ...] = ()
    """shares of the epochs, one a stage, that sum to 1."""
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
                raise SpaceError(f"{name}: {became(str(name)) or unknown_field(str(name), known, data[name])}")
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
        if self.equal_compute and (self.stage_lengths or self.clock == "free"):
            given = "stage_lengths" if self.stage_lengths else "clock: free"
            raise SpaceError(f"equal_compute: it says how long stages are, so {given} cannot")
        if self.stage_lengths:
            check_lengths("stage_lengths", self.stage_lengths, self.stages)
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
    def decisive(self) -> dict[str, Any]:
        """Its fields, as far as they decide anything: without those that were added since, where nothing is new."""
        usual = {"clock": "stages", "patches_by": "resolution"}
        return self.model_dump(mode="json", exclude={name for name in usual if getattr(self, name) == usual[name]})

    @property
    def in_chans(self) -> int | None:
        """Image channels, where the space says so; else the data's."""
        value = self.model_args.get("in_chans")
        return int(value) if value is not None else None

    @staticmethod
    def became(name: str, value: Any) -> str | None:
        """What to say of a field that was taken out."""
        return became(name)

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

    def levels_through(self, sub_networks: Sequence[SubNetwork], lengths: Sequence[float]) -> Levels:
        """The schedule that a run was, from the sub-networks of its stages and how long they trained."""
        pairs = [self.levels_of(sub_network) for sub_network in sub_networks]
        if self.clock == "stages":
            return tuple(pairs)
        ends = [end / sum(lengths) * TICKS - 0.5 for end in accumulate(lengths)]
        return tuple(pairs[bisect_right(ends, tick)] for tick in range(TICKS))

    # ── schedules ───────────────────────────────────────────────────────────────────────────────────────────────

    def part_epochs(self, epochs: float) -> tuple[float, ...]:
        """Epochs of each part: a tick's; or whole ones of a stage, which starts at floor((k-1)E/K) or its share of E.

        Raises:
            SpaceError: fewer epochs than stages would leave one empty; or they are no number above 0, or too many.
        """
        if not 0 < epochs <= MOST_EPOCHS:  # so that NaN is refused
            raise SpaceError(f"epochs: {shown(epochs)} is not above 0 and up to {MOST_EPOCHS:,}")
        if self.clock == "free":
            return (epochs / TICKS,) * TICKS
        if epochs != int(epochs):
            raise SpaceError(f"epochs: {epochs:g} is not whole, as stages' are; round it, or give space.clock: free")
        starts = [*(int(epochs * begun + NUDGE) for begun in self._begun), int(epochs)]
        parts = tuple(b - a for a, b in pairwise(starts))
        if min(parts) < 1:
            k = parts.index(min(parts)) + 1
            raise SpaceError(f"epochs: {epochs:g} leave stage {k} of {self.stages} without an epoch; train longer")
        return parts

    def stage_at(self, part: int) -> int:
        """Which of the given stages that part of a run lies in, from 0: under a free clock, that in which it begins."""
        return bisect_right(self._begun, part / self.parts + NUDGE) - 1

    @property
    def _begun(self) -> list[float]:
        """Shares of a run at which the given stages begin."""
        if self.stage_lengths:
            return list(accumulate(self.stage_lengths[:-1], initial=0.0))
        return [k / self.stages for k in range(self.stages)]

    @property
    def parts(self) -> int:
        """How many parts a run has, at whose beginnings a method may choose: the stages, or the clock's ticks."""
        return TICKS if self.clock == "free" else self.stages

    @property
    def sequences(self) -> tuple[Monotone, Monotone]:
        """What a schedule is, of depth and of patches: a non-decreasing sequence of whole numbers each.

        Under given stages, the levels of all stages but the last, which is the full network's. Under a free clock, the
        ticks at which the levels above the smallest begin; levels that begin together are skipped, all but the last.
        """
        counts = (len(self.depths), len(self.patches))
        if self.clock == "free":
            return tuple(Monotone(count - 1, TICKS) for count in counts)  # type: ignore[return-value]
        return tuple(Monotone(self.stages - 1, count) for count in counts)  # type: ignore[return-value]

    @property
    def parameter_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the numbers of these sequences are called in Optuna (and in NNI)."""
        name = tick_name if self.clock == "free" else parameter_name
        return tuple(  # type: ignore[return-value]
            tuple(name(k, axis) for k in range(1, sequence.length + 1))
            for axis, sequence in zip(AXES, self.sequences, strict=True)
        )

    def count(self) -> int:
        """How many monotone schedules there are, of the same stage lengths; the last part of a run is fixed."""
        depth, patches = self.sequences
        return depth.count() * patches.count()

    def enumerate(self) -> Iterator[Levels]:
        """Every monotone schedule as level indices."""
        return (self._levels(*pair) for pair in product(*self.sequences))

    def numbered(self, place: int) -> Levels:
        """The schedule at that place of `enumerate`, without the others."""
        depth, patches = self.sequences
        i, j = divmod(place, patches.count())
        return self._levels(depth.numbered(i), patches.numbered(j))

    def sample(self, rng: Random) -> Levels:
        """A schedule drawn uniformly over *schedules*, not over the choices one after the other; axis by axis."""
        depth, patches = self.sequences
        return self._levels(depth.sample(rng), patches.sample(rng))

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
        depth, patches = (
            tuple(accumulate((int(parameters[name]) for name in names), max)) for names in self.parameter_names
        )
        return self._levels(depth, patches)

    def to_parameters(self, levels: Levels) -> dict[str, int]:
        """A schedule as named integers: what Optuna and NNI search."""
        depth, patches = zip(*levels, strict=True)
        if self.clock == "free":
            depth, patches = (
                tuple(bisect_left(column, level) for level in range(1, column[-1] + 1)) for column in (depth, patches)
            )
        numbers = dict(zip(self.parameter_names[0], depth, strict=False))  # levels have the last stage's besides
        numbers |= zip(self.parameter_names[1], patches, strict=False)
        return {name: numbers[name] for name in self._in_order()}

    def distributions(self) -> dict[str, IntDistribution]:
        """Optuna distributions of the named integers, with static ranges; under given stages in stage order."""
        from optuna.distributions import IntDistribution

        depth, patches = (sequence.values - 1 for sequence in self.sequences)
        highest = dict.fromkeys(self.parameter_names[0], depth) | dict.fromkeys(self.parameter_names[1], patches)
        return {name: IntDistribution(0, highest[name]) for name in self._in_order()}

    def _in_order(self) -> list[str]:
        pairs = zip_longest(*self.parameter_names)
        return [name for pair in pairs for name in pair if name is not None]

    def _levels(self, depth: Sequence[int], patches: Sequence[int]) -> Levels:
        """The schedule that two sequences are: its levels, one pair a part of the run."""
        if self.clock == "free":
            depth, patches = ([bisect_right(ticks, k) for k in range(TICKS - 1)] for ticks in (depth, patches))
        return (*zip(depth, patches, strict=True), (len(self.depths) - 1, len(self.patches) - 1))
