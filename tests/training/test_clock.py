"""Runs under a free clock: probes, growths and interruptions."""

from __future__ import annotations

import os
import signal
from copy import deepcopy
from itertools import count, pairwise
from random import Random
from statistics import fmean
from unittest import mock

import pytest
import torch

from autoprog_search.errors import ConfigError, SpaceError
from autoprog_search.interrupt import Interrupted
from autoprog_search.methods.fixed import through
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.oneshot.clock import came_back, first_of, fit_mixing
from autoprog_search.oneshot.score import ScoreRule
from autoprog_search.runs.program import spec_under
from autoprog_search.runs.row import clock_rows
from autoprog_search.space import TICKS
from autoprog_search.training.probe import probe
from autoprog_search.training.run import Run
from autoprog_search.training.spec import RunSpec, planned_steps
from autoprog_search.training.state import RunResult, RunState
from autoprog_search.training.trainer import Trainer
from tests.tiny import CPU, FEW, FORK, SHORT, run_interrupted, same_bits, tiny_config, tiny_data, tiny_trainer

# 75 steps: two a tick and a bit; the learning rate warms up for 7 of them, and a branch of the probe takes 8.
CONFIG = tiny_config(
    *SHORT,
    *FEW,
    "space.clock=free",
    "recipe.epochs=15",
    "recipe.sched=wsd",
    "recipe.warmup_share=0.1",
    "recipe.mixup=0.2",
    "recipe.drop_path=0.1",
    "growth.search.probe_share=0.1",
    "growth.search.depth_mixing=0.5",
    "growth.search.patches_mixing=1",
)
DEEPER = CONFIG.model_copy(update={"space": CONFIG.space.model_copy(update={"patches": (16,)})})
FREE = ("space.clock=free", "recipe.epochs=8.2", "recipe.warmup_share=0.1")
ONTO_TARGET = OneShotMethod(ScoreRule(target_speedup=1.4))
SPEC = RunSpec(CONFIG.space, CONFIG.recipe, CONFIG.growth, planned_steps(CONFIG.space, CONFIG.recipe, 200), 0)
SMALL = first_of(CONFIG.space.sub_networks)
PROBE_AT = 8  # the fifth tick is the first with the full learning rate


@pytest.fixture(scope="module")
def told() -> tuple[RunResult, list[float]]:
    """The run that nothing disturbs, and its training losses, step by step."""
    losses: list[float] = []
    follow = RunState.follow

    def noted(state: RunState, loss: float, window: int) -> None:
        losses.append(loss)
        follow(state, loss, window)

    with mock.patch.object(RunState, "follow", noted):
        return tiny_trainer(CONFIG).train(), losses


@pytest.fixture(scope="module")
def undisturbed(told) -> RunResult:
    return told[0]


@pytest.fixture(scope="module")
def growths(undisturbed) -> list[int]:
    """The steps at which it grew."""
    return sorted({row["step"] for row in clock_rows(SPEC, undisturbed.state.stages) if row["grew"]})


def test_it_starts_small_measures_once_and_ends_full(undisturbed):
    state = undisturbed.state
    chosen = [record.chosen for record in state.stages]
    assert chosen[0] == SMALL
    assert chosen[-1] == CONFIG.space.full
    assert all(a.depth <= b.depth and a.patches <= b.patches for a, b in pairwise(chosen))
    untils = [record.until for record in state.stages]
    assert untils == sorted(set(untils))
    assert untils[-1] == TICKS
    (measured,) = [record for record in state.stages if record.probe]
    assert {name: len(losses) for name, losses in measured.probe.items()} == {"stayed": 8, "patches": 8}
    assert state.step == sum(state.steps.values()) == 75


def test_the_probe_is_charged(undisturbed):
    run = tiny_trainer(CONFIG).run
    full = CONFIG.space.full
    assert undisturbed.state.search_flops == 8 * (run.step_flops(SMALL) + run.step_flops(full))
    assert undisturbed.train_flops == sum(n * run.step_flops(s) for s, n in undisturbed.state.steps.items())
    assert full in undisturbed.state.steps


