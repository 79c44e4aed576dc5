"""Every optimiser of timm over a growth: steps, blocks that join, a supernet's draws, a checkpoint in between."""

from __future__ import annotations

import io
import logging
from copy import deepcopy
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.optim import get_optimizer_info, list_optimizers

from autoprog_search.errors import ConfigError
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.recipe import Recipe
from autoprog_search.training.optim import build_optimizer, build_scheduler

PACKAGES = ("apex", "bitsandbytes")  # none is installed where tests run, and both want a CUDA device
NAMES = [*list_optimizers(), "lookahead_adamw", "lookahead_sgd", "lookahead_kron", "AdamW"]


def refusal(name: str) -> str:
    """Why an optimiser of timm's list cannot train here, by timm's own traits; "" where it can."""
    info = get_optimizer_info(name.lower().split("_")[-1])
    if info.second_order:
        return "second derivatives"
    return next((p for p in PACKAGES if isinstance(info.opt_class, str) and info.opt_class.startswith(p)), "")


TRAIN = [name for name in NAMES if not refusal(name)]
REFUSED = {name: refusal(name) for name in NAMES if refusal(name)}


def test_what_is_refused_is_what_needs_packages_or_second_derivatives():
    assert {name for name, reason in REFUSED.items() if reason not in PACKAGES} == {"adahessian"}
    assert len(TRAIN) > 80


@pytest.fixture(scope="module")
def fresh() -> ElasticModel:
    torch.manual_seed(0)
    small = {"img_size": 8, "patch_size": 4, "embed_dim": 8, "depth": 3, "num_heads": 2, "num_classes": 3}
    return ElasticModel(timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True, **small))


class Training:
    """A network, its optimiser and its schedule."""

    def __init__(self, fresh: ElasticModel, recipe: Recipe) -> None:
        self.elastic = deepcopy(fresh)
        self.optimizer = build_optimizer(recipe, self.elastic.model)
        self.scheduler = build_scheduler(recipe, self.optimizer, 12)

    def steps(self, first: int, depths: list[int]) -> None:
        images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        for step, depth in enumerate(depths, start=first):
            torch.manual_seed(step)
            self.elastic.activate(SubNetwork(depth, 4))
            self.scheduler.step_update(step)
            F.cross_entropy(self.elastic(images), torch.tensor([0, 1, 2, 0])).backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def grow(self, depth: int, rule: Any) -> None:
        self.elastic.grow(SubNetwork(depth, 4), "interpolation", optimizer=self.optimizer, state_rule=rule)

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in self.elastic.model.named_parameters()}


