"""`REQUIRE=ray,postgres,...`: a test that would be skipped since one of these is missing fails instead.

Without it whatever cannot be had is left out, so that the tests pass anywhere; with it nobody takes tests that were
left out for tests that passed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator

import pytest

SETTING = "REQUIRE"
SAID = {
    "ray": r"\bray\b",
    "postgres": r"postgresql|psycopg",
    "nni": r"nni_node|pytorch_lightning",
    "browser": r"chromium",
    "extras": r"could not import|\bextra `",
}
"""What can be required, and how a test says that it is left out for want of it."""


def required() -> list[str]:
    """What the environment asks for.

    Raises:
        UsageError: it asks for something unknown.
    """
    names = [name for name in os.environ.get(SETTING, "").split(",") if name]
    for name in names:
        if name not in SAID:
            raise pytest.UsageError(f"{SETTING}: {name!r} is unknown; there are {', '.join(SAID)}")
    return names


def refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure where it is for want of something that is required."""
    if not report.skipped or not isinstance(report.longrepr, tuple) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2].removeprefix("Skipped: ")
    missing = [name for name in required() if re.search(SAID[name], reason, re.IGNORECASE)]
    if missing:
        report.outcome = "failed"
        report.longrepr = f"{SETTING}={','.join(missing)}, and it is not here: {reason}"


def pytest_configure() -> None:
    required()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse(report)
    return report
