"""What docs/integrations.md asks a user to copy is short, runs as it stands, and grows."""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from torch.utils.data import DataLoader, TensorDataset

from autoprog_search import ElasticModel, SubNetwork, train
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import load_recipe

pytestmark = pytest.mark.slow
PAGE = (Path(__file__).parents[2] / "docs/integrations.md").read_text()
SMALL, FULL = SubNetwork(3, 9), SubNetwork(6, 36)
DIGITS_VIT = {"img_size": 24, "patch_size": 4, "in_chans": 1, "embed_dim": 12, "depth": 6, "num_heads": 3}


def snippet(name: str) -> str:
    found = re.search(rf"<!-- snippet: {name} -->\n```python\n(.*?)```\n<!-- /snippet -->", PAGE, flags=re.DOTALL)
    assert found is not None, f"the page has no {name}"
    assert sum(bool(line) for line in found[1].splitlines()) <= 15
    return found[1]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", **DIGITS_VIT, num_classes=10, dynamic_img_size=True)


@pytest.fixture
def loader():
    images = torch.randn(16, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(images, torch.arange(16) % 10), batch_size=8)


@pytest.fixture
def ran(monkeypatch):
    """The sub-networks that trained, in order, each once."""
    seen: list[SubNetwork] = []
    forward = ElasticModel.forward

    def looked(elastic, images):
        if elastic.training and seen[-1:] != [elastic.sub_network]:
            seen.append(elastic.sub_network)
        return forward(elastic, images)

    monkeypatch.setattr(ElasticModel, "forward", looked)
    return seen


@pytest.fixture
def shorter(monkeypatch):
    """`train` on a few digits, for a few epochs."""
    recipe = load_recipe("digits").model_copy(update={"epochs": 4, "batch_size": 10})
    short = partial(train, data=DataConfig(name="digits", train_share=0.2), recipe=recipe, device="cpu")
    monkeypatch.setattr("autoprog_search.runs.train.train", short)
    return short


def test_timm(model, loader, ran):
    names = {"torch": torch, "model": model, "loader": loader, "optimizer": torch.optim.AdamW(model.parameters())}
    exec(snippet("timm"), names)
    assert ran == [SMALL, FULL]


def test_optuna(shorter):
    names: dict = {}
    exec(snippet("optuna"), names)
    (trial,) = names["study"].trials
    assert {"stage1_depth_level", "stage1_patches_level"} <= set(trial.params)
    assert trial.values[0] > 0


def test_a_logger_of_ones_own(shorter, capsys):
    exec(snippet("logger"), {"train": shorter})
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "linear seed 0: 4 epochs"
    assert last == "finished"


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")  # Lightning's own
def test_lightning(model, loader, ran, tmp_path, monkeypatch):
    try:
        import lightning.pytorch as L
    except ImportError:
        L = pytest.importorskip("pytorch_lightning")
    monkeypatch.chdir(tmp_path)
    for name in ("lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.ERROR)

    class MyModule(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, batch, batch_idx):
            return torch.nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters())

    quiet = partial(L.Trainer, logger=False, enable_progress_bar=False, enable_checkpointing=False, accelerator="cpu")
    monkeypatch.setattr(L, "Trainer", quiet)
    exec(snippet("lightning"), {"L": L, "MyModule": MyModule, "loader": loader})
    assert ran == [SMALL, FULL]


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")  # Hugging Face's own
def test_transformers(ran, tmp_path, loader):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    config = transformers.TimmWrapperConfig(
        architecture="vit_tiny_patch16_224", num_labels=10, model_args={**DIGITS_VIT, "dynamic_img_size": True}
    )
    model = transformers.TimmWrapperForImageClassification(config)
    names = list(model.state_dict())
    seen = []
    model.timm_model.blocks[5].register_forward_hook(lambda *_: seen.append("full"))
    model.timm_model.patch_embed.register_forward_hook(lambda block, images, out: seen.append(images[0].shape[-1]))
    arguments = transformers.TrainingArguments(
        str(tmp_path), num_train_epochs=2, per_device_train_batch_size=8, report_to="none", use_cpu=True,
        disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    images = [{"pixel_values": image, "labels": int(label)} for image, label in loader.dataset]
    exec(
        snippet("transformers"),
        {"Trainer": transformers.Trainer, "model": model, "arguments": arguments, "images": images},
    )
    assert seen == [12, 12, 24, "full", 24, "full"]
    assert list(model.state_dict()) == names
