"""The elastic model: one full-size timm model of which an active set of blocks runs, at any resolution.

Nothing is rebuilt when the model grows, so optimiser, EMA and LR schedule stay attached, an elastic supernet is the
same model switching its active set, and `elastic.model.state_dict()` is always the full timm model's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from autoprog_search.cost import ModelCost
from autoprog_search.errors import GrowthError, why
from autoprog_search.growth.active_blocks import ActiveBlocks, Forward, containers_of
from autoprog_search.growth.adapters import TrainOutput, adapter_of, family_of, patch_size_of, resampled_position
from autoprog_search.growth.chain import CHAINS, ActiveSet, build_chain, share_depths
from autoprog_search.growth.create import create_timm_model, described
from autoprog_search.growth.flops import measure_cost
from autoprog_search.growth.operators import BlockTraits, GrowthOperator, Origin, new_blocks, operator_named
from autoprog_search.growth.optimizer_state import StateRule, grow_optimizer_state
from autoprog_search.growth.patch_projection import project_by_products
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace

_counted: dict[str, ModelCost] = {}  # of spaces' models that this process has built; trials build the same one again


class ElasticModel(nn.Module):
    """A timm model that trains as any of its sub-networks.

    It starts as the full network. `activate` switches to a sub-network; `grow` also makes the parameters of the blocks
    that come in. Blocks that do not run get no gradient, which torch's optimisers skip.

    Args:
        model: a timm model of a family in `growth/adapters.py`, made with `dynamic_img_size=True` where the family
            knows it. It becomes part of this one: elastic containers of the same blocks take the place of its own.
        depths: the depths it will run at, ascending; default: all. They fix which blocks run at which depth.
        chain: `even` or `lowest` (`growth/chain.py`); default: the chain of `operator`.
        operator: name of the growth operator that `grow` uses by default.

    Attributes:
        active: indices of the blocks that run, ascending.
        adapter: of its family (`growth/adapters.py`).
        drop_path_rate: of the last block, from the next `activate` or `grow` on; stays 0 where it was 0.
        antialias: whether images that are made smaller are filtered first, as a loader's are; the released code's not.
        fading: indices of the blocks that count for a share only.

    Raises:
        GrowthError: the model cannot be made elastic, or a depth is outside its own.
    """

    def __init__(
        self,
        model: nn.Module,
        depths: Sequence[int] | None = None,
        operator: str = "interpolation",
        chain: str | None = None,
    ) -> None:
        super().__init__()
        self.adapter = adapter_of(model)
        self.adapter.prepare(model)
        project_by_products(model)
        self.full = self.adapter.full_size(model)
        self.patch_size = patch_size_of(model)
        self.operator = operator
        stacks = self.adapter.stacks_of(model)
        sizes = tuple(map(len, stacks))
        ends = list(accumulate(sizes))
        self._spans = [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]  # of each stack's blocks
        levels = self._levels(model, depths, least=len(stacks))
        own = operator_named(operator).chain
        chain = chain or own
        if chain not in CHAINS:
            raise GrowthError(f"chain: {chain!r} is unknown; there are {', '.join(CHAINS)}")
        self.chain = build_chain(chain, sizes, levels)
        self._shares = share_depths(sizes, levels)
        # timm's drop-path rates, made explicit: growth sets them anew for the blocks that run.
        self.drop_path_rate = self.adapter.drop_path_rate_of(stacks[-1][-1])
        self._drops = self.drop_path_rate > 0  # without, timm's identities stay and cost nothing
        for stack, blocks in zip(self.adapter.stacks, stacks, strict=True):
            for block in blocks:
                if self._drops and stack.drops:
                    self.adapter.set_drop_path_rate(block, self.adapter.drop_path_rate_of(block))
            for path in stack.paths:
                model.set_submodule(path, ActiveBlocks(model.get_submodule(path).children()))
        self.antialias = False
        self.fading: set[int] = set()
        self._described = type(model).__name__
        self._counted_as = ""
        self.model = model
        self.sub_network = self.full
        self.active: ActiveSet = self.chain[self.full.depth]

    @classmethod
    def from_space(
        cls,
        space: GrowthSpace,
        *,
        num_classes: int,
        in_chans: int = 3,
        operator: str = "interpolation",
        chain: str | None = None,
        drop_path_rate: float = 0.0,
        checkpoint: str = "",
    ) -> ElasticModel:
        """Build a growth space's timm model, freshly initialised from torch's global generator.

        Args:
            checkpoint: file of weights to start from instead.

        Raises:
            GrowthError: timm does not know the model or its arguments, its size is not what the space says, or the
                weights are not its own.
        """
        model = create_timm_model(
            space, num_classes=num_classes, in_chans=in_chans, drop_path_rate=drop_path_rate, checkpoint=checkpoint
        )
        blocks = adapter_of(model).full_size(model).depth
        if blocks != space.depth:
            side = "above" if space.depth > blocks else "below"
            raise GrowthError(f"depth: {space.depth} is {side} {space.model}'s {blocks}")
        elastic = cls(model, depths=space.depths, operator=operator, chain=chain)
        elastic._described = described(space)
        elastic._counted_as = f"{space.model} {space.model_args} {num_classes} {in_chans} {elastic._shares}"
        if (elastic.full, elastic.patch_size) != (space.full, space.patch_size):
            raise GrowthError(
                f"resolution: {space.name} says {space.resolution} px in patches of {space.patch_size}, {space.model} "
                f"has {elastic.full.resolution(elastic.patch_size)} px in patches of {elastic.patch_size}"
            )
        elastic.check_resolution(space.patches[0])
        return elastic

    def _levels(self, model: nn.Module, depths: Sequence[int] | None, least: int) -> list[int]:
        """The depths it will run at, from a block of each stack to all."""
        full = self.full.depth
        levels = sorted(set(depths or range(least, full + 1)) | {full})
        if levels[-1] > full or levels[0] < least:
            wrong = levels[-1] if levels[-1] > full else levels[0]
            raise GrowthError(f"depth: {wrong} is outside {type(model).__name__}'s {least} to {full} blocks")
        return levels

    def __getstate__(self) -> dict[str, Any]:
        # Without the entry of its family, which may hold functions that do not pickle; it is looked up again.
        return {name: value for name, value in self.__dict__.items() if name != "adapter"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.adapter = family_of(self.model)

    def no_weight_decay(self) -> set[str]:
        """Parameters that timm's optimiser factory shall not decay, when it is given this model and not `model`."""
        names: Iterable[str] = getattr(self.model, "no_weight_decay", set)()
        return {f"model.{name}" for name in names}

    def check_resolution(self, patches: int) -> None:
        """Raise GrowthError where the family cannot run on so many patches."""
        if self.adapter.resolution == "fixed" and patches != self.full.patches:
            raise GrowthError(
                f"patches: {type(self.model).__name__} has relative positions of one size, another would replace "
                f"parameters; it grows in depth only, on {self.full.patches} patches (got {patches})"
            )

    @cached_property
    def cost(self) -> ModelCost:
        """FLOPs of its sub-networks, in closed form.

        Raises:
            GrowthError: the model cannot run.
        """
        if self._counted_as not in _counted:
            cost = self._measured_cost()
            if not self._counted_as:
                return cost
            _counted[self._counted_as] = cost
        return _counted[self._counted_as]

    def _measured_cost(self) -> ModelCost:
        try:
            return measure_cost(self, self._shares)
        # What timm builds may still break when it runs, each model its own way: heads that share no even width, say.
        except Exception as error:  # noqa: BLE001
            raise GrowthError(f"model: {self._described} cannot run ({why(error)})") from None

    @property
    def blocks(self) -> list[nn.Module]:
        """All L blocks, those of later stacks last."""
        return [block for stack in self.adapter.stacks_of(self.model) for block in stack]

    @property
    def resolution(self) -> int:
        """Side in pixels of the images that run now."""
        return self.sub_network.resolution(self.patch_size)

    def forward(self, images: torch.Tensor) -> TrainOutput:
        """Logits (batch, classes) of images (batch, channels, side, side), resized first if they have another side.

        In train mode some models give more: a distilled model whose `distilled_training` is set a pair, VOLO with its
        auxiliary head `DenseLogits`.
        """
        own = self.adapter.train_forward if self.training else None
        return self._run_on(images, Forward(self.model, own) if own is not None else self.model)

    def forward_intermediates(self, images: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """timm's method of that name, of the sub-network that runs: blocks count among those that are active.

        Args:
            images: as `forward` takes them.
            args, kwargs: timm's: `indices`, `norm`, `intermediates_only`, ...
        """

        def features(model: nn.Module, resized: torch.Tensor) -> Any:
            return model.forward_intermediates(resized, *args, **kwargs)  # type: ignore[operator]

        return self._run_on(images, Forward(self.model, features))

    def _run_on(self, images: torch.Tensor, run: nn.Module) -> Any:
        if images.shape[-1] != self.resolution:
            size = (self.resolution, self.resolution)
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=self.antialias)
        if self.adapter.resolution == "resampled" and self.sub_network.patches != self.full.patches:
            name = "pos_embed" if run is self.model else "model.pos_embed"
            position = resampled_position(self.model, self.sub_network.grid)
            return functional_call(run, {name: position}, (images,))
        return run(images)

    def activate(self, sub_network: SubNetwork, rates_of: SubNetwork | None = None) -> None:
        """Run as this sub-network from now on. No parameter changes.

        Args:
            sub_network: one of the depths given at construction, any patch count that the family can run on.
            rates_of: whose drop-path rates hold; default its own. While candidates are drawn, the supernet.

        Raises:
            GrowthError: a depth that is none of the levels, or patches that the family cannot run on.
        """
        self.check_resolution(sub_network.patches)
        self._run(self._active_at(sub_network.depth))
        self.sub_network = sub_network
        if not self._drops:
            return
        rated = self._active_at((rates_of or sub_network).depth)
        rates = dict(zip(rated, self.adapter.drop_path_rates(self.drop_path_rate, len(rated)), strict=True))
        blocks = self.blocks
        for stack, span in zip(self.adapter.stacks, self._spans, strict=True):
            for index in span if stack.drops else ():
                if index in rates:
                    self.adapter.set_drop_path_rate(blocks[index], rates[index])

    def fade(self, blocks: Iterable[int], share: float) -> None:
        """Let these blocks, where they run, count for a share m: h <- m * block(h) + (1 - m) * h; all others for 1.

        Args:
            blocks: indices, such as the new blocks that `grow` returns.
            share: m, from 0 (the output is that of the network without them) to 1 (the plain network again).
        """
        self.fading = set(blocks) if share < 1 else set()
        for container, inside in self._containers():
            container.faded = {index - inside.start: share for index in inside if index in self.fading}

    def _run(self, active: ActiveSet) -> None:
        self.active = active
        for container, inside in self._containers():
            container.active = tuple(index - inside.start for index in active if index in inside)

    def _containers(self) -> Iterator[tuple[ActiveBlocks, range]]:
        paths = [path for stack in self.adapter.stacks for path in stack.paths]
        return containers_of(self.model, paths, self.full.depth)

    def grow(
        self,
        to: SubNetwork,
        operator: str | GrowthOperator | None = None,
        *,
        optimizer: torch.optim.Optimizer | None = None,
        state_rule: StateRule = "reset",
        momentum: ElasticModel | None = None,
        emas: Iterable[ElasticModel] = (),
    ) -> Origin:
        """Grow from the current sub-network into a larger one, then run as it.

        New blocks are written in place whatever they held; so are the same blocks of every EMA, by the same operator
        from the EMA's own blocks (blocks made afresh are copied from the online network). Where the operator fades new
        blocks in, they stand at 0, here and in every EMA, until `fade` is called.

        Args:
            to: at least as deep as now.
            operator: default: the one given at construction.
            optimizer: its state of the new blocks is dropped or copied from their donors', as `state_rule` says.
            momentum: the EMA network (`ModelEmaV3(elastic).module`), from which `mogrow` takes parameters.
            emas: further EMA networks that must follow.

        Returns:
            {new block: its donor, or None}.

        Raises:
            GrowthError: `to` is smaller than now, or the operator needs an EMA network and got none.
        """
        zeta = operator if isinstance(operator, GrowthOperator) else operator_named(operator or self.operator)
        active, grown = self.active, self._active_at(to.depth)
        new_blocks(active, grown)  # raises before anything is written
        if to.patches < self.sub_network.patches:
            raise GrowthError(f"patches: {to.patches} are fewer than now ({self.sub_network}); growth never shrinks")
        if zeta.donors != "online" and momentum is None:
            raise GrowthError("momentum: this growth operator takes parameters from the EMA network, pass momentum=")
        donors = self.blocks if zeta.donors == "online" or momentum is None else momentum.blocks
        if zeta.donors == "ema_for_all" and momentum is not None and to != self.sub_network:
            self.model.load_state_dict(momentum.model.state_dict())
        origin = self._write(zeta, self.blocks, donors, grown)
        followers = ([momentum] if momentum is not None else []) + [e for e in emas if e is not momentum]
        for ema in followers:
            if None in origin.values():
                for new in origin:
                    ema.blocks[new].load_state_dict(self.blocks[new].state_dict())
            else:
                self._write(zeta, ema.blocks, ema.blocks, grown)
            ema.activate(to)
        if optimizer is not None:
            grow_optimizer_state(optimizer, self.blocks, origin, state_rule)
        self.activate(to)
        for network in (self, *followers):
            network.fade(origin if zeta.fades else (), 0.0)
        return origin

    def _write(
        self, zeta: GrowthOperator, blocks: list[nn.Module], donors: list[nn.Module], grown: ActiveSet
    ) -> Origin:
        """Apply a growth operator stack by stack: an outlooker is no donor for a transformer block."""
        origin: Origin = {}
        for span in self._spans:
            before, after = (tuple(span.index(i) for i in a if i in span) for a in (self.active, grown))
            own = blocks[span.start : span.stop]
            traits = BlockTraits(partial(self._initialise, own), self.adapter.residual_ends)
            written = zeta.grow(own, donors[span.start : span.stop], before, after, traits)
            origin |= {span[new]: donor if donor is None else span[donor] for new, donor in written.items()}
        return origin

    def _initialise(self, stack: list[nn.Module], block: nn.Module) -> None:
        self.adapter.initialise(self.model, block, stack.index(block))

    def _active_at(self, depth: int) -> ActiveSet:
        if depth not in self.chain:
            raise GrowthError(f"depth: {depth} is not among this model's levels {sorted(self.chain)}")
        return self.chain[depth]
