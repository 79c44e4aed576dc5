"""The score of a one-shot search: estimated loss, or how fast it falls, against cost (section 4, equation 8; no torch).

The paper minimises L * T^w, with w fitted so that a candidate on the trend L ~ b * T^a of its fellows scores like any
other: what wins is what lies below the trend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autoprog_search.choosing import Choice, Estimate, StageContext
from autoprog_search.errors import ConfigError, shown, there_are

TARGET_SLACK = 0.01  # relative to the target cost, within which candidates are equally good at reaching it
TIE = 1e-9  # scores nearer than this, relatively, are equal: the cheaper candidate wins


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """How a score weighs cost.

    Attributes:
        score: name in SCORES.
        w: exponent; None: the score's own, or fitted at every stage where it has none.
        w_scale: multiplies the exponent; several trials with several scales trace the Pareto front.
        w_default: exponent where none can be fitted and none was fitted before.
        tie_se: candidates tie with the best whose score is above its by no more than so many standard errors of the
            estimated losses, and the cheapest of them wins; 0: the paper, which takes each estimate as it is.
        target_speedup: the whole run is to cost the full run's over this; None: what the score makes of it.
    """

    score: str = "loss_cost"
    w: float | None = None
    w_scale: float = 1.0
    w_default: float = 0.0
    target_speedup: float | None = None
    tie_se: float = 0.0

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ConfigError(f"score: {shown(self.score)} is unknown; {there_are(self.score, SCORES)}")


def fit_weight(losses: Sequence[float], costs: Sequence[float]) -> float | None:
    """w = max(0, -a), with L ~ b * T^a fitted by least squares in log-log (the released code fits nonlinearly).

    Returns:
        None where there are fewer than 3 distinct costs: through two points any trend is exact.
    """
    if len({float(c) for c in costs}) < 3:
        return None
    slope = np.polynomial.polynomial.polyfit(np.log(costs), np.log(losses), 1)[1]
    return max(0.0, -float(slope))


def loss_cost(losses: np.ndarray, costs: np.ndarray, w: float) -> np.ndarray:
    """L * T^w, lower is better; costs relative to the largest, which changes no order."""
    return np.asarray(losses * (costs / costs.max()) ** w)


def decrease_per_cost(decreases: np.ndarray, costs: np.ndarray, w: float) -> np.ndarray:
    """-D / T^w, lower is better: the fastest to learn for its cost. Where the loss rose, dearer looks better."""
    return np.asarray(-decreases / (costs / costs.max()) ** w)


@dataclass(frozen=True, slots=True)
class Score:
    """How good a candidate is.

    Attributes:
        values: (losses or decreases, costs, w) -> scores, the least of which wins; proportional to the first argument.
        decrease: whose fall of the loss it takes instead of the loss: since the stage began (`stage`: from the loss of
            the sub-network that it found; of a guess between the classes at stage 1), or of the candidate itself from
            the search's first evaluation to its last (`search`: a slope over a short lag).
        w: exponent of the cost; None: fitted.
    """

    values: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
    decrease: Literal["stage", "search"] | None = None
    w: float | None = None


SCORES: dict[str, Score] = {
    "loss_cost": Score(loss_cost),
    "loss_decrease_per_flop": Score(decrease_per_cost, decrease="stage", w=1.0),
    "slope": Score(decrease_per_cost, decrease="search", w=1.0),
}


def weight_of(context: StageContext, rule: ScoreRule) -> float:
    """The exponent at this stage: given; the score's own; fitted here; the last that could be fitted; the default."""
    given = rule.w if rule.w is not None else SCORES[rule.score].w
    if given is not None:
        return given * rule.w_scale
    for estimates in (context.estimates or (), *reversed(context.history)):
        fitted = fit_weight([e.loss for e in estimates], [e.cost for e in estimates])
        if fitted is not None:
            return fitted * rule.w_scale
    return rule.w_default * rule.w_scale


def on_target(ends: Sequence[Sequence[float]], target: float) -> list[int]:
    """Which candidates still let the run end at the target: the nearest, and all within `TARGET_SLACK` of it.

    Args:
        ends: `StageContext.ends`.
        target: cost to end at, as a share of the full run's.
    """
    gaps = [min(abs(end - target) for end in reachable) for reachable in ends]
    enough = max(min(gaps), TARGET_SLACK * target)
    return [i for i, gap in enumerate(gaps) if gap <= enough]


def choose(context: StageContext, rule: ScoreRule) -> Choice:
    """The candidate with the least score: a pure function of the estimates. A single candidate needs none.

    Where the run is to end at a target cost, the score decides between the candidates that still lead there.
    """
    if len(context.candidates) == 1:
        return Choice(context.candidates[0])
    estimates: Sequence[Estimate] = context.estimates or ()
    assert estimates, "a score needs estimates"
    w, score = weight_of(context, rule), SCORES[rule.score]
    costs = np.array([e.cost for e in estimates], dtype=float)
    measured = [e.decrease if score.decrease else e.loss for e in estimates]
    assert None not in measured, "the run was told of another score"
    scores = score.values(np.array(measured, dtype=float), costs, w)
    if rule.target_speedup is not None:
        assert context.ends is not None, "a target needs to know where the run may end"
        allowed = on_target(context.ends, 1 / rule.target_speedup)
        scores = np.array([score if i in allowed else np.inf for i, score in enumerate(scores)])
    best = int(scores.argmin())
    # A decrease is taken to be as uncertain as the loss that it ends at.
    errors = np.abs(score.values(np.array([e.loss_se for e in estimates]), costs, w))
    slack = np.maximum(TIE * abs(scores[best]), rule.tie_se * np.hypot(errors, errors[best]))
    tied = [i for i in range(len(scores)) if scores[i] - scores[best] <= slack[i]]
    winner = min(tied, key=lambda i: (costs[i], i))
    others = np.delete(scores, winner)
    others = others[np.isfinite(others)]
    comparable = len(others) and scores[winner]  # nothing is so many times above 0
    margin = float((others.min() - scores[winner]) / abs(scores[winner])) if comparable else None
    return Choice(estimates[winner].sub_network, w=w, margin=margin)
