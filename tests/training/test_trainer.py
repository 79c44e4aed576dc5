"""What the staged loop promises: stages, costs, recycling, failure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log

import pytest
import torch

from autoprog_search.choosing import Choice, StageContext
from autoprog_search.errors import ConfigError, RunFailedError
from autoprog_search.growth.operators import GROWTH_OPERATORS
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.oneshot import estimate as oneshot
from autoprog_search.oneshot.score import ScoreRule, choose
from autoprog_search.schedule import SubNetwork
from autoprog_search.training.state import RunResult
from tests.tiny import FEW, SHORT, levels, same_bits, tiny_config, tiny_trainer

CONFIG = tiny_config("growth.force_growth=any", "growth.search.points=2")  # the paper's rule
LINEAR = tiny_config(*SHORT)


@dataclass
class Searched:
    """A run of `CONFIG`, and what was seen of it."""

    result: RunResult
    asked: list[StageContext]
    recycled: list[int]  # stages whose first step found the weights that their search left


@pytest.fixture(scope="module")
def searched() -> Searched:
    asked, found, recycled = [], [], []

    class Spy(OneShotMethod):
        def choose(self, context):
            asked.append(context)
            choice = super().choose(context)
            weights = {name: value.clone() for name, value in trainer.run.elastic.model.state_dict().items()}
            if context.estimates:
                found.append((choice.sub_network, weights, len(trainer.run.step.optimizer.state)))
            return choice

    def check(run):
        if len(recycled) < len(found):
            chosen, weights, states = found[-1]
            assert same_bits(run.elastic.model.state_dict(), weights)
            assert len(run.step.optimizer.state) == states
            assert run.elastic.sub_network == chosen
            recycled.append(run.state.stage)

    trainer = tiny_trainer(CONFIG, Spy(), before_step=check)
    return Searched(trainer.train(), asked, recycled)


def test_linear_schedule_runs_stage_by_stage():
    trainer = tiny_trainer(LINEAR, levels(LINEAR, (0, 0), (1, 1), (2, 2)))
    result = trainer.train()
    assert [(r.chosen.depth, r.chosen.grid) for r in result.state.stages] == [(2, 2), (3, 3), (4, 4)]
    assert [point["stage"] for point in result.state.curve] == [1, 1, 2, 2, 3, 3]
    assert result.state.search_flops == 0
    assert trainer.run.elastic.sub_network == LINEAR.space.full


@pytest.mark.parametrize("operator", ["zero_init", "rand_init"])
def test_accuracy_just_before_and_after_a_growth_is_noted(operator):
    config = tiny_config(f"growth.operator={operator}", *SHORT)
    result = tiny_trainer(config, levels(config, (0, 2), (0, 2), (2, 2))).train()
    first, stayed, grown = result.state.growth_top1
    before_growth = [point["val_top1"] for point in result.state.curve if point["stage"] == 2][-1]
    assert first is stayed is None
    assert grown[0] == before_growth  # the stage ended with an epoch
    assert (grown[0] == grown[1]) == (operator == "zero_init")  # which changes no output


def test_cost_of_a_schedule_is_the_sum_over_the_steps_that_ran():
    method = levels(LINEAR, (0, 1), (2, 1), (2, 2))
    trainer = tiny_trainer(LINEAR, method)
    result = trainer.train()
    predicted = dict(zip(method.sub_networks, trainer.run.spec.part_steps, strict=True))
    assert result.state.steps == predicted
    batch_size = LINEAR.recipe.batch_size
    by_hand = sum(
        3 * batch_size * trainer.run.elastic.cost.forward_flops(s) * steps
        for s, steps in zip(method.sub_networks, trainer.run.spec.part_steps, strict=True)
    )
    assert result.train_flops == by_hand


def test_search_trains_every_candidate_equally_and_counts_it_as_training(searched):
    result = searched.result
    first = result.state.stages[0]
    assert len(first.candidates) == 9
    assert first.searched_steps == 18
    assert first.chosen in first.candidates
    assert sum(result.state.steps.values()) == 90
    assert all(result.state.steps[c] >= 2 for c in first.candidates)
    assert 0 < result.state.search_flops < 0.05 * result.train_flops


def test_growth_is_forced_by_default_and_can_be_left_free(searched):
    for k, record in enumerate(searched.result.state.stages[1:2], start=2):
        assert record.chosen != record.candidates[0] or k == 3
    config = tiny_config(*SHORT, *FEW, "growth.force_growth=none", "growth.search.estimate_at=own")
    free = tiny_trainer(config).train().state.stages
    assert free[0].chosen in free[1].candidates


def test_permuting_the_estimates_of_a_real_run_changes_its_choice(searched):
    changed = 0
    for context in searched.asked:
        if not context.estimates or len(context.estimates) < 2:
            continue
        losses = [e.loss for e in context.estimates]
        rotated = tuple(
            replace(e, loss=loss) for e, loss in zip(context.estimates, losses[1:] + losses[:1], strict=True)
        )
        before = choose(context, ScoreRule()).sub_network
        changed += choose(replace(context, estimates=rotated), ScoreRule()).sub_network != before
    assert changed > 0


def test_recycling_keeps_the_supernets_weights_and_optimiser_state(searched):
    """Nothing is written between the end of the search and the first step of what it chose."""
    assert searched.recycled == [1, 2]


@pytest.mark.parametrize("operator", GROWTH_OPERATORS)
def test_every_operator_trains_through_a_schedule(operator):
    config = tiny_config(*SHORT, f"growth.operator={operator}", "recipe.epochs=3")
    result = tiny_trainer(config, levels(config, (0, 0), (1, 1), (2, 2))).train()
    assert all(torch.isfinite(value).all() for value in result.weights.values())


def test_loss_that_is_not_finite_fails_the_run():
    config = tiny_config("recipe.lr=1e18", "recipe.warmup_share=0")
    with pytest.raises(RunFailedError, match=r"loss: not finite at step \d+ of 90 .*recipe.lr"):
        tiny_trainer(config, levels(config, (2, 2), (2, 2), (2, 2))).train()


def test_search_longer_than_its_stage_is_refused():
    config = tiny_config("recipe.epochs=3")
    with pytest.raises(ConfigError, match=r"stage 1 has 15 steps, its search takes 18"):
        tiny_trainer(config).train()


def test_method_that_chooses_no_candidate_is_our_bug():
    class Wrong(OneShotMethod):
        def choose(self, context):
            return Choice(SubNetwork(1, 4))

    with pytest.raises(AssertionError, match="no candidate"):
        tiny_trainer(CONFIG, Wrong()).train()


def test_seconds_as_cost_need_a_profile():
    config = tiny_config("growth.search.score_cost=seconds")
    with pytest.raises(ConfigError, match="profile"):
        tiny_trainer(config).train()


@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_estimates_are_of_the_weights_that_the_setting_names(weights, monkeypatch):
    config = tiny_config(
        f"growth.search.estimate_weights={weights}", "growth.search.points=2", "space.stages=2", *SHORT, *FEW
    )
    trainer, judged = tiny_trainer(config), []
    estimate = oneshot.network_losses

    def spy(network, networks, batches):
        judged.append(network)
        return estimate(network, networks, batches)

    monkeypatch.setattr(oneshot, "network_losses", spy)
    trainer.train()
    expected = trainer.run.elastic if weights == "raw" else trainer.run.networks.estimation
    assert len(judged) == 2
    assert all(network is expected for network in judged)


def test_the_decrease_since_the_stage_began_is_measured_from_the_network_that_it_found():
    config = tiny_config(
        *SHORT, *FEW, "growth.search.score=loss_decrease_per_flop", "space.stages=2", "recipe.epochs=4"
    )
    trainer = tiny_trainer(config, OneShotMethod(config.growth.rule()))
    first = trainer.train().state.stages[0]
    assert first.decreases == tuple(log(10) - loss for loss in first.losses)
    assert [e.decrease for e in first.estimates] == list(first.decreases)
    best = max(zip(first.decreases, first.costs, first.candidates, strict=True), key=lambda row: row[0] / row[1])
    assert first.chosen == best[2]


def test_later_stages_measure_from_their_own_beginning():
    config = tiny_config(*SHORT, *FEW, "growth.search.score=loss_decrease_per_flop", "growth.force_growth=any")
    trainer, noted = tiny_trainer(config, OneShotMethod(ScoreRule(w=9.0, score="loss_decrease_per_flop"))), []
    begin = trainer.search.begin

    def spy(state, network, lambda_k, previous):
        flops = state.search_flops
        begin(state, network, lambda_k, previous)
        noted.append((previous, network.sub_network, state.reference_loss, state.search_flops - flops))

    trainer.search.begin = spy
    second = trainer.train().state.stages[1]
    (_, _, guess, free), (previous, running, found, paid) = noted
    assert (guess, free) == (log(10), 0)
    assert previous == running == config.space.at(0, 0)
    assert second.decreases == tuple(found - loss for loss in second.losses)
    assert paid % trainer.run.elastic.cost.forward_flops(previous) == 0 < paid


def test_a_slope_is_what_the_loss_fell_by_within_the_search():
    score = ("growth.search.score=slope", "growth.search.points=2")
    config = tiny_config(*SHORT, *FEW, *score, "space.stages=2", "recipe.epochs=4")
    trainer, means = tiny_trainer(config, OneShotMethod(ScoreRule(score="slope"))), []
    estimate = trainer.search.estimate

    def spy(state, network, lambda_k):
        estimate(state, network, lambda_k)
        means.append(state.search_means[-1])

    trainer.search.estimate = spy
    record = trainer.train().state.stages[0]
    first, last = means
    assert record.decreases == tuple(a - b for a, b in zip(first, last, strict=True))
    assert record.losses == pytest.approx([(a + b) / 2 for a, b in zip(first, last, strict=True)])


def test_candidates_can_be_judged_as_they_were_grown():
    config = tiny_config(*SHORT, "growth.search.share=0", "growth.force_growth=any", "growth.search.points=3")
    result = tiny_trainer(config).train()
    assert [record.searched_steps for record in result.state.stages] == [0, 0, 0]
    first, second, _ = result.state.stages
    assert len(first.losses) == 9
    assert first.losses == pytest.approx([log(10)] * 9)  # timm's classifiers start at zero
    assert min(second.losses) < log(10)
    assert result.state.search_flops > 0
    counts = [sum(n for s, n in result.state.steps.items() if s == record.chosen) for record in result.state.stages]
    assert sum(counts) >= 30  # every step trained what had been chosen
    with pytest.raises(ConfigError, match=r"share: slope .* cannot be 0"):
        tiny_config("growth.search.share=0", "growth.search.score=slope", "growth.search.points=2")


def test_a_slope_needs_two_points():
    with pytest.raises(ConfigError, match=r"growth.search, points: slope .* 1 is too few; give 2"):
        tiny_config("growth.search.score=slope", "growth.search.points=1")


@pytest.mark.parametrize("target", [1.2, 1.5])
def test_a_run_that_keeps_to_a_target_costs_what_was_asked_for(target):
    steps = ("data.train_share=0.4", "recipe.batch_size=40")  # 20 to a stage, of which a search takes 18
    config = tiny_config(*steps, f"growth.target_speedup={target}")
    result = tiny_trainer(config, OneShotMethod(config.growth.rule())).train()
    full = result.step_flops_full * result.state.step
    assert full / (result.train_flops + result.state.search_flops) == pytest.approx(target, rel=0.05)


def test_a_target_out_of_reach_is_refused_before_anything_is_trained():
    with pytest.raises(ConfigError, match=r"target_speedup: 9 is out of reach; .* allow 1\.\d\d to \d\.\d\d"):
        tiny_trainer(tiny_config("growth.target_speedup=9"))
