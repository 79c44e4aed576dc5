"""Files are read or refused in one line, whatever lies there, and written whole."""

from __future__ import annotations

import os
import time

import pytest

from autoprog_search.errors import SpaceError, StudyError
from autoprog_search.files import read_yaml, write_yaml
from autoprog_search.values import TEXT_LIMIT


def test_what_is_written_is_read_back(tmp_path):
    data = {"opt": "1e-6", "lr": 1e-6, "name": "2024-01-01", "betas": [0.9, 0.999], "none": None}
    write_yaml(tmp_path / "new" / "a.yaml", data)
    assert read_yaml(tmp_path / "new" / "a.yaml", StudyError) == data
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.yaml"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfea\x00", "byte 1 is no UTF-8"),
        (b"a: \xe9", "byte 4 is no UTF-8"),
        (b"a: \x00", "character 4"),
        (b"#" * (4 * TEXT_LIMIT + 10), "bytes"),
        ("é".encode() * TEXT_LIMIT + b"#", "characters"),
        (b"\xf0\x9f\x98\x80" * (TEXT_LIMIT + 1), "bytes"),
        (b"a: [", "line"),
    ],
    ids=["utf-16", "latin-1", "a zero", "too long", "too long, of two bytes", "too long, of four bytes", "no YAML"],
)
def test_contents_that_cannot_be_read(tmp_path, data, words):
    path = tmp_path / "a.yaml"
    path.write_bytes(data)
    with pytest.raises(SpaceError, match=rf"^space: {path} cannot be read: .*{words}"):
        read_yaml(path, SpaceError, "space: ")


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.yaml").write_bytes("\ufeffa: é".encode())
    assert read_yaml(tmp_path / "a.yaml", SpaceError) == {"a": "é"}


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    began = time.monotonic()
    paths = [
        tmp_path,
        *(tmp_path / f"{name}.yaml" for name in ("pipe", "dangling", "loop", "missing", "x" * 300, "a\0b")),
    ]
    for path in [*paths, tmp_path / "pipe.yaml" / "a.yaml", tmp_path / "\udcff.yaml", tmp_path / "\ud800.yaml"]:
        with pytest.raises(SpaceError) as caught:
            read_yaml(path, SpaceError)
        assert "cannot be read: " in str(caught.value)
        assert str(caught.value).isprintable()
    if os.path.exists("/dev/zero"):
        with pytest.raises(SpaceError, match="/dev/zero cannot be read: it is no regular file"):
            read_yaml(type(tmp_path)("/dev/zero"), SpaceError)
    assert time.monotonic() - began < 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_an_unreadable_file(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1")
    (tmp_path / "a.yaml").chmod(0)
    with pytest.raises(SpaceError, match="permission denied"):
        read_yaml(tmp_path / "a.yaml", SpaceError)
