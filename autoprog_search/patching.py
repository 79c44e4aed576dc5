"""How a network trains on fewer patches: of a smaller image, larger ones, or some of those that an image has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from autoprog_search.schedule import SubNetwork

PatchesBy = Literal["resolution", "patch_size", "dropout"]


@dataclass(frozen=True, slots=True)
class Patching:
    """The sizes of images and patches at every grid.

    By `resolution` (the paper) a sub-network on fewer patches is given a smaller image. By `patch_size` (FlexiViT,
    Beyer et al., CVPR 2023) grid g cuts the full r px image into g x g patches of ceil(r / g) px; where g does not
    divide r, the image is made that little larger, so that no patch is cut off or filled up. By `dropout` (Liu et al.,
    PatchDropout, WACV 2023) images and patches stay as they are, and each step trains on a random part of them.

    Attributes:
        side: of the full network's images, px.
        patch: side of its patches, px.
    """

    by: PatchesBy
    side: int
    patch: int

    def patch_size(self, sub_network: SubNetwork) -> int:
        """Side of a sub-network's patches, px."""
        return -(-self.side // sub_network.grid) if self.by == "patch_size" else self.patch

    def image_sides(self, levels: Iterable[int]) -> list[int]:
        """Side of the images at each of these numbers of patches, px."""
        return [self.image_side(SubNetwork(1, patches)) for patches in levels]

    def image_side(self, sub_network: SubNetwork) -> int:
        """Side of its images, px."""
        return self.side if self.by == "dropout" else sub_network.resolution(self.patch_size(sub_network))
