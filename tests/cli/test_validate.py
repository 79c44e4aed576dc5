"""`space validate` and `space show`: models that cannot be elastic are refused in one line."""

from __future__ import annotations

import json

import pytest

from autoprog_search.space import PRESETS, GrowthSpace
from tests.tiny import cli_here

SPACE = """
model: {model}
model_args: {{{arguments}}}
depth: {depth}
resolution: 32
patch_size: 8
depths: [1, {depth}]
resolutions: [16, 32]
"""
TINY = "img_size: 32, patch_size: 8, embed_dim: 16, depth: 2, num_heads: 2"


def test_the_presets_models_are_valid(tmp_path):
    presets = [GrowthSpace.load(name) for name in GrowthSpace.presets()]
    files = [PRESETS / f"{space.name}.yaml" for space in {space.model: space for space in presets}.values()]
    done = cli_here("space", "validate", *files, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(files)


@pytest.mark.parametrize("command", ["validate", "show"])
@pytest.mark.parametrize(
    ("model", "arguments", "depth", "words"),
    [
        ("swin_tiny_patch4_window7_224", "", 2, "SwinTransformer cannot be made elastic"),
        ("convnext_tiny", "", 2, "ConvNeXt cannot be made elastic"),
        ("vit_tiny_patch16_244", TINY, 2, "nearest: vit_tiny_patch16_224"),
        ("vit_tiny_patch16_224", TINY.replace("depth: 2, ", ""), 3, "depth: 3 is below vit_tiny_patch16_224's 12"),
        ("vit_tiny_patch16_224", TINY.replace("img_size: 32", "img_size: 64"), 2, "resolution: "),
        ("vit_tiny_patch16_224", TINY.replace("heads: 2", "heads: 5"), 2, "divisible by num_heads"),
        ("beit_base_patch16_224", TINY, 2, "grows in depth only"),
    ],
)
def test_a_model_that_cannot_grow_like_that_is_one_line(tmp_path, command, model, arguments, depth, words):
    (tmp_path / "own.yaml").write_text(SPACE.format(model=model, arguments=arguments, depth=depth))
    done = cli_here("space", command, "own.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert words in line
    assert command == "show" or line.startswith("error: own.yaml: ")


def test_programs_are_told_as_json(tmp_path):
    (tmp_path / "own.yaml").write_text(SPACE.format(model="vit_tiny_patch16_224", arguments=TINY, depth=2))
    done = cli_here("space", "validate", "own.yaml", "own.yaml", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == [{"file": "own.yaml", "schedules": 16, "sub_networks": 4}] * 2
    (tmp_path / "bad.yaml").write_text("")
    done = cli_here("space", "validate", "own.yaml", "bad.yaml", "--json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_files_name_is_text(tmp_path):
    (tmp_path / "\x1b[2J").mkdir()
    (tmp_path / "\x1b[2J/a.yaml").write_text(SPACE.format(model="vit_tiny_patch16_224", arguments=TINY, depth=2))
    done = cli_here("space", "validate", "\x1b[2J/a.yaml", cwd=tmp_path)
    assert done.stdout.startswith("\\x1b[2J/a.yaml: ")


def test_the_files_before_the_wrong_one_are_told(tmp_path):
    (tmp_path / "good.yaml").write_text(SPACE.format(model="vit_tiny_patch16_224", arguments=TINY, depth=2))
    (tmp_path / "bad.yaml").write_text(SPACE.format(model="resnet18", arguments="", depth=2))
    done = cli_here("space", "validate", "good.yaml", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.startswith("good.yaml: ")
    assert "ResNet cannot be made elastic" in done.stderr
