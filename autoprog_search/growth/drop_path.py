"""Stochastic depth whose rate is a tensor: it changes from stage to stage and with whatever sub-network runs."""

from __future__ import annotations

import torch
from torch import nn


class DropPath(nn.Module):
    """Drops a residual branch, sample by sample (Huang et al., ECCV 2016); what is kept is scaled up to make up for it.

    As timm's, whose rate is a number. With a number, compiled blocks would be compiled again for every rate, and a
    recorded step would keep the rate that it was recorded with.

    Attributes:
        keep: probability that a sample's branch runs, ().
    """

    keep: torch.Tensor

    def __init__(self, drop_prob: float = 0.0, device: torch.device | None = None) -> None:
        super().__init__()
        self._drop_prob = drop_prob
        self.register_buffer("keep", torch.tensor(1 - drop_prob, device=device), persistent=False)

    @property
    def drop_prob(self) -> float:
        """Its rate, from 0 to below 1."""
        return self._drop_prob

    @drop_prob.setter
    def drop_prob(self, rate: float) -> None:
        if rate != self._drop_prob:
            self._drop_prob = rate
            self.keep.fill_(1 - rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A branch's output (batch, ...) with some samples' zeroed in train mode, the same in eval mode."""
        if not self.training:
            return x
        drawn = torch.rand((len(x),) + (1,) * (x.dim() - 1), device=x.device)
        return x * ((drawn < self.keep) / self.keep).to(x.dtype)

    def extra_repr(self) -> str:
        """Its rate."""
        return f"drop_prob={self._drop_prob:.3f}"
