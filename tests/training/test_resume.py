"""A run that is interrupted anywhere ends with the same bits as one that is not (on the CPU)."""

from __future__ import annotations

import pytest
import torch

from autoprog_search.errors import ConfigError
from autoprog_search.interrupt import Interrupted
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.oneshot.score import ScoreRule
from autoprog_search.training.state import RunResult
from tests.data.files import make_images
from tests.growth.volo import volo_tiny_for_tests
from tests.tiny import FEW, SHORT, interrupted, levels, run_interrupted, same_bits, tiny_config, tiny_trainer

CONFIG = tiny_config(
    *SHORT, *FEW, "recipe.mixup=0.2", "recipe.drop_path=0.1", "growth.search.points=2"
)  # all that draws random numbers is on
SEARCH_OF_STAGE_1 = 8  # of 10 steps: two for each of 4 candidates, who are evaluated after 6 and after 8


@pytest.fixture(scope="module")
def undisturbed() -> RunResult:
    return tiny_trainer(CONFIG).train()


@pytest.mark.parametrize(
    "stops",
    [(3, SEARCH_OF_STAGE_1 + 1, 10), (SEARCH_OF_STAGE_1 - 1, 11), (14, 21, 29)],
    ids=["search, training, stage boundary", "between evaluations, search of stage 2", "often"],
)
def test_resumed_run_is_bit_identical(stops, undisturbed, tmp_path):
    resumed = run_interrupted(CONFIG, tmp_path / "checkpoint.pt", stops)
    assert same_bits(resumed.weights, undisturbed.weights)
    assert (resumed.val, resumed.test, resumed.test_ema) == (undisturbed.val, undisturbed.test, undisturbed.test_ema)
    assert resumed.state.curve == undisturbed.state.curve
    assert resumed.state.stages == undisturbed.state.stages
    assert resumed.state.steps == undisturbed.state.steps
    assert resumed.state.search_flops == undisturbed.state.search_flops


def test_stopped_in_the_middle_of_every_evaluation_it_ends_with_the_same_bits(tmp_path):
    """What is evaluated is the network that trains, not an EMA of its own."""
    config = tiny_config(*SHORT, *FEW, "growth.search.points=2", "recipe.eval_weights=raw")
    undisturbed, places = tiny_trainer(config).train(), set()

    def here() -> bool:
        run, state = trainer.run, trainer.run.state
        place = (state.step, state.phase, state.search_points, len(state.curve), run.elastic.sub_network)
        inside = torch.is_inference_mode_enabled() and place not in places
        if inside:
            places.add(place)
        return inside

    stopped = 0
    for _ in range(40):
        trainer = tiny_trainer(config, checkpoint=tmp_path / "checkpoint.pt", should_stop=here)
        assert trainer.run.state.step == stopped, "no step is taken twice"
        stood = trainer.run.state.step
        try:
            resumed = trainer.train()
            break
        except Interrupted:
            stopped = trainer.run.state.step
            assert stopped - stood <= 10  # a stage's steps
    assert same_bits(resumed.weights, undisturbed.weights)
    assert resumed.state.curve == undisturbed.state.curve
    assert resumed.state.stages == undisturbed.state.stages
    assert resumed.state.growth_top1 == undisturbed.state.growth_top1
    assert resumed.state.search_flops == undisturbed.state.search_flops
    epochs = [place for place in places if place[1] == "train" and place[0] % 5 == 0]
    estimates = [place for place in places if place[1] == "search" and place[0] % 5]
    assert len(epochs) >= 3, "ends of epochs, and of the run"
    assert len(estimates) >= 3
    assert not list(tmp_path.glob("*.damaged"))


def test_fixed_schedule_resumes_with_ema_growth(tmp_path):
    config_method = levels(CONFIG, (0, 0), (0, 1), (1, 1))
    undisturbed = tiny_trainer(CONFIG, config_method).train()
    resumed = run_interrupted(CONFIG, tmp_path / "checkpoint.pt", (20, 23), config_method)
    assert same_bits(resumed.weights, undisturbed.weights)


