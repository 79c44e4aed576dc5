"""A study with made-up trials, for figures and tables."""

from __future__ import annotations

import pytest

from tests.synthetic import SyntheticStudy, synthetic_study


@pytest.fixture
def study() -> SyntheticStudy:
    """Six methods, three seeds, one failed and one waiting trial."""
    return synthetic_study()
