"""The recipe: how a network is trained, whatever its schedule.

Tuned for `full` and then frozen. Recipes are YAML files under `settings/recipes/`, each opening with its source.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from autoprog_search.errors import ConfigError, shown, there_are
from autoprog_search.fields import Epochs, Options, Real, Settings, Text, Whole, read_fields
from autoprog_search.files import read_yaml
from autoprog_search.schedule import MOST_EPOCHS

RECIPES = Path(__file__).parent / "recipes"

HOW_FAST = {"compile", "cuda_graphs"}
"""Fields that decide how fast a run is, and but for rounding no result: checkpoints go on whatever they were."""

MOST_BATCH = 1_000_000  # images; large-batch training of ImageNet has gone to 65,536; this stops a slip of the finger


class Recipe(Settings):
    """How a network is trained, whatever its schedule.

    Shares are of the whole run's optimiser steps; the LR schedule is stepped per update and unbroken over the stages.
    """

    epochs: Epochs = Field(default=100, le=MOST_EPOCHS)
    """passes over the training data."""
    batch_size: Whole = Field(default=128, ge=1, le=MOST_BATCH)
    """images per optimiser step; a last partial batch is left out."""
    grad_accum: Whole = Field(default=1, ge=1, le=MOST_BATCH)
    """forward and backward passes that a batch is cut into, where it does not fit the device whole."""
    init_checkpoint: Text = ""
    """file of weights to start from, instead of a fresh initialisation."""
    opt: Text = "adamw"
    """name of one of timm's optimisers."""
    lr: Real = Field(default=1e-3, gt=0)  # what is too large is seen by the loss alone
    """the highest learning rate, for a batch of `lr_batch_size` if that is given."""
    lr_batch_size: Whole = Field(default=0, ge=0, le=MOST_BATCH)
    """the batch size that `lr` is meant for; another one scales it by `lr_scaling`. 0: `lr` as it is."""
    lr_scaling: Literal["linear", "sqrt"] = "linear"
    """in proportion to the batch size, or to its square root."""
    weight_decay: Real = Field(default=0.05, ge=0, le=1e6)
    """timm's, not of biases and norms."""
    opt_args: Options = Field(default_factory=dict)
    """what else timm's factory is to give it, such as `eps`."""
    clip_grad: Real = Field(default=0.0, ge=0)
    """the gradient's largest norm; 0: it is not clipped."""
    sched: Literal["cosine", "wsd"] = "wsd"
    """cosine, or warm-up-stable-decay (`wsd`), which is linear over the last `decay_share`."""
    min_lr: Real = Field(default=0.0, ge=0)
    """the learning rate at the end."""
    warmup_share: Real = Field(default=0.1, ge=0, lt=1)
    """of the steps, over which the learning rate rises from 0."""
    decay_share: Real = Field(default=0.3, gt=0, le=1)
    """of the steps, at the end, over which that of `wsd` falls to `min_lr`."""
    label_smoothing: Real = Field(default=0.1, ge=0, lt=1)
    """share of the label that is spread over all classes."""
    mixup: Real = Field(default=0.0, ge=0, le=1e6)  # of a Beta distribution: all images half and half beyond
    """timm's alphas of the two ways to mix pairs of images; 0: none."""
    cutmix: Real = Field(default=0.0, ge=0, le=1e6)
    """timm's alphas of the two ways to mix pairs of images; 0: none."""
    hflip: Real = Field(default=0.5, ge=0, le=1)
    """probability of a mirrored image."""
    augment: Real = Field(default=0.5, ge=0, le=1)
    """strength of the affine augmentation of data that live on the device, 0 to 1."""
    auto_augment: Text | None = "rand-m9-mstd0.5-inc1"
    """a policy such as RandAugment's; null: none. timm's, for data that come through a loader."""
    color_jitter: Real = Field(default=0.4, ge=0, le=1000)
    """its strength, where there is no policy. timm's, for data that come through a loader."""
    random_erasing: Real = Field(default=0.25, ge=0, le=1)
    """its probability. timm's, for data that come through a loader."""
    crop_scale: tuple[Real, Real] = (0.08, 1.0)
    """least and largest share of the image's area in a random crop. timm's, for data that come through a loader."""
    train_interpolation: Literal["random", "bilinear", "bicubic"] = "random"
    """timm's, for data that come through a loader."""
    repeats: Whole = Field(default=1, ge=1, le=1000)
    """times that an image of such data stands in a batch, each with its own augmentation (repeated augmentation); an
    epoch stays as long and sees so many times fewer images."""
    drop_path: Real = Field(default=0.0, ge=0, lt=1)
    """stochastic depth rate of the last block."""
    dense_weight: Real = Field(default=0.5, ge=0, le=1e6)
    """weight of the loss of VOLO's token outputs, beside the class token's. They learn the image's label: token labels,
    which VOLO's own recipe used, are not read."""
    teacher: Text = ""
    """timm name of a network that a distilled model's second token imitates. Its forward passes are cost."""
    teacher_checkpoint: Text = ""
    """file of the teacher's weights; empty: timm's own."""
    distillation: Literal["hard", "soft"] = "hard"
    """of the teacher's `hard` decisions, or of its `soft` probabilities at this `temperature`."""
    distillation_weight: Real = Field(default=0.5, ge=0, le=1)
    """share of the loss that is the distillation's."""
    temperature: Real = Field(default=1.0, gt=0, le=1e6)
    """of `soft` distillation."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` is bfloat16 autocast on CUDA and float32 elsewhere."""
    compile: bool = False
    """compile the blocks, once for every resolution (torch.compile): a third faster on a GPU, nothing gained on a CPU.
    Takes seconds a resolution; `space show --device` says whether it pays back."""
    cuda_graphs: bool = True
    """record the kernels of a step and launch them at once, where a CUDA device trains alone. Small sub-networks train
    up to several times faster; it takes a copy of the gradients a sub-network, and keeps a step's memory for itself."""
    eval_weights: Literal["ema", "raw"] = "ema"
    """which weights are reported, fixed beforehand; `ema` is the momentum network."""

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
    return read_fields(Recipe, data if data is not None else {}, f"recipe {path.stem}")
