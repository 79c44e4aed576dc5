"""What runs will take on an accelerator, said before there is one: predictions from closed forms, no torch.

FLOPs are those of `cost.py` (2 per multiply-add; optimiser and evaluation left out). Time is FLOPs over peak x
utilisation: no loader, no checkpoint, no kernel-launch overhead. `study run` measures what is true, in its profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autoprog_search.cost import ModelCost
from autoprog_search.errors import ConfigError, shown
from autoprog_search.methods.fixed import full, linear
from autoprog_search.oneshot.clock import axis_of, branches, first_of, has_to_mix
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace, Levels

IMAGENET_IMAGES = 1_281_167  # the training split of ILSVRC 2012, 1,000 classes
UTILISATION = 0.35
COMPILE_SECONDS = 4.0  # of the blocks at one resolution: DeiT-S on an H200 took 3.7 (benchmarks/results)
COMPILED_SAVES = 0.36  # of an eager step's time, there
MOST = 10**12  # devices, or images


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What one device does at most.

    Attributes:
        name: vendor, chip and board, in words.
        peak_flops: dense matrix products, FLOPs (2 per multiply-add) a second, without sparsity.
        precision: in which of a recipe's precisions.
    """

    name: str
    peak_flops: float
    precision: Literal["bfloat16", "float32"] = "bfloat16"


# NVIDIA's data sheets give tensor figures with 2:4 sparsity, which training does not have: dense is half.
ACCELERATORS = {
    # V100 data sheet (2020): 15.7 TFLOPS float32. Its tensor cores' 125 are float16, which no recipe trains in.
    "v100": Accelerator("NVIDIA V100 SXM2", 15.7e12, "float32"),
    "a100": Accelerator("NVIDIA A100 SXM", 312e12),  # A100 data sheet (2021): 312, sparse 624
    "h100": Accelerator("NVIDIA H100 SXM", 989.4e12),  # H100 data sheet (2022): sparse 1,979
    "h100-pcie": Accelerator("NVIDIA H100 PCIe", 756e12),  # H100 data sheet (2022): sparse 1,513
    "h200": Accelerator("NVIDIA H200 SXM", 989.4e12),  # H200 data sheet (2024): sparse 1,979
    "b200": Accelerator("NVIDIA B200, HGX", 2250e12),  # HGX B200 data sheet (2024): sparse 36 PFLOPS for 8
    "l4": Accelerator("NVIDIA L4", 121e12),  # L4 data sheet (2023): sparse 242
    "l40s": Accelerator("NVIDIA L40S", 362.05e12),  # L40S data sheet (2023): 362.05, sparse 733
    "rtx3090": Accelerator("NVIDIA RTX 3090", 71e12),  # GA102 white paper (2021), appendix A: float32 accumulation
    "rtx4090": Accelerator("NVIDIA RTX 4090", 165.2e12),  # Ada white paper (2022), appendix A: float32 accumulation
    "mi300x": Accelerator("AMD Instinct MI300X", 1307.4e12),  # MI300X data sheet (2023): sparse 2,614.9
}


