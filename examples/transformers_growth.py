"""Growth in Hugging Face's Trainer: the callback `Growth`, on a timm model that transformers wraps, trained on digits.

    python examples/transformers_growth.py    # leaves digits_vit/, which from_pretrained loads

Needs `pip install 'autoprog-search[transformers]'`.
"""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from transformers import (
    TimmWrapperConfig,
    TimmWrapperForImageClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from autoprog_search import GrowthSchedule
from autoprog_search.integrations.transformers import Growth

# Fresh weights; from_pretrained("timm/deit_tiny_patch16_224.fb_in1k", num_labels=10, ...) begins with trained ones.
CONFIG = TimmWrapperConfig(
    architecture="vit_tiny_patch16_224", num_labels=10,
    model_args={
        "img_size": 24, "patch_size": 4, "in_chans": 1, "embed_dim": 48, "depth": 6, "num_heads": 3,
        "weight_init": "jax", "dynamic_img_size": True,
    },
)  # fmt: skip
SCHEDULE = {
    "stages": [
        {"epochs": 1, "depth": 3, "resolution": 12},
        {"epochs": 2, "depth": 4, "resolution": 16},
        {"epochs": 1, "depth": 6, "resolution": 24},
    ]
}


class Told(TrainerCallback):
    """Prints what ran, and the loss."""

    def on_log(self, args, state, control, logs, model, **others):
        if "loss" in logs:
            print(f"{len(model.timm_model.blocks)} blocks, epoch {round(state.epoch)}: loss {float(logs['loss']):.3f}")


def digits():
    """As Trainer takes them: a dictionary an image."""
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32)[:, None] / 8 - 1
    images = F.interpolate(images, size=(24, 24), mode="bilinear")
    return [{"pixel_values": image, "labels": int(label)} for image, label in zip(images, found.target, strict=True)]


def main(checkpoint=None, epochs=4):
    schedule = GrowthSchedule.from_dict(SCHEDULE, patch_size=4)
    arguments = TrainingArguments(
        "checkpoints", num_train_epochs=epochs, per_device_train_batch_size=64, learning_rate=1e-3, seed=0,
        save_strategy="epoch", logging_strategy="epoch", disable_tqdm=True, report_to="none", use_cpu=True,
    )  # fmt: skip
    torch.set_num_threads(1)  # threads that share cores wait for each other: give more where cores are idle
    torch.manual_seed(0)
    model = TimmWrapperForImageClassification(CONFIG)
    trainer = Trainer(model, arguments, train_dataset=digits(), callbacks=[Growth(schedule), Told()])
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model("digits_vit")  # the full network's, under its usual names
    return model


if __name__ == "__main__":
    main()
