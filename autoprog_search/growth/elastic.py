"""The elastic model: one full-size timm model of which an active set of blocks runs, at any resolution (DESIGN §4).

Nothing is rebuilt when the model grows, so optimiser, EMA and LR schedule stay attached, an elastic supernet is the
same model switching its active set, and `elastic.model.state_dict()` is always the full timm model's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import timm
import torch
import torch.nn.functional as F
from timm.layers import build_sincos2d_pos_embed
from timm.layers.drop import calculate_drop_path_rates
from torch import nn

from autoprog_search.errors import GrowthError
from autoprog_search.growth.adapters import (
    adapter_of,
    blocks_of,
    drop_path_rate_of,
    full_size,
    initialise_block,
    make_drop_paths_adjustable,
    model_cost,
    patch_size_of,
    set_drop_path_rate,
)
from autoprog_search.growth.chain import CHAINS, ActiveSet
from autoprog_search.growth.operators import BlockTraits, GrowthOperator, Origin, new_blocks, operator_named
from autoprog_search.growth.optimizer_state import StateRule, grow_optimizer_state
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace


class ActiveBlocks(nn.Sequential):
    """A stack of blocks of which only the active ones run; names and order are those of timm's own stack."""

    active: ActiveSet

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__(*blocks)
        self.active = tuple(range(len(self)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the active blocks on (batch, tokens, dim)."""
        blocks = list(self._modules.values())
        for index in self.active:
            x = blocks[index](x)
        return x


class ElasticModel(nn.Module):
    """A timm ViT that trains as any of its sub-networks.

    It starts as the full network. `activate` switches to a sub-network and costs nothing; `grow` also makes the
    parameters of the blocks that come in. Blocks that do not run get no gradient, which torch's optimisers skip.

    Args:
        model: a timm model of a family in `growth/adapters.py`, made with `dynamic_img_size=True`. It becomes part of
            this one: its stack of blocks is replaced by an elastic one that holds the same blocks.
        depths: the depths it will run at, ascending; default: all. They fix which blocks run at which depth.
        chain: `even` or `lowest` (`growth/chain.py`); default: the chain of `operator`.
        operator: name of the growth operator that `grow` uses by default.

    Raises:
        GrowthError: the model cannot be made elastic, or a depth is above its own.
    """

    def __init__(
        self,
        model: nn.Module,
        depths: Sequence[int] | None = None,
        operator: str = "interpolation",
        chain: str | None = None,
    ) -> None:
        super().__init__()
        self._adapter = adapter_of(model)
        self.full = full_size(model)
        self.patch_size = patch_size_of(model)
        self.cost = model_cost(model)
        self.operator = operator
        levels = sorted(set(depths or range(1, self.full.depth + 1)) | {self.full.depth})
        if levels[-1] > self.full.depth or levels[0] < 1:
            wrong = levels[-1] if levels[-1] > self.full.depth else levels[0]
            raise GrowthError(f"depth: {wrong} is outside {type(model).__name__}'s 1 to {self.full.depth} blocks")
        chain = chain or operator_named(operator).chain
        if chain not in CHAINS:
            raise GrowthError(f"chain: {chain!r} is unknown; there are {', '.join(CHAINS)}")
        self.chain = CHAINS[chain](self.full.depth, levels)
        blocks = blocks_of(model)
        # timm's drop-path rates, made explicit: growth sets them anew for the blocks that run.
        self._drop_path_rate = drop_path_rate_of(self._adapter, blocks[-1])
        if self._drop_path_rate > 0:  # without, timm's identities stay and cost nothing
            for block in blocks:
                make_drop_paths_adjustable(self._adapter, block)
        model.blocks = ActiveBlocks(*blocks)
        self.model = model
        self.sub_network = self.full

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
    ) -> ElasticModel:
        """Build a growth space's timm model, freshly initialised from torch's global generator.

        Raises:
            GrowthError: timm does not know the model or its arguments, or its size is not what the space says.
        """
        model = create_timm_model(space, num_classes=num_classes, in_chans=in_chans, drop_path_rate=drop_path_rate)
        blocks = full_size(model).depth
        if blocks != space.depth:
            side = "above" if space.depth > blocks else "below"
            raise GrowthError(f"depth: {space.depth} is {side} {space.model}'s {blocks}")
        elastic = cls(model, depths=space.depths, operator=operator, chain=chain)
        if (elastic.full, elastic.patch_size) != (space.full, space.patch_size):
            raise GrowthError(
                f"resolution: {space.name} says {space.resolution} px in patches of {space.patch_size}, {space.model} "
                f"has {elastic.full.resolution(elastic.patch_size)} px in patches of {elastic.patch_size}"
            )
        return elastic

    @property
    def blocks(self) -> ActiveBlocks:
        """The stack of blocks, all L of them."""
        return self.model.blocks  # type: ignore[return-value]

    @property
    def active(self) -> ActiveSet:
        """Indices of the blocks that run, ascending."""
        return self.blocks.active

    @property
    def resolution(self) -> int:
        """Side in pixels of the images that run now."""
        return self.sub_network.resolution(self.patch_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of images (batch, channels, side, side), resized first if they have another side.

        Bilinear without antialiasing, as the released code resizes.
        """
        assert not self.model.grad_checkpointing, "timm's checkpointing would run every block"
        if images.shape[-1] != self.resolution:
            size = (self.resolution, self.resolution)
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        return self.model(images)

    def activate(self, sub_network: SubNetwork, rates_of: SubNetwork | None = None) -> None:
        """Run as this sub-network from now on. No parameter changes.

        Args:
            sub_network: one of the depths given at construction, any patch count.
            rates_of: whose drop-path rates hold; default its own. While candidates are drawn, the supernet.

        Raises:
            GrowthError: a depth that is none of the levels.
        """
        self.blocks.active = self._active_at(sub_network.depth)
        self.sub_network = sub_network
        if self._drop_path_rate == 0:
            return
        rated = self._active_at((rates_of or sub_network).depth)
        rates = calculate_drop_path_rates(self._drop_path_rate, len(rated))
        for index, rate in zip(rated, rates, strict=True):
            assert isinstance(rate, float)
            set_drop_path_rate(self._adapter, self.blocks[index], rate)

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
        from the EMA's own blocks (blocks made afresh are copied from the online network).

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
        traits = BlockTraits(partial(initialise_block, self.model), self._adapter.residual_ends)
        donors = self.blocks if zeta.donors == "online" or momentum is None else momentum.blocks
        if zeta.donors == "ema_for_all" and momentum is not None and to != self.sub_network:
            self.model.load_state_dict(momentum.model.state_dict())
        origin = zeta.grow(self.blocks, donors, active, grown, traits)
        for ema in ([momentum] if momentum is not None else []) + [e for e in emas if e is not momentum]:
            if None in origin.values():
                for new in origin:
                    ema.blocks[new].load_state_dict(self.blocks[new].state_dict())
            else:
                zeta.grow(ema.blocks, ema.blocks, active, grown, traits)
            ema.activate(to)
        if optimizer is not None:
            grow_optimizer_state(optimizer, self.blocks, origin, state_rule)
        self.activate(to)
        return origin

    def _active_at(self, depth: int) -> ActiveSet:
        if depth not in self.chain:
            raise GrowthError(f"depth: {depth} is not among this model's levels {sorted(self.chain)}")
        return self.chain[depth]


def create_timm_model(
    space: GrowthSpace, *, num_classes: int, in_chans: int = 3, drop_path_rate: float = 0.0
) -> nn.Module:
    """The plain timm model of a growth space, at full size.

    Raises:
        GrowthError: timm does not know the model or its arguments, or it cannot be made elastic.
    """
    if not timm.is_model(space.model):
        raise GrowthError(f"model: timm has no {space.model!r}; timm.list_models() lists what it has")
    arguments = {"in_chans": in_chans, **space.model_args, "num_classes": num_classes, "drop_path_rate": drop_path_rate}
    try:
        model: nn.Module = timm.create_model(space.model, pretrained=False, dynamic_img_size=True, **arguments)
    except (TypeError, AssertionError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GrowthError(f"model: timm cannot build an elastic {space.model} ({reason})") from None
    adapter_of(model)
    if space.pos_embed == "sincos":
        _set_sincos(model)
    return model


@torch.no_grad()
def _set_sincos(model: nn.Module) -> None:
    position: nn.Parameter = model.pos_embed  # type: ignore[assignment]
    grid: tuple[int, int] = model.patch_embed.grid_size  # type: ignore[union-attr, assignment]
    table = build_sincos2d_pos_embed(list(grid), dim=position.shape[-1])
    position[:, position.shape[1] - table.shape[0] :] = table  # class tokens keep timm's
