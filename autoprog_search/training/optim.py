"""Optimiser, LR schedule, EMAs and precision of a run: timm's, given the recipe.

Blocks come in while a run goes on, and a supernet's blocks do not all learn at every step: an optimiser meets
parameters without state beside others that have one. What cannot is refused when it is built, not at its first step.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_class, get_optimizer_info, kron, list_optimizers
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import nn

from autoprog_search.errors import ConfigError, there_are, why
from autoprog_search.settings.recipe import Recipe

FUSED = ("adam", "adamw")
"""Where torch's fused kernels are asked for: 2 ms instead of 7 for the digits ViT on one CPU thread. Not `sgd`: its
kernel wants momentum buffers of all parameters or of none."""


def build_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """timm's optimiser of that name; biases, norms and the model's own exceptions are not decayed.

    Raises:
        ConfigError: timm has no such optimiser, it cannot train a network that grows, or its arguments are wrong.
    """
    _check_name(recipe.opt)
    _check_arguments(recipe)
    try:
        _try_out(recipe, recipe.opt_args, model)
        return _made(recipe, recipe.scaled_lr, recipe.opt_args, model)
    except Exception as error:  # noqa: BLE001 - every optimiser raises its own, some at their first step only
        raise ConfigError(_what_is_wrong(recipe, model, error)) from None


def also_train(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, like: nn.Parameter) -> None:
    """Let a fresh optimiser train one parameter more, as it does that of the model: at its rate, decayed as it is."""
    next(group for group in optimizer.param_groups if any(p is like for p in group["params"]))["params"].append(
        parameter
    )


def _made(
    recipe: Recipe, lr: float, own: Mapping[str, Any], trained: nn.Module | list[nn.Parameter]
) -> torch.optim.Optimizer:
    fused = {"fused": True} if recipe.opt in FUSED else {}
    arguments = {"lr": lr, "weight_decay": recipe.weight_decay, **fused, **own}
    optimizer = create_optimizer_v2(trained, opt=recipe.opt, **arguments)
    inner = getattr(optimizer, "_base_optimizer", optimizer)  # lookahead's
    if isinstance(inner, kron.Kron):
        # Its kernels compiled take 100 s for a tiny ViT's shapes, at every start, and a C++ compiler.
        inner._init_fns = lambda: None  # type: ignore[method-assign] # which load_state_dict calls
        for name in ("_calc_A_and_conjB", "_q_terms", "_precond_grad", "_balance_Q"):
            setattr(inner, name, getattr(kron, name))
    return optimizer


def _check_name(opt: str) -> None:
    *before, name = opt.lower().split("_")  # timm reads the last part, and `lookahead` before it
    known = list_optimizers()
    if name not in known or before not in ([], ["lookahead"]):
        near = difflib.get_close_matches(opt.lower(), map(str, known))
        right = f"nearest: {', '.join(near)}" if near else "timm.optim.list_optimizers() lists what it has"
        raise ConfigError(f"recipe.opt: timm has no optimiser {opt!r}; {right}")
    info = get_optimizer_info(name)
    if info.second_order:
        raise ConfigError(f"recipe.opt: {opt!r} takes second derivatives, no run makes them; take say adamw")
    package = info.opt_class.split(".")[0] if isinstance(info.opt_class, str) else ""
    if package and not torch.cuda.is_available():
        raise ConfigError(f"recipe.opt: {opt!r} is {package}'s and needs a CUDA device; take say adamw")
    if package and importlib.util.find_spec(package) is None:
        raise ConfigError(f"recipe.opt: {opt!r} needs the package {package}, which is not installed; take say adamw")


def _check_arguments(recipe: Recipe) -> None:
    """What timm's factory and torch drop without a word."""
    info = get_optimizer_info(recipe.opt.lower().split("_")[-1])
    for argument, taken in (("eps", info.has_eps), ("betas", info.has_betas)):
        if argument in recipe.opt_args and not taken:
            logging.getLogger("autoprog_search").warning(
                "recipe.opt_args: %s has no %s; it is left out", recipe.opt, argument
            )
    betas = recipe.opt_args.get("betas")
    if info.has_betas and isinstance(betas, list | tuple) and len(betas) != info.num_betas:
        raise ConfigError(f"recipe.opt_args.betas: {recipe.opt} takes {info.num_betas}, got {str(betas)[:80]}")


