"""Growth in Lightning: a callback for any module with an elastic network, and digits to try it on.

    python examples/lightning_growth.py                           # writes checkpoints/epoch=N.ckpt, N from 0
    python examples/lightning_growth.py checkpoints/epoch=1.ckpt  # goes on after the second epoch

Needs `lightning` or `pytorch_lightning`.
"""

import logging
import sys
import warnings
from dataclasses import astuple

import timm
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from timm.utils import ModelEmaV3
from torch.utils.data import DataLoader, TensorDataset

try:
    import lightning.pytorch as L
except ImportError:
    import pytorch_lightning as L

from autoprog_search import ElasticModel, GrowthSchedule, SubNetwork


class Growth(L.Callback):
    """Grows `elastic` of a LightningModule at the epochs of a schedule, and keeps the EMA that MoGrow takes from.

    Optimiser and LR schedule stay as they are. A checkpoint holds the sub-network and the EMA beside Lightning's own
    state. With DDP, use `strategy="ddp_find_unused_parameters_true"`: some blocks do not run.

    Attributes:
        ema: timm's EMA; `ema.module` is an elastic network that runs as the same sub-network.
    """

    def __init__(self, schedule, ema_decay=0.99):
        self.schedule = schedule
        self.ema_decay = ema_decay
        self.ema = None
        self.updates = 0

    def setup(self, trainer, pl_module, stage):
        # Before Lightning restores a checkpoint and makes the optimiser; a second `fit` goes on where the first ended.
        if stage == "fit" and self.ema is None:
            self.elastic = pl_module.elastic
            self.elastic.activate(self.schedule.at(0))
            self.ema = ModelEmaV3(self.elastic, decay=self.ema_decay, use_warmup=True)

    def on_train_start(self, trainer, pl_module):
        self.ema.module.to(pl_module.device)
        self.updates = trainer.global_step

    def on_train_epoch_start(self, trainer, pl_module):
        sub_network = self.schedule.at(trainer.current_epoch)
        if sub_network != self.elastic.sub_network:
            self.elastic.grow(sub_network, optimizer=trainer.optimizers[0], momentum=self.ema.module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step > self.updates:  # not while gradients accumulate
            self.updates = trainer.global_step
            self.ema.update(self.elastic, step=self.updates)

    def state_dict(self):
        return {"sub_network": astuple(self.elastic.sub_network), "ema": self.ema.module.state_dict()}

    def load_state_dict(self, state_dict):
        for network in (self.elastic, self.ema.module):
            network.activate(SubNetwork(*state_dict["sub_network"]))
        self.ema.module.load_state_dict(state_dict["ema"])


class DigitsModule(L.LightningModule):
    """A small ViT. All that growth asks of it is the name `elastic`."""

    def __init__(self, depths):
        super().__init__()
        model = timm.create_model(
            "vit_tiny_patch16_224", img_size=24, patch_size=4, in_chans=1, embed_dim=48, depth=6, num_heads=3,
            num_classes=10, weight_init="jax", dynamic_img_size=True,
        )  # fmt: skip
        self.elastic = ElasticModel(model, depths=depths, operator="mogrow_new")

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = F.cross_entropy(self.elastic(images), labels)
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self):
        loss = self.trainer.callback_metrics["loss"]
        print(f"{self.elastic.sub_network}, epoch {self.current_epoch + 1}: loss {loss:.3f}")

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def digits_batches():
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    images = F.interpolate(images, size=(24, 24), mode="bilinear")
    return DataLoader(TensorDataset(images, torch.tensor(digits.target)), batch_size=64, shuffle=True)


def main(checkpoint=None):
    schedule = GrowthSchedule.from_dict(
        {
            "stages": [
                {"epochs": 1, "depth": 3, "resolution": 12},
                {"epochs": 2, "depth": 4, "resolution": 16},
                {"epochs": 1, "depth": 6, "resolution": 24},
            ]
        },
        patch_size=4,
    )
    torch.set_num_threads(1)  # threads that share cores wait for each other: give more where cores are idle
    torch.manual_seed(0)
    growth = Growth(schedule)
    trainer = L.Trainer(
        max_epochs=4, devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[growth, L.callbacks.ModelCheckpoint("checkpoints", "{epoch}", save_top_k=-1)],
    )  # fmt: skip
    trainer.fit(DigitsModule(depths=[3, 4, 6]), digits_batches(), ckpt_path=checkpoint)
    torch.save(growth.ema.module.model.state_dict(), "digits_vit.pt")  # a plain timm state dict of the full model


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module=r"(lightning|pytorch_lightning)\.")  # digits need no loader processes
    for name in ("lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    main(*sys.argv[1:])
