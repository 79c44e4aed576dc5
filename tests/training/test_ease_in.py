"""How a stage's new blocks come in: the schedule by hand, and that a run follows it."""

from __future__ import annotations

import torch

from autoprog_search.training.networks import eased_in
from tests.tiny import FEW, SHORT, levels, run_interrupted, same_bits, tiny_config, tiny_trainer

FADING = (*SHORT, "growth.operator=masked", "growth.blocks.ease_in_share=0.3")  # 9 of 30 steps, 10 to a stage
MASKED = tiny_config(*FADING)


def test_the_share_rises_linearly_from_the_stages_first_step():
    stages = (30, 40, 30)
    assert [eased_in(stages, 0.1, 1, step) for step in (30, 31, 35, 40, 41, 70)] == [0.0, 0.1, 0.5, 1.0, 1.0, 1.0]
    assert eased_in(stages, 0.1, 2, 70) == 0.0


def test_it_takes_a_step_at_least_and_ends_with_its_stage():
    assert eased_in((30, 10), 0.001, 1, 31) == 1.0
    assert eased_in((30, 10), 0.5, 0, 10) == 0.5  # of 20 steps
    assert [eased_in((30, 10), 0.5, 1, step) for step in (35, 40)] == [0.5, 1.0]


def test_a_run_fades_its_new_blocks_in_and_ends_as_the_plain_network():
    seen = {}

    def look(run):
        seen[run.state.step] = [network.model.blocks.faded for network in run.networks]

    trainer = tiny_trainer(MASKED, levels(MASKED, (0, 0), (1, 1), (2, 2)), after_step=look)
    result = trainer.train()
    chain = trainer.run.elastic.chain
    for stage, depth in ((2, 2), (3, 3)):
        for step in range(10 * (stage - 1) + 1, 10 * stage + 1):
            share = (step - 10 * (stage - 1)) / 9
            new = {index: share for index in range(4) if index not in chain[depth] and share < 1}
            assert seen[step] == [new] * 3, step
    assert seen[30] == [{}] * 3
    assert all(seen[step] == [{}] * 3 for step in range(1, 11))
    trainer.run.elastic.model.load_state_dict(result.weights)


def test_a_searching_run_that_fades_resumes_with_the_same_bits(tmp_path):
    """Stopped within the fades of stages 2 and 3, in the search and after it; epochs end within both."""
    config = tiny_config(*FADING, *FEW)
    undisturbed = tiny_trainer(config).train()
    resumed = run_interrupted(config, tmp_path / "checkpoint.pt", (11, 16, 18, 21, 26))
    assert same_bits(resumed.weights, undisturbed.weights)
    assert resumed.state.curve == undisturbed.state.curve
    assert resumed.state.stages == undisturbed.state.stages
    plain = tiny_trainer(tiny_config(*SHORT, *FEW, "growth.operator=interpolation")).train()
    assert not same_bits(plain.weights, undisturbed.weights)  # the control: something faded


def test_a_finished_run_is_restored(tmp_path):
    method, path = levels(MASKED, (0, 0), (1, 1), (2, 2)), tmp_path / "checkpoint.pt"
    result = tiny_trainer(MASKED, method, checkpoint=path).train()
    again = tiny_trainer(MASKED, method, checkpoint=path).train()
    assert again.val == result.val
    assert torch.equal(again.weights["head.weight"], result.weights["head.weight"])