def _try_out(recipe: Recipe, own: Mapping[str, Any], model: nn.Module) -> None:
    """Train two parameters apart from the model, of which one joins at the second step and rests at the third."""
    device = next(model.parameters()).device
    first, second = (nn.Parameter(torch.ones(shape, device=device)) for shape in ((4, 3), (3,)))
    optimizer = _made(recipe, 1e-3, own, [first, second])  # a run whose own rate is too high fails as a run
    for learning in ((first,), (first, second), (first,)):
        for parameter in learning:
            parameter.grad = torch.full_like(parameter, 0.1)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if not all(bool(parameter.isfinite().all()) for parameter in (first, second)):
        raise ValueError("its first steps are not finite")


def _what_is_wrong(recipe: Recipe, model: nn.Module, error: Exception) -> str:
    """Whether it is the optimiser, or which of its arguments."""
    if _failure(recipe, {}, model):
        return f"recipe.opt: {recipe.opt!r} cannot train here ({why(error)}); take say adamw"
    for name, value in recipe.opt_args.items():
        if alone := _failure(recipe, {name: value}, model):
            kind = get_optimizer_class(recipe.opt.lower().split("_")[-1], bind_defaults=False)
            known = [n for n in inspect.signature(kind).parameters if n != "params"]
            right = "leave it out for the default" if name in known else there_are(name, known)
            return f"recipe.opt_args.{name}: {recipe.opt} cannot train with {repr(value)[:80]} ({alone}); {right}"
    return f"recipe.opt_args: {recipe.opt} cannot train with {str(recipe.opt_args)[:200]} ({why(error)})"


def _failure(recipe: Recipe, own: Mapping[str, Any], model: nn.Module) -> str:
    try:
        _try_out(recipe, own, model)
    except Exception as error:  # noqa: BLE001 - as above
        return why(error)
    return ""


def build_scheduler(recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int) -> Scheduler:
    """The LR schedule over the whole run's steps; `step_update(n)` sets the rate of step n, statelessly."""
    warmup = round(recipe.warmup_share * steps)
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched=recipe.sched,
        num_epochs=steps,  # timm's epochs are our steps: it multiplies both by updates_per_epoch = 1
        warmup_epochs=warmup,
        warmup_lr=recipe.scaled_lr / 100,
        decay_epochs=max(1, min(round(recipe.decay_share * steps), steps - warmup)),
        decay_fn="linear",
        min_lr=recipe.min_lr,
        step_on_epochs=False,
        updates_per_epoch=1,
    )
    return scheduler


class Ema(ModelEmaV3):
    """timm's, which looks through both networks' state dicts at every update: longer than a GPU takes for it.

    Here their tensors are paired once; an elastic model replaces none.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, decay=decay, use_warmup=True)
        own, followed = (network.state_dict(keep_vars=True).values() for network in (self.module, model))
        pairs = list(zip(own, followed, strict=True))
        self._moved = [ours for ours, _ in pairs if ours.is_floating_point()]
        self._towards = [theirs for ours, theirs in pairs if ours.is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    def apply_update_(self, model: nn.Module, decay: float) -> None:
        """Follow the network that it was made of."""
        torch._foreach_lerp_(self._moved, self._towards, weight=1 - decay)
        for ours, theirs in self._copied:
            ours.copy_(theirs)


def build_ema(model: nn.Module, horizon: float, steps: int) -> Ema:
    """An EMA that looks back over a share `horizon` of the run, with warm-up.

    A fixed decay breaks short runs: at ImageNet length (125,000 steps) shares of 0.004 and 0.02 are the released code's
    0.998 and 0.9996.
    """
    return Ema(model, decay=1 - 1 / max(horizon * steps, 1.0))


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    """The precision of forward passes on this device."""
    wanted = recipe.precision == "bfloat16" or (recipe.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16) if wanted else nullcontext()
