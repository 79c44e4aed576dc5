"""AutoProg without a host: each stage from the one-shot estimates of the run itself, or along a path given."""

from __future__ import annotations

from dataclasses import dataclass

from autoprog_search.choosing import Choice, StageContext
from autoprog_search.oneshot.candidates import ForceGrowth, paths
from autoprog_search.oneshot.score import ScoreRule, choose
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace


@dataclass(frozen=True)
class OneShotMethod:
    """Answers from the run in progress; what an Optuna sampler or an NNI strategy would say under the same rule.

    Args:
        path: candidates of the first stages, which are searched all the same. What the last search chooses changes no
            estimate, so a survey leaves that to the score: the run is one of AutoProg's, forced along a path.
    """

    rule: ScoreRule = ScoreRule()
    path: tuple[SubNetwork, ...] = ()

    def needs_estimates(self, stage: int) -> bool:
        return True

    def choose(self, context: StageContext) -> Choice:
        """The path's candidate, past it the one with the best score."""
        if context.stage <= len(self.path):
            return Choice(self.path[context.stage - 1])
        return choose(context, self.rule)


def survey_paths(space: GrowthSpace, force_growth: ForceGrowth) -> tuple[tuple[SubNetwork, ...], ...]:
    """A path a trial, so that all estimates that a search may ever meet are stored.

    Every way through all stages that are searched, but the last of them.
    """
    return paths(space, max(0, space.stages - 2), force_growth)
