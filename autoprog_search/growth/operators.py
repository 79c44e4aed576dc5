"""Growth operators (zeta): how the parameters of new blocks are made from the smaller network.

An operator writes the new blocks in place and says where each came from; it knows no stage, no optimiser, no EMA:
MoGrow is `interpolation` given the EMA network's blocks. Source: Li et al., CVPR 2022, section 3 (and their code).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from autoprog_search.errors import GrowthError, shown, there_are
from autoprog_search.growth.chain import ActiveSet

Blocks = nn.Sequential | Sequence[nn.Module]
Origin = dict[int, int | None]
"""{new block: its donor, or None where it was made afresh}."""


@dataclass(frozen=True)
class BlockTraits:
    """What an operator may do to a block besides copying.

    Attributes:
        initialise: gives a block fresh parameters.
        residual_ends: names of the last projections of its residual branches.
    """

    initialise: Callable[[nn.Module], None]
    residual_ends: tuple[str, ...]


OperatorFunction = Callable[[Blocks, Blocks, ActiveSet, ActiveSet, BlockTraits], Origin]


@dataclass(frozen=True)
class GrowthOperator:
    """A growth operator and its traits.

    Attributes:
        grow: writes the new blocks: (blocks, donors, active, grown, traits) -> origin.
        description: one line for `--help` and the docs.
        donors: where parameters come from: the online network; the EMA network for `new` blocks only; or the EMA
            network for `all` blocks and everything else, the paper's MoGrow.
        preserves_function: the growth changes no output.
        keeps: new blocks keep the parameters that they hold.
        rescales_donors: the blocks that are copied change too: their residual branches share the work with the copies.
        fades: new blocks stand aside at first, and fade in as `ElasticModel.fade` is told.
        chain: which blocks run at which depth (`growth/chain.py`).
    """

    grow: OperatorFunction
    description: str
    donors: Literal["online", "ema_for_new", "ema_for_all"] = "online"
    preserves_function: bool = False
    keeps: bool = False
    rescales_donors: bool = False
    fades: bool = False
    chain: Literal["even", "lowest"] = "even"


def new_blocks(active: ActiveSet, grown: ActiveSet) -> list[int]:
    """The blocks that `grown` adds, ascending.

    Raises:
        GrowthError: `grown` leaves out a block that runs now.
    """
    if lost := sorted(set(active) - set(grown)):
        raise GrowthError(f"block {lost[0]} runs before the growth and not after it; growth never shrinks")
    return sorted(set(grown) - set(active))


@torch.no_grad()
def interpolation(
    blocks: Blocks, donors: Blocks, active: ActiveSet, grown: ActiveSet, traits: BlockTraits | None = None
) -> Origin:
    """Start each new block as a copy of the nearest active block below it (section 3, growth operators).

    Args:
        blocks: the L blocks of the full-size network; those in `grown` but not in `active` are overwritten.
        donors: L blocks of the same shapes to copy from: `blocks` themselves, or the EMA network's.
        active, grown: indices of the blocks that run before and after the growth, ascending.

    Returns:
        {new block: its donor}, so that the optimiser's state can follow.

    Raises:
        GrowthError: a new block lies below the first active one; nothing has been written then.
    """
    origin: Origin = {}
    for new in new_blocks(active, grown):  # ascending: a block without donor is met before any write
        below = [i for i in active if i < new]
        if not below:
            raise GrowthError(f"block {new} has no donor: the lowest active block is {min(active, default=None)}")
        # Parameters only: a deep copy would bring along the drop-path rate of the donor's position.
        blocks[new].load_state_dict(donors[below[-1]].state_dict())
        origin[new] = below[-1]
    return origin


@torch.no_grad()
def stacking(blocks: Blocks, donors: Blocks, active: ActiveSet, grown: ActiveSet, traits: BlockTraits) -> Origin:
    """Repeat the stack: the new block at position j of the grown stack copies the one at position j mod d.

    Source: Gong et al., "Efficient training of BERT by progressively stacking", ICML 2019; section 3 of the paper.
    """
    origin: Origin = {}
    for new in new_blocks(active, grown):
        donor = active[grown.index(new) % len(active)]
        blocks[new].load_state_dict(donors[donor].state_dict())
        origin[new] = donor
    return origin


@torch.no_grad()
def rand_init(blocks: Blocks, donors: Blocks, active: ActiveSet, grown: ActiveSet, traits: BlockTraits) -> Origin:
    """Start each new block afresh, as timm initialises it."""
    origin: Origin = {}
    for new in new_blocks(active, grown):
        traits.initialise(blocks[new])
        origin[new] = None
    return origin


@torch.no_grad()
def zero_init(blocks: Blocks, donors: Blocks, active: ActiveSet, grown: ActiveSet, traits: BlockTraits) -> Origin:
    """Copy as `interpolation` does, then zero each residual branch's last projection: the output does not change."""
    origin = interpolation(blocks, donors, active, grown)
    for new in origin:
        for name in traits.residual_ends:
            for parameter in blocks[new].get_submodule(name).parameters():
                parameter.zero_()
    return origin


