"""`benchmarks.faults`, a short one: `make faults` has many more strike."""

from __future__ import annotations

import pytest

from benchmarks.faults import WRONG, struck

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("all_digits"), pytest.mark.timeout(900)]


def test_faults_lose_nothing_and_change_nothing() -> None:
    rows = struck(["sqlite", "ddp", "postgresql"], count=6, seed=1)
    assert sum(int(str(row["injected"])) for row in rows) == 6
    assert not [row for row in rows if any(row[what] for what in WRONG)]
