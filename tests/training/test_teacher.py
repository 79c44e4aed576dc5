"""Distillation: what the teacher sees, what it costs, and a run with one."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from autoprog_search.errors import ConfigError
from autoprog_search.training.recipe import Recipe
from autoprog_search.training.teacher import Teacher
from tests.tiny import levels, tiny_config, tiny_trainer

NAME = "vit_tiny_patch16_224"
DISTILLED = (
    "space.model=deit_tiny_distilled_patch16_224",
    "space.model_args={img_size: 16, patch_size: 4, in_chans: 1, embed_dim: 16, depth: 4, num_heads: 2}",
    "space.pos_embed=timm",
    "recipe.epochs=3",
    "recipe.teacher=test_vit",
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "teacher.pt"
    torch.manual_seed(0)
    torch.save(timm.create_model("test_vit", num_classes=10, in_chans=1).state_dict(), path)
    return path


def test_the_teacher_sees_its_own_size_and_normalisation(tmp_path):
    network = timm.create_model(NAME, num_classes=3).eval()
    torch.save(network.state_dict(), tmp_path / "t.pt")
    teacher = Teacher(NAME, str(tmp_path / "t.pt"), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), 3, in_chans=3)
    plain = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = network((plain - 0.5) / 0.5)
    torch.testing.assert_close(teacher((plain - mean) / std), expected, atol=1e-4, rtol=1e-4)
    assert teacher(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    assert teacher.forward_flops == pytest.approx(2.5e9, rel=0.1)


def test_a_run_with_a_teacher_trains_both_tokens_and_counts_its_cost(checkpoint):
    config = tiny_config(*DISTILLED, f"recipe.teacher_checkpoint={checkpoint}")
    trainer = tiny_trainer(config, levels(config, (0, 0), (1, 1)))
    before = {n: p.detach().clone() for n, p in trainer.elastic.model.named_parameters() if n.startswith("head")}
    result = trainer.run()
    assert all(not torch.equal(result.weights[name], value) for name, value in before.items())
    batch = config.recipe.batch_size
    students = trainer.elastic.cost.steps_flops(result.state.steps, batch)
    per_image = trainer._step.teacher_flops
    assert per_image > 0
    assert result.train_flops == students + result.state.step * batch * per_image
    assert result.step_flops_full == trainer.elastic.cost.step_flops(trainer.elastic.full, batch) + batch * per_image


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("recipe.teacher=vit_tiny_patch16_224", "recipe.teacher_checkpoint=''"),
            "know 1000 classes, the data have 10",
        ),
        (("recipe.teacher=nothing",), "timm has no 'nothing'"),
        (("recipe.teacher_checkpoint=/nowhere.pt",), "there is no file /nowhere.pt"),
        (("space.model=deit_tiny_patch16_224",), "has no distillation token"),
    ],
)
def test_a_teacher_that_cannot_be_had_is_one_line(overrides, words):
    config = tiny_config(*DISTILLED, *overrides)
    with pytest.raises(ConfigError, match=words):
        tiny_trainer(config, levels(config, (0, 0), (1, 1)))


def test_weights_without_a_teacher_are_refused():
    with pytest.raises(ConfigError, match="teacher_checkpoint: whose"):
        Recipe(teacher_checkpoint="w.pt")
