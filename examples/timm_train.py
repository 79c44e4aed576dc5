"""Growth in timm's pieces: a train.py of their own kind, with the four places that growth needs marked `growth:`.

    python examples/timm_train.py --data-dir DIR --model deit_small_patch16_224 --schedule FILE.yaml --output OUT

DIR holds train/CLASS/IMAGE and val/CLASS/IMAGE; arguments are called as in timm's train.py. FILE.yaml reads, say,
`stages: [{epochs: 150, depth: 6, resolution: 128}, {epochs: 150, depth: 12, resolution: 224}]`; another `--epochs`
stretches it. OUT/model.safetensors is a plain timm model: `timm.create_model(NAME, checkpoint_path=...)`.
"""

import argparse
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from timm.data import Mixup, create_dataset, create_loader, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, ModelEmaV3, ParseKwargs, accuracy, random_seed

from autoprog_search import ElasticModel, GrowthSchedule

parser = argparse.ArgumentParser(description="Train a timm ViT on a folder of images under a growth schedule.")
parser.add_argument("--data-dir", required=True)
parser.add_argument("--schedule", required=True, type=Path)
parser.add_argument("--output", default=Path("output"), type=Path)
parser.add_argument("--model", default="deit_tiny_patch16_224")
parser.add_argument("--model-kwargs", nargs="*", default={}, action=ParseKwargs)
parser.add_argument("--epochs", type=int, help="default: the schedule's")
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--lr", type=float, default=5e-4)
parser.add_argument("--weight-decay", type=float, default=0.05)
# Not timm's cosine: the full network trains in the last stage only, when cosine has annealed (docs/LOG.md).
parser.add_argument("--sched", default="wsd")
parser.add_argument("--warmup-epochs", type=float, default=5)
parser.add_argument("--aa", help="say rand-m7-mstd0.5-inc1")
parser.add_argument("--reprob", type=float, default=0.0)
parser.add_argument("--mixup", type=float, default=0.0)
parser.add_argument("--smoothing", type=float, default=0.1)
parser.add_argument("--model-ema-decay", type=float, default=0.9998)
parser.add_argument("--workers", type=int, default=4)
parser.add_argument("--amp", action="store_true", help="bfloat16")
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
parser.add_argument("--seed", type=int, default=42)


def main():
    args = parser.parse_args()
    random_seed(args.seed)
    torch.set_num_threads(1)  # threads that share cores wait for each other: give more where cores are idle
    data = {split: create_dataset("", root=args.data_dir, split=split) for split in ("train", "validation")}
    num_classes = len(data["train"].reader.class_to_idx)
    model = timm.create_model(args.model, num_classes=num_classes, dynamic_img_size=True, **args.model_kwargs)
    config = resolve_data_config(model=model)
    loading = {
        "batch_size": args.batch_size, "auto_augment": args.aa, "re_prob": args.reprob, "num_workers": args.workers,
        "device": torch.device(args.device), **{k: config[k] for k in ("interpolation", "mean", "std", "crop_pct")},
    }  # fmt: skip

    # growth: make the model elastic and start small, before the EMA copies it.
    schedule = GrowthSchedule.from_file(args.schedule, patch_size=model.patch_embed.patch_size[0])
    depths = [stage.sub_network.depth for stage in schedule.stages]
    elastic = ElasticModel(model, depths, operator="mogrow_new").to(args.device)
    elastic.activate(schedule.at(0))

    ema = ModelEmaV3(elastic, decay=args.model_ema_decay, use_warmup=True)
    optimizer = create_optimizer_v2(elastic, opt="adamw", lr=args.lr, weight_decay=args.weight_decay)
    epochs = args.epochs or round(schedule.epochs)
    scheduler, _ = create_scheduler_v2(
        optimizer, args.sched, num_epochs=epochs, warmup_epochs=args.warmup_epochs, step_on_epochs=False,
        updates_per_epoch=len(data["train"]) // args.batch_size,
    )  # fmt: skip
    mixup, loss_fn = None, LabelSmoothingCrossEntropy(args.smoothing)
    if args.mixup > 0:
        mixup = Mixup(mixup_alpha=args.mixup, label_smoothing=args.smoothing, num_classes=num_classes)
        loss_fn = SoftTargetCrossEntropy()

    for epoch in range(epochs):
        sub_network = schedule.at(epoch * schedule.epochs / epochs)
        if epoch == 0 or sub_network != elastic.sub_network:
            # growth: new blocks are made in place; optimiser and EMA stay and follow. At epoch 0 nothing is new.
            elastic.grow(to=sub_network, optimizer=optimizer, momentum=ema.module)
            # growth: images are decoded straight to the stage's size; the elastic model would resize them as well.
            train, val = (create_loader(data[s], elastic.resolution, is_training=s == "train", **loading) for s in data)
        loss = train_one_epoch(epoch, elastic, train, optimizer, scheduler, loss_fn, mixup, ema, args)
        top1, lr = validate(ema.module, val), optimizer.param_groups[0]["lr"]
        print(f"{sub_network}, epoch {epoch + 1}: lr {lr:.1e}, loss {loss:.3f}, EMA top-1 {top1:.1f} %")

    # growth: `.model` is timm's own model, and all of it.
    args.output.mkdir(parents=True, exist_ok=True)
    save_file(ema.module.model.state_dict(), args.output / "model.safetensors")


def train_one_epoch(epoch, elastic, loader, optimizer, scheduler, loss_fn, mixup, ema, args):
    losses = AverageMeter()
    elastic.train()
    for update, (images, target) in enumerate(loader, start=epoch * len(loader) + 1):
        if mixup is not None:
            images, target = mixup(images, target)
        with torch.autocast(torch.device(args.device).type, torch.bfloat16, enabled=args.amp):
            loss = loss_fn(elastic(images), target)
        optimizer.zero_grad()  # to None: blocks that do not run have no gradient, and the optimiser skips them
        loss.backward()
        optimizer.step()
        ema.update(elastic, step=update)
        scheduler.step_update(update)  # counts on over all stages
        losses.update(loss.item(), len(images))
    return losses.avg


@torch.inference_mode()
def validate(network, loader):
    top1 = AverageMeter()
    for images, target in loader:
        top1.update(accuracy(network(images), target)[0].item(), len(images))
    return top1.avg


if __name__ == "__main__":
    main()
