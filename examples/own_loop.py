"""Growth in a loop of your own: a timm model, a schedule, three calls. Everything else is plain PyTorch."""

import timm
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from autoprog_search import ElasticModel, GrowthSchedule

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
images = F.interpolate(images, size=(24, 24), mode="bilinear")
labels = torch.tensor(digits.target)

torch.set_num_threads(1)  # threads that share cores wait for each other: give more where cores are idle
torch.manual_seed(0)
model = timm.create_model(
    "vit_tiny_patch16_224", img_size=24, patch_size=4, in_chans=1, embed_dim=48, depth=6, num_heads=3,
    num_classes=10, dynamic_img_size=True,
)  # fmt: skip
schedule = GrowthSchedule.from_dict(
    {"stages": [{"epochs": 2, "depth": 3, "resolution": 12}, {"epochs": 2, "depth": 6, "resolution": 24}]}, patch_size=4
)

elastic = ElasticModel(model, depths=[3, 6])  # 1. make it elastic
elastic.activate(schedule.stages[0].sub_network)  # 2. start small: half the blocks, a quarter of the patches
optimizer = torch.optim.AdamW(elastic.parameters(), lr=1e-3)

for stage in schedule.stages:
    elastic.grow(to=stage.sub_network, optimizer=optimizer)  # 3. grow: new blocks copy the ones below them
    for epoch in range(int(stage.epochs)):
        for batch in torch.randperm(len(images)).split(64):
            loss = F.cross_entropy(elastic(images[batch]), labels[batch])  # resizes the images itself
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"{stage.sub_network}, epoch {epoch + 1}: loss {loss.item():.3f}")

torch.save(elastic.model.state_dict(), "digits_vit.pt")  # a plain timm state dict of the full model
