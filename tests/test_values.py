"""YAML as its users write it: what values mean, what is refused, and that what is written is read back the same."""

from __future__ import annotations

import math
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from autoprog_search import values
from autoprog_search.errors import ConfigError
from autoprog_search.values import DEPTH_LIMIT, LARGEST, SIZE_LIMIT, TEXT_LIMIT, dump_yaml, parse_yaml

ROOT = Path(__file__).parents[1]


def read(text: str) -> object:
    return parse_yaml(text, ConfigError, "value")


def committed() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "*.yaml"], cwd=ROOT, capture_output=True, text=True, check=False)
    return listed.stdout.split()


# ── what values mean ────────────────────────────────────────────────────────────────────────────────────────────────

MEANINGS = {
    **{"1e-6": 1e-6, "3e-4": 3e-4, "5e-1": 0.5, "2e1": 20.0, "1E3": 1000.0, "-1e-8": -1e-8, "+2e-2": 0.02},
    **{".5": 0.5, "5.": 5.0, "1.e5": 1e5, "-.5e-3": -5e-4, "0.1": 0.1, "12": 12, "-3": -3, "+3": 3},
    **{"012": 12, "0o17": 15, "0x1F": 31, "-.inf": -math.inf, ".INF": math.inf},
    **{"": None, "~": None, "null": None, "true": True, "FALSE": False},
    **{
        text: text
        for text in ("yes", "no", "on", "off", "y", "1:30", "190:20:30", "1_000", "0b11", "08:00", "1e", "e5")
    },
    **{
        text: text
        for text in ("2024-01-01", "2024-13-45", "2001-12-14t21:59:43.10-05:00", "=", "1.2.3", "-a", "0o9", "tRue")
    },
    **{"'1e-6'": "1e-6", '"12"': "12", "'null'": "null", '"a\\tb"': "a\tb", "|\n a\n b\n": "a\nb\n"},
    **{"{7: 1, ~: 2, true: 3}": {"7": 1, "~": 2, "true": 3}, "[1, [2, {}]]": [1, [2, {}]]},
    "{a: &x {b: 1}, c: *x}": {"a": {"b": 1}, "c": {"b": 1}},
    "{<<: {a: 1, b: 2}, b: 3}": {"a": 1, "b": 3},
    "{<<: [{a: 1}, {a: 2, b: 2}], '<<': 4}": {"a": 1, "b": 2, "<<": 4},
}


@pytest.mark.parametrize(("text", "meaning"), MEANINGS.items())
def test_a_value_is_what_it_looks_like(text, meaning):
    found = read(text)
    assert (type(found), found) == (type(meaning), meaning)


def test_not_a_number_is_a_number_for_the_field_to_refuse():
    assert math.isnan(read(".nan"))


def test_what_an_alias_stands_for_is_a_copy():
    found = read("{a: &x {b: []}, c: *x}")
    found["a"]["b"].append(1)
    assert found["c"] == {"b": []}


def test_python_reads_the_same_as_libyaml(monkeypatch):
    texts = [text for text in (*MEANINGS, *REFUSED) if len(text) < 1000]

    def readings() -> list[object]:
        found = []
        for text in texts:
            try:
                found.append(read(text))
            except ConfigError:
                found.append(ConfigError)
        return found

    fast = readings()
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert readings() == fast


@pytest.mark.parametrize("name", committed())
def test_committed_files_mean_what_they_did(name):
    """To PyYAML's own loader, by which they were written; and are written as they were."""
    text = (ROOT / name).read_text()
    before = yaml.safe_load(text)
    assert repr(read(text)) == repr(before)
    assert dump_yaml(before) == yaml.safe_dump(before, sort_keys=False)


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────────

REFUSED = {
    "!!bool x": "tag !!bool",
    "!!timestamp 2024-01-01": "tag !!timestamp",
    "!!float 3": "tag !!float",
    "!!python/object/apply:os.system [x]": "tag !!python",
    "[!mine {}]": "tag !mine",
    "! 3": "tag !",
    "{a: 1, b: 2, a: 3}": "'a' is given twice",
    "{1: a, '1': b}": "'1' is given twice",
    "a: 1\nb: {c: 1,\n  c: 2}": "line 3, column 3",
    "{[1]: 2}": "is no text",
    "? {a: 1}\n: 2": "is no text",
    "&a [1, *a]": "*a is within what it stands for",
    "&a {b: {c: *a}}": "*a is within",
    "{<<: *b}": "*b is the name of nothing",
    "{<<: 3}": "neither a mapping",
    "{<<: [{}, 3]}": "neither a mapping",
    "a: 1\n---\nb: 2": "second document",
    "[": "did not find",
    "a: b: c": "line 1, column 5",
    "\x00": "character 1",
    "a\x1b[31m": "character 2",
    "\x7f": "character 1",
    "\udcff": "character 1",
    '"\\0"': "holds",
    '"\\e[2J"': "holds",
    '"\\ud800"': "",
    "1e300": "beyond",
    "-1e19": "beyond",
    "1e999": "beyond",
    str(10**30): "beyond",
    "0x" + "f" * 20: "beyond",
    "9" * 5000: "beyond",
    "0" * 5000 + "1": "beyond",
    "[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1): "brackets",
    "[" * 60_000: "nesting",
    "{a: " * 10_000: "brackets",
    "- " * 30_000: "brackets",
    "".join(" " * i + "a:\n" for i in range(300)): "brackets",
    "\n".join(["a0: &a0 []", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 50))]): "brackets",
    "[&a0 [x, x], " + ", ".join(f"&a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 25)) + "]": "aliases",
    "[&a " + "x" * 10_000 + ", " + "*a , " * 1000 + "]": "aliases",
    "x" * (TEXT_LIMIT + 1): "characters",
}


