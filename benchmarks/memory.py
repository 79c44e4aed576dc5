"""Memory that a training step of each sub-network keeps for its backward pass, an image, over the full network's.

On the CPU in bfloat16 autocast, by what autograd saves: the difference of two images and one, parameters left out. On a
GPU `benchmarks.gpu_check` measures the peak.
"""

from __future__ import annotations

import torch

from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.space import GrowthSpace
from benchmarks.record import record

SPACE = "deit_tiny"


def main() -> None:
    """Measure and store."""
    torch.set_num_threads(1)
    space = GrowthSpace.load(SPACE)
    elastic = ElasticModel.from_space(space, num_classes=1000, drop_path_rate=0.1).train()
    kept = {}
    for sub_network in space.sub_networks:
        elastic.activate(sub_network)
        kept[sub_network] = kept_bytes(elastic, 2) - kept_bytes(elastic, 1)
    full = kept[space.full]
    print(f"{space.model}: kept of an image for the backward pass, and over the full network's {full / 1e6:.1f} MB")
    for sub_network, size in kept.items():
        cost = elastic.cost.forward_flops(sub_network) / elastic.cost.forward_flops(space.full)
        print(f"{sub_network}: {size / 1e6:.1f} MB, {size / full:.2f} (FLOPs {cost:.2f})")
    rows = [[s.depth, s.patches, size] for s, size in kept.items()]
    print(record("memory", space=SPACE, depth_patches_bytes=rows))


def kept_bytes(elastic: ElasticModel, images: int) -> int:
    """Bytes that the backward pass of so many images keeps; parameters are left out."""
    parameters = {p.untyped_storage().data_ptr() for p in elastic.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        elastic(torch.zeros(images, 3, elastic.resolution, elastic.resolution))
    return sum(t.untyped_storage().nbytes() for pointer, t in kept.items() if pointer not in parameters)


if __name__ == "__main__":
    main()
