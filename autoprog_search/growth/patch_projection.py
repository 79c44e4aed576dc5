"""A patch embedding's convolution as the matrix product that it is, where convolutions are slow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import PatchEmbed
from torch import nn

FEW_CHANNELS = 4  # GPUs' fast convolutions take channels by the eight, and images have three


class PatchProjection(nn.Conv2d):
    """A convolution of patches that do not overlap; on a CUDA device it is one matrix product of them.

    On an H200 cuDNN took 1.9 ms of a DeiT-S step of 28 ms for it (224 px, batch 256, bfloat16), forward and backward.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Of images (batch, channels, side, side) an embedding a patch (batch, width, grid, grid)."""
        high, wide = self.weight.shape[-2:]  # not `kernel_size`: a kernel of larger patches may stand in for it
        if not images.is_cuda or self.in_channels > FEW_CHANNELS:
            return F.conv2d(images, self.weight, self.bias, stride=(high, wide))
        batch, channels, height, width = images.shape
        rows, columns = height // high, width // wide
        patches = images.reshape(batch, channels, rows, high, columns, wide)
        flat = patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)
        return F.linear(flat, self.weight.flatten(1), self.bias).transpose(1, 2).unflatten(2, (rows, columns))


def project_by_products(model: nn.Module) -> None:
    """Let a timm model embed its patches so, if its patch embedding is such a convolution; parameters stay the same."""
    embedding = getattr(model, "patch_embed", None)
    conv = getattr(embedding, "proj", None)
    if embedding is None or type(conv) is not nn.Conv2d:
        return
    if conv.kernel_size != conv.stride or conv.padding != (0, 0) or conv.groups != 1 or conv.dilation != (1, 1):
        return
    size = (conv.kernel_size[0], conv.kernel_size[1])
    product = PatchProjection(
        conv.in_channels, conv.out_channels, size, size, bias=conv.bias is not None, device="meta"
    )
    product.weight, product.bias = conv.weight, conv.bias
    embedding.proj = product.train(conv.training)


def embeds_whole_patches(model: nn.Module) -> bool:
    """Whether a timm model's patches are cut from its images by one convolution, and no backbone comes before it."""
    embedding = getattr(model, "patch_embed", None)
    return isinstance(embedding, PatchEmbed) and isinstance(embedding.proj, PatchProjection)
