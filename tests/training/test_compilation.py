"""Blocks compiled one by one: how often over a whole run, and that it trains the same."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from autoprog_search.training import step
from autoprog_search.training.compilation import compile_blocks
from tests.tiny import FEW, SHORT, same_bits, tiny_config, tiny_trainer


@pytest.fixture
def compilations(monkeypatch):
    """Shapes of the tokens that blocks were compiled for; what is compiled is the graph as it was."""
    found = []

    def noted(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        found.append(next(tuple(i.shape) for i in inputs if i.dim() == 3))
        return graph

    torch.compiler.reset()
    monkeypatch.setattr(step, "compile_blocks", partial(compile_blocks, backend=noted))
    return found


@pytest.mark.parametrize(("weights", "patches_by"), [("ema", "resolution"), ("raw", "patch_size"), ("raw", "dropout")])
def test_a_run_with_a_search_compiles_once_a_grid_whatever_its_depths(compilations, weights, patches_by):
    """With weights as they are, the network that trains is also the one that is evaluated and estimated."""
    settings = (
        *SHORT,
        *FEW,
        "recipe.drop_path=0.2",
        f"recipe.eval_weights={weights}",
        f"space.patches_by={patches_by}",
    )
    config = tiny_config(*settings, f"growth.search.estimate_weights={weights}")
    of_plain = tiny_trainer(config).train()
    assert not compilations
    recipe = config.recipe.model_copy(update={"compile": True})
    of_compiled = tiny_trainer(config.model_copy(update={"recipe": recipe})).train()
    assert {s.chosen for s in of_compiled.state.stages} == {s.chosen for s in of_plain.state.stages}
    searched = {c.patches for s in of_compiled.state.stages for c in s.candidates} | {16}
    assert sorted(shape[1] for shape in compilations) == sorted(searched)
    assert same_bits(of_compiled.weights, of_plain.weights)
