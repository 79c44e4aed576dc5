"""The elastic model against timm: references are timm models built at the sub-network's own depth."""

from __future__ import annotations

import pickle
from copy import deepcopy
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.optim import param_groups_layer_decay
from timm.utils import ModelEmaV3
from torch import nn

from autoprog_search.errors import AutoProgError, GrowthError
from autoprog_search.growth.adapters import ADAPTERS
from autoprog_search.growth.chain import even_chain
from autoprog_search.growth.create import create_timm_model
from autoprog_search.growth.elastic import ActiveBlocks, ElasticModel
from autoprog_search.growth.operators import GROWTH_OPERATORS
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace
from tests.growth.models import BLOCKS, MODELS, SIZE, TINY, images, tiny

DEPTHS = (2, 3, 5, 6)
GRIDS = (3, 4, 5, 6)


def built_at(kind: str, full: nn.Module, active: tuple[int, ...], **arguments: Any) -> nn.Module:
    """timm's own model at depth |A|, holding the full model's blocks of A and everything else of it."""
    reference = tiny(kind, depth=len(active), seed=1, **arguments)
    rest = {name: value for name, value in full.state_dict().items() if not name.startswith("blocks.")}
    missing = reference.load_state_dict(rest, strict=False).missing_keys
    assert all(name.startswith("blocks.") for name in missing)
    for position, index in enumerate(active):
        reference.blocks[position].load_state_dict(full.blocks[index].state_dict())
    return reference


def rates(model: nn.Module) -> list[float]:
    """timm leaves an identity where the rate is 0."""
    return [getattr(b.drop_path1, "drop_prob", 0.0) for b in model.blocks.children()]


