"""What others add, from outside and by the public tables alone: a method, an operator, a family of models.

Each is one entry of a table, so that adding one to the package itself touches one file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from timm.models.xcit import XCABlock, Xcit
from torch import nn

from autoprog_search.growth.adapters import ADAPTERS, FamilyAdapter, Stack
from autoprog_search.growth.operators import GROWTH_OPERATORS, GrowthOperator, interpolation
from autoprog_search.methods.fixed import program_of
from autoprog_search.methods.kinds import Fixed, Sampled
from autoprog_search.methods.registry import METHODS
from autoprog_search.space import GrowthSpace, Levels
from autoprog_search.study.creation import create_study
from autoprog_search.study.results import trials_frame
from tests.tiny import SHORT, run_here, tiny_config, without_measuring


def rows_of(folder: Path, methods: str, *overrides: str) -> pd.DataFrame:
    """The results of a study of these methods."""
    study = create_study(folder, tiny_config(f"methods={methods}", *SHORT, *overrides))
    run_here(without_measuring(study))
    frame = trials_frame(study)
    assert set(frame["state"]) == {"COMPLETE"}
    return frame


def smallest_first(space: GrowthSpace) -> Levels:
    return ((0, 0),) * (space.stages - 1) + ((len(space.depths) - 1, len(space.patches) - 1),)


def test_a_fixed_method(tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "late", Fixed("all growth at the last stage", program_of(smallest_first)))
    frame = rows_of(tmp_path, "{late: {seeds: 1}}", "recipe.epochs=3")
    assert frame["depths"].tolist() == [[2, 2, 4]]
    assert frame["patches"].tolist() == [[4, 4, 16]]


def test_a_method_on_an_optuna_sampler(tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "shrug", Sampled("Optuna's own random sampler", "optuna.samplers:RandomSampler"))
    frame = rows_of(tmp_path, "{shrug: {trials: 2, seeds: 1}}", "recipe.epochs=3")
    assert frame["trial"].tolist() == [0, 1]
    assert all(depths == sorted(depths) for depths in frame["depths"])


def test_a_growth_operator(tmp_path, monkeypatch):
    applied = []

    def halving(blocks: Any, donors: Any, active: Any, grown: Any, traits: Any) -> Any:
        origin = interpolation(blocks, donors, active, grown, traits)
        applied.append(origin)
        with torch.no_grad():
            for parameter in (p for new in origin for p in blocks[new].parameters()):
                parameter.mul_(0.5)
        return origin

    monkeypatch.setitem(GROWTH_OPERATORS, "halving", GrowthOperator(halving, "a copy of half the size"))
    frame = rows_of(tmp_path, "{linear: {seeds: 1}}", "growth.operator=halving", "recipe.epochs=3")
    assert frame["depths"].tolist() == [[2, 3, 4]]
    assert {len(origin) for origin in applied if origin} == {1}  # a block at each boundary


def reset(model: nn.Module, block: nn.Module, index: int) -> None:
    for module in block.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


XCIT = """{name: xcit, model: xcit_nano_12_p16_224, depth: 4, resolution: 32, patch_size: 16, depths: [2, 4],
  patches: [4], stages: 2, model_args: {img_size: 32, in_chans: 1, embed_dim: 16, depth: 4, num_heads: 2}}"""


def test_a_family_of_models(tmp_path, monkeypatch):
    entry = FamilyAdapter(
        Xcit,
        (Stack(("blocks",), XCABlock),),
        "XCiT (El-Nouby et al., NeurIPS 2021)",
        resolution="fixed",
        initialise=reset,
        drop_paths=("drop_path1", "drop_path2", "drop_path3"),
        residual_ends=("attn.proj", "local_mp.conv2", "mlp.fc2"),
        drop_rule="constant",
    )
    monkeypatch.setitem(ADAPTERS, "xcit", entry)
    frame = rows_of(tmp_path, "{linear: {seeds: 1}}", f"space={XCIT}", "recipe.epochs=2")
    assert frame["depths"].tolist() == [[2, 4]]
    assert frame["val_top1"].notna().all()