def test_what_was_expected_is_kept_beside_what_came(told, growths):
    result, losses = told
    stages = result.state.stages
    (measured,) = [record for record in stages if record.probe]
    stayed = measured.probe["stayed"]
    assert measured.mixing == {"patches": fit_mixing(measured.probe["patches"], stayed)}
    assert len(losses) == 75
    grown = [record for record in stages if record.level is not None]
    for record, begin, end in zip(grown, growths, [*growths[1:], 75], strict=True):
        before = losses[max(begin - 16, 0, *(g for g in growths if g < begin)) : begin]
        assert record.level == pytest.approx(fmean(before))
        assert record.watched == end - begin
        assert sum(record.spans) == pytest.approx(sum(losses[begin:end]))
        assert record.spans[0] == pytest.approx(sum(losses[begin : begin + 8][: end - begin]))
    rows = clock_rows(SPEC, stages)
    assert [(row["stage"], row["axis"]) for row in rows] == [
        (k, axis) for k in range(1, len(stages) + 1) for axis in ("depth", "patches")
    ]
    for row in rows:
        record, measured_by_now = stages[row["stage"] - 1], row["stage"] > stages.index(measured)
        assert row["deadline"] == record.deadlines.get(row["axis"])
        assert row["mixing"] == (measured.mixing.get(row["axis"]) if measured_by_now else None)
        assert row["probed"] == (8 if record is measured else 0)
        assert row["mixed"] == (came_back(record.level, record.spans, record.watched) if row["grew"] else None)


@pytest.mark.parametrize("axis", ["patches", "depth"])
def test_no_axis_grows_after_its_deadline(axis, undisturbed):
    """As it was known when the axis grew, and at every decision before; depth grows where patches cannot."""
    result = undisturbed if axis == "patches" else tiny_trainer(DEEPER).train()
    rows = clock_rows(SPEC, result.state.stages)
    (grew,) = [row for row in rows if row["grew"]]
    known = [row["deadline"] for row in rows if row["axis"] == axis and row["deadline"] is not None]
    assert known
    assert grew["axis"] == axis
    assert set(known) == {grew["tick"]}


def test_what_a_probe_did_is_undone(undisturbed):
    """The same schedule, told beforehand, has the same bits as the run that probed to find it."""
    space = CONFIG.space
    levels = space.levels_through(
        [record.chosen for record in undisturbed.state.stages],
        [b - a for a, b in pairwise([0, *(record.until for record in undisturbed.state.stages)])],
    )
    program, data = through(space, levels), tiny_data(CONFIG)
    spec = spec_under(program, RunSpec(space, CONFIG.recipe, CONFIG.growth, (), 0), data)
    told = Trainer(Run(spec, data, device=CPU), program).train()
    assert told.state.steps == undisturbed.state.steps
    assert [row["val_loss"] for row in told.state.curve] == pytest.approx(
        [row["val_loss"] for row in undisturbed.state.curve], rel=0.2
    )
    assert undisturbed.state.stages[0].until == 4
    epochs = PROBE_AT // 5  # those before the probe, and the one after it while the network stays small
    for a, b in list(zip(told.state.curve, undisturbed.state.curve, strict=True))[: epochs + 1]:
        assert a["val_loss"] == b["val_loss"]


@pytest.mark.parametrize("stops", [(PROBE_AT,), (3, PROBE_AT + 1, 40), (20, 30, 50, 70)], ids=str)
def test_an_interrupted_run_ends_with_the_same_bits(stops, undisturbed, tmp_path):
    resumed = run_interrupted(CONFIG, tmp_path / "checkpoint.pt", stops)
    assert same_bits(resumed.weights, undisturbed.weights)
    assert resumed.state.stages == undisturbed.state.stages
    assert resumed.state.curve == undisturbed.state.curve
    assert resumed.state.search_flops == undisturbed.state.search_flops


@pytest.mark.parametrize("asked", [1, 15])  # of two branches of eight steps; one that is killed is below
def test_interrupted_inside_the_probe(asked, undisturbed, tmp_path):
    path, looks = tmp_path / "checkpoint.pt", []

    def should_stop() -> bool:
        if trainer.run.state.step == PROBE_AT and trainer.run.state.phase == "open":
            looks.append(trainer.run.elastic.sub_network)
        return len(looks) == asked

    trainer = tiny_trainer(CONFIG, checkpoint=path, should_stop=should_stop)
    with pytest.raises(Interrupted):
        trainer.train()
    resumed = tiny_trainer(CONFIG, checkpoint=path).train()
    assert same_bits(resumed.weights, undisturbed.weights)
    assert resumed.state.stages == undisturbed.state.stages
    assert resumed.state.search_flops == undisturbed.state.search_flops