def test_what_a_score_measures_from_survives(tmp_path):
    """Stopped between the search's evaluations, and between the reference and the estimates."""
    fields = ("growth.search.points=2", "growth.search.score=loss_decrease_per_flop")
    config = tiny_config(*SHORT, *FEW, *fields)
    method = OneShotMethod(ScoreRule(score="loss_decrease_per_flop"))
    undisturbed = tiny_trainer(config, method).train()
    resumed = run_interrupted(config, tmp_path / "checkpoint.pt", (SEARCH_OF_STAGE_1 - 1, 11), method)
    assert resumed.state.stages == undisturbed.state.stages
    assert same_bits(resumed.weights, undisturbed.weights)


def test_another_seed_ends_elsewhere(undisturbed):
    """The negative control: equality above is not because nothing was trained."""
    other = tiny_trainer(CONFIG, seed=1).train()
    assert not same_bits(other.weights, undisturbed.weights)


def test_killed_between_the_last_search_step_and_its_estimate(undisturbed, tmp_path, monkeypatch):
    """A timed checkpoint may fall there; the estimate is made all the same."""
    path = tmp_path / "checkpoint.pt"
    trainer = tiny_trainer(CONFIG, checkpoint=path)

    def killed(state, network, lambda_k):
        trainer.run.save()
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.search, "estimate", killed)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert trainer.run.state.phase == "search"
    resumed = tiny_trainer(CONFIG, checkpoint=path).train()
    assert resumed.state.stages == undisturbed.state.stages
    assert same_bits(resumed.weights, undisturbed.weights)


def test_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    interrupted(CONFIG, 3, checkpoint=path)
    with pytest.raises(ConfigError, match=r"checkpoint.pt is of a run with other settings"):
        tiny_trainer(CONFIG, seed=1, checkpoint=path)


@pytest.mark.slow
def test_volo_with_all_that_this_recipe_can_switch_on_resumes_alike(tmp_path):
    """Mixed tokens, batch norm in the stem, AdaReg, accumulated gradients, raw weights evaluated inside a search."""
    config = tiny_config(
        f"space={{name: v, model: {volo_tiny_for_tests.__name__}, model_args: {{img_size: 48, in_chans: 1, "
        "use_mix_token: true}, depth: 6, resolution: 48, patch_size: 16, depths: [2, 6], resolutions: [16, 48], "
        "stages: 3}",
        "growth.adareg.augment=0.2",
        "growth.operator=mogrow",
        *("data.train_share=0.1", "recipe.batch_size=20"),  # of `SHORT` half the images, and as many steps
        *(f"recipe.{field}" for field in ("drop_path=0.2", "grad_accum=2", "eval_weights=raw", "lr=1e-2")),
    )
    undisturbed = tiny_trainer(config).train()
    resumed = run_interrupted(config, tmp_path / "checkpoint.pt", (5, 11, 24))
    assert same_bits(resumed.weights, undisturbed.weights)
    assert resumed.state.curve == undisturbed.state.curve
    assert resumed.state.stages == undisturbed.state.stages
    assert [len(record.candidates) > 1 for record in undisturbed.state.stages] == [True, True, False]
    assert undisturbed.state.curve[-1]["train_loss"] < undisturbed.state.curve[0]["train_loss"]


@pytest.mark.slow
def test_images_of_a_folder_resume_alike(tmp_path):
    """Augmented in loader processes at each stage's resolution, images repeated, cutmix on."""
    photos = make_images(tmp_path / "photos", train={"a": 20, "b": 20}, val={"a": 4, "b": 4}, test={"a": 2, "b": 2})
    config = tiny_config(
        "space={name: d, model: deit_tiny_patch16_224, model_args: {img_size: 32, patch_size: 8, embed_dim: 16, "
        "depth: 4, num_heads: 2}, depth: 4, resolution: 32, patch_size: 8, depths: [2, 4], resolutions: [16, 32], "
        "stages: 2}",
        f"data={{name: {photos}, workers: 1}}",
        "growth.adareg=true",
        *(f"recipe.{field}" for field in ("epochs=5", "batch_size=8", "cutmix=1.0", "repeats=2")),
    )
    method = levels(config, (0, 0))
    undisturbed = tiny_trainer(config, method).train()
    resumed = run_interrupted(config, tmp_path / "checkpoint.pt", (7, 13), method)
    assert same_bits(resumed.weights, undisturbed.weights)
    assert len(undisturbed.state.loader_seconds) == len(undisturbed.state.stage_seconds) == 2
    assert all(
        0 < w < s for w, s in zip(undisturbed.state.loader_seconds, undisturbed.state.stage_seconds, strict=True)
    )