@dataclass(frozen=True, slots=True)
class Resources:
    """What runs are planned for.

    Attributes:
        devices: that share the FLOPs evenly.
        utilisation: model-FLOPs utilisation, the share of the peak that becomes FLOPs of the model. The user states it,
            nobody measured it (docs/scale.md); the same for every sub-network, though small ones reach less.

    Raises:
        ConfigError: less than one device, or a utilisation outside (0, 1].
    """

    accelerator: Accelerator
    devices: int = 1
    utilisation: float = UTILISATION

    def __post_init__(self) -> None:
        if not 1 <= self.devices <= MOST:
            raise ConfigError(f"devices: {shown(self.devices)} is below 1 or above {MOST:,}")
        if not 0 < self.utilisation <= 1:  # so that NaN is refused
            raise ConfigError(f"utilisation: {self.utilisation} is not a share of the peak, above 0 and up to 1")

    def share_of(self, batch_size: int) -> int | None:
        """Images of a batch that each device takes where all train one run; None where they do not divide."""
        return None if batch_size % self.devices else batch_size // self.devices

    @property
    def device_flops(self) -> float:
        """The model's FLOPs that one device does in a second."""
        return self.accelerator.peak_flops * self.utilisation


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run under a schedule that is known beforehand.

    Attributes:
        schedule: `full`, `linear`, or `cheapest`.
        flops: of its training. speedup: of `full`'s FLOPs over these.
        seconds: on all devices together; gpu_hours: on one device.
    """

    schedule: str
    flops: int
    speedup: float
    seconds: float
    gpu_hours: float


def accelerator_named(key: str) -> Accelerator:
    """The entry of that name.

    Raises:
        ConfigError: there is none.
    """
    if key not in ACCELERATORS:
        raise ConfigError(f"device: {key!r} is no known accelerator; there are {', '.join(ACCELERATORS)}")
    return ACCELERATORS[key]


def cheapest(space: GrowthSpace) -> Levels:
    """The smallest sub-network until the last part of a run: no schedule costs less at the same epochs."""
    *before, last = full(space)
    return (*((0, 0) for _ in before), last)


SCHEDULES = {"full": full, "linear": linear, "cheapest": cheapest}


def plan_runs(
    space: GrowthSpace, cost: ModelCost, resources: Resources, epochs: float, images: int = IMAGENET_IMAGES
) -> tuple[PlannedRun, ...]:
    """Predict a run under each schedule that is known beforehand: `full`, `linear`, `cheapest`.

    Args:
        images: training images an epoch.

    Raises:
        ConfigError: less than one image.
        SpaceError: fewer epochs than stages.
    """
    if not 1 <= images <= MOST:
        raise ConfigError(f"images: {shown(images)} is below 1 or above {MOST:,}")
    flops = {name: schedule_flops(space, cost, of(space), epochs, images) for name, of in SCHEDULES.items()}
    return tuple(
        PlannedRun(
            name,
            flops=own,
            speedup=flops["full"] / own,
            seconds=own / resources.device_flops / resources.devices,
            gpu_hours=own / resources.device_flops / 3600,
        )
        for name, own in flops.items()
    )


def schedule_flops(space: GrowthSpace, cost: ModelCost, levels: Levels, epochs: float, images: int) -> int:
    """FLOPs of training under a schedule, on so many images an epoch.

    Raises:
        SpaceError: fewer epochs than stages.
    """
    parts = zip(space.part_epochs(epochs), levels, strict=True)
    return round(sum(part * cost.step_flops(space.at(*pair), images) for part, pair in parts))


def images_per_second(cost: ModelCost, sub_network: SubNetwork, resources: Resources) -> float:
    """Training images that one device takes in a second, and that its loader has to bring."""
    return resources.device_flops / cost.step_flops(sub_network, 1)


def compile_takes(space: GrowthSpace) -> float:
    """Seconds that `recipe.compile` takes: its blocks are compiled once for each resolution."""
    return COMPILE_SECONDS * len(space.patches)


def compile_saves(run: PlannedRun) -> float:
    """Seconds that compiled blocks save in a run that is eager; compiling itself is not counted."""
    return COMPILED_SAVES * run.seconds


# ── bounds ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def speedup_of(space: GrowthSpace, cost: ModelCost, levels: Levels, epochs: float) -> float:
    """FLOPs of `full` over those of another schedule.

    Raises:
        SpaceError: fewer epochs than stages.
    """
    of_full, own = (schedule_flops(space, cost, schedule, epochs, images=1) for schedule in (full(space), levels))
    return of_full / own


def cheapest_cost(space: GrowthSpace, cost: ModelCost) -> float:
    """c: cost of the smallest sub-network over the full one's."""
    return cost.forward_flops(space.at(0, 0)) / cost.forward_flops(space.full)


def full_share(space: GrowthSpace, epochs: float) -> float:
    """f: the last part's share of the epochs, which trains the full network under every schedule."""
    return space.part_epochs(epochs)[-1] / epochs


def most_speedup(full_share: float, cheapest_cost: float) -> float:
    """1 / (f + (1 - f) c): what growth can gain in FLOPs at fixed epochs (docs/scale.md); `cheapest` gains it."""
    return 1 / (full_share + (1 - full_share) * cheapest_cost)


def most_estimate_share(estimate_share: float, full_share: float) -> float:
    """What AutoProg's estimates add to a run at most, over the FLOPs of `full`.

    A stage's estimates take at most `estimate_share` of its FLOPs under the mean candidate, which is no larger than the
    full network, and the last stage is not searched. Supernet steps replace training steps.
    """
    return estimate_share * (1 - full_share)


def probe_cost(probe_share: float, space: GrowthSpace, cost: ModelCost) -> float:
    """What AutoProg's probe adds to a run under a free clock, over the FLOPs of `full`."""
    small = first_of(space.sub_networks)
    if small == space.full or not has_to_mix(axis_of(small, space.full), space.patches_by == "dropout"):
        return 0.0
    trained = branches(small, space.full).values()
    return probe_share * sum(map(cost.forward_flops, trained)) / cost.forward_flops(space.full)
