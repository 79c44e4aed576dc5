"""What happens to the optimiser's state (moments, step counts) of a block that growth has just written."""

from __future__ import annotations

from copy import deepcopy
from typing import Literal

import torch

from autoprog_search.growth.operators import Blocks, Origin

StateRule = Literal["reset", "copy"]


def grow_optimizer_state(optimizer: torch.optim.Optimizer, blocks: Blocks, origin: Origin, rule: StateRule) -> None:
    """Give each new block's parameters the state of their donor's, or none.

    Whatever state the block had from an earlier life (a candidate that was not chosen) is dropped either way.

    Args:
        optimizer: any torch optimiser that keeps its state per parameter, or timm's lookahead around one.
        blocks: the L blocks of the full-size network.
        origin: {new block: its donor, or None}, as a growth operator returns it.
        rule: `copy` the donor's state (a fresh block has none to copy), or `reset`: start as at step 0.
    """
    states = getattr(optimizer, "_base_optimizer", optimizer).state
    for new, donor in origin.items():
        source = blocks[donor] if rule == "copy" and donor is not None else None
        for name, parameter in blocks[new].named_parameters():
            states.pop(parameter, None)
            state = states.get(source.get_parameter(name)) if source is not None else None
            if state:
                states[parameter] = deepcopy(state)  # some keep lists of tensors
