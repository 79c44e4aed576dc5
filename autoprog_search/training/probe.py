"""A probe: how a run's loss goes where it grows now. Branches of a few steps each, thrown away, and charged."""

from __future__ import annotations

import time
from copy import deepcopy

import torch

from autoprog_search.interrupt import Interrupted
from autoprog_search.randomness import derive
from autoprog_search.schedule import SubNetwork
from autoprog_search.training.run import Run


def probe_steps(run: Run) -> int:
    """Optimiser steps of a branch, at least one."""
    return max(1, round(run.spec.growth.search.probe_share * run.spec.steps))


def probe(run: Run, towards: SubNetwork) -> list[float]:
    """Training losses of a branch that grows to `towards` where the run stands, step by step; then all is as it was.

    Branches from the same point train on the same images, those that the run itself trains on next, so that their
    differences say more than their losses. What a branch costs goes to the run's search.

    Raises:
        Interrupted: the run's `should_stop` said so. The run stands in the branch then, and its checkpoint before it.
    """
    began, state, networks, optimizer = time.perf_counter(), run.state, run.networks, run.step.optimizer
    stood, weights, moments = run.standing, deepcopy(networks.to_dict()), deepcopy(optimizer.state_dict())
    torch.manual_seed(derive(run.spec.seed, "probe", state.stage))  # for operators that draw
    networks.grow(towards, optimizer, run.some_images)
    losses = _train(run, towards)
    networks.load(weights)
    optimizer.load_state_dict(moments)
    networks.activate(stood)
    state.search_flops += len(losses) * run.step_flops(towards)
    state.search_seconds += time.perf_counter() - began
    return losses


def _train(run: Run, towards: SubNetwork) -> list[float]:
    spec, state, elastic = run.spec, run.state, run.elastic
    strength, count = run.strength, min(probe_steps(run), run.ends[-1] - run.state.step)
    elastic.train()
    elastic.drop_path_rate = spec.recipe.drop_path * strength.drop_path
    elastic.activate(towards)
    batches = run.data.train_batches(
        spec.seed,
        state.step,
        state.step + count,
        spec.recipe.batch_size,
        lambda step: elastic.patching.image_side(towards),
        strength,
        run.world.part,
    )
    run.step.begin(drawn=False)
    losses = []
    for step, (images, labels) in enumerate(batches, start=state.step):
        if run.world.any_of(run.should_stop())[0]:
            run.world.together()
            raise Interrupted
        losses.append(run.step(images, labels, step, derive(spec.seed, "step", step)))
        run.networks.fade_in(state.previous, state.part, step + 1)
    return [float(loss) for loss in run.world.mean(torch.stack(losses).double()).tolist()]