# ── outputs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", MODELS)
@torch.inference_mode()
def test_with_all_blocks_active_it_is_the_timm_model_bit_for_bit(kind):
    model = tiny(kind).eval()
    elastic = ElasticModel(deepcopy(model), depths=DEPTHS).eval()
    assert elastic.full == SubNetwork(BLOCKS, (SIZE // 4) ** 2)
    assert torch.equal(elastic(images()), model(images()))
    elastic.activate(SubNetwork(2, 9))
    elastic.activate(elastic.full)
    assert torch.equal(elastic(images()), model(images()))


def test_training_the_full_network_is_training_the_timm_model_bit_for_bit():
    model = tiny("deit", proj_drop_rate=0.1).train()
    elastic = ElasticModel(deepcopy(model)).train()
    for network in (model, elastic):
        torch.manual_seed(3)
        network(images()).square().mean().backward()
    for ours, theirs in zip(elastic.parameters(), model.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("chain", ["even", "lowest"])
@pytest.mark.parametrize("kind", MODELS)
@torch.inference_mode()
def test_every_sub_network_is_the_timm_model_built_at_its_depth(kind, chain):
    full = tiny(kind).eval()
    elastic = ElasticModel(deepcopy(full), depths=DEPTHS, chain=chain).eval()
    outputs = []
    for depth in DEPTHS:
        active = even_chain(BLOCKS, DEPTHS)[depth] if chain == "even" else tuple(range(depth))
        reference = built_at(kind, full, active).eval()
        for grid in GRIDS:
            elastic.activate(SubNetwork(depth, grid**2))
            assert elastic.active == active
            assert elastic.resolution == grid * 4
            expected = reference(images(grid * 4))
            torch.testing.assert_close(elastic(images(grid * 4)), expected, atol=1e-6, rtol=0)
            outputs.append(expected)
    # The control: no two depths gave the same, so a wrong active set would have shown.
    assert all((outputs[i] - outputs[i + len(GRIDS)]).abs().max() > 1e-3 for i in range(len(outputs) - len(GRIDS)))


@torch.inference_mode()
def test_images_of_another_side_are_resized_bilinearly():
    elastic = ElasticModel(tiny("deit"), depths=DEPTHS).eval()
    elastic.activate(SubNetwork(3, 16))
    resized = F.interpolate(images(24), size=(16, 16), mode="bilinear", align_corners=False, antialias=False)
    assert torch.equal(elastic(images(24)), elastic(resized))


# ── parameters ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", MODELS)
def test_the_state_dict_is_timms(kind):
    elastic = ElasticModel(tiny(kind), depths=DEPTHS)
    elastic.activate(SubNetwork(3, 9))
    fresh = tiny(kind, seed=1)
    assert list(elastic.model.state_dict()) == list(fresh.state_dict())
    fresh.load_state_dict(elastic.model.state_dict())
    elastic.activate(elastic.full)
    with torch.inference_mode():
        assert torch.equal(elastic.eval()(images()), fresh.eval()(images()))


@pytest.mark.parametrize("operator", GROWTH_OPERATORS)
def test_no_parameter_is_ever_replaced(operator):
    model = tiny("distilled deit")
    before = {name: id(parameter) for name, parameter in model.named_parameters()}
    storage = {name: parameter.data_ptr() for name, parameter in model.named_parameters()}
    elastic = ElasticModel(model, depths=DEPTHS, operator=operator)
    elastic.activate(SubNetwork(2, 9))
    momentum = ModelEmaV3(elastic).module
    for sub_network in (SubNetwork(3, 9), SubNetwork(5, 16), SubNetwork(6, 36)):
        elastic.grow(sub_network, momentum=momentum)
    assert {name: id(parameter) for name, parameter in elastic.model.named_parameters()} == before
    assert {name: parameter.data_ptr() for name, parameter in elastic.model.named_parameters()} == storage


def test_blocks_that_do_not_run_get_no_gradient_and_an_optimiser_leaves_them_alone():
    elastic = ElasticModel(tiny("vit with a class token"), depths=DEPTHS)
    optimizer = torch.optim.AdamW(elastic.parameters(), lr=1e-2, weight_decay=0.1)
    elastic.activate(SubNetwork(3, 16))
    before = deepcopy(elastic.model.state_dict())
    elastic(images(16)).square().mean().backward()
    optimizer.step()
    for index, block in enumerate(elastic.blocks):
        for name, parameter in block.named_parameters():
            moved = not torch.equal(parameter, before[f"blocks.{index}.{name}"])
            assert (parameter.grad is not None) == moved == (index in elastic.active), f"blocks.{index}.{name}"
            assert (parameter in optimizer.state) == moved


def test_the_ema_pairs_with_the_elastic_model_and_switches_on_its_own():
    elastic = ElasticModel(tiny("deit"), depths=DEPTHS)
    momentum = ModelEmaV3(elastic, decay=0.5)
    elastic.activate(SubNetwork(2, 9))
    assert momentum.module.sub_network == elastic.full
    assert momentum.module.active == tuple(range(BLOCKS))
    with torch.no_grad():
        elastic.blocks[0].attn.proj.weight.add_(1.0)
    before = momentum.module.blocks[0].attn.proj.weight.clone()
    momentum.update(elastic)
    torch.testing.assert_close(momentum.module.blocks[0].attn.proj.weight, before + 0.5)


# ── drop-path rates ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_drop_path_rates_are_those_of_a_timm_model_of_that_depth(depth, rate):
    elastic = ElasticModel(tiny("deit", drop_path_rate=rate), depths=DEPTHS)
    elastic.activate(SubNetwork(depth, 36))
    ours = [rates(elastic.model)[index] for index in elastic.active]
    assert ours == rates(tiny("deit", depth=depth, drop_path_rate=rate))


def test_a_drawn_candidate_keeps_the_supernets_drop_path_rates():
    elastic = ElasticModel(tiny("deit", drop_path_rate=0.3), depths=DEPTHS)
    supernet = SubNetwork(5, 36)
    elastic.activate(supernet)
    of_supernet = rates(elastic.model)
    elastic.activate(SubNetwork(2, 9), rates_of=supernet)
    assert elastic.active == even_chain(BLOCKS, DEPTHS)[2]
    assert [rates(elastic.model)[i] for i in elastic.active] == [of_supernet[i] for i in elastic.active]
    assert of_supernet[elastic.active[-1]] < 0.29  # the control: its own rates would end at the maximum
    elastic.activate(SubNetwork(2, 9))
    assert rates(elastic.model)[elastic.active[-1]] == pytest.approx(0.3)


def test_a_rate_of_0_at_construction_can_still_be_set():
    elastic = ElasticModel(tiny("deit", drop_path_rate=0.3), depths=DEPTHS)
    assert not any(isinstance(d, nn.Identity) for b in elastic.blocks for d in (b.drop_path1, b.drop_path2))


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────


def swin() -> nn.Module:
    arguments = {"img_size": 28, "patch_size": 4, "embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2)}
    return timm.create_model("swin_tiny_patch4_window7_224", **arguments)


REFUSED = {
    "another family": (swin, ["SwinTransformer", "adapters"]),
    "one resolution": (lambda: tiny("deit", dynamic_img_size=False), ["VisionTransformer", "dynamic_img_size=True"]),
    "parallel blocks": (
        lambda: timm.create_model("vit_small_patch16_18x2_224", depth=1, **{**TINY, "dynamic_img_size": True}),
        ["ParallelThingsBlock", "Block"],
    ),
    "patch dropout": (lambda: tiny("deit", patch_drop_rate=0.2), ["VisionTransformer", "patch_drop_rate"]),
}


@pytest.mark.parametrize(("build", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_model_that_cannot_be_elastic_is_refused_with_the_reason(build, words):
    with pytest.raises(GrowthError) as error:
        ElasticModel(build())
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("depth", [7, 0, -1])
def test_a_depth_outside_the_model_is_refused(depth):
    with pytest.raises(GrowthError, match=f"depth: {depth} .*{BLOCKS}"):
        ElasticModel(tiny("deit"), depths=(3, depth))


def test_a_depth_that_is_no_level_is_refused_and_nothing_changes():
    elastic = ElasticModel(tiny("deit"), depths=DEPTHS)
    with pytest.raises(GrowthError, match=r"depth: 4 .*\[2, 3, 5, 6\]"):
        elastic.activate(SubNetwork(4, 9))
    assert elastic.sub_network == elastic.full


def test_an_unknown_operator_is_refused():
    with pytest.raises(GrowthError, match=r"operator: 'clone' .*interpolation"):
        ElasticModel(tiny("deit"), operator="clone")
    with pytest.raises(GrowthError, match=r"operator: 'clone' .*interpolation"):
        ElasticModel(tiny("deit")).grow(SubNetwork(6, 36), "clone")


def test_an_unknown_chain_is_refused():
    with pytest.raises(GrowthError, match=r"chain: 'odd' .*even"):
        ElasticModel(tiny("deit"), chain="odd")


def space_of(**fields: Any) -> GrowthSpace:
    small = {"embed_dim": 16, "num_heads": 2, "depth": 4, "img_size": 24, "patch_size": 4}
    defaults = {"name": "own", "model": "vit_tiny_patch16_224", "model_args": small, "depth": 4, "resolution": 24}
    rest = {"patch_size": 4, "depths": [2, 4], "resolutions": [12, 24]}
    return GrowthSpace.model_validate({**defaults, **rest, **fields})


def test_a_space_builds_its_model():
    elastic = ElasticModel.from_space(space_of(), num_classes=5)
    assert elastic.full == SubNetwork(4, 36)
    assert sorted(elastic.chain) == [2, 4]
    assert elastic(images()).shape == (3, 5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "vit_colossal"}, ["model", "vit_colossal"]),
        ({"depth": 5, "depths": [2, 5]}, ["model_args, depth: 4", "space's depth 5"]),
        ({"depth": 13, "depths": [2, 13], "model_args": {}}, ["depth: 13 is above vit_tiny_patch16_224's 12"]),
        ({"depth": 3, "depths": [2, 3], "model_args": {}}, ["depth: 3 is below vit_tiny_patch16_224's 12"]),
        ({"resolution": 32, "resolutions": [16, 32]}, ["resolution", "32", "24"]),
        ({"model_args": {"colour": "red"}}, ["model", "vit_tiny_patch16_224", "colour"]),
        ({"model": "volo_d1_224"}, ["volo_d1_224"]),
        ({"model": "cait_xxs24_224", "model_args": {}}, ["cait_xxs24_224"]),
        ({"model": "resnet18", "model_args": {}}, ["ResNet", "no entry"]),
    ],
)
def test_a_space_that_does_not_fit_its_model_is_refused(fields, words):
    with pytest.raises(AutoProgError) as error:
        ElasticModel.from_space(space_of(**fields), num_classes=5)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


def test_sincos_positions_are_set_where_the_space_says_so():
    space = GrowthSpace.load("digits")
    torch.manual_seed(0)
    plain = create_timm_model(space.model_copy(update={"pos_embed": "timm"}), num_classes=10)
    torch.manual_seed(0)
    sincos = create_timm_model(space, num_classes=10)
    changed = [n for n, p in plain.named_parameters() if not torch.equal(p, sincos.get_parameter(n))]
    assert changed == ["pos_embed"]
    assert sincos.get_parameter("pos_embed").square().mean().item() == pytest.approx(0.5)  # sin² + cos² in pairs
    assert sincos.get_parameter("pos_embed").requires_grad


# ── copies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _logits(elastic: ElasticModel) -> torch.Tensor:
    with torch.inference_mode():
        return elastic(images())


@pytest.mark.slow
def test_it_goes_to_a_spawned_process_and_back():
    elastic = ElasticModel(tiny("deit"), depths=DEPTHS).eval()
    elastic.activate(SubNetwork(3, 36))
    with get_context("spawn").Pool(1) as pool:
        there = pool.apply(_logits, (elastic,))
    torch.testing.assert_close(there, _logits(elastic), atol=1e-6, rtol=0)


def test_functions_of_a_plug_ins_entry_need_not_pickle(monkeypatch):
    """The entry is looked up again where the copy is made."""
    entry = replace(ADAPTERS["vit"], prepare=lambda model: None, refusal=lambda model: "")
    monkeypatch.setitem(ADAPTERS, "vit", entry)
    copy = pickle.loads(pickle.dumps(ElasticModel(tiny("deit"), depths=DEPTHS)))
    assert copy.adapter is entry


# ── the active blocks, to whoever counts in them ────────────────────────────────────────────────────────────────────


def test_active_blocks_are_what_is_counted_and_all_blocks_what_is_named():
    layers = [nn.Linear(2, 2) for _ in range(5)]
    blocks = ActiveBlocks(layers)
    blocks.active = (0, 2, 3)
    assert len(blocks) == 3
    assert [blocks[0], blocks[1], blocks[-1]] == [layers[0], layers[2], layers[3]]
    assert list(blocks) == [layers[0], layers[2], layers[3]]
    assert list(blocks[1:]) == list(blocks[-2:]) == [layers[2], layers[3]]
    assert list(blocks[:0]) == []
    with pytest.raises(IndexError):
        blocks[3]
    assert list(blocks.children()) == layers
    assert blocks.size == 5
    assert blocks.get_submodule("4") is layers[4]
    assert len(blocks.state_dict()) == 10
    blocks[1] = other = nn.Linear(2, 2)
    assert list(blocks.children())[2] is other
    x = torch.randn(4, 2)
    blocks.faded = {3: 0.5}
    torch.testing.assert_close(blocks[1:](x), 0.5 * other(x) + 0.5 * layers[3](other(x)))  # a part fades as the whole


def test_features_at_another_resolution_are_of_the_resampled_positions():
    """CaiT takes no other size by itself."""
    elastic = ElasticModel(timm.create_model("cait_xxs24_224", **{**TINY, "depth": BLOCKS}), depths=DEPTHS).eval()
    elastic.activate(SubNetwork(3, 16))
    with torch.inference_mode():
        last, features = elastic.forward_intermediates(images(24), indices=[0, -1])
        assert [f.shape for f in features] == [(3, 16, 4, 4)] * 2
        assert torch.equal(elastic.model.forward_head(last), elastic(images(24)))


def test_layer_decay_still_sees_every_block():
    elastic = ElasticModel(tiny("deit"), depths=DEPTHS)
    elastic.activate(SubNetwork(2, 9))
    groups = param_groups_layer_decay(elastic.model, layer_decay=0.5)
    assert sum(len(group["params"]) for group in groups) == len(list(elastic.model.parameters()))
    assert len({group["lr_scale"] for group in groups}) == BLOCKS + 2
