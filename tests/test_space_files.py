"""Files of growth spaces: what is said of those that are malformed."""

from __future__ import annotations

from typing import Any

import pytest

from autoprog_search.errors import SpaceError
from autoprog_search.space import GrowthSpace
from autoprog_search.values import dump_yaml
from tests.strategies import SMALL


def small(*without: str, **fields: Any) -> str:
    """The small space as YAML, fields left out or changed."""
    return dump_yaml({k: v for k, v in {**SMALL, **fields}.items() if k not in without})


def fractions(**fields: Any) -> str:
    return small("resolutions", **{"resolution_fractions": [0.5, 1], **fields})


MALFORMED = {
    "empty file": ("", ["not a mapping"]),
    "a list": ("[1, 2]", ["not a mapping"]),
    "a text": ("text", ["not a mapping"]),
    "broken YAML": ("depths: [", ["cannot be read"]),
    "a control character": ("\x00", ["cannot be read"]),
    "an unhashable key": ("? [1]\n: 2", ["cannot be read"]),
    "a Python object": ("model: !!python/object:os.system x", ["cannot be read"]),
    "an impossible date": (small("depth") + "depth: 2020-13-45", ["depth", "2020-13-45"]),
    "unknown field": (small(bogus=1), ["bogus", "1"]),
    "no model": (small("model"), ["model", "required"]),
    "model a number": (small(model=3), ["model", "3"]),
    "model_args a list": (small(model_args=[1]), ["model_args", "[1]"]),
    "unknown pos_embed": (small(pos_embed="rope"), ["pos_embed", "rope", "sincos"]),
    "no depths": (small("depths"), ["depths", "depth_fractions", "none"]),
    "depths twice": (small(depth_fractions=[0.5, 1]), ["depths", "depth_fractions"]),
    "depths a number": (small(depths=4), ["depths", "4"]),
    "depths descending": (small(depths=[4, 2]), ["depths", "[4, 2]", "ascending"]),
    "depths repeated": (small(depths=[2, 2, 4]), ["depths", "[2, 2, 4]"]),
    "depth level 0": (small(depths=[0, 4]), ["depths", "[0, 4]", "above 0"]),
    "depth level 2.5": (small(depths=[2.5, 4]), ["depths", "2.5"]),
    "depth level text": (small(depths=["two", 4]), ["depths", "two"]),
    "depths above the model": (small(depths=[2, 5]), ["depths", "5", "vit_tiny_patch16_224", "4"]),
    "depths end below full": (small(depths=[2, 3]), ["depths", "3", "full size 4"]),
    "depth 0": (small(depth=0), ["depth", "0"]),
    "depth null": (small(depth=None), ["depth", "None"]),
    "depth fraction 0": (small("depths", depth_fractions=[0, 1]), ["depth_fractions", "[0, 1]"]),
    "depth fraction 2": (small("depths", depth_fractions=[0.5, 2]), ["depth_fractions", "2"]),
    "depth fraction nan": (small("depths", depth_fractions=[float("nan"), 1]), ["depth_fractions", "nan"]),
    "depth fraction text": (small("depths", depth_fractions=["half", 1]), ["depth_fractions", "half"]),
    "depth fractions a number": (small("depths", depth_fractions=0.5), ["depth_fractions", "0.5"]),
    "depth fractions without depth": (small("depths", "depth", depth_fractions=[0.5, 1]), ["depth", "missing"]),
    "depth fractions that coincide": (small("depths", depth_fractions=[0.1, 0.2, 1]), ["depths", "[1, 1, 4]"]),
    "no patches": (small("resolutions"), ["patches", "resolutions", "resolution_fractions", "none"]),
    "patches and resolutions": (small(patches=[9, 36]), ["patches", "resolutions"]),
    "patches not square": (small("resolutions", patches=[10, 36]), ["patches", "10", "9", "16"]),
    "patches 0": (small("resolutions", patches=[0, 36]), ["patches", "0"]),
    "patches a number": (small("resolutions", patches=36), ["patches", "36"]),
    "patches text": (small("resolutions", patches=["few"]), ["patches", "few"]),
    "patches above the model": (small("resolutions", patches=[9, 49]), ["patches", "49", "36"]),
    "resolutions a number": (small(resolutions=24), ["resolutions", "24"]),
    "resolutions text": (small(resolutions=["low", 24]), ["resolutions", "low"]),
    "resolutions null": (small(resolutions=[None, 24]), ["resolutions", "None"]),
    "resolutions a mapping": (small(resolutions={"low": 1}), ["resolutions", "low"]),
    "resolution level odd": (small(resolutions=[13, 24]), ["resolution", "13", "patch size 4"]),
    "resolution level 0": (small(resolutions=[0, 24]), ["resolution", "0"]),
    "resolution level negative": (small(resolutions=[-12, 24]), ["resolution", "-12"]),
    "resolution odd": (small(resolution=25), ["resolution", "25", "patch size 4"]),
    "resolution null": (small(resolution=None), ["resolution", "None"]),
    "resolution fractions without resolution": (fractions(resolution=None), ["resolution", "None"]),
    "resolution step 0": (fractions(resolution_step=0), ["resolution_step", "0"]),
    "resolution step negative": (fractions(resolution_step=-4), ["resolution_step", "-4"]),
    "resolution step text": (fractions(resolution_step="big"), ["resolution_step", "big"]),
    "patch size 0": (small(patch_size=0), ["patch_size", "0"]),
    "patch size text": (small(patch_size="big"), ["patch_size", "big"]),
    "patch size null": (small(patch_size=None), ["patch_size", "None"]),
    "patch size text, fractions": (fractions(patch_size="big"), ["patch_size", "big"]),
    "patch size 0, fractions": (fractions(patch_size=0), ["patch_size", "0"]),
    "stages without end": (small(stages=10**6), ["stages", "300", "1000000"]),
    "depth without end": (small(depth=10**6), ["depth", "1000000", "1,000"]),
    "depth true": (small(depth=True), ["depth", "True"]),
    "stages true": (small(stages=True), ["stages", "True"]),
    "resolution without end": (small(resolution=10**6), ["resolution", "1000000"]),
    "patch size infinite": (small(patch_size=float("inf")), ["patch_size", "inf"]),
    "levels without end": (small(depths=list(range(1, 1000))), ["depths", "999", "100"]),
    "sizes without end": (small("resolutions", patches=[1] * 10_000), ["patches", "10,000", "100"]),
    "resolution infinite": (small(resolutions=[12, float("inf")]), ["resolutions", "inf"]),
    "fraction of a text": (small("depths", depth_fractions=["5e-1", 1]), ["depth_fractions", "'5e-1'"]),
    "lengths without end": (small(stage_lengths=[0.5] * 1000), ["stage_lengths", "1,000", "300"]),
    "a clock of another kind": (small(clock="sometimes"), ["clock", "sometimes", "'stages' or 'free'"]),
    "a free clock of equal compute": (small(clock="free", equal_compute=True), ["equal_compute", "clock: free"]),
    "model_args.depth differs": (small(model_args={"depth": 3}), ["model_args, depth", "3", "4"]),
    "model_args.depth a text": (small(model_args={"depth": "4"}), ["model_args, depth", "'4'"]),
    "model_args infinite": (small(model_args={"mlp_ratio": float("inf")}), ["model_args", "inf"]),
    "model_args infinite, deep": (small(model_args={"a": [{"b": [float("-inf")]}]}), ["model_args", "-inf"]),
    "model_args huge": (small(model_args={"embed_dim": 10**9}), ["model_args, embed_dim", "1,000,000"]),
    "a field misspelt": (
        small("depth", dept=4),
        ["dept: unknown field", "did you mean depth?", "resolution_fractions"],
    ),
    "name an escape code": (small() + 'name: "\\e[31m"', ["cannot be read"]),
    "description without end": (small(description="x" * 5000), ["description", "5,000 characters"]),
    "a key given twice": (small() + "stages: 2", ["'stages' is given twice"]),
    "stages 0": (small(stages=0), ["stages", "0"]),
    "stages 2.5": (small(stages=2.5), ["stages", "2.5"]),
    "stages text": (small(stages="few"), ["stages", "few"]),
    "too few lengths": (small(stage_lengths=[0.5, 0.5]), ["stage_lengths", "2", "3 stages"]),
    "lengths above 1": (small(stage_lengths=[0.5, 0.5, 0.5]), ["stage_lengths", "0.5", "sum to 1"]),
    "length 0": (small(stage_lengths=[0, 0.5, 0.5]), ["stage_lengths", "0"]),
    "length negative": (small(stage_lengths=[-0.5, 1, 0.5]), ["stage_lengths", "-0.5"]),
    "length nan": (small(stage_lengths=[float("nan"), 0.5, 0.5]), ["stage_lengths", "nan"]),
    "length infinite": (small(stage_lengths=[float("inf"), 0.5, 0.5]), ["stage_lengths", "inf"]),
    "lengths a number": (small("stages", stage_lengths=3), ["stage_lengths", "3"]),
    "lengths text": (small(stage_lengths="even"), ["stage_lengths", "even"]),
}


