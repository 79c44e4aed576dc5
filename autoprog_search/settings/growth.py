"""How growing and the one-shot search are done; only these settings may be tuned for growth methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from autoprog_search.errors import ConfigError
from autoprog_search.fields import Real, Settings, Text, Whole
from autoprog_search.oneshot.candidates import ForceGrowth
from autoprog_search.oneshot.clock import ClockRule
from autoprog_search.oneshot.score import SCORES, ScoreRule
from autoprog_search.settings.retired import what_became_of
from autoprog_search.space import GrowthSpace

RULE = ScoreRule()  # the one place of its fields' defaults
ON_THE_CLOCK = {"probe_share", "depth_mixing", "patches_mixing", "all_patches_steps"}
"""Fields of `growth.search` that decide something under a free clock alone."""


def timed_by(space: GrowthSpace) -> set[str]:
    """Which of them time a growth on that space (`oneshot/clock.py`)."""
    if space.clock == "stages":
        return set()
    if len(space.patches) == 1:
        return {"probe_share", "depth_mixing"}
    return {"all_patches_steps"} if space.patches_by == "dropout" else {"probe_share", "patches_mixing"}


class AdaReg(Settings):
    """Adaptive regularisation (section 4 of the paper): it grows with the network.

    Each value is the share of the recipe's own strength in stage 1, from where it rises in equal steps to 1 in stage K.
    Defaults: the released script's.
    """

    augment: Real = Field(default=0.5, le=1)
    """share of RandAugment's magnitude, or of the affine augmentation."""
    drop_path: Real = Field(default=0.0, le=1)
    """shares of their rates."""
    erasing: Real = Field(default=0.0, le=1)
    """shares of their rates."""
    crop: Real = Field(default=1.0, le=1)
    """share of how much of the image's area a random crop may leave out."""


class BlockSettings(Settings):
    """Which blocks run, and how new ones and smaller patches come in, whatever the operator."""

    chain: Literal["even", "lowest"] | None = None
    """which blocks run at which depth; default: the operator's own."""
    optimizer_state: Literal["reset", "copy"] = "reset"
    """of a new block: dropped (`reset`), or copied from its donor. The others' is left alone: their optimiser state is
    as good as ever."""
    patch_operator: Text = "pi_resize"
    """how an embedding of larger patches becomes the full network's (`space.patches_by: patch_size`): pi_resize,
    least_squares or upsample; growth/patch_operators.py says what each does."""
    ease_in_share: Real = Field(default=0.02, gt=0, le=1)
    """of the run's steps, over which new blocks fade in (operator `masked`); no longer than their stage. Default: as
    long as the search of one of four equal stages."""
    momentum_ema: Real = Field(default=0.02, gt=0, le=1)
    """horizon, as a share of the run's steps, of the EMA that MoGrow takes blocks from. The recipe's `eval_weights:
    ema` are the same."""


