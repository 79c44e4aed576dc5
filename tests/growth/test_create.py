"""timm models of a growth space, fresh or from a file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from autoprog_search.errors import GrowthError
from autoprog_search.growth.create import create_timm_model
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace

SMALL = {"embed_dim": 16, "num_heads": 2, "depth": 4, "img_size": 24, "patch_size": 4}


def space(**fields: Any) -> GrowthSpace:
    own = {"name": "own", "model": "deit_tiny_patch16_224", "model_args": SMALL, "depth": 4, "resolution": 24}
    return GrowthSpace.model_validate({**own, "patch_size": 4, "depths": [2, 4], "resolutions": [12, 24], **fields})


def saved(path: Path, num_classes: int, **arguments: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    model = timm.create_model("deit_tiny_patch16_224", num_classes=num_classes, **{**SMALL, **arguments})
    state: dict[str, torch.Tensor] = model.state_dict()
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return state


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_weights_of_a_file_are_taken(tmp_path, name):
    state = saved(tmp_path / name, num_classes=5)
    model = create_timm_model(space(), num_classes=5, checkpoint=str(tmp_path / name))
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_classifier_for_other_classes_starts_fresh_and_positions_are_resampled(tmp_path):
    state = saved(tmp_path / "w.safetensors", num_classes=7, img_size=16)
    model = create_timm_model(space(), num_classes=5, checkpoint=str(tmp_path / "w.safetensors"))
    loaded = model.state_dict()
    assert loaded["head.weight"].shape == (5, 16)
    assert loaded["pos_embed"].shape == (1, 37, 16)
    others = [key for key in state if key not in ("head.weight", "head.bias", "pos_embed")]
    assert all(torch.equal(loaded[key], state[key]) for key in others)


def test_growth_from_pretrained_weights_may_keep_the_blocks_that_come_in(tmp_path):
    state = saved(tmp_path / "w.safetensors", num_classes=5)
    elastic = ElasticModel.from_space(
        space(), num_classes=5, operator="keep", checkpoint=str(tmp_path / "w.safetensors")
    )
    elastic.activate(SubNetwork(2, 9))
    elastic.grow(elastic.full)
    assert all(torch.equal(value, state[key]) for key, value in elastic.model.state_dict().items())


def test_weights_of_a_shallower_network_are_refused_whatever_their_classes(tmp_path):
    saved(tmp_path / "w.pt", num_classes=7, depth=3)
    with pytest.raises(GrowthError, match=r"does not fit deit_tiny_patch16_224: it has no blocks\.3\."):
        create_timm_model(space(), num_classes=5, checkpoint=str(tmp_path / "w.pt"))


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is no file"), (b"no weights", "holds no weights"), ("other", "does not fit deit_tiny_patch16_224")],
)
def test_wrong_weights_are_one_line(tmp_path, content, words):
    path = tmp_path / "w.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        torch.save({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(GrowthError) as caught:
        create_timm_model(space(), num_classes=5, checkpoint=str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
