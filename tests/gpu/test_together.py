"""Runs in several processes on a GPU: the wrap over NCCL, and two processes that share one device over gloo."""

from __future__ import annotations

import json

import pytest
import torch
import torch.distributed as dist

from autoprog_search import train
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.training.device import pick_device
from autoprog_search.training.joining import BACKEND, BACKENDS
from autoprog_search.training.replica import wrap
from tests.distributed.launch import run
from tests.tiny import tiny_config, tiny_run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.usefixtures("all_digits"),
]


def gradients(model: torch.nn.Module, elastic: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor | None]:
    for parameter in elastic.parameters():
        parameter.grad = None
    model(images).square().mean().backward()
    return [None if p.grad is None else p.grad.clone() for p in elastic.parameters()]


def test_a_wrap_over_nccl_leaves_the_gradients_of_the_blocks_that_run():
    device = pick_device("cuda")
    elastic = tiny_run(tiny_config("recipe.precision=float32"), device=device).elastic.train()
    images = torch.randn(8, 1, 16, 16, device=device)
    torch.nn.init.normal_(elastic.model.head.weight)
    dist.init_process_group(BACKENDS["nccl"], store=dist.HashStore(), rank=0, world_size=1)
    try:
        for depth in (2, 4, 3):  # each wrap's hooks are gone before the next one is made
            elastic.activate(SubNetwork(depth, 16))
            plain = gradients(elastic, elastic, images)
            idle = [p for p, g in zip(elastic.parameters(), plain, strict=True) if g is None]
            wrapped = wrap(elastic, idle)
            assert "nccl" in dist.get_backend(wrapped.process_group)
            for ours, own in zip(gradients(wrapped, elastic, images), plain, strict=True):
                torch.testing.assert_close(ours, own)
            del wrapped
        assert len(idle) > 0
    finally:
        dist.destroy_process_group()


def test_two_processes_on_one_gpu_train_what_one_does(tmp_path):
    settings = ("recipe.epochs=4", "recipe.precision=float32", "recipe.augment=0.0")
    words = [word for setting in settings for word in ("--set", setting)]
    ended = run(
        2, "-m", "autoprog_search", "train", "--space", "digits", *words, "-o", "out", cwd=tmp_path, **{BACKEND: "gloo"}
    )
    assert ended.returncode == 0, ended.errors
    two = json.loads((tmp_path / "out/result.json").read_text())
    changes = {"epochs": 4, "precision": "float32", "augment": 0.0}
    one = json.loads(
        json.dumps(train("digits", recipe=load_recipe("digits").model_copy(update=changes), device="cuda"))
    )
    assert (one["world_size"], two["world_size"]) == (1, 2)
    assert one["stages"][0]["candidates"] == two["stages"][0]["candidates"]
    # Sums round differently, and are not repeatable to the bit on a GPU.
    first, of_two = one["curve"][0], two["curve"][0]
    assert first["train_loss"] == pytest.approx(of_two["train_loss"], rel=0.02)
    assert first["val_loss"] == pytest.approx(of_two["val_loss"], rel=0.05)
