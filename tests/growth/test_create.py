"""timm models of a growth space, fresh or from a file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from autoprog_search.errors import GrowthError
from autoprog_search.growth import create
from autoprog_search.growth.create import create_timm_model
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.growth.space_cost import cost_of
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


# ── models that cannot be built ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
@pytest.mark.parametrize("build", [cost_of, lambda s: ElasticModel.from_space(s, num_classes=5).cost])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"embed_dim": 0}, "'embed_dim': 0"),
        ({"embed_dim": -16}, "'embed_dim': -16"),
        ({"embed_dim": "wide"}, "'embed_dim': 'wide'"),
        ({"num_heads": 3}, "divisible by num_heads"),
        ({"num_heads": 0}, "'num_heads': 0"),
        ({"num_heads": -2}, "cannot run"),
        ({"in_chans": 0}, "cannot run"),
        ({"in_chans": "three"}, "'in_chans': 'three'"),
        ({"depth": -1}, "'depth': -1"),
        ({"depth": "deep"}, "'depth': 'deep'"),
        ({"depth": True}, "'depth': True"),
        ({"patch_size": 0}, "'patch_size': 0"),
        ({"img_size": -24}, "'img_size': -24"),
        ({"mlp_ratio": -1}, "'mlp_ratio': -1"),
        ({"mlp_ratio": float("nan")}, "model_args.mlp_ratio: nan is beyond any model"),
        ({"global_pool": "sum"}, "'global_pool': 'sum'"),
        ({"norm_layer": "none"}, "'norm_layer': 'none'"),
        ({"block_fn": "Block"}, "'block_fn': 'Block'"),
        ({"width": 3}, "unexpected keyword argument 'width'"),
        ({"depth": 10**9}, "model_args.depth: 1000000000 is beyond any model"),
        ({"depth": 10**4}, "more than 3,000 parameter tensors"),
        ({"img_size": 10**6}, "more than 1e+11 parameters"),
        ({"embed_dim": 10**6}, "more than 1e+11 parameters"),
        ({"pretrained": True}, "model_args.pretrained: weights to start from are given as recipe.init_checkpoint"),
        ({"checkpoint_path": "w.pt"}, "model_args.checkpoint_path: weights"),
        ({"features_only": True}, "FeatureGetterNet cannot be made elastic"),
    ],
)
def test_what_cannot_be_built_is_one_line_with_the_model_and_its_arguments(build, arguments, words):
    wrong = space().model_copy(update={"model_args": {**SMALL, **arguments}})  # past the space's own checks
    with pytest.raises(GrowthError) as caught:
        build(wrong)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 600


@pytest.mark.parametrize(
    ("model", "arguments", "words"),
    [
        ("cait_xxs24_224", {"num_heads": 3}, "cait_xxs24_224 with .* cannot run"),
        ("eva02_tiny_patch14_224", {"num_heads": 5}, "eva02_tiny_patch14_224 with .* cannot run"),
        ("swin_tiny_patch4_window7_224", None, "SwinTransformer cannot be made elastic"),
        ("convnext_tiny", None, "ConvNeXt cannot be made elastic"),
        ("xcit_nano_12_p16_224", None, "Xcit cannot be made elastic"),
        ("deit_tny_patch16_224", {}, "timm has no 'deit_tny_patch16_224'; nearest: deit_tiny_patch16_224"),
        ("swim_tiny", {}, "timm has no 'swim_tiny'"),
        ("deit_tiny_patch16_224.nobody", {}, "Invalid pretrained tag"),
    ],
)
def test_models_that_are_unknown_or_cannot_be_elastic_are_told_apart(model, arguments, words):
    with pytest.raises(GrowthError, match=words):
        cost_of(space(model=model, model_args={} if arguments is None else {**SMALL, **arguments}))


def test_a_model_beyond_this_machines_memory_is_refused_before_it_takes_any(monkeypatch):
    monkeypatch.setattr(create, "_found_to_fit", set())
    monkeypatch.setattr(create, "_memory", lambda: 100_000)  # the small DeiT has some 15,000 parameters
    with pytest.raises(GrowthError, match=r"model: 3 copies \(network, two EMAs\) .* this machine has 0\.0001 GB"):
        create_timm_model(space(), num_classes=5)
    assert cost_of(space()).forward_flops(SubNetwork(4, 36)) > 0  # planning takes no memory


def test_the_check_of_the_size_leaves_the_random_numbers_and_torchs_hooks_as_they_were(monkeypatch):
    monkeypatch.setattr(create, "_found_to_fit", set())
    torch.manual_seed(3)
    model = create_timm_model(space(), num_classes=5)
    torch.manual_seed(3)
    reference = timm.create_model("deit_tiny_patch16_224", num_classes=5, dynamic_img_size=True, **SMALL)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in reference.state_dict().items())
    monkeypatch.setattr(create, "MOST_TENSORS", 1)
    torch.nn.Linear(3, 3)  # no hook is left that would count it
