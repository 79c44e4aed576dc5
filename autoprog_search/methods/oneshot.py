"""AutoProg without a host: each stage from the one-shot estimates of the run itself."""

from __future__ import annotations

from dataclasses import dataclass

from autoprog_search.choosing import Choice, StageContext
from autoprog_search.oneshot.score import ScoreRule, choose


@dataclass(frozen=True)
class OneShotMethod:
    """Answers from the run in progress; what an Optuna sampler or an NNI strategy would say under the same rule."""

    rule: ScoreRule = ScoreRule()

    def needs_estimates(self, stage: int) -> bool:
        """At every stage."""
        return True

    def choose(self, context: StageContext) -> Choice:
        """The candidate with the best score."""
        return choose(context, self.rule)
