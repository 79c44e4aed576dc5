"""Which blocks run at which depth: nested chains of active sets. Pure arithmetic (docs/design.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autoprog_search.errors import GrowthError

ActiveSet = tuple[int, ...]
"""Indices of the blocks that run, ascending."""


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


def share_depths(sizes: Sequence[int], depths: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """How many blocks of each stack run at each depth. A model of one stack has nothing to share out.

    VOLO's two: the outlookers take the even number nearest to their share of the full model, the transformers the rest:
    2 + 7, 2 + 10, 4 + 11, 4 + 14 of VOLO-D1 at 9, 12, 15, 18. The released code (`models/submodels.py`) rounds 0.23 of
    the depth to an even number and adds 2 where that lost more than 10 %: the same everywhere in both of the paper's
    spaces, but for depths 10 to 13, where it takes 4. A stack never shrinks from one level to the next.

    Args:
        sizes: blocks of each stack, first to last; one or two.
        depths: ascending, from `len(sizes)` (a block of each stack) to their sum.
    """
    if len(sizes) == 1:
        return {depth: (depth,) for depth in depths}
    (first, second), total = sizes, sum(sizes)
    shares: dict[int, tuple[int, ...]] = {}
    least = (1, 1)
    for depth in depths:
        even = 2 * ((depth * first + total) // (2 * total))  # halves go up
        count = min(max(even, least[0], depth - second), first, depth - least[1])
        least = (count, depth - count)
        shares[depth] = least
    return shares


def levels_of(model: str, depths: Sequence[int] | None, *, least: int, full: int) -> list[int]:
    """The depths that a model will run at, ascending: those asked for, or from a block of each stack on all.

    Raises:
        GrowthError: one is outside its own.
    """
    levels = sorted(set(depths or range(least, full + 1)) | {full})
    if levels[-1] > full or levels[0] < least:
        wrong = levels[-1] if levels[-1] > full else levels[0]
        raise GrowthError(f"depth: {wrong} is outside {model}'s {least} to {full} blocks")
    return levels


def build_chain(kind: str, sizes: Sequence[int], depths: Sequence[int]) -> dict[int, ActiveSet]:
    """The chain of a model whose blocks stand in stacks, each with the nested chain of its own depths.

    Args:
        kind: name in `CHAINS`.
        sizes, depths: as `share_depths` takes them. Blocks are numbered through all stacks.

    Raises:
        GrowthError: there is no such kind.
    """
    if kind not in CHAINS:
        raise GrowthError(f"chain: {kind!r} is unknown; there are {', '.join(CHAINS)}")
    shares = share_depths(sizes, depths)
    chain: dict[int, ActiveSet] = dict.fromkeys(depths, ())
    offset = 0
    for stack, size in enumerate(sizes):
        own = CHAINS[kind](size, sorted({counts[stack] for counts in shares.values()}))
        for depth, counts in shares.items():
            chain[depth] += tuple(offset + index for index in own[counts[stack]])
        offset += size
    return chain
