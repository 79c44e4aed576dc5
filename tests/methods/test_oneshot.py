"""AutoProg without a host; as a survey led along its path, and then where the score leads."""

from __future__ import annotations

from autoprog_search.methods.oneshot import OneShotMethod, survey_paths
from autoprog_search.oneshot.score import ScoreRule, choose
from autoprog_search.space import GrowthSpace
from autoprog_search.testing.methods import play

DIGITS = GrowthSpace.load("digits")  # four stages: three are searched, two are walked


def test_it_walks_every_way_and_lets_the_score_choose_last():
    rule = ScoreRule(w=0.2)
    walked = [play(OneShotMethod(rule, path), DIGITS) for path in survey_paths(DIGITS, "any")]
    chosen = [tuple(choice.sub_network for _, choice in run) for run in walked]
    assert len({path[:2] for path in chosen}) == len(chosen)
    for run in walked:
        context, choice = run[-1]
        assert choice == choose(context, rule)
    # What AutoProg meets on its own way has been met.
    met = {(context.stage, context.previous) for run in walked for context, _ in run}
    free = play(OneShotMethod(rule), DIGITS)
    assert {(context.stage, context.previous) for context, _ in free} <= met


def test_a_space_with_one_search_needs_one_trial():
    assert survey_paths(DIGITS.model_copy(update={"stages": 2}), "none") == ((),)
