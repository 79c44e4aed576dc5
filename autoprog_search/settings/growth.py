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
        chain: which blocks run at which depth; default: the operator's own.
        ease_in_share: of the run's steps, over which new blocks fade in (operator `masked`); no longer than their
            stage. Default: as long as the search of one of four equal stages.
        optimizer_state: of a new block: dropped (`reset`), or copied from its donor. The others' is left alone: their
            optimiser state is as good as ever.
        search_share: of a stage's steps that train the supernet; at least two steps a candidate are taken. 0: none are,
            candidates are judged as they were grown.
        supernet_draws: which candidate trains at each of them: all in turn, in a new order every time (`shuffled`); or
            the largest, the smallest, one of the others (`sandwich`).
        search_points: evaluations of all candidates, spread over the search's second half and averaged.
        estimate_share: the most that these may cost, as a share of the stage's training FLOPs under its mean candidate.
        estimate_images: the most images to evaluate on, however much would be affordable.
        estimate_at: every candidate at its `own` resolution (the paper), or all at the largest one (`common`).
        estimate_weights: whose the estimates are: the estimation EMA's, or the supernet's own (`raw`).
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
    chain: Literal["even", "lowest"] | None = None
    ease_in_share: Real = Field(default=0.02, gt=0, le=1)
    optimizer_state: Literal["reset", "copy"] = "reset"
    search_share: Real = Field(default=0.08, ge=0, lt=1)
    supernet_draws: Literal["shuffled", "sandwich"] = "shuffled"
    search_points: Whole = Field(default=1, ge=1, le=1000)
    estimate_share: Real = Field(default=0.03, gt=0, le=1)
    estimate_images: Whole = Field(default=4096, ge=1, le=10**9)
    estimate_at: Literal["own", "common"] = "own"
    estimate_weights: Literal["ema", "raw"] = "ema"
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

    @model_validator(mode="after")
    def _check(self) -> GrowthSettings:
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
