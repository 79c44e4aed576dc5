"""Methods can be told apart."""

from __future__ import annotations

from autoprog_search.methods.registry import METHODS
from autoprog_search.report.colours import FULL, VARIANTS, colour_of, dash_of, symbol_of


def test_methods_differ_and_full_is_grey():
    shown = {(colour_of(m), symbol_of(m)) for m in METHODS}
    assert len(shown) == len(METHODS)
    assert len({(colour_of(m), dash_of(m)) for m in METHODS}) == len(METHODS)
    assert colour_of("full") == FULL
    assert colour_of("a method of tomorrow") == "#000000"


def test_variants_have_their_methods_colour_and_a_marker_of_their_name():
    assert colour_of("linear+two_sizes") == colour_of("linear")
    assert symbol_of("linear+two_sizes") == symbol_of("autoprog+two_sizes")
    assert symbol_of("autoprog+two_sizes") != symbol_of("autoprog+ties")
    assert {symbol_of(f"linear+{i}") for i in range(50)} == set(VARIANTS)
