"""What every growth operator keeps."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import timm
import torch
from timm.utils import ModelEmaV3
from torch import nn

from autoprog_search.errors import GrowthError
from autoprog_search.growth.chain import CHAINS
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.growth.operators import GrowthOperator
from autoprog_search.schedule import SubNetwork

BLOCKS, SIZE, PATCH, CLASSES = 6, 24, 4, 5
SMALL, GROWN, FULL = SubNetwork(3, 36), SubNetwork(5, 36), SubNetwork(BLOCKS, 36)

State = dict[str, torch.Tensor]


@dataclass
class RunInProgress:
    """A run that trained a few steps at full size, then as a smaller sub-network: no two blocks or networks are alike.

    Attributes:
        elastic: in eval mode, running `SMALL`.
        momentum, estimation: two EMAs of different horizons.
        optimizer: AdamW, with state of every block, also of those that do not run now.
    """

    elastic: ElasticModel
    momentum: ElasticModel
    estimation: ElasticModel
    optimizer: torch.optim.Optimizer

    def grow(self, operator: GrowthOperator, to: SubNetwork, **more: Any) -> dict[int, int | None]:
        """Grow all of it."""
        return self.elastic.grow(to, operator, momentum=self.momentum, emas=[self.estimation], **more)

    def optimizer_state_of(self, block: int) -> dict[str, State]:
        """A copy of the optimiser's state of a block, by parameter name; empty where it has none."""
        parameters = self.elastic.blocks[block].named_parameters()
        return {n: deepcopy(self.optimizer.state[p]) for n, p in parameters if self.optimizer.state.get(p)}


