"""Files of weights to start from, in every format that timm's own filters read.

timm renames, resamples and adapts what it finds (original DeiT III, OpenCLIP, another image size or patch, ...), then
loads it, and tells nobody what was missing. torch's hooks on `load_state_dict` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from timm.models import load_state_dict
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from autoprog_search.errors import why

CLASSIFIERS = ("head", "head_dist", "aux_head", "fc", "classifier")
OF_PRETRAINING = ("mask_token", "lm_head", "decoder")  # what masked image models need besides, and leave in their files


def check_readable(path: Path) -> None:
    """Whether it is a file of weights at all.

    Raises:
        ValueError: it is not; its text says why.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        state = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # noqa: BLE001 - pickle, zip and safetensors each raise their own
        raise ValueError(f"{path} holds no weights: {why(error)}") from None
    if not any(isinstance(value, torch.Tensor | dict) for value in state.values()):
        raise ValueError(f"{path} holds no weights: there is no tensor in it")


def create_with_weights(
    create: Callable[..., nn.Module], path: Path, num_classes: int, *, with_classifier: bool = False
) -> nn.Module:
    """A timm model with the weights of a file.

    Args:
        create: `timm.create_model` with all but the arguments that say where weights come from.
        with_classifier: whether the file must have one for these classes; else it is left fresh where it has not.

    Raises:
        ValueError: parts of the model are missing in the file, or it has others besides.
        Exception: whatever timm and torch raise where shapes do not fit.
    """
    overlay = {"file": str(path), "num_classes": num_classes, "label_offset": 0}
    with _watching() as (missing, left_over):
        model = create(pretrained=True, pretrained_cfg_overlay=overlay)
    needed = [name for name in missing if with_classifier or not _of_a_classifier(name)]
    if needed:
        whose = f" for {num_classes} classes" if _of_a_classifier(needed[0]) else ""
        raise ValueError(f"it has no {needed[0]}{whose}")
    if left_over:
        raise ValueError(f"it has {left_over[0]} besides")
    return model


@contextmanager
def _watching() -> Iterator[tuple[list[str], list[str]]]:
    """What was missing in what a model built meanwhile was loaded from, and what was left over."""
    missing: list[str] = []
    left_over: list[str] = []
    hooks: dict[int, list[Any]] = {}
    roots: list[nn.Module] = []

    def drop_other_classifier(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        if prefix:
            return
        roots.append(module)
        for name, own in module.state_dict().items():
            if _of_a_classifier(name) and name in state and state[name].shape != own.shape:
                del state[name]

    def note(module: nn.Module, keys: Any) -> None:
        if module in roots:
            missing.extend(keys.missing_keys)
            left_over.extend(
                name for name in keys.unexpected_keys if not (_of_a_classifier(name) or name.startswith(OF_PRETRAINING))
            )
            keys.missing_keys.clear()  # torch would raise for what is left here, in many lines
            keys.unexpected_keys.clear()

    def watch(module: nn.Module, *_: Any) -> None:
        if id(module) not in hooks:
            before = module.register_load_state_dict_pre_hook(drop_other_classifier)
            hooks[id(module)] = [before, module.register_load_state_dict_post_hook(note)]

    watching = register_module_module_registration_hook(watch)
    try:
        yield missing, left_over
    finally:
        watching.remove()
        for hook in (hook for pair in hooks.values() for hook in pair):
            hook.remove()


def _of_a_classifier(name: str) -> bool:
    return name.split(".")[0] in CLASSIFIERS
