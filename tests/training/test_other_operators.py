"""A search that tries several growth operators: the operator is part of the candidate."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from autoprog_search.choosing import Choice
from autoprog_search.errors import ConfigError, GrowthError
from autoprog_search.interrupt import Interrupted
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.oneshot.score import ScoreRule
from autoprog_search.training.trainer import Trainer
from tests.tiny import tiny_config, tiny_trainer
from tests.training.test_resume import same_bits

SEARCH = ("growth.search_points=2", "growth.force_growth=any", "recipe.drop_path=0.1", "growth.ease_in_share=0.3")
OPERATORS = ("rand_init", "masked", "mogrow")


@dataclass(frozen=True)
class ThenLargest(OneShotMethod):
    """Chooses by score at stage 1, and at stage 2 the candidate that grows most."""

    def choose(self, context):
        return super().choose(context) if context.stage == 1 else Choice(context.candidates[-1])


def trainer(first: str, *others: str, method=None) -> Trainer:
    config = tiny_config(*SEARCH, f"growth.operator={first}", f"growth.other_operators={list(others)}")
    return tiny_trainer(config, method or ThenLargest())


def after_stage_2(run: Trainer) -> Trainer:
    """Before stage 3, which has a search of its own."""
    run.run_stages(2)
    return run


@pytest.fixture(scope="module")
def alone():
    return {name: after_stage_2(trainer(name)) for name in OPERATORS}


@pytest.mark.parametrize("shift", range(3))
def test_each_candidate_is_judged_by_its_best_operator_and_the_run_goes_on_from_there(shift, alone):
    order = (*OPERATORS[shift:], *OPERATORS[:shift])
    together = after_stage_2(trainer(*order))
    first, second = together.state.stages
    single = {name: run.state.stages[1] for name, run in alone.items()}
    assert len(second.candidates) > 2
    assert first == alone[order[0]].state.stages[0]  # nothing grows there
    assert first.operators == ()
    for c, operator in enumerate(second.operators):
        assert second.losses[c] == min(record.losses[c] for record in single.values()) == single[operator].losses[c]
        assert second.loss_ses[c] == single[operator].loss_ses[c]
    winner = alone[second.operators[-1]]
    networks, like_networks = together.networks, winner.networks  # stage 3 is searched: the estimation EMA went on
    for network, like in ((networks.online, like_networks.online), (networks.momentum, like_networks.momentum)):
        assert same_bits(network.model.state_dict(), like.model.state_dict())
    assert together.state.steps == winner.state.steps
    assert together.state.growth_top1 == winner.state.growth_top1


def test_what_the_others_took_counts_as_search(alone):
    one, two, three = runs = [
        alone["rand_init"],
        after_stage_2(trainer(*OPERATORS[:2])),
        after_stage_2(trainer(*OPERATORS)),
    ]
    assert len({run.train_flops() for run in runs}) == 1
    searches = [run.state.search_flops for run in runs]
    another = searches[1] - searches[0]
    assert searches[2] - searches[1] == another
    record = one.state.stages[1]
    turns, rest = divmod(record.searched_steps, len(record.candidates))
    assert rest == 0
    supernet = turns * sum(two.elastic.cost.step_flops(c, two.spec.recipe.batch_size) for c in record.candidates)
    assert another == pytest.approx(supernet + two._search._estimate_flops(2, record.candidates))
    assert three.state.curve[-1]["flops"] == three.train_flops() + searches[2]
    assert two.state.search_seconds > one.state.search_seconds


def test_a_target_is_kept_with_several_operators():
    config = tiny_config(*SEARCH, "growth.target_speedup=1.2", "growth.other_operators=[zero_init]")
    result = tiny_trainer(config, OneShotMethod(ScoreRule(**config.growth.score_settings()))).run()
    full = result.step_flops_full * result.state.step
    assert full / (result.train_flops + result.state.search_flops) == pytest.approx(1.2, rel=0.05)


def test_interrupted_in_any_operators_part_it_ends_alike(tmp_path):
    """Stage 2 takes its steps 30 to 36 once under each operator, stage 3 those from 60; both are stopped in several."""
    config = tiny_config(*SEARCH, "growth.operator=rand_init", "growth.other_operators=[masked, mogrow]")
    small = OneShotMethod(ScoreRule(w=2.0))  # so that both stages grow
    undisturbed = tiny_trainer(config, small).run()
    path = tmp_path / "checkpoint.pt"
    for place in [(0, 31), (1, 30), (1, 34), (2, 33), (0, 40), (0, 61), (1, 61), (0, 80)]:
        trainer = tiny_trainer(config, small, checkpoint=path)
        trainer._should_stop = lambda trainer=trainer, place=place: (len(trainer._tried), trainer.state.step) == place
        with pytest.raises(Interrupted):
            trainer.run()
    resumed = tiny_trainer(config, small, checkpoint=path).run()
    assert [record.operators != () for record in resumed.state.stages] == [False, True, True]
    assert resumed.state.stages == undisturbed.state.stages
    assert resumed.state.curve == undisturbed.state.curve
    assert resumed.state.search_flops == undisturbed.state.search_flops
    assert same_bits(resumed.weights, undisturbed.weights)


def test_killed_as_a_stage_opens_nothing_of_it_fades_that_its_operator_does_not(tmp_path):
    """The stage before had grown by one that fades."""
    config = tiny_config(*SEARCH, "growth.operator=masked", "growth.force_growth=depth")
    undisturbed = tiny_trainer(config).run()
    path = tmp_path / "checkpoint.pt"
    first = tiny_trainer(config, checkpoint=path)
    first.run_stages(2)
    assert first.state.phase == "open"
    resumed = tiny_trainer(config, checkpoint=path)
    assert all(not container.faded for network in resumed.networks for container, _ in network._containers())
    assert same_bits(resumed.run().weights, undisturbed.weights)


def test_the_last_growth_is_chosen_too():
    """Not among networks: the last stage trains the full one."""
    small = OneShotMethod(ScoreRule(w=2.0))
    run = trainer("rand_init", "zero_init", method=small)
    state = run.run().state
    assert state.stages[-2].chosen.depth < run.elastic.full.depth
    assert state.stages[-1].candidates == (run.elastic.full,)
    assert state.stages[-1].operators == (state.operator,)
    assert state.stages[-1].searched_steps > 0


def test_where_no_block_comes_in_nothing_is_tried():
    config = tiny_config(*SEARCH, "growth.other_operators=[zero_init]", "growth.force_growth=patches")

    @dataclass(frozen=True)
    class Deep(OneShotMethod):
        def choose(self, context):
            return Choice(next(c for c in context.candidates if c.depth == 4))

    state = tiny_trainer(config, Deep()).run().state
    assert [record.operators for record in state.stages] == [(), (), ()]
    assert state.stages[2].candidates == ()


def test_a_decrease_decides_where_the_score_measures_one():
    config = tiny_config(*SEARCH, "growth.score=slope", "growth.operator=rand_init", "growth.other_operators=[masked]")
    runs = [
        tiny_trainer(tiny_config(*SEARCH, "growth.score=slope", f"growth.operator={name}"), ThenLargest()).run()
        for name in ("rand_init", "masked")
    ]
    record = tiny_trainer(config, ThenLargest()).run().state.stages[1]
    single = [run.state.stages[1].decreases for run in runs]
    assert record.decreases == tuple(map(max, *single))


def test_progress_does_not_stumble_over_steps_that_are_taken_again():
    seen = []
    config = tiny_config(*SEARCH, "growth.other_operators=[zero_init]")
    run = tiny_trainer(config, on_progress=seen.append)
    run.run()
    assert all(progress.images_per_second > 0 and progress.seconds_left >= 0 for progress in seen)
    assert run._session.steps > run.state.step  # more steps were taken than the run has


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["growth.other_operators=[mogrow_new]"], "growth, other_operators: mogrow_new is tried already"),
        (["growth.other_operators=[split, split]"], "growth, other_operators: split is tried already"),
        (["growth.other_operators=[split]", "growth.path=random"], "other_operators: on random paths"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        tiny_config(*settings)


def test_operators_must_run_the_same_blocks():
    with pytest.raises(GrowthError, match=r"other_operators: stacking has a chain of its own .* give growth.chain"):
        tiny_config("growth.other_operators=[stacking]")
    assert tiny_config("growth.other_operators=[stacking]", "growth.chain=even").growth.operators[1] == "stacking"
    with pytest.raises(GrowthError, match=r"operator: 'grow' is unknown"):
        tiny_config("growth.other_operators=[grow]")
