"""Messages are one line of text, whatever they quote."""

from __future__ import annotations

import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.errors import LINE, AutoProgError, ConfigError, MissingExtraError, shown, there_are, why


@given(text=st.text(st.characters(codec=None)))
def test_a_message_is_one_printable_line_and_stays_as_it_is(text):
    message = str(ConfigError(text))
    assert message.isprintable()
    assert len(message) <= LINE
    assert str(ConfigError(message)) == message  # messages are quoted in messages


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("field: 3 is above 2", "field: 3 is above 2"),
        ("two  spaces stay, as in a path", "two  spaces stay, as in a path"),
        ("many\n  lines\r\n\tare one\n", "many lines are one"),
        ("\x1b[31mred\x00", r"\x1b[31mred\x00"),
        ("\udcff", r"\udcff"),
        ("\u202eevil", r"\u202eevil"),
        ("größer × 2", "größer × 2"),
        ("C:\\new", "C:\\new"),
    ],
)
def test_what_is_left_and_what_is_changed(text, line):
    assert str(AutoProgError(text)) == line


def test_a_long_message_loses_its_middle_soon():
    began = time.process_time()
    message = str(ConfigError("recipe.lr: " + "\n x" * 10_000_000 + " is above 1"))
    assert time.process_time() - began < 1
    assert message.startswith("recipe.lr: x x")
    assert message.endswith("x is above 1")
    assert " … " in message
    assert len(message) <= LINE


def test_errors_survive_another_process():
    error = MissingExtraError("nni: not installed")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3e-4, "0.0003"),
        ("text", "'text'"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, ...]"),
        (10**5000, "a number of thousands of digits"),
        ([10**5000], "a number of thousands of digits"),
    ],
    ids=["number", "text", "list", "digits", "digits in a list"],
)
def test_values_in_messages(value, text):
    assert shown(value) == text


def test_a_long_value_is_cut():
    assert len(shown("x" * 10**7)) < 90
    assert len(shown({"a": ["x" * 10**6] * 10**5})) < 900


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("epoch", "did you mean epochs? There are lr, epochs"),
        ("zzz", "there are lr, epochs"),
        ("x" * 10**6, "there are lr, epochs"),
    ],
    ids=["near", "far", "long"],
)
def test_the_nearest_name_stands_first(name, text):
    assert there_are(name, ["lr", "epochs"]) == text


def test_there_may_be_none():
    assert there_are("x", []) == "there are none"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(2, "No such file or directory", "/a/b"), "no such file or directory"),
        (OSError("it is no regular file"), "it is no regular file"),
        (ValueError("many\n   lines  \x1b[31m"), r"many lines \x1b[31m"),
        (MemoryError(), "MemoryError"),
        (KeyError("a"), "'a'"),
    ],
)
def test_what_an_exception_says(error, text):
    assert why(error) == text


def test_what_an_exception_says_is_cut():
    assert len(why(ValueError("x" * 10**7))) == 200
