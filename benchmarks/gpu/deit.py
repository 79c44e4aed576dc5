"""DeiT-S on a GPU: its step against timm's, as every sub-network, and what a growth and a search cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import mean, median

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch.profiler import ProfilerActivity, profile

from autoprog_search.data.fingerprint import Fingerprint
from autoprog_search.data.tensor import TensorData
from autoprog_search.growth.create import create_timm_model
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.randomness import derive
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.settings.recipe import Recipe, load_recipe
from autoprog_search.space import GrowthSpace
from autoprog_search.training.loss import build_loss
from autoprog_search.training.optim import autocast, build_ema, build_optimizer, build_scheduler
from autoprog_search.training.run import Run
from autoprog_search.training.spec import RunSpec
from autoprog_search.training.step import TrainingStep
from autoprog_search.training.steps import Hooks
from autoprog_search.training.trainer import Trainer
from benchmarks.gpu.part import Part, Step

PEAK = 989.4e12  # FLOPs a second, dense bfloat16: NVIDIA's data sheets of the H100 SXM and the H200


def deit(part: Part) -> tuple[GrowthSpace, Recipe, torch.Tensor, torch.Tensor]:
    """The space, the recipe without mixing, and a batch of noise with labels."""
    space = GrowthSpace.load("deit_small")
    batch = 256
    if part.toy:
        small = {"img_size": 64, "depth": 4, "embed_dim": 48, "num_heads": 3}
        text = {
            **space.model_dump(),
            "model_args": small,
            "depth": 4,
            "depths": [2, 4],
            "patches": [4, 16],
            "resolution": 64,
        }
        space, batch = GrowthSpace.model_validate(text), 4
    changes = {"mixup": 0.0, "cutmix": 0.0, "batch_size": batch, "precision": "bfloat16"}
    recipe = load_recipe("imagenet_deit_100ep").model_copy(update=changes)
    side = space.resolution
    images = torch.randn(batch, 3, side, side, device=part.device)
    return space, recipe, images, torch.randint(0, 1000, (batch,), device=part.device)


def timm_side(part: Part, *, compiled: bool = False) -> Step:
    """A plain loop of timm's pieces: autocast, smoothed loss, fused AdamW, LR schedule, one EMA."""
    space, recipe, images, labels = deit(part)
    model = create_timm_model(space, num_classes=1000, drop_path_rate=recipe.drop_path).to(part.device).train()
    optimizer, loss_of = build_optimizer(recipe, model), build_loss(recipe)
    scheduler = build_scheduler(recipe, optimizer, 10_000)
    ema = ModelEmaV3(model, decay=0.9998, use_warmup=True)
    network = torch.compile(model) if compiled else model

    def step(number: int) -> None:
        scheduler.step_update(number)
        with autocast(recipe, part.device):
            loss = loss_of(network(images), labels, None)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.update(model, number)

    return step


class OurSide:
    """The trainer's own step, with one EMA, as any sub-network."""

    def __init__(self, part: Part, *, compiled: bool = False, graphs: bool = True) -> None:
        space, recipe, self.images, self.labels = deit(part)
        recipe = recipe.model_copy(update={"compile": compiled and not part.toy, "cuda_graphs": graphs})
        self.space = space
        self.elastic = ElasticModel.from_space(space, num_classes=1000, drop_path_rate=recipe.drop_path)
        self.elastic.to(part.device).train()
        self.ema = build_ema(self.elastic, 0.5, 10_000)
        of_noise = (((0.5,) * 3), ((0.5,) * 3))
        self._step = TrainingStep(recipe, self.elastic, of_noise, steps=10_000, num_classes=1000, device=part.device)

    def __call__(self, number: int) -> None:
        self._step(self.images, self.labels, number, derive(0, "step", number))
        self.ema.update(self.elastic, number)

    def as_(self, sub_network: SubNetwork) -> Step:
        """A step as that sub-network."""

        def step(number: int) -> None:
            self.elastic.activate(sub_network)
            self(number)

        return step

    @property
    def flops(self) -> int:
        """Of a step as what runs."""
        return self.elastic.cost.step_flops(self.elastic.sub_network, len(self.images))


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def steps(part: Part) -> None:
    """A step at full size against timm's, in turns: eager, recorded, compiled; and where the time goes."""
    sides: dict[str, Step] = {
        "timm": timm_side(part),
        "ours": OurSide(part, graphs=False),
        "ours, recorded": OurSide(part),
        "timm, compiled": timm_side(part, compiled=not part.toy),
        "ours, compiled": OurSide(part, compiled=True, graphs=False),
        "ours, compiled and recorded": OurSide(part, compiled=True),
    }
    found = part.in_turns(sides, rounds=7, each=10, warm_up=5)
    best = sides["ours, compiled and recorded"]
    assert isinstance(best, OurSide)
    for name, seconds in found.items():
        ratio = found["timm, compiled" if "compiled" in name else "timm"] / seconds
        rate, used = len(best.images) / seconds, best.flops / seconds / PEAK
        text = f"{1e3 * seconds:.2f} ms, {rate:,.0f} images/s, utilisation {used:.3f}, timm's / this {ratio:.3f}"
        part.row(f"step, {name}", text, seconds=seconds, utilisation=used, ratio=ratio)
    if part.toy:
        return
    for name in ("ours", "ours, compiled and recorded"):
        _profile(part, name, sides[name])