class SearchSettings(Settings):
    """How a stage's one-shot search is done: what it trains, what it measures, what it minimises."""

    share: Real = Field(default=0.08, ge=0, lt=1)
    """of a stage's steps that train the supernet, one candidate a step, all in turn; at least two steps a candidate are
    taken. 0: none are, candidates are judged as they were grown."""
    points: Whole = Field(default=1, ge=1, le=1000)
    """evaluations of all candidates, spread over the search's second half and averaged."""
    estimate_share: Real = Field(default=0.03, gt=0, le=1)
    """the most that these may cost, as a share of the stage's training FLOPs under its mean candidate."""
    estimate_images: Whole = Field(default=4096, ge=1, le=10**9)
    """the most images to evaluate on, however much would be affordable."""
    estimate_at: Literal["own", "common"] = "own"
    """every candidate at its `own` resolution (the paper), or all at the largest one (`common`). Where stages drop
    patches, an evaluation sees all of them."""
    estimate_weights: Literal["ema", "raw"] = "ema"
    """whose the estimates are: the estimation EMA's, or the supernet's own (`raw`)."""
    estimation_ema: Real = Field(default=0.004, gt=0, le=1)
    """horizon of that EMA, as a share of the run's steps."""
    score: Text = RULE.score
    """what the search minimises: loss_cost (the paper), loss_decrease_per_flop or slope (`oneshot/score.py`). `slope`
    compares two evaluations of a search: it takes `points` of 2 or more."""
    score_cost: Literal["flops", "seconds"] = "flops"
    """what the search takes as a candidate's cost: FLOPs, or seconds of the step profile."""
    probe_share: Real = Field(default=0.03, gt=0, le=0.2)
    """of the run's steps, how long each of a probe's two branches trains (`space.clock: free`, where what grows has to
    mix)."""
    depth_mixing: Real = Field(default=RULE.clock.depth, ge=0, le=1000)
    """how many mixing times before the run's end depth grows, by learning rate (`space.clock: free`, where all sizes
    have as many patches)."""
    patches_mixing: Real = Field(default=RULE.clock.patches, ge=0, le=1000)
    """how many mixing times before the learning rate decays patches grow (`space.clock: free`, unless they were
    dropped)."""
    all_patches_steps: Real = Field(default=RULE.clock.all_patches, ge=0, le=1e9)
    """how many steps a run ends with on all patches, each counted as its learning rate over the largest
    (`space.clock: free`, `space.patches_by: dropout`)."""
    w_default: Real = Field(default=RULE.w_default, ge=0, le=100)
    """exponent of the cost where none can be fitted and none was before."""

    @model_validator(mode="after")
    def _check(self) -> SearchSettings:
        if self.score in SCORES and SCORES[self.score].decrease == "search":
            if self.points < 2:
                raise ConfigError(
                    f"growth.search, points: {self.score} compares the first evaluation of a search with its last, "
                    f"{self.points} is too few; give 2 or more"
                )
            if self.share == 0:
                raise ConfigError(
                    f"growth.search, share: {self.score} compares losses within a search, so it cannot be 0"
                )
        return self


class GrowthSettings(Settings):
    """How growing and its search are done. Defaults: what docs/LOG.md measured, on validation."""

    operator: Text = "mogrow_new"
    """how new blocks are made: rand_init, stacking, interpolation, zero_init, split, masked, keep, mogrow or
    mogrow_new; growth/operators.py says what each does."""
    force_growth: ForceGrowth = "patches"
    """candidates to drop where larger ones exist: none; the one that does not grow at all (`any`); those that do not
    grow deeper (`depth`, the released code); those without more patches (`patches`)."""
    tie_se: Real = Field(default=RULE.tie_se, ge=0, le=1e6)
    """candidates within so many standard errors of the best one tie, and the cheapest wins; 0: the paper."""
    w: Real | None = Field(default=RULE.w, ge=0, le=100)  # an exponent of costs that differ by a factor of 10
    """exponent of the cost, instead of the fitted one or the score's own."""
    target_speedup: Real | None = Field(default=RULE.target_speedup, ge=1, le=1e6)
    """autoprog's whole run, search included, is to cost full training's FLOPs over this; each choice is then made
    between the candidates that still lead there."""
    adareg: AdaReg | None = None
    """regularisation that grows with the network; `true` for the released script's shares."""
    blocks: BlockSettings = Field(default_factory=BlockSettings)
    """which blocks run, and how new ones come in."""
    search: SearchSettings = Field(default_factory=SearchSettings)
    """the one-shot search's own."""

    @staticmethod
    def became(name: str, value: Any) -> str | None:
        """What to say of a field that has moved or was taken out."""
        return what_became_of(name, value)

    def decisive(self, space: GrowthSpace) -> dict[str, Any]:
        """Its fields, as far as they decide anything on that space."""
        idle = {"search": ON_THE_CLOCK - timed_by(space)}
        idle["blocks"] = {"patch_operator"} if space.patches_by != "patch_size" else set()
        return self.model_dump(mode="json", exclude=idle)

    def rule(self, w_scale: float = 1.0) -> ScoreRule:
        """What decides a choice, as AutoProg's sampler and strategy take it."""
        search = self.search
        clock = ClockRule(search.depth_mixing, search.patches_mixing, search.all_patches_steps)
        return ScoreRule(search.score, self.w, w_scale, search.w_default, self.target_speedup, self.tie_se, clock)

    @field_validator("adareg", mode="before")
    @classmethod
    def _read_adareg(cls, value: Any) -> Any:
        return {True: {}, False: None}[value] if isinstance(value, bool) else value


def with_own(growth: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of growth settings, those that are somebody's own in place of the others; within its groups, too."""
    groups = {
        name: {**growth[name], **own[name]}
        for name in ("blocks", "search")
        if isinstance(growth.get(name), Mapping) and isinstance(own.get(name), Mapping)
    }
    return {**growth, **own, **groups}
