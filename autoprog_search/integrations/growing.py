"""What the callbacks of training loops share: an elastic model that grows as a share of a training is over."""

from __future__ import annotations

from timm.utils import ModelEmaV3
from torch import nn, optim

from autoprog_search.errors import GrowthError
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.growth.operators import operator_named
from autoprog_search.schedule import GrowthSchedule, SubNetwork


def elastic_in(module: nn.Module) -> ElasticModel:
    """The elastic model of a training loop's module, whatever it is called there.

    Raises:
        GrowthError: there is none, or more than one.
    """
    found = [part for part in module.modules() if isinstance(part, ElasticModel)]
    if len(found) != 1:
        raise GrowthError(
            f"{type(module).__name__}: {len(found)} of its modules are elastic, and one grows; in its __init__: "
            "self.model = ElasticModel(timm.create_model(..., dynamic_img_size=True), depths=[...])"
        )
    return found[0]


class Growing:
    """An elastic model under a schedule. It starts as the first stage's sub-network.

    Args:
        elastic: what grows.
        schedule: its lengths are shares of the training, however long that is.
        ema_decay: of the EMA that growth operators such as `mogrow_new` take parameters from; None: none is kept.

    Attributes:
        ema: timm's; `ema.module` is an elastic model that runs as the same sub-network.

    Raises:
        GrowthError: the model cannot run as one of the sub-networks, or its growth operator needs an EMA.
    """

    def __init__(self, elastic: ElasticModel, schedule: GrowthSchedule, ema_decay: float | None = None) -> None:
        self.elastic, self.schedule = elastic, schedule
        last = schedule.stages[-1].sub_network
        if last != elastic.full:
            raise GrowthError(f"schedule: it ends with {last}, and not with the full network ({elastic.full})")
        if ema_decay is None and operator_named(elastic.operator).donors != "online":
            raise GrowthError(f"operator: {elastic.operator} takes parameters from an EMA; take interpolation, say")
        for stage in reversed(schedule.stages):  # so that it ends as the first
            elastic.activate(stage.sub_network)
        self.ema = ModelEmaV3(elastic, decay=ema_decay, use_warmup=True) if ema_decay is not None else None

    def stand_at(self, done: float, whole: float) -> None:
        """Run as what trains once so much of the whole training is done; no parameter changes."""
        self.stand_as(self._at(done, whole))

    def stand_as(self, sub_network: SubNetwork) -> None:
        """Run as this sub-network, the EMA too; no parameter changes."""
        for network in (self.elastic, *([self.ema.module] if self.ema is not None else [])):
            network.activate(sub_network)

    def grow_at(self, done: float, whole: float, optimizer: optim.Optimizer) -> bool:
        """Grow into what trains once so much of the whole training is done; whether anything was to grow.

        Args:
            done, whole: in steps or epochs.
            optimizer: its state of all that trained before stays; new blocks begin without one.
        """
        to = self._at(done, whole)
        if to == self.elastic.sub_network:
            return False
        momentum = self.ema.module if self.ema is not None else None
        self.elastic.grow(to, optimizer=optimizer, momentum=momentum)
        return True

    def _at(self, done: float, whole: float) -> SubNetwork:
        return self.schedule.at(done * self.schedule.epochs / whole)  # in this order: exact at whole epochs