class GrowthOperatorCase:
    """What every growth operator keeps. Supply the fixture `operator`.

    `elastic` is a ViT of 6 blocks in eval mode; on the even chain it runs 0, 2, 4 and grows by 1 and 5, then by 3.
    """

    @pytest.fixture
    def operator(self) -> GrowthOperator:
        """The operator under test."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, operator: GrowthOperator) -> RunInProgress:
        """A run in progress, for this test alone."""
        return deepcopy(_run_in_progress(operator.chain))

    def test_function_is_preserved_where_promised(self, operator: GrowthOperator, run: RunInProgress) -> None:
        """Both ways: an operator that changed nothing would fail too."""
        with torch.inference_mode():
            before = run.elastic(_images())
        run.grow(operator, GROWN)
        with torch.inference_mode():
            same = torch.allclose(run.elastic(_images()), before, atol=1e-5, rtol=0)
        assert same == operator.preserves_function

    def test_it_grows_into_the_active_set_of_its_chain(self, operator: GrowthOperator, run: RunInProgress) -> None:
        """The grown network, and every EMA, runs the blocks that the operator's chain says."""
        chain = CHAINS[operator.chain](BLOCKS, [SMALL.depth, GROWN.depth, BLOCKS])
        assert run.elastic.active == chain[SMALL.depth]
        origin = run.grow(operator, GROWN)
        assert set(origin) == set(chain[GROWN.depth]) - set(chain[SMALL.depth])
        for network in (run.elastic, run.momentum, run.estimation):
            assert network.active == chain[GROWN.depth]
            assert network.sub_network == GROWN

    def test_what_ran_before_is_unchanged(self, operator: GrowthOperator, run: RunInProgress) -> None:
        """Old blocks and all that is no block; where the operator says so, they are the EMA network's.

        A donor that shares its work with its copies changes nothing but its residual branches' last projections.
        """
        source = run.momentum if operator.donors == "ema_for_all" else run.elastic
        before, emas_before = _state(source), [_state(run.momentum), _state(run.estimation)]
        origin = run.grow(operator, GROWN)
        shared = set(origin.values()) if operator.rescales_donors else set()
        ends = tuple(f".{end}" for end in run.elastic.adapter.residual_ends)
        kept = [
            name
            for name in before
            if _block_of(name) not in origin
            and not (_block_of(name) in shared and name.rpartition(".")[0].endswith(ends))
        ]
        idle = set(range(BLOCKS)) - set(run.elastic.active)
        assert any(_block_of(name) is None for name in kept)
        after = _state(run.elastic)
        rescaled = {_block_of(n) for n in before if n not in kept and not torch.equal(after[n], before[n])}
        assert rescaled - set(origin) == shared, "an operator that changes its donors says so"
        for name in kept:
            if _block_of(name) not in idle:
                assert torch.equal(after[name], before[name]), name
        for ema, ema_before in zip((run.momentum, run.estimation), emas_before, strict=True):
            ema_after = _state(ema)
            assert all(torch.equal(ema_after[name], ema_before[name]) for name in kept)

    def test_new_blocks_are_what_the_returned_map_says(self, operator: GrowthOperator, run: RunInProgress) -> None:
        """A copy equals its donor, but for residual branches closed to preserve the function; a fresh block is new.

        A donor that shares its work with its copies is compared as it is then.
        """
        source = run.elastic if operator.donors == "online" else run.momentum
        donors = source.blocks if operator.rescales_donors else deepcopy(source.blocks)
        before, active = deepcopy(run.elastic.blocks), run.elastic.active
        origin = run.grow(operator, GROWN)
        for new, donor in origin.items():
            block = run.elastic.blocks[new]
            if donor is not None:
                assert donor in active
                _assert_copied(block, donors[donor], run.elastic, operator.preserves_function)
            elif not operator.keeps:
                assert not any(_same(block, other) for other in [*before, *donors])
            assert _same(block, before[new]) == operator.keeps, "whatever the block held must be overwritten, or kept"

    def test_fresh_blocks_are_drawn_from_torchs_generator(self, operator: GrowthOperator, run: RunInProgress) -> None:
        """The same seed gives the same growth; another seed gives the same one iff no block is made afresh."""

        def grown(seed: int) -> tuple[State, bool]:
            twin = deepcopy(run)
            torch.manual_seed(seed)
            origin = twin.grow(operator, GROWN)
            return _state(twin.elastic), None in origin.values() and not operator.keeps

        first, fresh = grown(1)
        assert _equal(first, grown(1)[0])
        assert _equal(first, grown(2)[0]) != fresh

    def test_emas_follow_by_the_same_map(self, operator: GrowthOperator, run: RunInProgress) -> None:
        """Copies are made of each EMA's own blocks; what is made afresh is the online network's."""
        emas = (run.momentum, run.estimation)
        before = [ema.blocks if operator.rescales_donors else deepcopy(ema.blocks) for ema in emas]
        origin = run.grow(operator, GROWN)
        for ema, donors in zip(emas, before, strict=True):
            for new, donor in origin.items():
                if donor is None:
                    assert _same(ema.blocks[new], run.elastic.blocks[new])
                else:
                    _assert_copied(ema.blocks[new], donors[donor], run.elastic, operator.preserves_function)

    @pytest.mark.parametrize("state_rule", ["reset", "copy"])
    def test_optimiser_state_of_new_blocks(self, operator: GrowthOperator, run: RunInProgress, state_rule: str) -> None:
        """Reset, also what was left of an earlier life as a candidate; or the donor's, as tensors of their own.

        A fresh block has none, and the old blocks' state stays.
        """
        before = {index: run.optimizer_state_of(index) for index in range(BLOCKS)}
        assert all(before.values())
        origin = run.grow(operator, GROWN, optimizer=run.optimizer, state_rule=state_rule)
        for index in range(BLOCKS):
            source = None if index in origin and state_rule == "reset" else origin.get(index, index)
            expected: dict[str, State] = {} if source is None else before[source]
            torch.testing.assert_close(run.optimizer_state_of(index), expected, atol=0, rtol=0)
        tensors = [t for s in run.optimizer.state.values() for t in s.values() if isinstance(t, torch.Tensor)]
        assert len({t.data_ptr() for t in tensors}) == len(tensors), "two parameters share a moment"

    def test_growing_smaller_is_refused_and_writes_nothing(self, operator: GrowthOperator, run: RunInProgress) -> None:
        """Growth never shrinks."""
        run.grow(operator, GROWN)
        networks = (run.elastic, run.momentum, run.estimation)
        before = [_state(network) for network in networks]
        with pytest.raises(GrowthError):
            run.grow(operator, SMALL, optimizer=run.optimizer)
        assert all(_equal(_state(n), b) for n, b in zip(networks, before, strict=True))
        assert run.elastic.sub_network == GROWN

    def test_an_operator_that_takes_from_the_ema_says_so(self, operator: GrowthOperator, run: RunInProgress) -> None:
        """Without an EMA network it grows iff its trait says that it needs none; a refusal writes nothing."""
        before = _state(run.elastic)
        if operator.donors == "online":
            run.elastic.grow(GROWN, operator)
            return
        with pytest.raises(GrowthError, match="EMA"):
            run.elastic.grow(GROWN, operator)
        assert _equal(_state(run.elastic), before)

    def test_a_schedule_trains(self, operator: GrowthOperator) -> None:
        """Three stages, growing in depth and in patches: finite losses, and the blocks that ran have moved."""
        torch.manual_seed(0)
        elastic = ElasticModel(_tiny_vit(drop_path_rate=0.2), depths=[3, 5, 6], chain=operator.chain)
        ema = ModelEmaV3(elastic, decay=0.5)
        optimizer = torch.optim.AdamW(elastic.parameters(), lr=1e-3)
        elastic.activate(SubNetwork(3, 9))
        for sub_network in (SubNetwork(3, 9), SubNetwork(5, 16), SubNetwork(6, 36)):
            origin = elastic.grow(sub_network, operator, optimizer=optimizer, momentum=ema.module)
            elastic.train()
            before = _state(elastic)
            for step in range(3):
                if operator.fades:
                    elastic.fade(origin, step / 2)
                loss = _train_step(elastic, optimizer)
                ema.update(elastic)
                assert loss == loss, f"the loss of {sub_network} is NaN"
            after = _state(elastic)
            moved = {_block_of(name) for name in after if not torch.equal(after[name], before[name])} - {None}
            assert moved == set(elastic.active)
        for network in (elastic, ema.module):
            assert all(bool(value.isfinite().all()) for value in _state(network).values())


