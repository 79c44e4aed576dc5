"""Weights in every format that timm reads: each file is a real timm model's state, renamed back to the original's.

The reference is timm's own loading of the same file, parameter by parameter.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from autoprog_search.errors import GrowthError
from autoprog_search.growth.create import create_timm_model
from autoprog_search.space import GrowthSpace
from tests.growth.volo import volo_tiny_for_tests

State = dict[str, Any]
SMALL = {"embed_dim": 16, "num_heads": 2, "depth": 3, "img_size": 24, "patch_size": 4}


def original_deit3(state: State) -> State:
    return {re.sub(r"\.ls([12])\.gamma", r".gamma_\1", name): value for name, value in state.items()}


def openclip(state: State) -> State:
    """The names that timm's `_convert_openai_clip` undoes; the tower of texts is there as well."""
    swaps = [
        ("patch_embed.proj", "conv1"),
        ("pos_embed", "positional_embedding"),
        ("norm_pre", "ln_pre"),
        ("blocks.", "transformer.resblocks."),
        ("attn.qkv.", "attn.in_proj_"),
        ("attn.proj", "attn.out_proj"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
        (".norm1", ".ln_1"),
        (".norm2", ".ln_2"),
    ]
    renamed: State = {"text_projection": torch.zeros(3, 3), "logit_scale": torch.zeros(())}
    for name, value in state.items():
        if name.startswith("head."):
            continue
        for theirs, its in swaps:
            name = name.replace(theirs, its)
        name = re.sub(r"^norm\.", "ln_post.", name)
        if name == "cls_token":
            name, value = "class_embedding", value[0, 0]
        if name == "positional_embedding":
            value = value[0]
        renamed[f"visual.{name}"] = value
    return renamed


def split_qkv(state: State) -> State:
    """EVA-02's own: q, k and v apart, with biases of q and v alone."""
    renamed: State = {}
    for name, value in state.items():
        if name.endswith("attn.qkv.weight"):
            for part, weight in zip("qkv", value.chunk(3), strict=True):
                renamed[name.replace("qkv", f"{part}_proj")] = weight
        else:
            renamed[name] = value
    return renamed


def under(*path: str) -> Any:
    def wrapped(state: State) -> State:
        for name in reversed(path):
            state = {name: state, "epoch": 3}
        return state

    return wrapped


def prefixed(prefix: str) -> Any:
    return lambda state: {prefix + name: value for name, value in state.items()}


CLIP = {"pre_norm": True, "img_size": 24}
FORMATS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "deit 3, original": ("deit3_small_patch16_224", SMALL, lambda s: {"model": original_deit3(s)}),
    "open clip": ("vit_base_patch32_clip_224", SMALL, openclip),
    "open clip around timm": ("vit_tiny_patch16_224", SMALL, prefixed("visual.trunk.")),
    "distilled deit": ("deit_tiny_distilled_patch16_224", SMALL, under("model")),
    "data parallel": ("vit_tiny_patch16_224", SMALL, lambda s: {"state_dict": prefixed("module.")(s)}),
    "compiled": ("vit_tiny_patch16_224", SMALL, prefixed("_orig_mod.")),
    "ema preferred": ("vit_tiny_patch16_224", SMALL, lambda s: {"state_dict": {}, "state_dict_ema": s}),
    "eva's module": ("eva02_tiny_patch14_224", SMALL, under("module")),
    "eva in open clip": ("eva02_tiny_patch14_224", SMALL, prefixed("visual.")),
    "beit v2's module": ("beitv2_base_patch16_224", SMALL, under("model")),
    "cait's model": ("cait_xxs24_224", SMALL, lambda s: {"model": prefixed("module.")(s)}),
    "relative positions": ("vit_relpos_small_patch16_224", SMALL, dict),
    "volo": (volo_tiny_for_tests.__name__, {"img_size": 64}, dict),
}


def source(name: str, arguments: dict[str, Any], num_classes: int = 5, **more: Any) -> nn.Module:
    torch.manual_seed(5)
    model: nn.Module = timm.create_model(name, num_classes=num_classes, **{**arguments, **more})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def space(name: str, arguments: dict[str, Any]) -> GrowthSpace:
    fields = {"name": "own", "model": name, "model_args": arguments, "depth": 3, "depths": [2, 3]}
    return GrowthSpace.model_validate({**fields, "resolution": 24, "patch_size": 4, "resolutions": [24]})


def timms_own(name: str, arguments: dict[str, Any], path: Path, num_classes: int) -> State:
    overlay = {"file": str(path), "num_classes": num_classes}
    arguments = {**arguments, "num_classes": 5, "pretrained": True, "pretrained_cfg_overlay": overlay}
    try:
        return dict(timm.create_model(name, dynamic_img_size=True, **arguments).state_dict())
    except TypeError:
        return dict(timm.create_model(name, **arguments).state_dict())


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_that_timm_reads_is_taken_as_timm_takes_it(tmp_path, kind):
    name, arguments, rename = FORMATS[kind]
    state = source(name, arguments).state_dict()
    torch.save(rename(state), tmp_path / "w.pt")
    has_head = "clip" not in kind or kind == "open clip around timm" or kind == "eva in open clip"
    torch.manual_seed(1)
    model = create_timm_model(space(name, arguments), num_classes=5, checkpoint=str(tmp_path / "w.pt")).state_dict()
    reference = timms_own(name, arguments, tmp_path / "w.pt", num_classes=5 if has_head else 0)
    for key, value in model.items():
        if has_head or not key.startswith("head"):
            assert torch.equal(value, reference[key]), key
            assert torch.equal(value, state[key]), key  # and nothing of a fresh model is left


