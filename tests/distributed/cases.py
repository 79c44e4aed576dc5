"""Runs that several processes train as one does: with a search and a growth inside, in 20 steps of 36 images.

`python -m tests.distributed.cases FOLDER` under torchrun trains them all, and leaves there what each came to.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from autoprog_search.data.load import load_data
from autoprog_search.data.tensor import TensorData
from autoprog_search.methods.oneshot import OneShotMethod
from autoprog_search.training import replica
from autoprog_search.training.joining import joined
from autoprog_search.training.run import Run
from autoprog_search.training.spec import RunSpec, planned_steps
from autoprog_search.training.trainer import Trainer
from autoprog_search.training.world import ALONE, World
from tests.growth.volo import volo_tiny_for_tests
from tests.tiny import CPU, FEW, tiny_config

RUN = (
    *FEW,
    "space.stages=2",
    "data.train_share=0.2",
    *(f"recipe.{field}" for field in ("batch_size=36", "epochs=4", "augment=0", "hflip=0")),
)
# timm resamples position embeddings in single precision, whatever they are: in doubles the model has none.
WITHOUT_POSITIONS = ("space.pos_embed=timm", "space.model_args.pos_embed=none")
VOLO = (
    f"space={{name: v, model: {volo_tiny_for_tests.__name__}, model_args: {{img_size: 48, in_chans: 1, "
    "use_mix_token: true}, depth: 6, resolution: 48, patch_size: 16, depths: [2, 6], resolutions: [16, 48], stages: 2}"
)
CASES: dict[str, tuple[str, ...]] = {
    "doubles": (*RUN, *WITHOUT_POSITIONS),
    "augmented": (
        *RUN,
        "space.patches_by=patch_size",
        *(f"recipe.{field}" for field in ("augment=0.3", "hflip=0.5", "mixup=0.4", "cutmix=1.0", "grad_accum=3")),
    ),
    "dropped patches": (*RUN, *WITHOUT_POSITIONS, "space.patches_by=dropout"),
    "batch norm, drop-path": (VOLO, *RUN[3:], "recipe.drop_path=0.2", "recipe.eval_weights=raw"),
}

IN_DOUBLES = ("doubles", "dropped patches")


@contextmanager
def precision(dtype: torch.dtype) -> Iterator[None]:
    """Inside, models are made in that precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def data_in_doubles(*of: Any) -> TensorData:
    """As `load_data`, but for the precision."""
    data = load_data(*of)
    assert isinstance(data, TensorData)
    return replace(data, splits={name: (images.double(), labels) for name, (images, labels) in data.splits.items()})


def trained(name: str, world: World = ALONE) -> tuple[Run, dict[str, Any]]:
    """That case, trained: where it stands at its end, and what it came to."""
    config = tiny_config(*CASES[name])
    doubles = name in IN_DOUBLES
    with precision(torch.float64 if doubles else torch.float32):
        data = (data_in_doubles if doubles else load_data)(config.data, config.space, config.recipe, CPU)
        steps = planned_steps(config.space, config.recipe, data.train_size)
        run = Run(RunSpec(config.space, config.recipe, config.growth, steps, seed=0), data, device=CPU, world=world)
        result = Trainer(run, OneShotMethod()).train()
        stages = [record.to_dict() for record in result.state.stages]
        found = {"stages": stages, "curve": result.state.curve, "growth": result.state.growth_top1}
        found |= {"test": (result.test.loss, result.test.top1), "weights": run.networks.to_dict()}
    return run, found


def digest(run: Run) -> str:
    """Of the bits of all networks."""
    weights = [tensor for state in run.networks.to_dict().values() for tensor in state.values()]
    return blake2b(b"".join(tensor.numpy().tobytes() for tensor in weights)).hexdigest()


def gradients_of_its_own(run: Run, world: World) -> bool:
    """Whether, with no step under way, a backward pass gives each process the gradients of its own images."""
    run.step.begin(drawn=True)
    images = torch.full((2, 1, 16, 16), 1.0 + world.rank, dtype=torch.float64)
    run.elastic(images).square().sum().backward()
    own = next(run.elastic.parameters()).grad
    assert own is not None
    return not torch.equal(own, world.mean(own.clone()))


def main(folder: Path) -> None:
    """Train all cases, wherever torchrun has started this."""
    torch.set_num_threads(1)
    with joined() as world:
        for name in CASES:
            with mock.patch.object(replica, "wrap", side_effect=replica.wrap) as wraps:
                run, found = trained(name, world)
            found["idle"] = [len(call.args[1]) for call in wraps.call_args_list]
            world.check_alike(weights=digest(run))
            if name == "doubles":
                found["own gradients"] = gradients_of_its_own(run, world)
            if world.first:
                torch.save(found, folder / f"{name}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
