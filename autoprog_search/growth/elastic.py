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
from autoprog_search.errors import GrowthError
from autoprog_search.growth.active_blocks import ActiveBlocks, Forward, containers_of
from autoprog_search.growth.adapters import TrainOutput, adapter_of, family_of, patch_size_of, resampled_position
from autoprog_search.growth.chain import ActiveSet, build_chain, levels_of, share_depths
from autoprog_search.growth.create import check_size, create_timm_model, described
from autoprog_search.growth.dropped_patches import check_patches, check_whole, keep_patches, make_droppable
from autoprog_search.growth.flops import cost_known_as
from autoprog_search.growth.large_patches import KERNEL, grows_own_kernel, large_patches_of, write_kernels
from autoprog_search.growth.operators import BlockTraits, GrowthOperator, Origin, new_blocks, operator_named
from autoprog_search.growth.optimizer_state import StateRule, grow_optimizer_state
from autoprog_search.growth.patch_projection import project_by_products
from autoprog_search.patching import PatchesBy, Patching
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace


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
        patches: the numbers of patches that it will run on; the fewest say how large patches are at most.
        patches_by: how it runs on fewer than its own (`patching.py`).
        patch_operator: name of the growth operator for patches, where they are cut larger.

    Attributes:
        active: indices of the blocks that run, ascending.
        adapter: of its family (`growth/adapters.py`).
        patching: sizes of images and patches.
        large_patches: the embedding of patches that are larger than its own, if it cuts any.
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
        *,
        patches: Sequence[int] = (),
        patches_by: PatchesBy = "resolution",
        patch_operator: str = "pi_resize",
    ) -> None:
        super().__init__()
        self.adapter = adapter_of(model)
        self.adapter.prepare(model)
        project_by_products(model)
        self.full = self.adapter.full_size(model)
        self.patch_size = patch_size_of(model)
        self.patching = Patching(patches_by, self.full.resolution(self.patch_size), self.patch_size)
        self.operator = operator
        stacks = self.adapter.stacks_of(model)
        sizes = tuple(map(len, stacks))
        ends = list(accumulate(sizes))
        self._spans = [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]  # of each stack's blocks
        levels = levels_of(type(model).__name__, depths, least=len(stacks), full=self.full.depth)
        own = operator_named(operator).chain
        self.chain = build_chain(chain or own, sizes, levels)
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
        self.large_patches = large_patches_of(model, self.adapter, self.patching, patches, patch_operator)
        make_droppable(model, self.adapter, self.patching)
        self.antialias = False
        self.fading: set[int] = set()
        self._described, self._counted_as = type(model).__name__, ""
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
        patch_operator: str = "pi_resize",
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
        check_size(space, model)
        elastic = cls(
            model,
            space.depths,
            operator,
            chain,
            patches=space.patches,
            patches_by=space.patches_by,
            patch_operator=patch_operator,
        )
        counted_as = (space.model, space.model_args, num_classes, in_chans, elastic._shares, space.patches_by)
        elastic._described, elastic._counted_as = described(space), str(counted_as)
        elastic.check_resolution(space.patches[0])
        return elastic

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
        check_patches(self.patching, patches, self.full)
        if self.adapter.resolution == "fixed" and patches != self.full.patches:
            raise GrowthError(
                f"patches: {type(self.model).__name__} has relative positions of one size, another would replace "
                f"parameters; it grows in depth only, on {self.full.patches} patches (got {patches})"
            )

    @cached_property
    def cost(self) -> ModelCost:
        """FLOPs of its sub-networks, in closed form; a GrowthError where the model cannot run."""
        return cost_known_as(self._counted_as, self, self._shares, self._described)

    @property
    def blocks(self) -> list[nn.Module]:
        """All L blocks, those of later stacks last."""
        return [block for stack in self.adapter.stacks_of(self.model) for block in stack]

    @property
    def resolution(self) -> int:
        """Side in pixels of the images that run now."""
        return self.patching.image_side(self.sub_network)

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
        check_whole(self.model)
        features = Forward(self.model, lambda model, resized: model.forward_intermediates(resized, *args, **kwargs))  # type: ignore[operator]
        return self._run_on(images, features)

    def _run_on(self, images: torch.Tensor, run: nn.Module) -> Any:
        if images.shape[-1] != self.resolution:
            size = (self.resolution, self.resolution)
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=self.antialias)
        if resized := self._resized_parameters():
            inside = "" if run is self.model else "model."
            return functional_call(run, {inside + name: value for name, value in resized.items()}, (images,))
        return run(images)

    def _resized_parameters(self) -> dict[str, torch.Tensor]:
        """What runs in the model's own parameters' place on another grid, but for what timm resamples itself."""
        resized: dict[str, torch.Tensor] = {}
        if self.sub_network.patches == self.full.patches:
            return resized
        if self.adapter.resolution == "resampled":
            resized["pos_embed"] = resampled_position(self.model, self.sub_network.grid)
        if self.large_patches is not None and self.patching.by == "patch_size":
            resized[KERNEL] = self.large_patches(self.patching.patch_size(self.sub_network))
        return resized

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
        if self.large_patches is not None:
            self.large_patches.set_size(self.model, self.patching.patch_size(sub_network))
        if self.patching.by == "dropout":
            keep_patches(self.model, sub_network, self.full)
        if not self._drops:
            return
        rated = self._active_at((rates_of or sub_network).depth)
        rates = dict(zip(rated, self.adapter.drop_path_rates(self.drop_path_rate, len(rated)), strict=True))
        self.adapter.rate_blocks(self.model, rates)

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
        images: torch.Tensor | None = None,
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
            images: real ones, for a growth operator for patches that is fitted to them.

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
        own_kernel = grows_own_kernel(self, to, images)
        donors = self.blocks if zeta.donors == "online" or momentum is None else momentum.blocks
        if zeta.donors == "ema_for_all" and momentum is not None and to != self.sub_network:
            self.load_state_dict(momentum.state_dict())
        origin = self._write(zeta, self.blocks, donors, grown)
        followers = ([momentum] if momentum is not None else []) + [e for e in emas if e is not momentum]
        for ema in followers:
            if None in origin.values():
                for new in origin:
                    ema.blocks[new].load_state_dict(self.blocks[new].state_dict())
            else:
                self._write(zeta, ema.blocks, ema.blocks, grown)
        if optimizer is not None:
            grow_optimizer_state(optimizer, self.blocks, origin, state_rule)
        if own_kernel:
            write_kernels((self, *followers), images, optimizer)
        for network in followers:
            network.activate(to)
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