@pytest.mark.filterwarnings("ignore:.*opt_einsum:UserWarning")
@pytest.mark.parametrize("name", TRAIN)
def test_it_trains_over_growths_and_goes_on_from_a_checkpoint(fresh, name):
    run = Training(fresh, Recipe(opt=name, lr=1e-2))
    run.steps(0, [1])
    run.grow(2, "reset")
    run.steps(1, [2, 1, 2])  # block 1 rests at a step
    run.grow(3, "copy")
    buffer = io.BytesIO()
    torch.save({"optimizer": run.optimizer.state_dict(), "weights": run.elastic.model.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    resumed = Training(fresh, Recipe(opt=name, lr=1e-2))
    resumed.elastic.model.load_state_dict(saved["weights"])
    resumed.optimizer.load_state_dict(saved["optimizer"])
    before = run.weights()
    for training in (run, resumed):
        training.steps(4, [3])
    after, same = run.weights(), resumed.weights()
    for parameter, value in after.items():
        assert bool(value.isfinite().all()), parameter
        assert torch.equal(value, same[parameter]), parameter
    moved = [key for key in before if key.startswith("blocks.2.") and not torch.equal(before[key], after[key])]
    assert moved, "the block that joined does not train"


# ── the optimiser's state of new blocks ─────────────────────────────────────────────────────────────────────────────


def test_sgd_with_momentum_is_the_textbooks_over_a_growth(fresh):
    """Momentum 0.9 with Nesterov's look-ahead, by hand; a block's first step has none."""
    run = Training(fresh, Recipe(opt="sgd", lr=0.1, weight_decay=0.0, warmup_share=0.0, decay_share=0.01))
    name = "blocks.0.mlp.fc1.weight"
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected, velocity = run.weights()[name], torch.zeros_like(run.weights()[name])
    run.elastic.activate(SubNetwork(1, 4))
    for step in range(4):
        if step == 2:
            run.grow(2, "reset")
        run.scheduler.step_update(step)
        F.cross_entropy(run.elastic(images), torch.tensor([0, 1, 2, 0])).backward()
        gradient = run.elastic.model.get_parameter(name).grad.clone()
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        velocity = 0.9 * velocity + gradient
        expected = expected - run.optimizer.param_groups[0]["lr"] * (gradient + 0.9 * velocity)
        torch.testing.assert_close(run.weights()[name], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*opt_einsum:UserWarning")
@pytest.mark.parametrize("name", ["kron", "lookahead_adamw"])
def test_a_copied_state_is_the_donors_and_shares_no_tensor_with_it(fresh, name):
    """Kron's preconditioners are a list of tensors; lookahead keeps all state in the optimiser that it wraps."""
    run = Training(fresh, Recipe(opt=name, lr=1e-2))
    run.steps(0, [1] * 6)  # lookahead's slow weights come with the sixth step
    states = getattr(run.optimizer, "_base_optimizer", run.optimizer).state
    origin = run.elastic.grow(SubNetwork(2, 4), "interpolation", optimizer=run.optimizer, state_rule="copy")
    ((new, donor),) = origin.items()
    for key, parameter in run.elastic.blocks[new].named_parameters():
        theirs = states[run.elastic.blocks[donor].get_parameter(key)]
        assert states[parameter].keys() == theirs.keys()
        for entry, value in states[parameter].items():
            pairs = zip(value, theirs[entry], strict=True) if isinstance(value, list) else [(value, theirs[entry])]
            for ours, other in pairs:
                if isinstance(ours, torch.Tensor):
                    assert torch.equal(ours, other)
                    assert ours.data_ptr() != other.data_ptr()


def test_lookahead_forgets_the_slow_weights_of_a_blocks_earlier_life(fresh):
    run = Training(fresh, Recipe(opt="lookahead_adamw", lr=1e-2))
    run.steps(0, [3] * 6)
    run.elastic.activate(SubNetwork(1, 4))
    origin = run.elastic.grow(SubNetwork(2, 4), "interpolation", optimizer=run.optimizer)
    states = run.optimizer._base_optimizer.state
    assert all(parameter not in states for new in origin for parameter in run.elastic.blocks[new].parameters())


def test_adamw_is_torchs_fused_and_sgd_is_not(fresh):
    fused = {
        name: Training(fresh, Recipe(opt=name)).optimizer.defaults.get("fused") for name in ("adam", "adamw", "sgd")
    }
    assert fused == {"adam": True, "adamw": True, "sgd": None}


# ── what is wrong is one line ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_train_here_is_refused_when_it_is_built(fresh, name):
    with pytest.raises(ConfigError, match=rf"recipe\.opt: '{name}'.*{REFUSED[name]}.*take say adamw$"):
        build_optimizer(Recipe(opt=name), fresh.model)


@pytest.mark.parametrize(
    ("name", "near"),
    [("adamv", "adam"), ("sdg", "sgd"), ("", "list_optimizers"), ("look_adamw", "adamw"), ("a_b_c", "")],
)
def test_an_unknown_name_gets_the_nearest(fresh, name, near):
    with pytest.raises(ConfigError, match=rf"recipe\.opt: timm has no optimiser '{name}'.*{near}"):
        build_optimizer(Recipe(opt=name), fresh.model)


@pytest.mark.parametrize(
    ("opt", "arguments", "words"),
    [
        ("adamw", {"eps": "abc"}, ["opt_args.eps", "'abc'"]),
        ("adamw", {"betas": [0.9]}, ["opt_args.betas: adamw takes 2, got [0.9]"]),
        ("adamw", {"betas": [0.9, 0.99, 0.999]}, ["opt_args.betas: adamw takes 2"]),
        ("adamw", {"betas": 0.9}, ["opt_args.betas", "0.9"]),
        ("adamw", {"betas": [0.9, 1.5]}, ["opt_args.betas"]),
        ("adamw", {"beta": [0.9, 0.9]}, ["opt_args.beta:", "did you mean betas? There are lr, betas"]),
        ("adamw", {"opt": "sgd"}, ["opt_args.opt"]),
        ("adamw", {"foreach": True}, ["opt_args.foreach"]),
        ("adamw", {"betas": [0.9, 0.95], "lookahead_k": 5}, ["opt_args.lookahead_k"]),
        ("lookahead_adamw", {"alpha": 0.5}, ["opt_args.alpha"]),
        ("adan", {"betas": [0.9, 0.98]}, ["opt_args.betas: adan takes 3"]),
        ("lamb", {"eps": [1]}, ["opt_args.eps"]),
        ("lion", {"betas": "ab"}, ["opt_args.betas"]),
        ("sgd", {"momentum": -1}, ["opt_args.momentum"]),
        ("sgd", {"momentum": "x"}, ["opt_args.momentum"]),
        ("sgd", {"fused": True}, ["opt_args.fused"]),
        ("muon", {"ns_steps": None, "momentum": {}}, ["opt_args"]),
    ],
)
def test_wrong_arguments_are_one_line_that_names_them(fresh, opt, arguments, words):
    with pytest.raises(ConfigError) as caught:
        build_optimizer(Recipe(opt=opt, opt_args=arguments), fresh.model)
    message = str(caught.value)
    assert message.startswith("recipe.opt_args")
    assert "\n" not in message
    assert len(message) < 600
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("opt", "arguments"),
    [
        ("adamw", {"betas": [0.9, 0.98], "eps": 1e-6}),
        ("adamw", {"layer_decay": 0.7}),
        ("adamw", {"fused": False}),
        ("adan", {"betas": [0.98, 0.92, 0.99]}),
        ("sgd", {"momentum": 0, "nesterov": False}),
        ("lookahead_adamw", {"eps": 1e-7}),
    ],
)
def test_right_arguments_arrive(fresh, opt, arguments):
    optimizer = build_optimizer(Recipe(opt=opt, opt_args=arguments), fresh.model)
    group = optimizer.param_groups[0]
    for name, value in arguments.items():
        if name != "layer_decay":
            assert (list(group[name]) if isinstance(value, list) else group[name]) == value
    assert ("layer_decay" in arguments) == (len({g.get("lr_scale", 1) for g in optimizer.param_groups}) > 1)


def test_arguments_that_timm_leaves_out_are_said(fresh, caplog):
    with caplog.at_level(logging.WARNING, "autoprog_search"):
        build_optimizer(Recipe(opt="sgd", opt_args={"betas": [0.9, 0.98], "momentum": 0.8}), fresh.model)
    assert [record.getMessage() for record in caplog.records] == ["recipe.opt_args: sgd has no betas; it is left out"]
