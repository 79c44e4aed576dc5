"""The loss of accuracy that would do no harm. Importing it loads nothing slow."""

from __future__ import annotations

from autoprog_search.errors import ConfigError

MARGIN = 0.5  # points of test accuracy


def check_margin(margin: float) -> None:
    """Whether accuracies can differ by so many points.

    Raises:
        ConfigError: they cannot; or no loss at all would be allowed, which no number of seeds would show.
    """
    if not 0 < margin <= 100:
        raise ConfigError(f"margin: {margin:g} is not above 0 and at most 100 points")
