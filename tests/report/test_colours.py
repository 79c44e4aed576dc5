"""Methods can be told apart."""

from __future__ import annotations

from autoprog_search.methods.registry import METHODS
from autoprog_search.report.colours import DASHES, FULL, PALETTE, VARIANTS, colour_of, looks


def test_methods_differ_by_marker_and_by_line_and_full_is_grey():
    found = looks(METHODS)
    assert len(METHODS) > len(PALETTE)
    assert len({(look.colour, look.symbol) for look in found.values()}) == len(METHODS)
    assert len({(look.colour, look.dash) for look in found.values()}) == len(METHODS)
    assert found["full"].colour == FULL
    assert colour_of("a method of tomorrow") == "#000000"
    assert looks(["tpe"])["tpe"] == found["tpe"]  # the same whoever is beside it


def test_variants_have_their_methods_colour_and_a_marker_of_their_name():
    found = looks(["linear+two_sizes", "autoprog+two_sizes", "autoprog+ties"])
    assert found["linear+two_sizes"].colour == colour_of("linear")
    assert found["linear+two_sizes"].symbol == found["autoprog+two_sizes"].symbol
    assert found["autoprog+two_sizes"].symbol != found["autoprog+ties"].symbol


def test_no_two_variants_look_alike_however_many_there_are():
    few = looks(f"linear+{i}" for i in range(len(VARIANTS)))
    assert {look.symbol for look in few.values()} == set(VARIANTS)
    most = len(VARIANTS) * len(DASHES)
    names = ["linear", *(f"linear+{i}" for i in range(most))]
    assert len(set(looks(names).values())) == len(names)
    assert len(looks(f"linear+{i}" for i in range(most + 5))) == most + 5
    assert len(set(looks(["tomorrow", "a later day"]).values())) == 2
