"""The score of a one-shot search: estimated loss, or how fast it falls, against cost (section 4, equation 8; no torch).

The paper minimises L * T^w, with w fitted so that a candidate on the trend L ~ b * T^a of its fellows scores like any
other: what wins is what lies below the trend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from numbers import Real
from typing import Literal

import numpy as np

from autoprog_search.choosing import Choice, Estimate, StageContext
from autoprog_search.errors import ConfigError, EstimateError, shown, there_are
from autoprog_search.oneshot.clock import ClockRule, choose_on_clock

TARGET_SLACK = 0.01  # relative to the target cost, within which candidates are equally good at reaching it
TIE = 1e-9  # scores nearer than this, relatively, are equal: the cheaper candidate wins


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """How a score weighs cost. Its defaults are a study's (docs/evidence.md has what supports them).

    Attributes:
        score: name in SCORES.
        w: exponent; None: the score's own, or fitted at every stage where it has none.
        w_scale: multiplies the exponent; several trials with several scales trace the Pareto front.
        w_default: exponent where none can be fitted and none was fitted before.
        tie_se: candidates tie with the best whose score is above its by no more than so many standard errors of the
            estimated losses, and the cheapest of them wins; 0: the paper, which takes each estimate as it is.
        target_speedup: the whole run is to cost the full run's over this; None: what the score makes of it.
        clock: what decides instead of a score under a free clock.
    """

    score: str = "loss_cost"
    w: float | None = None
    w_scale: float = 1.0
    w_default: float = 0.0
    target_speedup: float | None = None
    tie_se: float = 1.0
    clock: ClockRule = field(default_factory=ClockRule)

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ConfigError(f"score: {shown(self.score)} is unknown; {there_are(self.score, SCORES)}")
        for name in ("w", "w_scale", "w_default", "tie_se", "target_speedup"):
            value, optional = getattr(self, name), name in ("w", "target_speedup")
            if not (_finite(value) or (optional and value is None)):
                raise ConfigError(f"{name}: {value!r} is no finite number{', nor None' if optional else ''}")
        if self.tie_se < 0:
            raise ConfigError(f"tie_se: {self.tie_se} is below 0; 0 takes each estimate as it is")
        if self.target_speedup is not None and self.target_speedup <= 0:
            raise ConfigError(f"target_speedup: {self.target_speedup} is not above 0; 2 is half of the full run's cost")


def fit_weight(losses: Sequence[float], costs: Sequence[float]) -> float | None:
    """w = max(0, -a), with L ~ b * T^a fitted by least squares in log-log (the released code fits nonlinearly).

    Returns:
        None where there are fewer than 3 distinct costs: through two points any trend is exact; or where a logarithm
        is missing.
    """
    if len({float(c) for c in costs}) < 3 or not all(_finite(v) and v > 0 for v in (*losses, *costs)):
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

    Raises:
        EstimateError: estimates that are missing, not of the candidates, or no numbers to compare.
    """
    if context.clock is not None:
        return choose_on_clock(context, rule.clock, rule.w_scale, rule.target_speedup)
    estimates = checked_estimates(context, rule)
    if len(context.candidates) == 1:
        return Choice(context.candidates[0])
    w, score = weight_of(context, rule), SCORES[rule.score]
    costs = np.array([e.cost for e in estimates], dtype=float)
    measured = np.array([e.decrease if score.decrease else e.loss for e in estimates], dtype=float)
    with np.errstate(all="ignore"):  # what overflows is refused below
        scores = score.values(measured, costs, w)
        # A decrease is taken to be as uncertain as the loss that it ends at.
        errors = np.abs(score.values(np.array([e.loss_se for e in estimates], dtype=float), costs, w))
    for estimate, *values in zip(estimates, scores, errors, strict=True):
        if not np.isfinite(values).all():
            raise EstimateError(
                f"estimate of {estimate.sub_network}: its score is beyond all numbers (cost {estimate.cost:g}, of at "
                f"most {costs.max():g}, to the power of w = {w:g})"
            )
    if rule.target_speedup is not None:
        assert context.ends is not None  # checked above
        allowed = on_target(context.ends, 1 / rule.target_speedup)
        scores = np.array([score if i in allowed else np.inf for i, score in enumerate(scores)])
    best = int(scores.argmin())
    slack = np.maximum(TIE * abs(scores[best]), rule.tie_se * np.hypot(errors, errors[best]))
    tied = [i for i in range(len(scores)) if scores[i] - scores[best] <= slack[i]]
    winner = min(tied, key=lambda i: (costs[i], i))
    others = np.delete(scores, winner)
    others = others[np.isfinite(others)]
    comparable = len(others) and scores[winner]  # nothing is so many times above 0
    margin = float((others.min() - scores[winner]) / abs(scores[winner])) if comparable else None
    return Choice(estimates[winner].sub_network, w=w, margin=margin)


def checked_estimates(context: StageContext, rule: ScoreRule) -> tuple[Estimate, ...]:
    """The stage's estimates, in the order of its candidates; none where a single candidate came without.

    Raises:
        EstimateError: as `choose`.
    """
    candidates, estimates = context.candidates, context.estimates or ()
    if not candidates:
        raise EstimateError(f"candidates: stage {context.stage} has none; offer at least one")
    if len(candidates) == 1 and not estimates:
        return ()
    if sorted(e.sub_network for e in estimates) != sorted(candidates):
        raise EstimateError(
            f"estimates: stage {context.stage} has {len(candidates)} candidates and {len(estimates)} estimates"
            f"{', of others' if len(candidates) == len(estimates) else ''}; each candidate needs one of its own"
        )
    decreases = SCORES[rule.score].decrease is not None
    for estimate in estimates:
        _check_number(estimate, "loss", estimate.loss, least=0)
        _check_number(estimate, "loss_se", estimate.loss_se, least=0)
        _check_number(estimate, "cost", estimate.cost, above=0)
        if decreases or estimate.decrease is not None:
            _check_number(estimate, "decrease", estimate.decrease)
    if rule.target_speedup is not None and len(candidates) > 1:
        _check_ends(context)
    places = {candidate: place for place, candidate in enumerate(candidates)}
    return tuple(sorted(estimates, key=lambda estimate: places[estimate.sub_network]))


def _check_number(estimate: Estimate, field: str, value: object, *, least: float = -inf, above: float = -inf) -> None:
    if not _finite(value) or value < least or value <= above:  # type: ignore[operator]
        right = "0 or more" if least == 0 else "above 0" if above == 0 else "a finite number"
        raise EstimateError(f"estimate of {estimate.sub_network}, {field}: {value!r} cannot be; it is {right}")


def _check_ends(context: StageContext) -> None:
    if context.ends is None or len(context.ends) != len(context.candidates):
        given = "none" if context.ends is None else f"{len(context.ends)}"
        raise EstimateError(
            f"ends: a target_speedup needs the costs that the run may end at, one tuple for each of stage "
            f"{context.stage}'s {len(context.candidates)} candidates; got {given}"
        )
    for candidate, reachable in zip(context.candidates, context.ends, strict=True):
        wrong = next((end for end in reachable if not _finite(end)), None)
        if not reachable or wrong is not None:
            raise EstimateError(f"ends of {candidate}: {wrong!r} cannot be; give finite shares of the full run's cost")


def _finite(value: object) -> bool:
    return isinstance(value, Real) and isfinite(value)
