"""Several processes train what one process trains with the same global batch: the same choices, the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.distributed.cases import CASES, trained
from tests.distributed.launch import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def of_two(tmp_path_factory) -> Path:
    """What two processes left of each case; they have compared all their weights themselves, bit for bit."""
    folder = tmp_path_factory.mktemp("two")
    ended = run(2, "-m", "tests.distributed.cases", folder, cwd=folder)
    assert ended.returncode == 0, ended.errors
    return folder


def load(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / f"{name}.pt", weights_only=True)
    return found


def far_apart(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """The largest difference of a weight, in all networks of a run."""
    return max(
        float((tensor - theirs[network][name]).abs().max())
        for network, state in ours.items()
        for name, tensor in state.items()
    )


def test_in_doubles_the_parameters_are_the_same(of_two):
    _, one = trained("doubles")
    two = load(of_two, "doubles")
    assert [record["chosen"] for record in one["stages"]] == [record["chosen"] for record in two["stages"]]
    assert len(one["stages"][0]["candidates"]) == 4  # it has searched
    assert one["growth"][1] is not None  # it has grown
    assert far_apart(one["weights"], two["weights"]) < 1e-9
    assert one["growth"] == two["growth"]  # accuracies count images: no rounding


def test_the_first_step_of_a_stage_shows_what_is_reduced(of_two):
    """Blocks that rest are no part of it; the last stage trains all. Between steps nothing reduces anything."""
    two = load(of_two, "doubles")
    assert two["stages"][0]["chosen"][0] == 2
    half = sum(name.startswith(("blocks.1.", "blocks.3.")) for name in two["weights"]["model"])
    assert two["idle"] == [half, 0]
    assert two["own gradients"]


def test_augmented_and_mixed_images_are_those_of_one_process(of_two):
    """Drawn for the batch, not for its parts; accumulated gradients are reduced once a step."""
    run, one = trained("augmented")
    two = load(of_two, "augmented")
    assert [record["chosen"] for record in one["stages"]] == [record["chosen"] for record in two["stages"]]
    assert one["growth"] == two["growth"]
    for ours, theirs in zip(one["curve"], two["curve"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    assert [record["losses"] for record in one["stages"]] == [
        pytest.approx(record["losses"], abs=1e-4) for record in two["stages"]
    ]
    run.elastic.eval()
    images, _ = run.data.splits["test"]
    ours = run.elastic(images)
    run.networks.load(two["weights"])
    torch.testing.assert_close(run.elastic(images), ours, rtol=0, atol=1e-4)


def test_other_images_lead_elsewhere(of_two):
    """The negative control: the tolerances are no matter of course."""
    plain, augmented = (load(of_two, name)["weights"] for name in ("doubles", "augmented"))
    assert far_apart({"model": {"head.bias": plain["model"]["head.bias"]}}, augmented) > 1e-3


def test_processes_that_each_drop_patches_of_their_own_images_stay_alike(of_two):
    """They have compared their weights themselves; those of one process, which drops others, lead elsewhere."""
    _, one = trained("dropped patches")
    two = load(of_two, "dropped patches")
    assert two["stages"][0]["chosen"][1] < 16  # it has dropped some
    assert far_apart(one["weights"], two["weights"]) > 1e-3


def test_batch_norms_keep_the_mean_of_all_parts(of_two):
    """Each process normalises its own part, so nothing is equal to one process; but all networks are to each other."""
    found = load(of_two, "batch norm, drop-path")
    assert list(CASES)[-1] == "batch norm, drop-path"
    variances = [t for name, t in found["weights"]["model"].items() if name.endswith("running_var")]
    assert variances
    assert all(bool((variance != 1).any()) for variance in variances)
    assert found["test"][0] < 3