@pytest.mark.parametrize("place", ["inside the probe", "before the growth is stored", "while it is watched"])
def test_killed_around_probe_and_growth_it_ends_with_the_same_bits(place, undisturbed, growths, tmp_path):
    path = tmp_path / "checkpoint.pt"
    looks = count()

    def killed() -> None:
        trainer = tiny_trainer(CONFIG, checkpoint=path, should_stop=lambda: here(trainer.run))
        if place == "before the growth is stored":
            save = trainer.run.save
            trainer.run.save = lambda: here(trainer.run) or save()
        trainer.train()

    def here(run: Run) -> bool:
        step, phase = run.state.step, run.state.phase
        if {
            "inside the probe": step == PROBE_AT and phase == "open" and next(looks) == 12,
            "before the growth is stored": step == growths[-1] and phase == "train",
            "while it is watched": step == growths[0] + 3,
        }[place]:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    process = FORK.Process(target=killed)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    again = tiny_trainer(CONFIG, checkpoint=path)
    assert again.run.state.step > 0
    resumed = again.train()
    assert same_bits(resumed.weights, undisturbed.weights)
    assert resumed.state.stages == undisturbed.state.stages
    assert resumed.state.search_flops == undisturbed.state.search_flops


def test_a_run_that_is_too_short_says_so():
    with pytest.raises(ConfigError, match=r"epochs: 7 are 35 steps, fewer than the 36 ticks of space\.clock: free"):
        tiny_trainer(tiny_config(*SHORT, *FEW, "space.clock=free", "recipe.epochs=7"), OneShotMethod())


@pytest.mark.parametrize(("space", "axis"), [("space.resolutions=[16]", "depth"), ("space.depths=[4]", "patches")])
def test_an_axis_of_one_size_is_not_probed(space, axis):
    state = tiny_trainer(tiny_config(*SHORT, *FEW, *FREE, space)).train().state
    (probed,) = [record.probe for record in state.stages if record.probe]
    assert set(probed) == {"stayed", axis}
    chosen = [record.chosen for record in state.stages[1:]]  # those after the one that ends where the probe begins
    assert len(set(chosen)) == len(chosen) <= 2


def test_a_network_of_one_size_trains_without_a_choice():
    one = tiny_config(*SHORT, *FEW, *FREE, "space.depths=[4]", "space.resolutions=[16]")
    (record,) = tiny_trainer(one).train().state.stages
    assert (record.until, record.probe) == (TICKS, {})


def test_a_target_is_met_from_a_run_of_few_steps():
    """No searches have to fit into ticks."""
    result = tiny_trainer(tiny_config(*SHORT, *FEW, *FREE, "growth.target_speedup=1.4"), ONTO_TARGET).train()
    spent = (result.train_flops + result.state.search_flops) / (result.step_flops_full * result.state.step)
    assert 1 / spent == pytest.approx(1.4, rel=0.1)


def test_adareg_needs_stages_that_are_given():
    with pytest.raises(ConfigError, match=r"growth\.adareg: .*space\.clock: free; leave it out"):
        tiny_trainer(tiny_config(*SHORT, *FEW, *FREE, "growth.adareg=true"))


def test_a_probe_leaves_the_larger_patches_as_they_were():
    """Fitted ones, too: the kernels, the EMAs', and what the optimiser keeps of them."""
    fitted = ("space.patches_by=patch_size", "growth.blocks.patch_operator=least_squares")
    run = tiny_trainer(tiny_config(*SHORT, *FEW, *FREE, *fitted)).run
    Trainer(run, OneShotMethod()).train_parts(1)
    small = run.standing
    before = deepcopy((run.networks.to_dict(), run.step.optimizer.state_dict()))
    grown = probe(run, run.elastic.full)
    assert grown != probe(run, small)
    assert run.elastic.sub_network == small
    torch.testing.assert_close((run.networks.to_dict(), run.step.optimizer.state_dict()), before, rtol=0, atol=0)


def test_a_length_that_is_not_whole_needs_a_free_clock():
    assert tiny_trainer(tiny_config(*SHORT, *FEW, "space.clock=free", "recipe.epochs=7.4")).run.spec.steps == 37
    with pytest.raises(SpaceError, match=r"epochs: 7\.4 is not whole"):
        tiny_trainer(tiny_config(*SHORT, *FEW, "recipe.epochs=7.4"))


def test_drawn_schedules_are_trained_as_drawn():
    space, data = CONFIG.space, tiny_data(CONFIG)
    program = through(space, space.sample(Random(3)))
    spec = spec_under(program, RunSpec(space, CONFIG.recipe, CONFIG.growth, (), 0), data)
    result = Trainer(Run(spec, data, device=CPU), program).train()
    assert [record.chosen for record in result.state.stages] == list(program.sub_networks)
    steps = [result.state.steps[s] for s in program.sub_networks]
    assert steps == pytest.approx([share * 75 for share in program.shares], abs=1)
    assert sum(steps) == 75
