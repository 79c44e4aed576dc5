"""How an image is cut into fewer patches: smaller images in the same patches, or the same image in larger ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autoprog_search.schedule import SubNetwork

PatchesBy = Literal["resolution", "patch_size"]


@dataclass(frozen=True, slots=True)
class Patching:
    """The sizes of images and patches at every grid.

    By `resolution` (the paper) a sub-network on fewer patches is given a smaller image. By `patch_size` (FlexiViT,
    Beyer et al., CVPR 2023) grid g cuts the full r px image into g x g patches of ceil(r / g) px; where g does not
    divide r, the image is made that little larger, so that no patch is cut off or filled up.

    Attributes:
        side: of the full network's images, px.
        patch: side of its patches, px.
    """

    by: PatchesBy
    side: int
    patch: int

    def patch_size(self, sub_network: SubNetwork) -> int:
        """Side of a sub-network's patches, px."""
        return self.patch if self.by == "resolution" else -(-self.side // sub_network.grid)

    def image_side(self, sub_network: SubNetwork) -> int:
        """Side of its images, px."""
        return sub_network.resolution(self.patch_size(sub_network))