@torch.no_grad()
def split(blocks: Blocks, donors: Blocks, active: ActiveSet, grown: ActiveSet, traits: BlockTraits) -> Origin:
    """Copy as `interpolation` does, then let a block and its copies, k in all, share its work equally.

    Each of them adds 1/k of what the block added: the last projection of each residual branch is divided by k, the
    donor's own included. To first order in the branches the output does not change (one Euler step as k shorter ones).
    Source: Chang et al., "Multi-level residual networks from dynamical systems view", ICLR 2018.
    """
    origin = interpolation(blocks, donors, active, grown)
    for donor in set(origin.values()):
        sharing = [i for i in grown if i == donor or origin.get(i) == donor]
        for index in sharing:
            for name in traits.residual_ends:
                for parameter in blocks[index].get_submodule(name).parameters():
                    parameter.div_(len(sharing))
    return origin


def keep(blocks: Blocks, donors: Blocks, active: ActiveSet, grown: ActiveSet, traits: BlockTraits) -> Origin:
    """Leave each new block as it is: for models that start from pretrained weights, whose blocks are worth more."""
    return dict.fromkeys(new_blocks(active, grown))


GROWTH_OPERATORS: dict[str, GrowthOperator] = {
    "rand_init": GrowthOperator(rand_init, "new blocks are initialised afresh"),
    "stacking": GrowthOperator(stacking, "the stack is repeated on top of itself", chain="lowest"),
    "interpolation": GrowthOperator(interpolation, "a new block copies the active block below it"),
    "zero_init": GrowthOperator(
        zero_init, "a copy whose residual branches start at zero: no output changes", preserves_function=True
    ),
    "split": GrowthOperator(
        split, "a block and its k - 1 copies add 1/k of what it added: outputs hardly change", rescales_donors=True
    ),
    "masked": GrowthOperator(
        interpolation,
        "a copy that fades in: no output changes at first (masked structural growth, Yao et al., ICLR 2024)",
        preserves_function=True,
        fades=True,
    ),
    "keep": GrowthOperator(keep, "new blocks keep what they hold, say pretrained weights", keeps=True),
    "mogrow": GrowthOperator(
        interpolation, "all parameters from the EMA network, then interpolation (the paper)", donors="ema_for_all"
    ),
    "mogrow_new": GrowthOperator(
        interpolation, "interpolation with the EMA network's blocks as donors", donors="ema_for_new"
    ),
}


def operator_named(name: str) -> GrowthOperator:
    """The entry of that name.

    Raises:
        GrowthError: there is none.
    """
    if name not in GROWTH_OPERATORS:
        raise GrowthError(f"operator: {shown(name)} is unknown; {there_are(name, GROWTH_OPERATORS)}")
    return GROWTH_OPERATORS[name]
