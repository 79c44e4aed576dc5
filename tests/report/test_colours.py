"""Methods can be told apart."""

from __future__ import annotations

from autoprog_search.methods.table import METHODS
from autoprog_search.report.colours import FULL, colour_of, dash_of, symbol_of


def test_methods_differ_and_full_is_grey():
    shown = {(colour_of(m), symbol_of(m)) for m in METHODS}
    assert len(shown) == len(METHODS)
    assert len({(colour_of(m), dash_of(m)) for m in METHODS}) == len(METHODS)
    assert colour_of("full") == FULL
    assert colour_of("a method of tomorrow") == "#000000"
    assert (colour_of("linear+x"), symbol_of("linear+x")) == (colour_of("linear"), "x")
