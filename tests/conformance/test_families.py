"""Every family of ADAPTERS, at small size, under the suite that ships; and what only some of them have."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import timm
import torch
from torch import nn

from autoprog_search.errors import GrowthError
from autoprog_search.growth.adapters import ADAPTERS, DenseLogits, adapter_of
from autoprog_search.growth.chain import build_chain, share_depths
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.growth.space_cost import cost_of
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace
from autoprog_search.testing.families import FamilyCase
from autoprog_search.testing.networks import images, shaken
from tests.growth.volo import volo_tiny_for_tests

SMALL = {"embed_dim": 16, "num_heads": 2, "depth": 4, "img_size": 24, "patch_size": 4, "num_classes": 5}
DYNAMIC = {**SMALL, "dynamic_img_size": True}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("vit_tiny_patch16_224", DYNAMIC),
    "deit": ("deit_tiny_patch16_224", DYNAMIC),
    "distilled deit": ("deit_tiny_distilled_patch16_224", DYNAMIC),
    "deit3": ("deit3_small_patch16_224", DYNAMIC),
    "cait": ("cait_xxs24_224", SMALL),
    "eva": ("eva_giant_patch14_224", {**DYNAMIC, "mlp_ratio": 2}),
    "eva02": ("eva02_tiny_patch14_224", DYNAMIC),
    "volo": (volo_tiny_for_tests.__name__, {"img_size": 64, "num_classes": 5}),
    "volo, mixed tokens": (volo_tiny_for_tests.__name__, {"img_size": 64, "num_classes": 5, "use_mix_token": True}),
    "beit": ("beit_base_patch16_224", SMALL),
    "beit v2": ("beitv2_base_patch16_224", SMALL),
    "relative positions": ("vit_relpos_small_patch16_224", SMALL),
    "shared relative positions": ("vit_srelpos_small_patch16_224", SMALL),
}


def make(kind: str, **more: Any) -> nn.Module:
    name, arguments = MODELS[kind]
    model: nn.Module = timm.create_model(name, **arguments, **more)
    return model


class TestFamilies(FamilyCase):
    @pytest.fixture(params=MODELS)
    def build(self, request: pytest.FixtureRequest) -> Any:
        return partial(make, request.param)


def test_every_entry_is_under_the_suite():
    assert {id(adapter_of(make(kind))) for kind in MODELS} == set(map(id, ADAPTERS.values()))


# ── the paper's models, at their own size ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "depth", "gmacs"),  # Touvron et al. 2021 (DeiT, table 5; CaiT, table 3), Yuan et al. 2021 (VOLO, table 2)
    [
        ("deit_tiny_patch16_224", 12, 1.3),
        ("deit_small_patch16_224", 12, 4.6),
        ("deit_base_patch16_224", 12, 17.5),
        ("deit3_small_patch16_224", 12, 4.6),
        ("cait_s24_224", 24, 9.4),
        ("volo_d1_224", 18, 6.8),
        ("volo_d4_224", 36, 43.8),
        ("volo_d5_224", 48, 69.0),
    ],
)
def test_flops_are_the_literatures(model, depth, gmacs):
    own = {"model": model, "model_args": {}, "depth": depth, "depths": (2, depth)}
    cost = cost_of(GrowthSpace.load("volo_d1_05").model_copy(update=own))
    assert cost.forward_flops(SubNetwork(depth, 196)) / 2e9 == pytest.approx(gmacs, rel=0.05)


# ── VOLO ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_volo_d1_shares_its_depth_out_as_the_paper():
    shares = share_depths((4, 14), (9, 12, 15, 18))
    assert shares == {9: (2, 7), 12: (2, 10), 15: (4, 11), 18: (4, 14)}
    assert share_depths((4, 14), (7, 11, 14, 18)) == {7: (2, 5), 11: (2, 9), 14: (4, 10), 18: (4, 14)}


def released_rule(depth: int) -> int:
    """`make_divisible(0.23 * depth, 2)` of the released code."""
    value = 0.23 * depth
    even = max(2, int(value + 1) // 2 * 2)
    return even + 2 if even < 0.9 * value else even


def test_where_it_differs_from_the_released_rule_is_what_the_docstring_says():
    ours = {depth: share_depths((4, 14), (depth, 18))[depth][0] if depth < 18 else 4 for depth in range(7, 19)}
    assert {depth for depth in ours if ours[depth] != released_rule(depth)} == {10, 11, 12, 13}


@pytest.mark.parametrize("sizes", [(4, 14), (6, 18), (8, 28), (12, 36), (1, 3), (3, 2)])  # D1, D2, D3 and D4, D5
@pytest.mark.parametrize("kind", ["even", "lowest"])
def test_no_stack_ever_shrinks_whatever_the_levels(sizes, kind):
    depths = tuple(range(2, sum(sizes) + 1))
    for levels in (depths, depths[::3] + depths[-1:] if depths[-1] not in depths[::3] else depths[::3]):
        shares = share_depths(sizes, levels)
        assert all(sum(counts) == depth and min(counts) >= 1 for depth, counts in shares.items())
        chain = build_chain(kind, sizes, levels)
        for before, after in pairwise(levels):
            assert set(chain[before]) < set(chain[after])
        assert chain[sum(sizes)] == tuple(range(sum(sizes)))


def test_volo_trains_with_its_dense_output():
    torch.manual_seed(0)
    elastic = ElasticModel(shaken(make("volo, mixed tokens"))).train()
    seen = set()
    for _ in range(8):
        out = elastic(images(elastic))
        assert isinstance(out, DenseLogits)
        assert out.logits.shape == (4, 5)
        assert out.token_logits.shape == (4, elastic.full.patches, 5)
        assert 0 <= out.own_share <= 1
        seen.add(out.own_share)
    assert len(seen) > 1
    assert isinstance(elastic.eval()(images(elastic)), torch.Tensor)


def test_volos_tokens_are_put_back_to_their_own_image():
    """Mixed or not, a model without any exchange between tokens gives each token the logits of its own image."""
    torch.manual_seed(0)
    elastic = ElasticModel(shaken(make("volo, mixed tokens"))).train()
    with torch.no_grad():
        for block in [*elastic.blocks, *elastic.model.post_network.children()]:
            for end in ("attn.proj", "mlp.fc2"):
                for parameter in block.get_submodule(end).parameters():
                    parameter.zero_()
        mixed = elastic(images(elastic))
        elastic.model.mix_token = False
        plain = elastic(images(elastic))
    assert mixed.own_share < 1
    assert plain.own_share == 1
    torch.testing.assert_close(mixed.token_logits, plain.token_logits, atol=0.2, rtol=0.2)


def test_cait_keeps_its_class_attention():
    elastic = ElasticModel(make("cait")).train()
    elastic.activate(SubNetwork(1, 9))
    elastic(images(elastic)).sum().backward()
    assert all(p.grad is not None for p in elastic.model.blocks_token_only.parameters())


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: make("volo, mixed tokens", use_aux_head=False), ["VOLO", "auxiliary head"]),
        (lambda: timm.create_model("xcit_nano_12_p16_224"), ["Xcit", "no entry"]),
        (lambda: timm.create_model("vit_small_patch16_rope_mixed_224", dynamic_img_size=True), ["Eva", "rope_mixed"]),
        (
            lambda: timm.create_model("eva02_enormous_patch14_clip_224", depth=2, embed_dim=64, num_heads=2),
            ["PostNorm"],
        ),
    ],
)
def test_what_cannot_be_elastic_is_refused_with_the_reason(build, words):
    with pytest.raises(GrowthError) as error:
        adapter_of(build())
    assert all(word in str(error.value) for word in words), error.value


def test_a_space_that_asks_a_fixed_family_for_other_sizes_is_refused():
    fields = {"model": "beit_base_patch16_224", "model_args": SMALL, "depth": 4, "resolution": 24}
    space = GrowthSpace.load("deit_tiny").model_copy(
        update={**fields, "patch_size": 4, "depths": (2, 4), "patches": (9, 36), "model_args": SMALL}
    )
    space.model_args.pop("num_classes")
    with pytest.raises(GrowthError, match=r"patches: Beit .* grows in depth only, on 36 patches \(got 9\)"):
        ElasticModel.from_space(space, num_classes=5)
    depth_only = ElasticModel.from_space(space.model_copy(update={"patches": (36,)}), num_classes=5)
    assert depth_only.full == SubNetwork(4, 36)
