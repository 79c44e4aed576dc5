"""How strongly a stage is regularised (AdaReg; section 4 of the paper): a function of the stage."""

from __future__ import annotations

from dataclasses import dataclass

from autoprog_search.settings.growth import AdaReg


@dataclass(frozen=True, slots=True)
class Strength:
    """Shares of the recipe's own values, 0 to 1; see `AdaReg`."""

    augment: float = 1.0
    drop_path: float = 1.0
    erasing: float = 1.0
    crop: float = 1.0


FULL = Strength()


def strength_at(adareg: AdaReg | None, stage: int, stages: int) -> Strength:
    """The strength of stage k of K: from each share in stage 1 to 1 in stage K, in equal steps, never below 0.

    Args:
        adareg: None for full strength throughout.
        stage: k, from 1.
        stages: K; a single stage is at full strength.
    """
    if adareg is None or stages == 1:
        return FULL
    part = (stage - 1) / (stages - 1)
    shares = (adareg.augment, adareg.drop_path, adareg.erasing, adareg.crop)
    return Strength(*(max(0.0, share + (1 - share) * part) for share in shares))
