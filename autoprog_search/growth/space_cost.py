"""What the sub-networks of a growth space cost, and whether its model can be elastic at all."""

from __future__ import annotations

import torch

from autoprog_search.cost import ModelCost
from autoprog_search.errors import AutoProgError, GrowthError, why
from autoprog_search.growth.create import described
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.space import GrowthSpace


def cost_of(space: GrowthSpace, num_classes: int = 1000) -> ModelCost:
    """FLOPs of a growth space's sub-networks, in closed form.

    Nothing is trained and no memory taken: a second at most.

    Raises:
        GrowthError: the model does not exist, cannot be built, is not elastic, or cannot run at the space's sizes.
    """
    in_chans = space.model_args.get("in_chans") or 3
    try:
        with torch.device("meta"):
            return ElasticModel.from_space(space, num_classes=num_classes, in_chans=in_chans).cost
    except AutoProgError:
        raise
    except Exception as error:  # noqa: BLE001 - what an odd argument breaks depends on the model's own lines
        raise GrowthError(f"model: {described(space)} cannot be made elastic ({why(error)})") from None
