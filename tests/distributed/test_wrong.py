"""What cannot train together: one line, of one of the processes, and all end with exit code 2."""

from __future__ import annotations

import pytest

from autoprog_search.errors import ConfigError
from autoprog_search.settings.recipe import Recipe
from autoprog_search.training.joining import joined
from autoprog_search.training.world import World
from tests.distributed.launch import COMMAND, end, nodes, run, start

TRAIN = (*COMMAND, "train", "--space", "digits", "-o", "out")
WRONG = {
    "a batch that does not divide": (("--set", "recipe.batch_size=65"), {}, "recipe, batch_size: 65 images do not div"),
    "a device": (("--device", "cpu"), {}, "device: 'cpu': under torchrun"),
    "NCCL without GPUs": ((), {"AUTOPROG_SEARCH_BACKEND": "nccl", "CUDA_VISIBLE_DEVICES": ""}, "nccl takes a GPU"),
}


@pytest.mark.parametrize("case", WRONG)
def test_one_line_and_exit_code_2(case, tmp_path):
    words, environment, expected = WRONG[case]
    ended = run(2, *TRAIN, *words, cwd=tmp_path, **environment)
    (line,) = ended.said
    assert line.startswith("error: ")
    assert expected in line
    assert ended.exit_codes == {0: 2, 1: 2}
    assert not any(tmp_path.iterdir())


def test_a_process_with_another_configuration(tmp_path):
    """On a second machine somebody has typed another seed."""
    folders = [tmp_path / name for name in ("first", "second")]
    started = []
    for seed, (launcher, folder) in enumerate(zip(nodes(2), folders, strict=True)):
        folder.mkdir()
        started.append(start([*launcher, *TRAIN, "--seed", str(seed)], folder))
    ended = [end(process) for process in started]
    (line,) = [line for one in ended for line in one.said]
    assert line.startswith("error: settings: those of process 1 are not those of process 0")
    assert ended[0].exit_codes | ended[1].exit_codes == {0: 2, 1: 2}


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"])
def test_an_environment_that_is_no_launchers(name, monkeypatch):
    for other in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(other, "1")
    monkeypatch.setenv(name, "")
    with pytest.raises(ConfigError, match=f"{name}: '' is no launcher's; start the processes with torchrun"), joined():
        pass


@pytest.mark.parametrize(
    ("size", "recipe", "message"),
    [
        (4, {"batch_size": 66}, "66 images do not divide among 4 processes; take a multiple of 4"),
        (2, {"batch_size": 36, "grad_accum": 4}, "among 2 processes x grad_accum 4; take a multiple of 8"),
        (2, {"batch_size": 6, "mixup": 0.2}, "6 images among 2 processes are 3 each, which is odd"),
    ],
)
def test_batches_that_cannot_be_parted(size, recipe, message):
    with pytest.raises(ConfigError, match=message):
        World(0, size).check_batch(Recipe(**recipe))
    World(0, 1).check_batch(Recipe(**recipe))
