"""What only a GPU can show: `make gpu-check` runs these; without a CUDA device they are skipped."""

from __future__ import annotations

import pytest
import torch

from autoprog_search import train
from autoprog_search.growth.operators import GROWTH_OPERATORS
from autoprog_search.growth.patch_projection import project_by_products
from autoprog_search.interrupt import Interrupted
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.training import step
from autoprog_search.training.device import pick_device
from autoprog_search.training.replay import EAGER_STEPS, Replay
from autoprog_search.training.steps import Hooks
from autoprog_search.training.trainer import Trainer
from tests.tiny import FEW, SHORT, steps_alone, tiny_config, tiny_run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.usefixtures("all_digits"),
]

SMALL = SubNetwork(2, 4)
PRECISE = ("recipe.precision=float32", "recipe.drop_path=0.2", "recipe.clip_grad=1.0")


@pytest.fixture
def cuda():
    device = pick_device("cuda")
    torch.backends.cudnn.allow_tf32 = False
    yield device
    torch.cuda.set_sync_debug_mode("default")
    torch.backends.cudnn.allow_tf32 = True


@pytest.mark.parametrize("graphs", ["true", "false"])
@pytest.mark.parametrize("mixed", [(), ("recipe.mixup=0.8", "recipe.cutmix=1.0", "recipe.precision=bfloat16")])
def test_steps_do_not_wait_for_the_device(cuda, graphs, mixed):
    run = tiny_run(tiny_config(*PRECISE, *mixed, "recipe.hflip=0.5", f"recipe.cuda_graphs={graphs}"), device=cuda)
    steps = steps_alone(run, 30, [SMALL, run.elastic.full])
    for _ in range(2 * (EAGER_STEPS + 1)):
        next(steps)
    torch.cuda.set_sync_debug_mode("error")
    losses = list(steps)
    torch.cuda.set_sync_debug_mode("default")
    assert len(losses) == 24
    assert all(bool(loss.isfinite()) for loss in losses)


@pytest.mark.parametrize(("accumulated", "patches_by"), [("1", "patch_size"), ("2", "resolution"), ("1", "dropout")])
def test_recorded_steps_are_the_steps_that_they_stand_for(cuda, accumulated, patches_by):
    """With the random draws of stochastic depth and dropped patches, the same sub-networks in turn, two growths."""
    ends, losses = [], []
    for graphs in ("true", "false"):
        settings = (*PRECISE, f"recipe.cuda_graphs={graphs}", f"recipe.grad_accum={accumulated}")
        settings += (f"space.patches_by={patches_by}",)
        run = tiny_run(tiny_config(*settings), device=cuda)
        losses.append(torch.stack(list(steps_alone(run, 18, [SMALL, SubNetwork(3, 9), run.elastic.full]))))
        ends.append(torch.cat([p.detach().flatten() for p in run.elastic.parameters()]))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-3, atol=1e-4)


def test_steps_are_recorded_once_a_kind_and_let_go_of(cuda):
    run = tiny_run(tiny_config(*PRECISE), device=cuda)
    recorded = []
    own = Replay._record
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replay, "_record", lambda self, kind, *batch: (recorded.append(kind[0]), own(self, kind, *batch)))
        list(steps_alone(run, 12, [SMALL, run.elastic.full]))
        assert recorded == [SMALL, run.elastic.full]
        run.step.begin(drawn=True)
        list(steps_alone(run, 4, [SMALL]))
    assert recorded == [SMALL, run.elastic.full, SMALL]


def test_bf16_computes_what_float32_does_to_its_precision(cuda):
    run = tiny_run(tiny_config(), device=cuda)
    images, _ = next(iter(run.data.eval_batches("val", 64, 16)))
    list(steps_alone(run, 20, [run.elastic.full]))  # a fresh classifier is all zeros
    run.elastic.eval()
    with torch.inference_mode():
        exact = run.elastic(images)
        with torch.autocast("cuda", torch.bfloat16):
            rough = run.elastic(images)
    assert rough.dtype == torch.bfloat16
    assert 0 < float((rough - exact).norm() / exact.norm()) < 0.03


