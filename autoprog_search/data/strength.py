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


def strength_at(adareg: AdaReg | None, part: int, parts: int) -> Strength:
    """The strength of a stage: from each share where a run begins to 1 in its last part, in equal steps, never below 0.

    Args:
        adareg: None for full strength throughout.
        part: of the run that the stage begins with, from 0.
        parts: of the run; a single one is at full strength.
    """
    if adareg is None or parts == 1:
        return FULL
    begun = part / (parts - 1)
    shares = (adareg.augment, adareg.drop_path, adareg.erasing, adareg.crop)
    return Strength(*(max(0.0, share + (1 - share) * begun) for share in shares))
