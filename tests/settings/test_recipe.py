"""Recipes: every shipped one loads and says where it comes from; what fields that scale or cut do."""

from __future__ import annotations

import pytest

from autoprog_search.errors import ConfigError
from autoprog_search.settings.growth import AdaReg, GrowthSettings
from autoprog_search.settings.recipe import RECIPES, Recipe, load_recipe
from autoprog_search.space import GrowthSpace
from autoprog_search.training.spec import steps_of_stages
from tests.tiny import levels, tiny_config, tiny_trainer

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))


def test_the_recipes_of_the_issue_are_there():
    wanted = {
        "digits",
        "fashion_mnist",
        "fashion_small",
        "cifar",
        "imagenet_deit_100ep",
        "imagenet_deit_300ep",
        "imagenet_volo_100ep",
    }
    assert wanted <= set(NAMES)
    assert {GrowthSpace.load(name).recipe for name in GrowthSpace.presets()} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_opens_with_its_source(name):
    load_recipe(name)
    head = [line for line in (RECIPES / f"{name}.yaml").read_text().splitlines() if line.startswith("#")]
    assert "Source:" in " ".join(head)


def test_volos_recipe_says_that_token_labels_are_missing():
    assert "token labels" in (RECIPES / "imagenet_volo_100ep.yaml").read_text()


def test_the_learning_rate_follows_the_batch_size():
    assert load_recipe("imagenet_deit_100ep").scaled_lr == pytest.approx(1e-3)  # 5e-4 for 512 images
    assert Recipe(lr=1.0, batch_size=256, lr_batch_size=64).scaled_lr == 4.0
    assert Recipe(lr=1.0, batch_size=256, lr_batch_size=64, lr_scaling="sqrt").scaled_lr == 2.0
    assert Recipe(lr=1.0, batch_size=256).scaled_lr == 1.0
    config = tiny_config("recipe.lr_batch_size=32", "recipe.epochs=3")
    trainer = tiny_trainer(config, levels(config, (0, 0), (1, 1)))
    assert trainer.run.step.optimizer.defaults["lr"] == pytest.approx(2 * 3e-3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"batch_size": 64, "grad_accum": 3}, "grad_accum: 3 does not divide batch_size 64"),
        ({"crop_scale": (0.5, 0.2)}, "crop_scale"),
        ({"crop_scale": (0.0, 1.0)}, "crop_scale"),
        ({"lr": 1e-3, "min_lr": 2e-3}, "min_lr: 0.002 is above the learning rate 0.001"),
    ],
)
def test_what_cannot_be_is_one_line(fields, words):
    with pytest.raises(ConfigError, match=words):
        Recipe(**fields)


def test_accumulated_gradients_are_the_whole_batchs():
    """Up to rounding, a run that cuts its batches into four trains the same network."""
    losses = []
    for parts in (1, 4):
        config = tiny_config(f"recipe.grad_accum={parts}", "recipe.epochs=3", "recipe.label_smoothing=0")
        result = tiny_trainer(config, levels(config, (0, 0), (1, 1))).train()
        losses.append([point["train_loss"] for point in result.state.curve])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] != losses[1]  # the control: sums in another order


@pytest.mark.parametrize(
    ("given", "read"), [(True, AdaReg()), (False, None), (None, None), ({"crop": 0.5}, AdaReg(crop=0.5))]
)
def test_adareg_is_switched_on_with_a_word(given, read):
    assert GrowthSettings.model_validate({"adareg": given}).adareg == read


def test_a_stage_of_less_than_one_step_is_refused():
    with pytest.raises(ConfigError, match=r"stage 2 is 0\.01 epochs of 10 steps long, less than one step"):
        steps_of_stages((1, 0.01, 2), 10)


def test_a_field_of_adareg_switches_it_on():
    config = tiny_config("growth.adareg.augment=0.2")
    assert config.growth.adareg == AdaReg(augment=0.2)
    with pytest.raises(ConfigError, match="unknown field"):
        tiny_config("growth.adareg.colour=0.2")