def _profile(part: Part, name: str, step: Step) -> None:
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        for number in range(3):
            step(1000 + number)
        part.wait()
    events = sorted(recorded.key_averages(), key=lambda e: -e.self_device_time_total)
    kernels = [e for e in events if e.self_device_time_total > 0 and not e.key.startswith(("aten::", "autograd", "##"))]
    total = sum(e.self_device_time_total for e in kernels)
    top = [(e.key[:110], round(e.self_device_time_total / 3e3, 3), e.count // 3) for e in kernels[:25]]
    part.row(f"profile, {name}", f"kernels take {total / 3e3:.1f} ms a step", kernels_ms_and_count_a_step=top)


def sizes(part: Part) -> None:
    """Every sub-network of DeiT-S: seconds against FLOPs, recorded, and compiled too."""
    for compiled in (False, True):
        if part.left < (60 if compiled else 20):
            part.row("sizes, compiled", f"not begun: {part.left:.0f} s were left")
            return
        side = OurSide(part, compiled=compiled)
        networks = side.space.sub_networks
        found = part.in_turns({s: side.as_(s) for s in networks}, rounds=3, each=10, warm_up=5)
        flops = {s: side.elastic.cost.step_flops(s, len(side.images)) for s in networks}
        full = side.space.full
        ratios = {s: (found[full] / found[s]) / (flops[full] / flops[s]) for s in networks}
        kind = "compiled and recorded" if compiled else "recorded"
        rows = [[s.depth, s.patches, found[s], flops[s], ratios[s]] for s in networks]
        worst = sorted(networks, key=lambda s: ratios[s])[:4]
        told = ", ".join(f"{s.depth}x{s.patches}: {ratios[s]:.2f} ({1e3 * found[s]:.1f} ms)" for s in worst)
        part.row(f"sizes, {kind}", f"seconds over FLOPs speed-up, the least: {told}", depth_patches_s_flops_ratio=rows)
        if not part.toy and not compiled:
            _memory(part, side.space)
        if not part.toy:
            _profile(part, f"{worst[0]}, {kind}", side.as_(worst[0]))
        fixed, rate, errors = fit(networks, flops, found)
        text = f"t = {1e3 * fixed:.2f} ms + FLOPs / {1e-12 / rate:.0f} TFLOP/s; the other half within"
        part.row(
            f"fit, {kind}", f"{text} {100 * max(errors):.0f} %, {100 * mean(errors):.0f} % in the mean", a=fixed, b=rate
        )


def _memory(part: Part, space: GrowthSpace) -> None:
    """Peak memory of an eager step of each sub-network, above what is there between steps; a recorded one keeps it."""
    eager = OurSide(part, graphs=False)
    peaks = {}
    for sub_network in space.sub_networks:
        eager.as_(sub_network)(1)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        eager.as_(sub_network)(2)
        part.wait()
        peaks[sub_network] = torch.cuda.max_memory_allocated() - before
    least, most = peaks[space.at(0, 0)], peaks[space.full]
    text = f"peak of the smallest {least / 2**20:,.0f} MiB, of the full {most / 2**20:,.0f} MiB"
    part.row("memory", text, depth_patches_bytes=[[s.depth, s.patches, peak] for s, peak in peaks.items()])


def fit(
    networks: Sequence[SubNetwork], flops: dict[SubNetwork, int], seconds: dict[SubNetwork, float]
) -> tuple[float, float, list[float]]:
    """t = a + b FLOPs by least squares on every other sub-network; relative errors on the others."""
    half, rest = networks[::2], networks[1::2]
    b, a = np.polyfit([flops[s] for s in half], [seconds[s] for s in half], 1)
    return float(a), float(b), [abs(a + b * flops[s] - seconds[s]) / seconds[s] for s in rest]


def growth(part: Part) -> None:
    """A short AutoProg run of DeiT-S on noise: what its growths, its searches and its first steps cost."""
    space, recipe, images, labels = deit(part)
    count = 2 * len(images)
    splits = {name: (torch.cat([images] * 2), torch.cat([labels] * 2)) for name in ("train", "val", "test")}
    noise = ((0.5,) * 3, (0.5,) * 3)
    data = TensorData(1000, count, noise, splits, Fingerprint({}, 1000), 0.0, 0.0)
    stage_steps = (40, 40, 40, 20) if not part.toy else (12, 12, 12, 4)
    run = Run(RunSpec(space, recipe, GrowthSettings(), stage_steps, seed=0), data, device=part.device)
    marks: list[tuple[int, str, float]] = []

    def mark(run: Run) -> None:
        marks.append((run.state.stage, run.state.phase, part.wait()))

    began = part.wait()
    Trainer(run, OneShotMethod(), hooks=Hooks(after_step=mark)).train()
    seconds = part.wait() - began
    apart = [(b[2] - a[2], a[:2], b[:2]) for a, b in pairwise(marks)]
    for what in ("search", "train"):
        within = [s for s, before, after in apart if before == after and after[1] == what]
        if within:
            part.row(f"steps of a {what}", f"median {1e3 * median(within):.1f} ms", seconds=median(within))
    pauses = [(s, after) for s, before, after in apart if before != after]
    told = ", ".join(f"to stage {stage}, {phase} {1e3 * s:.0f} ms" for s, (stage, phase) in pauses)
    part.row("pauses", f"{told} (with evaluations, estimates, one step)", seconds=[s for s, _ in pauses])
    part.row("run", f"{sum(stage_steps)} steps in {seconds:.1f} s, {run.state.search_seconds:.1f} s of it estimates")
    smallest = space.at(0, 0)
    run.networks.activate(smallest)
    began = part.wait()
    run.networks.grow(space.full, run.step.optimizer, run.some_images)
    took = part.wait() - began
    part.row(
        "a growth alone", f"{smallest.depth} to {space.full.depth} blocks, three networks: {1e3 * took:.1f} ms", s=took
    )