def test_a_small_sub_network_takes_less_memory(cuda):
    """Peak memory of a step above what the weights and states take."""
    run = tiny_run(tiny_config("recipe.batch_size=512", "data.val_share=0.1"), device=cuda)
    list(steps_alone(run, 2, [run.elastic.full]))
    peaks = {}
    for sub_network in (SMALL, run.elastic.full):
        run.step.begin(drawn=True)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        list(steps_alone(run, 6, [sub_network]))
        peaks[sub_network] = torch.cuda.max_memory_allocated() - before
    assert 0 < peaks[SMALL] < 0.6 * peaks[run.elastic.full]


def test_a_search_leaves_no_memory_behind(cuda):
    allocated = []

    def look(run):
        if run.state.phase == "train":
            allocated.append(torch.cuda.memory_allocated())

    run = tiny_run(tiny_config("recipe.epochs=12", *SHORT, *FEW), device=cuda)
    Trainer(run, OneShotMethod(), hooks=Hooks(after_step=look)).train()
    assert run.state.stages[0].searched_steps > 0
    # What a stage's steps hold differs by the gradients of the blocks that have grown; a graph would be far more.
    assert max(allocated) - min(allocated) < 2**22


def test_a_run_that_searches_and_grows_is_the_same_one_interrupted(cuda, tmp_path):
    recipe = load_recipe("digits").model_copy(update={"epochs": 8})
    whole = train("digits", recipe=recipe, device="cuda")
    steps = 0

    def stop() -> bool:
        nonlocal steps
        steps += 1
        return steps in (60, 150)

    for _ in range(2):
        with pytest.raises(Interrupted):
            train("digits", recipe=recipe, device="cuda", out=tmp_path, should_stop=stop)
    resumed = train("digits", recipe=recipe, device="cuda", out=tmp_path)
    assert len(resumed["curve"]) == len(whole["curve"])
    assert resumed["val_top1"] == pytest.approx(whole["val_top1"], abs=6)
    assert resumed["val_top1"] > 60


@pytest.mark.parametrize("side", [16, 32])
def test_patches_are_embedded_as_by_the_convolution(cuda, side):
    conv = torch.nn.Conv2d(3, 48, 8, stride=8).to(cuda)
    model = torch.nn.Module()
    model.patch_embed = torch.nn.Module()
    model.patch_embed.proj = conv
    project_by_products(model)
    product = model.patch_embed.proj
    assert product is not conv
    images = torch.randn(5, 3, side, side, device=cuda)
    torch.testing.assert_close(product(images), conv(images), rtol=1e-5, atol=1e-5)
    for embedded in (product, conv):
        embedded.zero_grad()
        embedded(images).square().sum().backward()
        gradient = (conv.weight.grad.clone(), conv.bias.grad.clone())
        if embedded is product:
            of_product = gradient
    torch.testing.assert_close(of_product, gradient, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("operator", GROWTH_OPERATORS)
def test_every_operator_grows_on_the_device(cuda, operator):
    run = tiny_run(tiny_config(f"growth.operator={operator}"), device=cuda)
    list(steps_alone(run, 4, [SMALL]))
    run.networks.activate(SMALL)
    run.networks.grow(run.elastic.full, run.step.optimizer)
    run.networks.fade_in(SMALL, 1, 0)
    losses = list(steps_alone(run, 5, [run.elastic.full]))
    assert all(bool(loss.isfinite()) for loss in losses)
    assert all(p.device.type == "cuda" for network in run.networks for p in network.parameters())


def test_compiled_blocks_train_as_others_do_once_a_resolution(cuda):
    """By inductor, recorded as graphs too; sums round differently."""
    torch.compiler.reset()
    losses = []
    for compiled in (False, True):
        config = tiny_config(*PRECISE[:1])
        recipe = config.recipe.model_copy(update={"compile": compiled})
        run = tiny_run(config.model_copy(update={"recipe": recipe}), device=cuda)
        losses.append(torch.stack(list(steps_alone(run, 18, [SMALL, SubNetwork(4, 4), run.elastic.full]))))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-2, atol=1e-2)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2


def test_a_model_that_cannot_be_recorded_trains_all_the_same(cuda, monkeypatch, caplog):
    own = step.TrainingStep._passes

    def waiting(self, images, labels):
        loss = own(self, images, labels)
        loss.item()  # which no recording allows
        return loss

    monkeypatch.setattr(step.TrainingStep, "_passes", waiting)
    run = tiny_run(tiny_config(*PRECISE), device=cuda)
    losses = list(steps_alone(run, 8, [SMALL]))
    assert all(bool(loss.isfinite()) for loss in losses)
    assert "steps are not recorded" in caplog.text
