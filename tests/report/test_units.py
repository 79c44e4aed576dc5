"""Costs in words lose no more than their third digit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.report.units import PREFIXES, cost_text, flops_text, seconds_text, unit_for


@given(flops=st.floats(1, 1e26))
def test_flops_text_says_the_number(flops):
    number, unit = flops_text(flops).split(" ")
    assert float(number.replace(",", "")) * 1000.0 ** PREFIXES.index(unit.removesuffix("FLOPs")) == pytest.approx(
        flops, rel=0.006
    )
    assert 1 <= float(number.replace(",", "")) < 1000


@pytest.mark.parametrize(
    ("flops", "text"),
    [
        (1.484e12, "1.48 TFLOPs"),
        (999.7e9, "1.00 TFLOPs"),
        (0, "0.00 FLOPs"),
        (672e9, "672 GFLOPs"),
        (15e27, "15,000 YFLOPs"),
    ],
)
def test_flops_text(flops, text):
    assert flops_text(flops) == text


def test_seconds_and_missing_numbers():
    texts = [seconds_text(s) for s in (0.0123, 1.5, 12.34, 99.97, 1234.4, float("nan"))]
    assert texts == ["0.0123 s", "1.50 s", "12.3 s", "100 s", "1,234 s", "–"]
    assert flops_text(float("nan")) == cost_text(float("inf"), "s") == "–"


def test_seconds_keep_no_prefix():
    assert unit_for(5e6, "s").name == "s"
    assert unit_for(0.0, "FLOPs").factor == unit_for(float("nan"), "FLOPs").factor == 1
