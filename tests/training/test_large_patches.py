"""Runs whose small stages see all pixels in larger patches: resumed, exported, at full size the same as ever."""

from __future__ import annotations

import multiprocessing
import os
import signal
from functools import cache

import pytest
import timm
import torch

from autoprog_search.errors import GrowthError
from autoprog_search.growth.large_patches import KERNEL
from autoprog_search.training.run import Run
from autoprog_search.training.state import RunResult
from tests.tiny import FEW, SHORT, levels, run_interrupted, same_bits, tiny_config, tiny_run, tiny_trainer

CUT = (*SHORT, "space.patches_by=patch_size", "growth.operator=mogrow", "recipe.mixup=0.2")
CONFIG = tiny_config(*CUT)  # three stages of 10 steps, on 4, 9 and 16 patches
SEARCHED = tiny_config(*CUT, *FEW)
GROWING = levels(CONFIG, (0, 0), (1, 1), (2, 2))
FITTED = tiny_config(*CUT, "growth.blocks.patch_operator=least_squares")


RUNS = {"grown": (CONFIG, GROWING), "fitted": (FITTED, GROWING), "searched": (SEARCHED, None)}


@cache
def ended(name: str) -> RunResult:
    """One of the runs, undisturbed."""
    return tiny_trainer(*RUNS[name]).train()


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        ("grown", (9, 10, 11)),  # on large patches of two sizes
        ("grown", (19, 20, 21)),  # the growth to the full grid
        ("fitted", (20,)),
        ("searched", (7, 12, 18, 21)),  # candidates of both grids in turn
    ],
    ids=["between large patches", "to the full grid", "fitted", "searched"],
)
def test_a_resumed_run_is_bit_identical(name, stops, tmp_path):
    (config, method), undisturbed = RUNS[name], ended(name)
    resumed = run_interrupted(config, tmp_path / "checkpoint.pt", stops, method)
    assert same_bits(resumed.weights, undisturbed.weights)
    assert (resumed.val, resumed.test, resumed.test_ema) == (undisturbed.val, undisturbed.test, undisturbed.test_ema)
    assert resumed.state.curve == undisturbed.state.curve
    assert resumed.state.stages == undisturbed.state.stages


@pytest.mark.parametrize("step", [12, 19, 20, 21])  # the growth to the full grid is at 20
def test_killed_around_a_growth_it_ends_with_the_same_bits(step, tmp_path):
    path = tmp_path / "checkpoint.pt"

    def killed() -> None:
        def kill(run: Run) -> None:
            if run.state.step == step:
                os.kill(os.getpid(), signal.SIGKILL)

        tiny_trainer(CONFIG, GROWING, checkpoint=path, before_step=kill).train()

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    resumed = tiny_trainer(CONFIG, GROWING, checkpoint=path)
    assert 0 < resumed.run.state.step <= step
    assert same_bits(resumed.train().weights, ended("grown").weights)


def test_a_checkpoint_keeps_every_networks_large_kernel(tmp_path):
    config = tiny_config(*CUT, "growth.blocks.momentum_ema=0.9")
    trainer = tiny_trainer(config, GROWING, checkpoint=tmp_path / "checkpoint.pt")
    trainer.train_parts(1)
    kernels = [network.large_patches.weight for network in trainer.run.networks]
    assert not torch.equal(kernels[0], kernels[1])  # the EMA's is its own
    restored = tiny_run(config, checkpoint=tmp_path / "checkpoint.pt").networks
    for kernel, network in zip(kernels, restored, strict=True):
        assert torch.equal(kernel, network.large_patches.weight)


def test_what_is_exported_is_timms():
    model = timm.create_model(CONFIG.space.model, num_classes=10, **CONFIG.space.model_args)
    model.load_state_dict(ended("grown").weights)
    assert model.patch_embed.proj.weight.shape[-1] == CONFIG.space.patch_size


def test_full_training_is_the_same_however_patches_grow():
    """To the last bit: the large kernel rests and takes no random number."""
    cut, plain = (tiny_config(*SHORT, f"space.patches_by={by}") for by in ("patch_size", "resolution"))
    results = [tiny_trainer(config, levels(config, *[(2, 2)] * 3)).train() for config in (cut, plain)]
    assert same_bits(results[0].weights, results[1].weights)
    assert results[0].train_flops == results[1].train_flops
    grown = [tiny_trainer(config, levels(config, (0, 0), (1, 1), (2, 2))).train() for config in (cut, plain)]
    assert not same_bits(grown[0].weights, grown[1].weights)  # the negative control
    assert grown[0].train_flops > grown[1].train_flops  # all pixels are embedded


def test_the_large_kernel_is_decayed_and_paced_as_the_own_one():
    run = tiny_run(CONFIG)
    own, large = run.elastic.model.get_parameter(KERNEL), run.elastic.large_patches.weight
    groups = [{id(p) for p in group["params"]} for group in run.step.optimizer.param_groups]
    assert [id(large) in group for group in groups] == [id(own) in group for group in groups]
    assert sum(id(large) in group for group in groups) == 1


def test_a_fitted_operator_has_the_runs_own_images():
    """Grown by hand it needs them; a run gives it some of its training images, always the same."""
    run = tiny_run(FITTED)
    run.networks.activate(FITTED.space.at(0, 0))
    with pytest.raises(GrowthError, match="images"):
        run.elastic.grow(run.elastic.full, "interpolation")
    again = tiny_trainer(FITTED, GROWING).train()
    assert same_bits(again.weights, ended("fitted").weights)
    assert not same_bits(again.weights, ended("grown").weights)
