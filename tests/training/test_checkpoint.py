"""Checkpoints that a disk or a hand has damaged: set aside, and the run ends with the bits that it would have had."""

from __future__ import annotations

import logging
import random
from copy import deepcopy
from itertools import pairwise

import pytest
import torch

from autoprog_search.errors import ConfigError
from autoprog_search.training.checkpoint import (
    DamagedCheckpoint,
    before,
    drop_checkpoints,
    load_checkpoint,
    readable_checkpoints,
    save_checkpoint,
)
from tests.tiny import FEW, SHORT, interrupted, levels, tiny_config, tiny_trainer

CONFIG = tiny_config(*SHORT, "recipe.epochs=3")  # a stage is an epoch of 5 steps
METHOD = levels(CONFIG, (0, 0), (1, 1), (2, 2))


@pytest.fixture(scope="module")
def undisturbed():
    return tiny_trainer(CONFIG, METHOD).train()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(checkpoint, the one before it), of one run."""
    path = tmp_path_factory.mktemp("run") / "checkpoint.pt"
    for stop in (2, 8):
        interrupted(CONFIG, stop, METHOD, checkpoint=path)
    return path.read_bytes(), before(path).read_bytes()


def edited(content: bytes, path, change) -> bytes:
    """A checkpoint whose plain values were changed, whole as a file."""
    path.write_bytes(content)
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)
    return path.read_bytes()


DAMAGES = {
    "empty": lambda content: b"",
    "one byte short": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "a zero page in the middle": lambda content: content[:8192] + bytes(4096) + content[12288:],
    "text": lambda content: b"<html>quota exceeded</html>",
    "twice": lambda content: content[: len(content) // 2] + content,
}
EDITS = {
    "a field missing": lambda state: state.pop("optimizer"),
    "no weights": lambda state: state.pop("momentum"),
    "no step": lambda state: state["state"].pop("step"),
    "a field of the state too many": lambda state: state["state"].update(more=1),
    "a step of the far future": lambda state: state["state"].update(step=10**9),
    "a step as text": lambda state: state["state"].update(step="7"),
    "a step before the stage": lambda state: state["state"].update(step=0, steps=[]),
    "stage 99": lambda state: state["state"].update(stage=99),
    "a phase that is none": lambda state: state["state"].update(phase="sleep"),
    "a curve that is too short": lambda state: state["state"].update(curve=[]),
    "weights of another shape": lambda state: state["model"].update(pos_embed=torch.zeros(3)),
    "optimiser of another model": lambda state: state["optimizer"].update(param_groups=[]),
    "a sub-network that is none": lambda state: state["state"]["stages"][-1].update(chosen=(77, 3)),
}


@pytest.mark.parametrize("what", [*DAMAGES, *EDITS])
def test_a_run_goes_on_from_the_checkpoint_before(what, saved, undisturbed, tmp_path, caplog):
    newest, older = saved
    path = tmp_path / "checkpoint.pt"
    damaged = DAMAGES[what](newest) if what in DAMAGES else edited(newest, path, EDITS[what])
    before(path).write_bytes(older)
    path.write_bytes(damaged)
    with caplog.at_level(logging.WARNING, "autoprog_search"):
        trainer = tiny_trainer(CONFIG, METHOD, checkpoint=path)
    assert trainer.run.state.step > 0
    assert trainer.run.state.step < load_checkpoint_step(newest, tmp_path)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{path} is damaged (")
    assert "\n" not in line
    assert path.with_name("checkpoint.pt.damaged").read_bytes() == damaged
    result = trainer.train()
    assert result.weights.keys() == undisturbed.weights.keys()
    assert all(torch.equal(result.weights[name], weight) for name, weight in undisturbed.weights.items())
    assert result.state.curve == undisturbed.state.curve


def load_checkpoint_step(content: bytes, folder) -> int:
    path = folder / "whole.pt"
    path.write_bytes(content)
    state = load_checkpoint(path)
    assert state is not None
    return state["state"]["step"]


def test_a_run_with_no_whole_checkpoint_begins_again(saved, undisturbed, tmp_path, caplog):
    newest, older = saved
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(newest[:-1])
    before(path).write_bytes(edited(older, before(path), EDITS["weights of another shape"]))
    trainer = tiny_trainer(CONFIG, METHOD, checkpoint=path)
    assert trainer.run.state.step == 0
    assert len(caplog.records) == 2
    result = trainer.train()
    assert all(torch.equal(result.weights[name], weight) for name, weight in undisturbed.weights.items())


def test_no_flipped_bit_of_a_value_goes_unnoticed(saved, tmp_path):
    """Or else the value is the same: some bytes of a zip file say the same thing twice, or nothing."""
    content, path = saved[0], tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    whole = load_checkpoint(path)
    rng, noticed = random.Random(14), 0
    for _ in range(60):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            state = load_checkpoint(path)
        except (DamagedCheckpoint, ConfigError):
            noticed += 1
            continue
        assert same(state, whole)
    assert noticed > 30


def test_no_flipped_bit_of_the_end_records_is_met_for_ever(tmp_path):
    """Some make the reader look before the beginning of the file, which the system refuses."""
    path, said = tmp_path / "checkpoint.pt", []
    save_checkpoint(path, {"weights": torch.arange(3)})  # whatever it holds, its last bytes mean the same
    content = path.read_bytes()
    for place in range(len(content) - 98, len(content)):  # 64-bit record, where it is, 32-bit record
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                load_checkpoint(path)
            except DamagedCheckpoint as damaged:
                said.append(str(damaged))
    assert any("Invalid argument" in text for text in said)


def test_memory_that_runs_out_says_nothing_of_a_checkpoint(saved, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(saved[0])

    def too_large(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(torch, "load", too_large)
    with pytest.raises(MemoryError):
        tiny_trainer(CONFIG, METHOD, checkpoint=path)
    assert [left.name for left in tmp_path.iterdir()] == ["checkpoint.pt"]


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_checkpoint_of_another_format_is_kept_and_refused(saved, tmp_path):
    path = tmp_path / "checkpoint.pt"
    changes = (lambda state: state.pop("format"), *(lambda state, n=n: state.update(format=n) for n in (2, 99)))
    for change in changes:
        content = edited(saved[0], path, change)
        with pytest.raises(ConfigError, match=r"is a checkpoint of format (1|2|99), this version"):
            tiny_trainer(CONFIG, METHOD, checkpoint=path)
        assert path.read_bytes() == content


def test_pickled_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    path = tmp_path / "checkpoint.pt"
    torch.save({"state": Trap()}, path)
    assert list(readable_checkpoints(path)) == []
    assert not (tmp_path / "sprung").exists()


def test_the_one_before_is_kept_and_all_go_together(tmp_path):
    path = tmp_path / "checkpoint.pt"
    for number in range(3):
        save_checkpoint(path, {"number": number})
    assert [state["number"] for _, state in readable_checkpoints(path)] == [2, 1]
    path.unlink()  # killed between the two renames of a write
    assert [state["number"] for _, state in readable_checkpoints(path)] == [1]
    before(path).write_bytes(b"")
    assert list(readable_checkpoints(path)) == []
    (tmp_path / ".checkpoint.pt.k3jx_9ab.tmp").write_bytes(b"half")  # of a write that was killed
    (tmp_path / "weights.safetensors").touch()
    drop_checkpoints(path)
    assert [left.name for left in tmp_path.iterdir()] == ["weights.safetensors"]


def test_every_state_that_a_run_saves_is_one_that_it_can_stand_in(tmp_path, monkeypatch):
    """With a search, an epoch end inside a stage, and stage ends."""
    stood = []
    config = tiny_config(*SHORT, *FEW, "growth.search.points=2")
    trainer = tiny_trainer(config, checkpoint=tmp_path / "checkpoint.pt")
    monkeypatch.setattr(trainer.run, "save", lambda: stood.append(deepcopy(trainer.run.state)))
    trainer.train()
    for state in stood:
        state.check(trainer.run.spec.part_steps, trainer.run.epoch_steps)
    assert {state.phase for state in stood} == {"open", "search", "train"}
    assert all(a.step <= b.step for a, b in pairwise(stood))