@pytest.mark.parametrize(("text", "words"), REFUSED.items(), ids=[repr(text)[:40] for text in REFUSED])
def test_what_cannot_be_meant_is_refused_in_one_line(text, words):
    with pytest.raises(ConfigError, match=r"^value cannot be read: ") as caught:
        read(text)
    message = str(caught.value)
    assert words in message
    assert message.isprintable()
    assert len(message) <= 400


SLOW = {
    "many values": "[" + "1," * (TEXT_LIMIT // 2 - 2) + "]",
    "many keys": "{" + ",".join(f"a{i}: 1" for i in range(TEXT_LIMIT // 11)) + "}",
    "many anchors": "[" + ",".join(f"&a{i} 1" for i in range(TEXT_LIMIT // 11)) + "]",
    "many aliases": "[&a [], " + "*a , " * (TEXT_LIMIT // 6) + "]",
    "one long text": '"' + "\\n" * (TEXT_LIMIT // 2 - 2) + '"',
    "one long line": "'" + "x " * (TEXT_LIMIT // 2 - 2) + "'",
    "deep and wide": "[" + ("[" * 31 + "]" * 31 + ",") * 1000 + "]",
}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW.keys())
def test_the_largest_texts_are_read_soon(text):
    began = time.process_time()
    assert read(text)
    assert time.process_time() - began < 2


def test_the_limits_are_met_exactly():
    assert read("[" * DEPTH_LIMIT + "]" * DEPTH_LIMIT)
    assert len(read("x" * TEXT_LIMIT)) == TEXT_LIMIT < SIZE_LIMIT
    assert read(f"[{LARGEST}, -{LARGEST}, 1e18]") == [LARGEST, -LARGEST, 1e18]


# ── what is written ─────────────────────────────────────────────────────────────────────────────────────────────────

PRINTABLE = st.characters(
    exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff", include_characters="\t\n\x85"
)
WORDS = st.one_of(
    st.text(PRINTABLE, max_size=20),
    st.from_regex(r"\A[-+]?[0-9._eExo:]{1,8}\Z"),
    st.sampled_from(
        [*(text for text in (*MEANINGS, *REFUSED) if len(text) < 40 and not values.UNPRINTABLE.search(text))]
    ),
    st.text("ab \n'\"#:-", min_size=60, max_size=200),  # long enough to be folded
)
NUMBERS = st.one_of(st.integers(-LARGEST, LARGEST), st.floats(-LARGEST, LARGEST))
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda parts: st.one_of(st.lists(parts, max_size=4), st.dictionaries(WORDS, parts, max_size=4)),
    max_leaves=12,
)


@given(data=PLAIN)
@example(
    data={"opt": "1e-6", "name": "yes", "root": "2024-01-01", "teacher": "0o7", "1e3": "null", "<<": "012", "x": "09"}
)
@example(
    data=[
        1e-6,
        1e16,
        -0.0,
        5e-324,
        1e18,
        0,
        True,
        None,
        "",
        " a ",
        "a\n",
        "\n",
        "- a",
        "a: b",
        "\x85",
        "\u2028",
        "\ufeff",
    ]
)
def test_what_is_written_is_read_back_the_same(data):
    assert repr(read(dump_yaml(data))) == repr(data)


def test_what_could_not_be_read_back_is_not_written():
    assert len(dump_yaml({"a": "x" * (TEXT_LIMIT - 4)})) == TEXT_LIMIT
    began = time.process_time()
    for data in ({"a": "x" * (TEXT_LIMIT - 3)}, [1] * TEXT_LIMIT, [[0.1] * 300 for _ in range(100)]):
        with pytest.raises(ConfigError, match=r"settings: .* 65,536 characters"):
            dump_yaml(data)
    assert time.process_time() - began < 6


def test_pyyaml_alone_would_not_read_it_back():
    """The control: text that looks like a number to us, and not to PyYAML's own writer."""
    assert read(yaml.safe_dump({"opt": "1e-6"})) == {"opt": 1e-6}
