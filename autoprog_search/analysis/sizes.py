"""By what stages on fewer patches are told apart: their images' sides, or the numbers of patches."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd


class Sizes(NamedTuple):
    """How a table of trials shows what grew besides depth.

    Attributes:
        column: of the table.
        name, unit: in words.
    """

    column: str
    name: str
    unit: str

    @property
    def title(self) -> str:
        """Of an axis or a column."""
        return self.name if self.name == self.unit else f"{self.name}, {self.unit}"


RESOLUTION = Sizes("resolutions", "resolution", "px")
PATCHES = Sizes("patches", "patches", "patches")


def sizes_of(trials: pd.DataFrame) -> Sizes:
    """Images' sides, unless stages of one trial differ in patches and not in these (`space.patches_by`)."""
    pairs = zip(trials["patches"], trials["resolutions"], strict=True)
    stored = (pair for pair in pairs if all(isinstance(levels, list) for levels in pair))
    return PATCHES if any(len(set(patches)) > len(set(sides)) for patches, sides in stored) else RESOLUTION
