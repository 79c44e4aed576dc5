"""What every growth operator for patches keeps."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import pytest
import timm
import torch
from timm.utils import ModelEmaV3

from autoprog_search.errors import GrowthError
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.growth.large_patches import KERNEL, cut
from autoprog_search.growth.patch_operators import PatchOperator
from autoprog_search.schedule import SubNetwork

SIZE, PATCH, CLASSES = 24, 4, 5
SMALL, MIDDLE, FULL = SubNetwork(2, 9), SubNetwork(2, 25), SubNetwork(2, 36)
LARGE = 8  # the side of the smallest grid's patches, px

State = dict[str, torch.Tensor]


@dataclass
class CuttingRun:
    """A run on large patches: no two networks are alike, and the own kernel has been trained too.

    Attributes:
        elastic: runs `SMALL`.
        emas: two of different horizons, the first the momentum network.
        optimizer: AdamW, with state of all parameters.
    """

    elastic: ElasticModel
    emas: tuple[ElasticModel, ElasticModel]
    optimizer: torch.optim.Optimizer

    @property
    def networks(self) -> tuple[ElasticModel, ...]:
        """All three."""
        return (self.elastic, *self.emas)

    def grow(self, to: SubNetwork, images: torch.Tensor | None) -> None:
        """Grow all of it."""
        momentum, estimation = self.emas
        self.elastic.grow(to, optimizer=self.optimizer, momentum=momentum, emas=[estimation], images=images)


class PatchOperatorCase:
    """What every growth operator for patches keeps. Supply the fixture `operator`.

    A ViT of 24 px in patches of 4 px runs on 9 patches of 8 px; 25 are of 5 px, on images of 25 px.
    """

    @pytest.fixture
    def operator(self) -> PatchOperator:
        """The operator under test."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, operator: PatchOperator) -> CuttingRun:
        """A run in progress, for this test alone."""
        run = deepcopy(_cutting_run())
        for network in run.networks:
            assert network.large_patches is not None
            network.large_patches.operator = operator
        return run

    def test_smooth_patches_are_embedded_as_before(self, operator: PatchOperator) -> None:
        """What a large and a small patch show alike, grey or a slope, is embedded alike, by whatever kernel."""
        kernels = torch.randn(50, LARGE**2, generator=torch.Generator().manual_seed(0))
        resized = kernels @ _map_of(operator).T
        before, after = (torch.cat([k @ s for s in _smooth(side)]) for k, side in ((kernels, LARGE), (resized, PATCH)))
        assert float((after - before).norm() / before.norm()) < 0.25  # PI-resize errs by 0.17, at the patches' edges

    def test_a_kernel_is_mapped_and_nothing_else_changes(self, operator: PatchOperator, run: CuttingRun) -> None:
        """In every network, from its own large kernel, by one linear map; no random number is drawn."""
        before, drawn = [_state(network) for network in run.networks], torch.get_rng_state()
        run.grow(FULL, _images())
        assert torch.equal(torch.get_rng_state(), drawn)
        for network, old in zip(run.networks, before, strict=True):
            new, kernel = _state(network), f"model.{KERNEL}"
            assert {name for name in new if not torch.equal(new[name], old[name])} == {kernel}
            expected = old["large_patches.weight"].flatten(2) @ _map_of(operator).T
            torch.testing.assert_close(new[kernel].flatten(2), expected)
            assert network.sub_network == FULL

    def test_its_state_in_the_optimiser_starts_anew(self, operator: PatchOperator, run: CuttingRun) -> None:
        """Whatever is left of an earlier life as a candidate; all other state stays."""
        kernel = run.elastic.model.get_parameter(KERNEL)
        before = {id(p): deepcopy(state) for p, state in run.optimizer.state.items()}
        assert before[id(kernel)]
        run.grow(FULL, _images())
        after = {id(p): state for p, state in run.optimizer.state.items()}
        assert before.keys() - after.keys() == {id(kernel)}
        torch.testing.assert_close(after, {k: s for k, s in before.items() if k != id(kernel)}, atol=0, rtol=0)

    def test_short_of_the_full_grid_nothing_is_written(self, operator: PatchOperator, run: CuttingRun) -> None:
        """The large kernel serves all larger patches; a growth in depth alone, at any grid, writes no kernel."""
        before = [_state(network) for network in run.networks]
        run.grow(MIDDLE, None)
        assert all(_equal(_state(network), old) for network, old in zip(run.networks, before, strict=True))
        run.grow(FULL, _images())
        grown = [_state(network) for network in run.networks]
        run.grow(FULL, _images())
        assert all(_equal(_state(network), old) for network, old in zip(run.networks, grown, strict=True))

    def test_an_operator_that_fits_says_so(self, operator: PatchOperator, run: CuttingRun) -> None:
        """Other images give another kernel iff its trait says so; without any it is refused, and writes nothing."""

        def grown(images: torch.Tensor | None) -> torch.Tensor:
            twin = deepcopy(run)
            twin.grow(FULL, images)
            return twin.elastic.model.get_parameter(KERNEL)

        assert torch.equal(grown(_images()), grown(_images()))
        assert torch.equal(grown(_images()), grown(_images().flip(-1) ** 2)) != operator.fits
        if not operator.fits:
            assert torch.equal(grown(None), grown(_images()))
            return
        before = _state(run.elastic)
        with pytest.raises(GrowthError, match="images"):
            run.grow(FULL, None)
        assert _equal(_state(run.elastic), before)

    def test_a_schedule_trains_the_kernel_that_runs(self, operator: PatchOperator, run: CuttingRun) -> None:
        """The large one below the full grid, the own one at it; what comes out is plain timm's."""
        for sub_network, moving in ((SMALL, "large_patches.weight"), (MIDDLE, "large_patches.weight"), (FULL, KERNEL)):
            run.grow(sub_network, _images())
            before = _state(run.elastic)
            _train_step(run.elastic, run.optimizer)
            after = _state(run.elastic)
            moved = {name.removeprefix("model.") for name in after if not torch.equal(after[name], before[name])}
            assert moved & {"large_patches.weight", KERNEL} == {moving}
        plain = _vit()
        plain.load_state_dict(run.elastic.model.state_dict())
        with torch.inference_mode():
            torch.testing.assert_close(run.elastic.eval()(_images()), plain.eval()(_images()))