@pytest.mark.parametrize("kind", ["deit 3, original", "eva's module", "beit v2's module", "cait's model", "volo"])
def test_a_classifier_for_other_classes_starts_fresh_in_every_format(tmp_path, kind):
    name, arguments, rename = FORMATS[kind]
    state = source(name, arguments, num_classes=7).state_dict()
    torch.save(rename(state), tmp_path / "w.pt")
    model = create_timm_model(space(name, arguments), num_classes=5, checkpoint=str(tmp_path / "w.pt")).state_dict()
    for key, value in model.items():
        if not key.startswith(("head", "aux_head")):
            assert torch.equal(value, state[key]), key
        else:
            assert len(value) == 5


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit3_small_patch16_224", "eva02_tiny_patch14_224"])
def test_positions_of_another_image_size_are_resampled_as_timm_does_it(tmp_path, name):
    torch.save(source(name, SMALL, img_size=16).state_dict(), tmp_path / "w.pt")
    model = create_timm_model(space(name, SMALL), num_classes=5, checkpoint=str(tmp_path / "w.pt")).state_dict()
    reference = timms_own(name, SMALL, tmp_path / "w.pt", num_classes=5)
    assert model["pos_embed"].shape == reference["pos_embed"].shape
    assert all(torch.equal(value, reference[key]) for key, value in model.items())


def test_a_colour_networks_weights_serve_grey_images_as_timm_adapts_them(tmp_path):
    state = source("vit_tiny_patch16_224", SMALL).state_dict()
    torch.save(state, tmp_path / "w.pt")
    model = create_timm_model(
        space("vit_tiny_patch16_224", SMALL), num_classes=5, in_chans=1, checkpoint=str(tmp_path / "w.pt")
    )
    torch.testing.assert_close(
        model.state_dict()["patch_embed.proj.weight"], state["patch_embed.proj.weight"].sum(1, keepdim=True)
    )


# ── weights of something else ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("num_classes", [5, 7])
@pytest.mark.parametrize(
    ("made", "change", "words"),
    [
        ({"depth": 2}, dict, "it has no blocks.2."),
        ({"depth": 4}, dict, "it has blocks.3."),
        ({"embed_dim": 32}, dict, "size mismatch"),
        ({}, lambda s: {n: v for n, v in s.items() if "norm1" not in n}, "it has no blocks.0.norm1"),
        ({}, lambda s: {**s, "dist_token": torch.zeros(1, 1, 16)}, "it has dist_token besides"),
        ({"model": "deit_tiny_distilled_patch16_224"}, dict, ""),
        ({"model": "resnet18"}, dict, "it has no "),
        ({"model": "cait_xxs24_224"}, dict, ""),
        ({}, lambda s: {n: v for n, v in s.items() if n.startswith("head")}, "it has no "),
        ({}, lambda s: {**s, "blocks.0.norm1.weight": "text"}, ""),
        ({}, lambda s: {**s, "pos_embed": torch.zeros(1, 38, 16)}, ""),
    ],
)
def test_weights_of_something_else_are_refused_in_one_line(tmp_path, made, change, words, num_classes):
    name = made.pop("model", None) if (made := dict(made)) else None
    arguments = {} if name == "resnet18" else SMALL
    state = source(name or "vit_tiny_patch16_224", arguments, num_classes=num_classes, **made).state_dict()
    torch.save(change(dict(state)), tmp_path / "w.pt")
    with pytest.raises(GrowthError, match=r"init_checkpoint: .*does not fit vit_tiny_patch16_224") as caught:
        create_timm_model(space("vit_tiny_patch16_224", SMALL), num_classes=5, checkpoint=str(tmp_path / "w.pt"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


class Opens:
    """What a pickle of it would call."""

    def __reduce__(self) -> Any:
        return (open, ("touched-by-pickle", "w"))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz", ""])
@pytest.mark.parametrize(
    "content", ["empty", "zeros", "text", "list", "tensor", "no tensors", "code", "cut off", "folder"]
)
def test_what_holds_no_weights_is_one_line(tmp_path, monkeypatch, content, suffix):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"w{suffix}"
    raw = {"empty": b"", "zeros": b"\0" * 1000, "text": b"epoch: 3\n"}
    objects = {"list": [torch.zeros(3)], "tensor": torch.zeros(3), "no tensors": {"epoch": 3}, "code": {"a": Opens()}}
    if content in raw:
        path.write_bytes(raw[content])
    elif content == "folder":
        path.mkdir()
    elif content == "cut off":
        state = source("vit_tiny_patch16_224", SMALL).state_dict()
        save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
        path.write_bytes(path.read_bytes()[:-100])
    else:
        torch.save(objects[content], path)
    with pytest.raises(GrowthError, match=r"init_checkpoint: (there is no file|.*holds no weights)") as caught:
        create_timm_model(space("vit_tiny_patch16_224", SMALL), num_classes=5, checkpoint=str(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "touched-by-pickle").exists()
