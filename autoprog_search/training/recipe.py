"""What a run is configured by: the recipe (how any schedule is trained), the growth settings, the data.

They are apart on purpose: the recipe is tuned for `full` and then frozen, growth methods may tune only growth settings
(DESIGN §8). Recipes are YAML files under `training/recipes/`, each opening with its source.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from autoprog_search.errors import ConfigError, shown, there_are
from autoprog_search.fields import Model, Options, Real, Settings, Text, Whole, read_fields
from autoprog_search.files import read_yaml
from autoprog_search.oneshot.candidates import ForceGrowth
from autoprog_search.oneshot.score import SCORES
from autoprog_search.schedule import MOST_EPOCHS

RECIPES = Path(__file__).parent / "recipes"
TABLE = "table:"

# Bounds that nobody should meet: they keep a slip of the finger from filling the memory.
MOST_BATCH = 1_000_000  # images; large-batch training of ImageNet has gone to 65,536
MOST_WORKERS = 1024


class Recipe(Settings):
    """How a network is trained, whatever its schedule.

    Shares are of the whole run's optimiser steps; the LR schedule is stepped per update and unbroken over the stages.

    Attributes:
        epochs: passes over the training data.
        batch_size: images per optimiser step; a last partial batch is left out.
        grad_accum: forward and backward passes that a batch is cut into, where it does not fit the device whole.
        init_checkpoint: file of weights to start from, instead of a fresh initialisation.
        opt: name of one of timm's optimisers. opt_args: what else timm's factory is to give it, such as `eps`.
        lr: the highest learning rate, for a batch of `lr_batch_size` if that is given.
        lr_batch_size: the batch size that `lr` is meant for; another one scales it by `lr_scaling`. 0: `lr` as it is.
        lr_scaling: in proportion to the batch size, or to its square root.
        weight_decay: timm's, not of biases and norms.
        clip_grad: the gradient's largest norm; 0: it is not clipped.
        sched: cosine, or warm-up-stable-decay (`wsd`), which is linear over the last `decay_share`.
        min_lr: the learning rate at the end.
        warmup_share: of the steps, over which the learning rate rises from 0.
        decay_share: of the steps, at the end, over which that of `wsd` falls to `min_lr`.
        label_smoothing: share of the label that is spread over all classes.
        mixup, cutmix: timm's alphas of the two ways to mix pairs of images; 0: none.
        hflip: probability of a mirrored image.
        augment: strength of the affine augmentation of data that live on the device, 0 to 1.
        auto_augment, color_jitter, random_erasing, crop_scale, train_interpolation: timm's, for data that come through
            a loader. auto_augment: a policy such as RandAugment's; null: none. color_jitter: its strength, where
            there is no policy. random_erasing: its probability. crop_scale: least and largest share of the image's
            area in a random crop.
        repeats: times that an image of such data stands in a batch, each with its own augmentation (repeated
            augmentation); an epoch stays as long and sees so many times fewer images.
        drop_path: stochastic depth rate of the last block.
        dense_weight: weight of the loss of VOLO's token outputs, beside the class token's. They learn the image's
            label: token labels, which VOLO's own recipe used, are not read.
        teacher: timm name of a network that a distilled model's second token imitates. Its forward passes are cost.
        teacher_checkpoint: file of the teacher's weights; empty: timm's own.
        distillation: of the teacher's `hard` decisions, or of its `soft` probabilities at this `temperature`.
        temperature: of `soft` distillation. distillation_weight: share of the loss that is the distillation's.
        precision: `auto` is bfloat16 autocast on CUDA and float32 elsewhere.
        eval_weights: which weights are reported, fixed beforehand; `ema` is the momentum network.
    """

    epochs: Whole = Field(default=100, ge=1, le=MOST_EPOCHS)
    batch_size: Whole = Field(default=128, ge=1, le=MOST_BATCH)
    grad_accum: Whole = Field(default=1, ge=1, le=MOST_BATCH)
    init_checkpoint: Text = ""
    opt: Text = "adamw"
    lr: Real = Field(default=1e-3, gt=0)  # what is too large is seen by the loss alone
    lr_batch_size: Whole = Field(default=0, ge=0, le=MOST_BATCH)
    lr_scaling: Literal["linear", "sqrt"] = "linear"
    weight_decay: Real = Field(default=0.05, ge=0, le=1e6)
    opt_args: Options = Field(default_factory=dict)
    clip_grad: Real = Field(default=0.0, ge=0)
    sched: Literal["cosine", "wsd"] = "wsd"
    min_lr: Real = Field(default=0.0, ge=0)
    warmup_share: Real = Field(default=0.1, ge=0, lt=1)
    decay_share: Real = Field(default=0.3, gt=0, le=1)
    label_smoothing: Real = Field(default=0.1, ge=0, lt=1)
    mixup: Real = Field(default=0.0, ge=0, le=1e6)  # of a Beta distribution: all images half and half beyond
    cutmix: Real = Field(default=0.0, ge=0, le=1e6)
    hflip: Real = Field(default=0.5, ge=0, le=1)
    augment: Real = Field(default=0.5, ge=0, le=1)
    auto_augment: Text | None = "rand-m9-mstd0.5-inc1"
    color_jitter: Real = Field(default=0.4, ge=0, le=1000)
    random_erasing: Real = Field(default=0.25, ge=0, le=1)
    crop_scale: tuple[Real, Real] = (0.08, 1.0)
    train_interpolation: Literal["random", "bilinear", "bicubic"] = "random"
    repeats: Whole = Field(default=1, ge=1, le=1000)
    drop_path: Real = Field(default=0.0, ge=0, lt=1)
    dense_weight: Real = Field(default=0.5, ge=0, le=1e6)
    teacher: Text = ""
    teacher_checkpoint: Text = ""
    distillation: Literal["hard", "soft"] = "hard"
    distillation_weight: Real = Field(default=0.5, ge=0, le=1)
    temperature: Real = Field(default=1.0, gt=0, le=1e6)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    eval_weights: Literal["ema", "raw"] = "ema"

    @property
    def scaled_lr(self) -> float:
        """The learning rate at this batch size."""
        if not self.lr_batch_size:
            return self.lr
        ratio = self.batch_size / self.lr_batch_size
        return self.lr * (ratio if self.lr_scaling == "linear" else ratio**0.5)

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        if self.batch_size % self.grad_accum:
            raise ConfigError(
                f"recipe, grad_accum: {self.grad_accum} does not divide batch_size {self.batch_size} into equal parts"
            )
        if self.min_lr > self.scaled_lr:
            raise ConfigError(f"recipe, min_lr: {self.min_lr:g} is above the learning rate {self.scaled_lr:g} itself")
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ConfigError(f"recipe, crop_scale: {list(self.crop_scale)} is no range of shares above 0, up to 1")
        if self.teacher_checkpoint and not self.teacher:
            raise ConfigError("recipe, teacher_checkpoint: whose? give recipe.teacher, a timm model name")
        if (self.mixup or self.cutmix) and self.batch_size % 2:
            raise ConfigError(
                f"recipe, batch_size: {self.batch_size} is odd; mixup and cutmix pair the images of a batch"
            )
        return self


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


class DataConfig(Settings):
    """Where images come from.

    Attributes:
        name: `digits` (embedded), `fashion_mnist`, any timm data set name (`torch/cifar10`, `hfds/...`, `wds/...`),
            a folder of images, or `table:NAME`: no images, but the results of all schedules (docs/table.md).
        root: folder of a named data set, if it needs one.
        val_share: of the training images that validate where the data have no split for it (docs/data.md).
        train_share: of the training images that train, for a quick look; the others are not used.
        workers: loader processes, for data that do not live on the device.
    """

    name: Text = "digits"
    root: Text = ""
    val_share: Real = Field(default=0.1, gt=0, lt=1)
    train_share: Real = Field(default=1.0, gt=0, le=1)
    workers: Whole = Field(default=2, ge=0, le=MOST_WORKERS)

    @field_validator("name", "root")
    @classmethod
    def _check_text(cls, value: str, info: ValidationInfo) -> str:
        if value.encode(errors="ignore").decode() != value:  # JSON and databases store nothing else
            raise ConfigError(f"data, {info.field_name}: {shown(value)} is not UTF-8; give the folder another name")
        return value

    @property
    def table(self) -> str | None:
        """Name or file of the table that answers instead of training, if one does."""
        return self.name.removeprefix(TABLE) if self.name.startswith(TABLE) else None


def load_recipe(name_or_path: str) -> Recipe:
    """The recipe of that name, or in that YAML file.

    Raises:
        ConfigError: no such recipe, or a wrong field in it.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
        if name_or_path not in known:
            raise ConfigError(
                f"recipe: {shown(name_or_path)} is neither a .yaml file nor a recipe; {there_are(name_or_path, known)}"
            )
        path = RECIPES / f"{name_or_path}.yaml"
    data = read_yaml(path, ConfigError, "recipe: ")
    return validated(Recipe, data if data is not None else {}, f"recipe {path.stem}")


def validated(model: type[Model], data: Any, where: str) -> Model:
    """Build a configuration object.

    Raises:
        ConfigError: the first wrong field.
    """
    return read_fields(model, data, where, ConfigError)
