"""What every elastic model family keeps."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm.models._features import FeatureGetterNet
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from autoprog_search.errors import GrowthError
from autoprog_search.growth.adapters import family_of
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.growth.large_patches import KERNEL
from autoprog_search.growth.operators import GROWTH_OPERATORS
from autoprog_search.schedule import SubNetwork
from autoprog_search.testing.networks import cut_to, images, logits_of, loss_of, schedule, shaken, sub_networks

equal = partial(torch.testing.assert_close, atol=0, rtol=0)
"""Assert that nested sequences of tensors are the same, bit for bit."""


class FamilyCase:
    """What a model of every family of `growth/adapters.py` keeps. Supply `build`.

    The model takes square images of 3 channels, at most some hundred pixels wide, and has at least 4 blocks.
    """

    @pytest.fixture
    def build(self) -> Callable[..., nn.Module]:
        """`build(**arguments)`: `timm.create_model` of the model under test, with these arguments besides."""
        raise NotImplementedError

    @pytest.fixture
    def elastic(self, build: Callable[..., nn.Module]) -> ElasticModel:
        """The model under test, with weights large enough that every block and position shows in the output."""
        torch.manual_seed(0)
        return ElasticModel(shaken(build(drop_path_rate=0.2)))

    def test_the_full_network_is_timms_own(self, build: Callable[..., nn.Module]) -> None:
        """Bit for bit, in eval mode."""
        model = shaken(build()).eval()
        elastic = ElasticModel(deepcopy(model)).eval()
        with torch.inference_mode():
            assert torch.equal(logits_of(elastic(images(elastic))), logits_of(model(images(elastic))))

    def test_every_sub_network_runs_and_only_its_blocks_learn(self, elastic: ElasticModel) -> None:
        """Forward and backward at every candidate: finite, different from each other, no gradient elsewhere."""
        seen: list[torch.Tensor] = []
        for sub_network in sub_networks(elastic):
            elastic.activate(sub_network)
            assert len(elastic.active) == sub_network.depth
            elastic.train()
            elastic.zero_grad(set_to_none=True)
            loss_of(elastic(images(elastic))).backward()
            for index, block in enumerate(elastic.blocks):
                gradients = [parameter.grad is not None for parameter in block.parameters()]
                assert all(gradients) if index in elastic.active else not any(gradients), f"block {index}"
            elastic.eval()
            with torch.inference_mode():
                out = logits_of(elastic(images(elastic)))
            assert bool(out.isfinite().all())
            assert all((out - other).abs().max() > 1e-5 for other in seen)
            seen.append(out)

    def test_gradient_checkpointing_runs_the_same_blocks(self, elastic: ElasticModel) -> None:
        """timm's, which takes containers apart: the same gradients, and none elsewhere."""
        elastic.drop_path_rate = 0.0
        elastic.activate(schedule(elastic)[0])
        gradients = []
        for checkpointing in (False, True):
            elastic.model.set_grad_checkpointing(checkpointing)  # type: ignore[operator]
            elastic.train()
            elastic.zero_grad(set_to_none=True)
            torch.manual_seed(0)
            np.random.seed(0)
            loss_of(elastic(images(elastic))).backward()
            gradients.append({n: p.grad.clone() for n, p in elastic.named_parameters() if p.grad is not None})
        plain, checkpointed = gradients
        torch.testing.assert_close(checkpointed, plain, atol=1e-5, rtol=1e-4)

    def test_resolution_changes_no_parameter(self, elastic: ElasticModel) -> None:
        """What is resampled is a function of the parameter, which goes on training; or other sizes are refused."""
        before = {name: id(parameter) for name, parameter in elastic.model.named_parameters()}
        small = SubNetwork(elastic.full.depth, (elastic.full.grid - 1) ** 2)
        if elastic.adapter.resolution == "fixed":
            with pytest.raises(GrowthError, match="patches"):
                elastic.activate(small)
            return
        elastic.activate(small)
        elastic.train()
        loss_of(elastic(images(elastic))).backward()
        after = dict(elastic.model.named_parameters())
        assert {name: id(parameter) for name, parameter in after.items()} == before
        position = after.get("pos_embed")
        assert position is None or (position.grad is not None and bool(position.grad.any()))

    def test_drop_path_rates_follow_the_depth(self, elastic: ElasticModel) -> None:
        """Those of the family's own rule for a network of that depth; full size has timm's."""
        for sub_network in sub_networks(elastic):
            elastic.activate(sub_network)
            expected = elastic.adapter.drop_path_rates(0.2, sub_network.depth)
            for place, index in enumerate(elastic.active):
                module = getattr(elastic.blocks[index], elastic.adapter.drop_paths[0])
                if not isinstance(module, nn.Identity):
                    assert module.drop_prob == pytest.approx(expected[place], abs=1e-6)

    def test_flops_are_torchs_count(self, elastic: ElasticModel) -> None:
        """Of every sub-network: the closed form against the counter on a real image."""
        elastic.eval().requires_grad_(False)
        for sub_network in sub_networks(elastic):
            elastic.activate(sub_network)
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                elastic(images(elastic, batch=1))
            assert counter.get_total_flops() == elastic.cost.forward_flops(sub_network)

    def test_larger_patches_see_all_of_an_image(self, build: Callable[..., nn.Module]) -> None:
        """Where the family takes them: every grid at about the full side, FLOPs counted, and its own weight trained.

        torch counts one thing more, the large kernel's resize, which is due once a step and not once an image.
        """
        grid = ElasticModel(build()).full.grid
        levels = [(grid - 2) ** 2, (grid - 1) ** 2, grid**2]
        if not family_of(build()).larger_patches:
            with pytest.raises(GrowthError, match=r"patches_by: .* give resolution"):
                ElasticModel(build(), patches=levels, patches_by="patch_size")
            return
        elastic = ElasticModel(build(), patches=levels, patches_by="patch_size")
        own, full = elastic.model.get_parameter(KERNEL), elastic.full
        assert elastic.large_patches is not None
        large = elastic.large_patches.weight
        for patches in levels:
            elastic.activate(SubNetwork(full.depth, patches))
            assert 0 <= elastic.resolution - ElasticModel(build()).resolution < elastic.sub_network.grid
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                elastic.eval().requires_grad_(False)(images(elastic, batch=1))
            side = elastic.patching.patch_size(elastic.sub_network)
            resize = 2 * large.numel() * side**2 if own.shape[-1] < side < large.shape[-1] else 0
            assert counter.get_total_flops() - resize == elastic.cost.forward_flops(elastic.sub_network)
            elastic.train().requires_grad_(True).zero_grad()
            loss_of(elastic(images(elastic))).backward()
            trained, resting = (own, large) if patches == full.patches else (large, own)
            assert trained.grad is not None
            assert resting.grad is None
        assert elastic.model.state_dict().keys() == build().state_dict().keys()

    def test_dropped_patches_leave_the_others_as_they_are(self, build: Callable[..., nn.Module]) -> None:
        """Where the family drops any: it trains on so many, FLOPs counted; evaluation sees all; its state is timm's."""
        grid = ElasticModel(build()).full.grid
        levels = [(grid - 1) ** 2, grid**2]
        if family_of(build()).patch_dropout is None:
            with pytest.raises(GrowthError, match=r"patches_by: .* give resolution"):
                ElasticModel(build(), patches=levels, patches_by="dropout")
            return
        elastic = ElasticModel(build(), patches=levels, patches_by="dropout")
        prefix = elastic.model.num_prefix_tokens
        seen: list[int] = []
        elastic.blocks[-1].register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0].shape[1] - prefix))
        batch = images(elastic, batch=1)
        for patches in (*range(1, elastic.full.grid), elastic.full.grid):
            elastic.activate(SubNetwork(elastic.full.depth, patches**2))
            assert elastic.resolution == batch.shape[-1]
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                elastic.train()(batch)
            assert counter.get_total_flops() == elastic.cost.forward_flops(elastic.sub_network)
            with torch.no_grad():
                outs = [logits_of(elastic.eval()(batch)) for _ in range(2)]
            assert torch.equal(*outs)
            assert seen == [patches**2, elastic.full.patches, elastic.full.patches]
            seen.clear()
        assert elastic.model.state_dict().keys() == build().state_dict().keys()

    @pytest.mark.parametrize("operator", GROWTH_OPERATORS)
    def test_it_grows_through_a_schedule(self, elastic: ElasticModel, operator: str) -> None:
        """Three stages of training under every operator: finite, growing, no parameter exchanged, EMA in step."""
        ema = ModelEmaV3(elastic, decay=0.5)
        optimizer = torch.optim.AdamW(elastic.parameters(), lr=1e-3)
        before = {name: id(parameter) for name, parameter in elastic.model.named_parameters()}
        stages = schedule(elastic)
        for network in (elastic, ema.module):
            network.activate(stages[0])
        for sub_network in stages:
            origin = elastic.grow(sub_network, operator, optimizer=optimizer, momentum=ema.module)
            same_kind = [type(elastic.blocks[a]) is type(elastic.blocks[b]) for a, b in origin.items() if b is not None]
            assert all(same_kind)
            elastic.train()
            loss = loss_of(elastic(images(elastic)))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            ema.update(elastic)
            assert bool(loss.isfinite())
        assert all(bool(parameter.isfinite().all()) for parameter in elastic.parameters())
        assert elastic.active == ema.module.active == tuple(range(elastic.full.depth))
        assert {name: id(parameter) for name, parameter in elastic.model.named_parameters()} == before

    def test_fresh_blocks_are_as_timm_makes_them(self, build: Callable[..., nn.Module]) -> None:
        """Every parameter of a block that `rand_init` makes has mean and spread of timm's in a new model."""
        torch.manual_seed(1)
        fresh = ElasticModel(build())
        small = schedule(fresh)[0]
        elastic = ElasticModel(deepcopy(fresh.model), depths=[small.depth, fresh.full.depth])
        elastic.activate(small)
        shaken(elastic.model)
        torch.manual_seed(2)
        for new in elastic.grow(fresh.full, "rand_init"):
            expected = dict(fresh.blocks[new].named_parameters())
            for name, parameter in elastic.blocks[new].named_parameters():
                made, timms = parameter.detach(), expected[name].detach()
                if timms.numel() < 64:  # too few numbers for a spread; a constant shows all the same
                    assert (made.min() == made.max()) == (timms.min() == timms.max()), f"block {new}, {name}"
                    continue
                spread, wanted = made.std().item(), timms.std().item()
                assert spread == pytest.approx(wanted, rel=0.5, abs=1e-6), f"block {new}, {name}"
                mean, theirs = made.mean().item(), timms.mean().item()
                assert mean == pytest.approx(theirs, abs=1e-6 + wanted / 2), f"block {new}, {name}"

    def test_exported_weights_are_the_timm_models(
        self, elastic: ElasticModel, build: Callable[..., nn.Module], tmp_path: Path
    ) -> None:
        """After growth, `timm.create_model(..., checkpoint_path=...)` gives the same network."""
        elastic.activate(schedule(elastic)[0])
        elastic.grow(elastic.full, "interpolation")
        path = tmp_path / "weights.safetensors"
        save_file({k: v.contiguous() for k, v in elastic.model.state_dict().items()}, path)
        again = build(checkpoint_path=str(path)).eval()
        elastic.eval()
        with torch.inference_mode():
            torch.testing.assert_close(again(images(elastic)), elastic(images(elastic)))

    def test_a_copy_computes_and_grows_the_same(self, elastic: ElasticModel) -> None:
        """By pickle, `torch.save` and `copy.deepcopy`, as a sub-network in the middle of fading in."""
        elastic.activate(schedule(elastic)[0])
        elastic.fade(elastic.active[-1:], 0.5)
        saved = BytesIO()
        torch.save(elastic, saved)
        saved.seek(0)
        # What this very test has written a line above is safe to read with its code.
        copies = [pickle.loads(pickle.dumps(elastic)), torch.load(saved, weights_only=False), deepcopy(elastic)]
        own = {parameter.data_ptr() for parameter in elastic.parameters()}
        for copy in copies:
            assert copy.state_dict().keys() == elastic.state_dict().keys()
            assert not own & {parameter.data_ptr() for parameter in copy.parameters()}
        for step in range(2):
            outputs = []
            for network in (elastic, *copies):
                network.eval()
                with torch.inference_mode():
                    outputs.append(logits_of(network(images(network))))
                if step == 0:
                    torch.manual_seed(0)
                    network.grow(network.full, "rand_init")
            assert all(torch.equal(outputs[0], other) for other in outputs[1:])

    def test_features_are_those_of_the_sub_network(self, build: Callable[..., nn.Module]) -> None:
        """timm's intermediate features, against timm's of a model that has the active blocks alone."""
        model = shaken(build()).eval()
        elastic = ElasticModel(deepcopy(model)).eval()
        if not hasattr(model, "forward_intermediates"):
            return
        for sub_network in schedule(elastic):
            dynamic = elastic.adapter.resolution == "dynamic"  # timm's own cannot run at another resolution else
            elastic.activate(sub_network if dynamic else SubNetwork(sub_network.depth, elastic.full.patches))
            plain, x = cut_to(model, elastic), images(elastic, batch=1)
            with torch.inference_mode():
                taken = plain.forward_intermediates(x, intermediates_only=True)  # type: ignore[operator]
                for indices in (None, 1, len(taken), [0, -1]):
                    for options in ({"norm": True}, {"stop_early": True, "intermediates_only": True}):
                        theirs = plain.forward_intermediates(x, indices, **options)  # type: ignore[operator]
                        equal(elastic.model.forward_intermediates(x, indices, **options), theirs)  # type: ignore[operator]
                        equal(elastic.forward_intermediates(x, indices, **options), theirs)
                if hasattr(model, "get_intermediate_layers"):
                    for n in (1, len(taken), [0]):
                        theirs = plain.get_intermediate_layers(x, n, norm=True)  # type: ignore[operator]
                        equal(elastic.model.get_intermediate_layers(x, n, norm=True), theirs)  # type: ignore[operator]

    def test_pruned_to_a_layers_features(self, build: Callable[..., nn.Module]) -> None:
        """timm's own way to cut a model down to its features; the elastic model then says that it is one no more."""
        model = shaken(build()).eval()
        elastic = ElasticModel(deepcopy(model)).eval()
        if not hasattr(model, "prune_intermediate_layers"):
            return
        elastic.activate(SubNetwork(sorted(elastic.chain)[len(elastic.chain) // 2], elastic.full.patches))
        plain, x = cut_to(model, elastic), images(elastic)
        networks = (FeatureGetterNet(plain, (0,)), FeatureGetterNet(elastic.model, (0,)))
        with torch.inference_mode():
            equal(networks[1](x), networks[0](x))
        assert len(list(networks[1].parameters())) == len(list(networks[0].parameters()))
        with pytest.raises(GrowthError, match=r"blocks are left"):
            elastic.activate(elastic.full)
