"""Blocks that are compiled one by one: one compilation serves every depth, and every resolution has one of its own.

A whole model compiled would be compiled again for every depth. Sizes are fixed in what is compiled: kernels for any
size were slower on an H200 (DeiT-S at 224 px, batch 256: 43 ms a step against 30; 46 without compilation).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.settings.recipe import Recipe

MOST_COMPILED = 64  # of one kind of block: resolutions x modes; torch runs what comes after as it is


def compile_blocks(elastic: ElasticModel, backend: str = "inductor") -> None:
    """Compile each block when it first runs at a resolution. Copies, such as EMAs made later, are not compiled."""
    import torch._dynamo  # here: slow to import, and most runs do not compile

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_COMPILED)
    for block in elastic.blocks:
        block.compile(dynamic=False, backend=backend)


def eagerly(recipe: Recipe) -> AbstractContextManager[object]:
    """Run what is compiled as if it were not: an evaluation's last batch has a size of its own."""
    return torch.compiler.set_stance("force_eager") if recipe.compile else nullcontext()