def _map_of(operator: PatchOperator) -> torch.Tensor:
    return operator.map(LARGE, PATCH, cut(_images(), LARGE) if operator.fits else None)


def _smooth(side: int) -> list[torch.Tensor]:
    """Patches of that side that show the same: grey, a slope to the right, one downwards; (side * side,) each."""
    slope = (torch.arange(side) + 0.5) / side
    slopes = (slope[:, None] * torch.ones(side), slope * torch.ones(side, 1))
    return [patch.flatten() for patch in (torch.ones(side, side), *slopes)]


def _images() -> torch.Tensor:
    """Images (16, 3, 24, 24) that are smooth, as photographs are."""
    noise = torch.randn(16, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(noise, size=(SIZE, SIZE), mode="bicubic")


@cache
def _cutting_run() -> CuttingRun:
    torch.manual_seed(0)
    elastic = ElasticModel(_vit(), patches=[9, 36], patches_by="patch_size")
    emas = [ModelEmaV3(elastic, decay=decay) for decay in (0.7, 0.3)]
    optimizer = torch.optim.AdamW(elastic.parameters(), lr=1e-2)
    for sub_network in (FULL, SMALL, SMALL):
        elastic.activate(sub_network)
        _train_step(elastic, optimizer)
        for ema in emas:
            ema.update(elastic)
    for ema in emas:
        ema.module.activate(SMALL)
    momentum, estimation = (ema.module for ema in emas)
    return CuttingRun(elastic, (momentum, estimation), optimizer)


def _vit() -> torch.nn.Module:
    model: torch.nn.Module = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=SIZE,
        patch_size=PATCH,
        embed_dim=16,
        depth=2,
        num_heads=2,
        num_classes=CLASSES,
        dynamic_img_size=True,
    )
    return model


def _train_step(elastic: ElasticModel, optimizer: torch.optim.Optimizer) -> None:
    images = _images()
    loss = torch.nn.functional.cross_entropy(elastic(images), torch.arange(len(images)) % CLASSES)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _state(elastic: ElasticModel) -> State:
    return {name: value.clone() for name, value in elastic.state_dict().items()}


def _equal(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
