"""Distillation: what the teacher sees, what it costs, and a run with one."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from autoprog_search.errors import ConfigError
from autoprog_search.settings.recipe import Recipe
from autoprog_search.training.teacher import Teacher
from tests.tiny import SHORT, levels, tiny_config, tiny_trainer

NAME = "vit_tiny_patch16_224"
DISTILLED = (
    *SHORT,
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
    teacher = Teacher(NAME, str(tmp_path / "t.pt"), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), 3)
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
    before = {n: p.detach().clone() for n, p in trainer.run.elastic.model.named_parameters() if n.startswith("head")}
    result = trainer.train()
    assert all(not torch.equal(result.weights[name], value) for name, value in before.items())
    batch = config.recipe.batch_size
    cost, full = trainer.run.cost, trainer.run.elastic.full
    students = sum(count * cost.step_flops(s, batch) for s, count in result.state.steps.items())
    per_image = trainer.run.step.teacher_flops
    assert per_image > 0
    assert result.train_flops == students + result.state.step * batch * per_image
    assert result.step_flops_full == cost.step_flops(full, batch) + batch * per_image


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


def teacher_of(path: Path, num_classes: int = 10) -> Teacher:
    return Teacher("deit3_small_patch16_224", str(path), ((0.5,), (0.5,)), num_classes)


def test_a_teachers_file_may_be_in_any_format_that_timm_reads(tmp_path):
    """Original DeiT III: `model` around it, `gamma_1` instead of `ls1.gamma`."""
    network = timm.create_model("deit3_small_patch16_224", num_classes=10, in_chans=1)
    state = {
        n.replace(".ls1.gamma", ".gamma_1").replace(".ls2.gamma", ".gamma_2"): v
        for n, v in network.state_dict().items()
    }
    torch.save({"model": state}, tmp_path / "t.pt")
    teacher = teacher_of(tmp_path / "t.pt").network.state_dict()
    assert all(torch.equal(value, teacher[name]) for name, value in network.state_dict().items())
    with pytest.raises(ConfigError, match=r"teacher_checkpoint: .* it has no head\.weight for 9 classes"):
        teacher_of(tmp_path / "t.pt", num_classes=9)


class Opens:
    """What a pickle of it would call."""

    def __reduce__(self):
        return (open, ("touched-by-pickle", "w"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no weights"),
        (b"\0" * 100, "holds no weights"),
        ({"epoch": 3}, "holds no weights"),
        ({"a": Opens()}, "holds no weights"),
        ({"conv.weight": torch.zeros(3)}, "does not fit deit3_small_patch16_224: it has no "),
    ],
)
def test_a_teachers_file_that_is_none_is_one_line(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "t.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ConfigError, match=f"recipe, teacher_checkpoint: .*{words}") as caught:
        teacher_of(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "touched-by-pickle").exists()


def test_weights_without_a_teacher_are_refused():
    with pytest.raises(ConfigError, match="teacher_checkpoint: whose"):
        Recipe(teacher_checkpoint="w.pt")
