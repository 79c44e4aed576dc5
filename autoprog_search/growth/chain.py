"""Which blocks run at which depth: nested chains of active sets (DESIGN §3, "Which blocks run"). Pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

ActiveSet = tuple[int, ...]
"""Indices of the blocks that run, ascending."""

Chain = Mapping[int, ActiveSet]
"""The active set of each depth; every depth's set holds the shallower ones'."""


def even_chain(blocks: int, depths: Sequence[int]) -> dict[int, ActiveSet]:
    """New blocks come in evenly spread among those that already run.

    The smallest depth d0 runs {floor(i * L / d0)}; each next depth d' adds, of the sorted inactive blocks M, those at
    positions floor((j + 0.5) * |M| / (d' - d)) for j < d' - d.

    Args:
        blocks: L, the full network's depth.
        depths: ascending, none above L.
    """
    chain: dict[int, ActiveSet] = {}
    active: ActiveSet = ()
    for depth in depths:
        if not active:
            active = tuple(i * blocks // depth for i in range(depth))
        else:
            inactive = [i for i in range(blocks) if i not in active]
            count = depth - len(active)
            added = [inactive[(2 * j + 1) * len(inactive) // (2 * count)] for j in range(count)]
            active = tuple(sorted((*active, *added)))
        chain[depth] = active
    return chain


def lowest_chain(blocks: int, depths: Sequence[int]) -> dict[int, ActiveSet]:
    """New blocks come in on top: depth d runs the d lowest blocks (stacking's own chain)."""
    return {depth: tuple(range(depth)) for depth in depths}


CHAINS: dict[str, Callable[[int, Sequence[int]], dict[int, ActiveSet]]] = {"even": even_chain, "lowest": lowest_chain}