def _images() -> torch.Tensor:
    return torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@cache
def _run_in_progress(chain: str) -> RunInProgress:
    torch.manual_seed(0)
    elastic = ElasticModel(_tiny_vit(), depths=[SMALL.depth, GROWN.depth, BLOCKS], chain=chain)
    momentum, estimation = ModelEmaV3(elastic, decay=0.7), ModelEmaV3(elastic, decay=0.3)
    optimizer = torch.optim.AdamW(elastic.parameters(), lr=1e-2)
    for sub_network in (FULL, FULL, SMALL, SMALL):
        elastic.activate(sub_network)
        _train_step(elastic, optimizer)
        for ema in (momentum, estimation):
            ema.update(elastic)
    for ema in (momentum, estimation):
        ema.module.activate(SMALL)
        ema.module.eval()
    elastic.eval()
    return RunInProgress(elastic, momentum.module, estimation.module, optimizer)


def _tiny_vit(**arguments: Any) -> nn.Module:
    model: nn.Module = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=SIZE,
        patch_size=PATCH,
        embed_dim=16,
        depth=BLOCKS,
        num_heads=2,
        num_classes=CLASSES,
        dynamic_img_size=True,
        **arguments,
    )
    return model


def _train_step(elastic: ElasticModel, optimizer: torch.optim.Optimizer) -> float:
    images = _images()
    labels = torch.arange(len(images)) % CLASSES
    loss = nn.functional.cross_entropy(elastic(images), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def _state(elastic: ElasticModel) -> State:
    return {name: value.clone() for name, value in elastic.model.state_dict().items()}


def _block_of(name: str) -> int | None:
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "blocks" else None


def _equal(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _same(a: nn.Module, b: nn.Module) -> bool:
    return _equal(a.state_dict(), b.state_dict())


def _assert_copied(block: nn.Module, donor: nn.Module, elastic: ElasticModel, closed: bool) -> None:
    """Equal, but that the residual branches' last projections may be zero where the function is preserved."""
    ends = elastic.adapter.residual_ends if closed else ()
    donor_state = donor.state_dict()
    for name, value in block.state_dict().items():
        if name.rpartition(".")[0] in ends and not value.any():
            continue
        assert torch.equal(value, donor_state[name]), name
