"""The plain timm model of a growth space, fresh or from a file of weights."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import build_sincos2d_pos_embed
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from autoprog_search.errors import GrowthError, why
from autoprog_search.growth.adapters import adapter_of, patch_size_of
from autoprog_search.growth.weights import check_readable, create_with_weights
from autoprog_search.space import GrowthSpace

MOST_TENSORS = 3_000  # in a model: some 200 blocks, which take seconds to build; timm's deepest has 48, and 800 tensors
MOST_PARAMETERS = 10**11  # where only the cost is wanted; timm's largest model has 6e9
LARGEST_ARGUMENT = 10**6  # of the model's numbers; timm makes lists as long as the depth before any parameter
COPIES = 3  # of the weights in memory: the network's and its two EMAs'
_found_to_fit: set[str] = set()  # models that this process has judged; a study's trials build the same one again
WEIGHTS_FROM = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path")


def create_timm_model(
    space: GrowthSpace, *, num_classes: int, in_chans: int = 3, drop_path_rate: float = 0.0, checkpoint: str = ""
) -> nn.Module:
    """The plain timm model of a growth space, at full size.

    Args:
        checkpoint: file of weights to start from, in any format that timm's filter for the model reads. A classifier
            for other classes and an input layer for other channels are left fresh or adapted, positions of another
            image size are resampled, all by timm.

    Raises:
        GrowthError: timm does not know the model or its arguments, it cannot be made elastic, it does not fit in this
            machine's memory, or the weights are not of this model.
    """
    _check_arguments(space)
    own = {"num_classes": num_classes, "drop_path_rate": drop_path_rate}
    arguments = {"in_chans": in_chans, **space.model_args, **own}
    if torch.empty(0).device.type == "meta":  # only its cost is wanted
        with _bounded(None), _Unclamped():
            model = _create(space, arguments)
        adapter_of(model)
        return model
    if (key := f"{space.model} {arguments}") not in _found_to_fit:
        with torch.device("meta"), torch.random.fork_rng(devices=[]), _bounded(_memory()), _Unclamped():
            adapter_of(_create(space, arguments))
        _found_to_fit.add(key)
    model = _create(space, arguments, Path(checkpoint).expanduser() if checkpoint else None)
    adapter_of(model)
    if space.pos_embed == "sincos" and not checkpoint:
        _set_sincos(model)
    return model


def check_size(space: GrowthSpace, model: nn.Module) -> None:
    """Raise GrowthError where a growth space's model is not as large as the space says."""
    full, patch_size = adapter_of(model).full_size(model), patch_size_of(model)
    if full.depth != space.depth:
        side = "above" if space.depth > full.depth else "below"
        raise GrowthError(f"depth: {space.depth} is {side} {space.model}'s {full.depth}")
    if (full, patch_size) != (space.full, space.patch_size):
        raise GrowthError(
            f"resolution: {space.name} says {space.resolution} px in patches of {space.patch_size}, {space.model} "
            f"has {full.resolution(patch_size)} px in patches of {patch_size}"
        )


def described(space: GrowthSpace) -> str:
    """A space's model and its arguments, for an error message."""
    return f"{space.model} with {str(space.model_args)[:200]}" if space.model_args else space.model


def nearest_models(name: str) -> str:
    """What timm has of like name, for an error message."""
    near = difflib.get_close_matches(name, timm.list_models(), n=3)
    return f"nearest: {', '.join(near)}" if near else "timm.list_models() lists what it has"


def _check_arguments(space: GrowthSpace) -> None:
    if not timm.is_model(space.model):
        raise GrowthError(f"model: timm has no {space.model!r}; {nearest_models(space.model)}")
    for name in WEIGHTS_FROM:
        if name in space.model_args:
            raise GrowthError(f"model_args.{name}: weights to start from are given as recipe.init_checkpoint")
    for name, value in _numbers(space.model_args, "model_args"):
        if not abs(value) <= LARGEST_ARGUMENT:  # so that NaN is refused
            raise GrowthError(f"{name}: {value!r} is beyond any model; give at most {LARGEST_ARGUMENT:,}")


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item, name)
    elif isinstance(value, int | float):
        yield name, value


def _create(space: GrowthSpace, arguments: dict[str, Any], weights: Path | None = None) -> nn.Module:
    if weights is not None:
        try:
            check_readable(weights)
        except ValueError as error:
            raise GrowthError(f"init_checkpoint: {error}") from None
    try:
        try:
            return _built(space.model, {"dynamic_img_size": True, **arguments}, weights)
        except TypeError as error:
            if "dynamic_img_size" not in str(error):
                raise
            return _built(space.model, arguments, weights)  # the family takes other sizes another way, or not at all
    except GrowthError:
        raise
    # timm checks few of its arguments: what is wrong with them shows as whatever the model's own lines raise on them.
    except Exception as error:  # noqa: BLE001
        if weights is not None:
            raise GrowthError(f"init_checkpoint: {weights} does not fit {space.model}: {why(error)}") from None
        raise GrowthError(f"model: timm cannot build {described(space)} ({why(error)})") from None


def _built(name: str, arguments: dict[str, Any], weights: Path | None) -> nn.Module:
    create = partial(timm.create_model, name, **arguments)
    return create_with_weights(create, weights, arguments["num_classes"]) if weights is not None else create()


@contextmanager
def _bounded(memory: int | None) -> Iterator[None]:
    """End the building of a model that is beyond all bounds, before it has taken the time and the memory.

    Args:
        memory: bytes that it may fill; None: it needs none.
    """
    numbers = tensors = 0

    def count(module: nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        nonlocal numbers, tensors
        if tensor is None:
            return
        numbers, tensors = numbers + tensor.numel(), tensors + 1
        if tensors > MOST_TENSORS:
            raise GrowthError(f"model: it has more than {MOST_TENSORS:,} parameter tensors; make it less deep")
        if numbers > MOST_PARAMETERS:
            raise GrowthError(f"model: it has more than {MOST_PARAMETERS:.0e} parameters; make it smaller")
        if memory is not None and 4 * COPIES * numbers > memory:
            raise GrowthError(
                f"model: {COPIES} copies (network, two EMAs) of its more than {numbers:.2g} parameters take over "
                f"{4 * COPIES * numbers / 1e9:.3g} GB, this machine has {memory / 1e9:.3g} GB; make it smaller"
            )

    hooks = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Unclamped(TorchFunctionMode):
    """Inside, tensors of the meta device are not clamped: they have no values, and `trunc_normal_` spends its time so.

    It is the one step of an initialisation whose kernel for that device is written in Python.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.Tensor.clamp_ and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@torch.no_grad()
def _set_sincos(model: nn.Module) -> None:
    position: nn.Parameter = model.pos_embed  # type: ignore[assignment]
    grid: tuple[int, int] = model.patch_embed.grid_size  # type: ignore[union-attr, assignment]
    table = build_sincos2d_pos_embed(list(grid), dim=position.shape[-1])
    position[:, position.shape[1] - table.shape[0] :] = table  # class tokens keep timm's
