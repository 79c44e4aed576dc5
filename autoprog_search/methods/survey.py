"""AutoProg's search along every way that it can go, so that all estimates it may ever meet are stored."""

from __future__ import annotations

from dataclasses import dataclass

from autoprog_search.choosing import Choice, StageContext
from autoprog_search.oneshot.candidates import ForceGrowth, paths
from autoprog_search.oneshot.score import ScoreRule, choose
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace


@dataclass(frozen=True)
class SurveyMethod:
    """Searches every stage as AutoProg does, but goes where it is told to; past its path the score chooses.

    Which candidate the last search chooses changes no estimate. It is AutoProg's choice, so that the run itself is one
    of AutoProg's, forced along the path before.

    Args:
        path: candidates of the first stages.
    """

    path: tuple[SubNetwork, ...]
    rule: ScoreRule = ScoreRule()

    def needs_estimates(self, stage: int) -> bool:
        """At every stage."""
        return True

    def choose(self, context: StageContext) -> Choice:
        """The path's candidate, or the one with the best score."""
        if context.stage <= len(self.path):
            return Choice(self.path[context.stage - 1])
        return choose(context, self.rule)


def survey_paths(space: GrowthSpace, force_growth: ForceGrowth) -> tuple[tuple[SubNetwork, ...], ...]:
    """A path a trial: every way through all stages that are searched, but the last of them."""
    return paths(space, max(0, space.stages - 2), force_growth)
