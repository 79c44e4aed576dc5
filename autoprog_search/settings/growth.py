"""How growing and the one-shot search are done; only these settings may be tuned for growth methods."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from autoprog_search.errors import ConfigError
from autoprog_search.fields import Real, Settings, Text, Whole
from autoprog_search.oneshot.candidates import ForceGrowth
from autoprog_search.oneshot.score import SCORES


class AdaReg(Settings):
    """Adaptive regularisation (section 4 of the paper; DESIGN §3.7): it grows with the network.

    Each value is the share of the recipe's own strength in stage 1, from where it rises in equal steps to 1 in stage K.
    Defaults: the released script's.

    Attributes:
        augment: share of RandAugment's magnitude, or of the affine augmentation.
        drop_path, erasing: shares of their rates.
        crop: share of how much of the image's area a random crop may leave out.
    """

    augment: Real = Field(default=0.5, le=1)
    drop_path: Real = Field(default=0.0, le=1)
    erasing: Real = Field(default=0.0, le=1)
    crop: Real = Field(default=1.0, le=1)


class GrowthSettings(Settings):
    """How growing and the one-shot search are done (DESIGN §3). Defaults: what docs/LOG.md measured, on validation.

    Attributes:
        operator: how new blocks are made: rand_init, stacking, interpolation, zero_init, split, masked, keep, mogrow or
            mogrow_new; growth/operators.py says what each does.
        other_operators: those that a search tries as well, wherever blocks come in, at stage K too: the supernet is
            grown and trained once by each, from the same weights on the same images, and each candidate is judged as
            grown by the operator that suits it best. The run goes on from there; what the others took counts as search.
            During such a search memory and checkpoints hold the run once more for each operator. Fixed schedules
            (`replay` too) grow by `operator` alone.
        chain: which blocks run at which depth; default: the operator's own.
        path: the blocks that run at a step: the chain's; or the first, the last, `random` others, anew at every step.
            Then all blocks train from the start, and no operator is applied. What is evaluated is the chain's all the
            same, and the last stage is the full network.
        ease_in_share: of the run's steps, over which new blocks fade in (operator `masked`) or warm up (`rewarm`); no
            longer than their stage. Default: as long as the search of one of four equal stages.
        optimizer_state: of a new block: dropped (`reset`); copied from its donor; or dropped, and its learning rate
            warmed up from 0 again (`rewarm`). The others' is left alone: their optimiser state is as good as ever.
        search_share: of a stage's steps that train the supernet; at least two steps a candidate are taken. 0: none are,
            candidates are judged as they were grown.
        supernet_draws: which candidate trains at each of them: all in turn, in a new order every time (`shuffled`); or
            the largest, the smallest, one of the others (`sandwich`).
        search_points: evaluations of all candidates, spread over the search's second half and averaged.
        estimate_share: the most that these may cost, as a share of the stage's training FLOPs under its mean candidate.
        estimate_images: the most images to evaluate on, however much would be affordable.
        estimate_at: every candidate at its `own` resolution (the paper), or all at the largest one (`common`).
        estimate_weights: whose the estimates are: the estimation EMA's, or the supernet's own (`raw`).
        loss_errors: each estimated loss's `own` standard error, which ties compare as if losses were independent; or
            that of its difference to the least one (`paired`), as all are evaluated on the same images.
        force_growth: candidates to drop where larger ones exist: none; the one that does not grow at all (`any`); those
            that do not grow deeper (`depth`, the released code); those without more patches (`patches`).
        score: what the search minimises: loss_cost (the paper), loss_decrease_per_flop or slope (`oneshot/score.py`).
            `slope` compares two evaluations of a search: it takes `search_points` of 2 or more.
        score_cost: what the search takes as a candidate's cost: FLOPs, or seconds of the step profile.
        w: exponent of the cost, instead of the fitted one or the score's own.
        w_default: exponent of the cost where none can be fitted and none was before.
        tie_se: candidates within so many standard errors of the best one tie, and the cheapest wins; 0: the paper.
        target_speedup: autoprog's whole run, search included, is to cost full training's FLOPs over this; each choice
            is then made between the candidates that still lead there.
        estimation_ema, momentum_ema: horizons of the two EMAs as shares of the run's steps.
        adareg: regularisation that grows with the network; `true` for the released script's shares.
    """

    operator: Text = "mogrow_new"
    other_operators: tuple[Text, ...] = Field(default=(), max_length=100)
    chain: Literal["even", "lowest"] | None = None
    path: Literal["chain", "random"] = "chain"
    ease_in_share: Real = Field(default=0.02, gt=0, le=1)
    optimizer_state: Literal["reset", "copy", "rewarm"] = "reset"
    search_share: Real = Field(default=0.08, ge=0, lt=1)
    supernet_draws: Literal["shuffled", "sandwich"] = "shuffled"
    search_points: Whole = Field(default=1, ge=1, le=1000)
    estimate_share: Real = Field(default=0.03, gt=0, le=1)
    estimate_images: Whole = Field(default=4096, ge=1, le=10**9)
    estimate_at: Literal["own", "common"] = "own"
    estimate_weights: Literal["ema", "raw"] = "ema"
    loss_errors: Literal["own", "paired"] = "own"
    force_growth: ForceGrowth = "patches"
    score: Text = "loss_cost"
    score_cost: Literal["flops", "seconds"] = "flops"
    w: Real | None = Field(default=None, ge=0, le=100)  # an exponent of costs that differ by a factor of 10
    w_default: Real = Field(default=0.0, ge=0, le=100)
    tie_se: Real = Field(default=1.0, ge=0, le=1e6)
    target_speedup: Real | None = Field(default=None, ge=1, le=1e6)
    estimation_ema: Real = Field(default=0.004, gt=0, le=1)
    momentum_ema: Real = Field(default=0.02, gt=0, le=1)
    adareg: AdaReg | None = None

    def score_settings(self) -> dict[str, Any]:
        """What decides a choice, as AutoProg's sampler and strategy take it."""
        return self.model_dump(include={"w", "score", "w_default", "target_speedup", "tie_se"})

    @property
    def operators(self) -> tuple[str, ...]:
        """All that a search tries, the run's own first."""
        return (self.operator, *self.other_operators)

    @model_validator(mode="after")
    def _check(self) -> GrowthSettings:
        for name in self.other_operators:
            if self.operators.count(name) > 1:
                raise ConfigError(f"growth, other_operators: {name} is tried already; name every operator once")
        if self.other_operators and self.path == "random":
            raise ConfigError("growth, other_operators: on random paths nothing is new, so no operator is applied")
        compares = self.score in SCORES and SCORES[self.score].decrease == "search"
        if compares and self.search_points < 2:
            raise ConfigError(
                f"growth, search_points: {self.score} compares the first evaluation of a search with its last, "
                f"{self.search_points} is too few; give 2 or more"
            )
        if compares and self.search_share == 0:
            raise ConfigError(f"growth, search_share: {self.score} compares losses within a search, so it cannot be 0")
        return self

    @field_validator("adareg", mode="before")
    @classmethod
    def _read_adareg(cls, value: Any) -> Any:
        return {True: {}, False: None}[value] if isinstance(value, bool) else value