@pytest.mark.parametrize(("text", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_gives_one_line_that_names_field_and_value(tmp_path, text, words):
    path = tmp_path / "custom.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError) as error:
        GrowthSpace.load(str(path))
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("space")
    assert all(word in message for word in words), message


def test_numbers_may_be_written_with_exponents(tmp_path):
    path = tmp_path / "custom.yaml"
    fields = {"depths": "depth_fractions: [5e-1, 1]", "depth": "depth: 4e0", "stages": "stages: 3e0", "resolutions": ""}
    path.write_text(
        small(*fields) + "\n".join(fields.values()) + "resolution_fractions: [5e-1, 1e0]\nmodel_args: {eps: 1e-6}"
    )
    space = GrowthSpace.load(str(path))
    assert (space.depths, space.patches, space.stages, space.model_args) == ((2, 4), (9, 36), 3, {"eps": 1e-6})


@pytest.mark.parametrize("name", ["nowhere", "", "../digits", "digits.txt", "missing.yaml"])
def test_a_space_that_is_not_there_gives_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError) as error:
        GrowthSpace.load(name)
    message = str(error.value)
    assert "\n" not in message
    assert name.endswith(".yaml") or "digits" in message  # the presets are listed where no file was meant


def test_a_file_that_is_no_text_gives_one_line(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SpaceError, match="cannot be read"):
        GrowthSpace.load(str(path))
