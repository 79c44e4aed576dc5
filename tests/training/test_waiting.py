"""A step hands its work to the device and waits for nothing: counted on the CPU by what would wait on a GPU."""

from __future__ import annotations

import pytest

from autoprog_search.schedule import SubNetwork
from tests.tiny import steps_alone, tiny_config, tiny_run


@pytest.mark.parametrize(
    "settings",
    [
        ("recipe.clip_grad=1.0", "recipe.hflip=0.5", "recipe.drop_path=0.1"),
        ("recipe.mixup=0.8", "recipe.cutmix=1.0", "recipe.grad_accum=2", "recipe.precision=bfloat16"),
    ],
)
def test_steps_bring_no_value_to_the_host(settings, waits):
    config = tiny_config(*settings)
    run = tiny_run(config)
    sub_networks = [SubNetwork(2, 4), run.elastic.full]
    steps = steps_alone(run, 6, sub_networks)
    for _ in sub_networks:
        next(steps)  # the optimiser makes its state
    waits.clear()
    losses = list(steps)
    assert not waits
    assert all(bool(loss.isfinite()) for loss in losses)
    assert waits["__bool__"] == 4  # the control: they are counted


def test_an_evaluation_waits_once_for_its_losses_and_once_for_its_hits(waits):
    run = tiny_run(tiny_config("recipe.batch_size=8"))
    waits.clear()
    metrics = run.evaluate("val")
    assert waits == {"tolist": 2}
    assert 0 <= metrics.top1 <= metrics.top5 <= 100
