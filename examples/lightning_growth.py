"""Growth in Lightning: the callback `Growth`, on a module with an elastic model, and digits to try it on.

    python examples/lightning_growth.py                           # writes checkpoints/epoch=N.ckpt, N from 0
    python examples/lightning_growth.py checkpoints/epoch=1.ckpt  # goes on after the second epoch

Needs `pip install 'autoprog-search[lightning]'`, or `pytorch_lightning`.
"""

import logging
import sys
import warnings

import timm
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

try:
    import lightning.pytorch as L
except ImportError:
    import pytorch_lightning as L

from autoprog_search import ElasticModel, GrowthSchedule
from autoprog_search.integrations.lightning import Growth


class DigitsModule(L.LightningModule):
    """A small ViT. All that growth asks of it is that one of its modules is elastic."""

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
    torch.save(growth.ema_model.state_dict(), "digits_vit.pt")  # a plain timm state dict of the full model


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module=r"(lightning|pytorch_lightning)\.")  # digits need no loader processes
    for name in ("lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    main(*sys.argv[1:])
