"""Files under a URL: whole or not there, damaged ones left out, late ones never the newest."""

from __future__ import annotations

import fsspec
import pytest

from autoprog_search.errors import StudyError
from autoprog_search.study.artifacts import Artifacts, checked_artifacts
from autoprog_search.study.creation import create_study
from autoprog_search.study.deletion import delete_study
from autoprog_search.study.store import open_study
from tests.tiny import TINY, cli_here, tiny_config


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    yield {"file": (tmp_path / "shared").as_uri(), "memory": "memory://shared"}[request.param]
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def folders(url, tmp_path):
    """Of two machines."""
    return [(Artifacts(url, "tiny", folder), folder) for folder in (tmp_path / "here", tmp_path / "there")]


def write(folder, content: bytes, name: str = "trials/a/checkpoint.pt"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(url: str) -> list[str]:
    system, root = fsspec.url_to_fs(url)
    return sorted(str(path).removeprefix(f"{root}/") for path in system.find(root))


def test_what_one_puts_another_fetches(folders, url):
    (ours, here), (theirs, there) = folders
    theirs.fetch(there / "trials/a/checkpoint.pt")
    assert not there.exists()
    for content in (b"first", b"second", b"third"):
        ours.keep(write(here, content), token=7)
    theirs.fetch(there / "trials/a/checkpoint.pt")
    assert (there / "trials/a/checkpoint.pt").read_bytes() == b"third"
    assert [name.rpartition("/")[2][:17] for name in names(url)] == ["00000007-00000002", "00000007-00000003"]


def test_a_late_write_of_an_earlier_holder_is_not_read(folders):
    (ours, here), (theirs, there) = folders
    ours.keep(write(here, b"in time"), token=1)
    theirs.fetch(path := there / "trials/a/checkpoint.pt")
    theirs.keep(write(there, b"gone on"), token=2)
    ours.keep(write(here, b"late"), token=1)
    theirs.fetch(path)
    assert path.read_bytes() == b"gone on"
    ours.keep(write(here, b"later"), token=1)
    assert theirs.read(path) == b"gone on"


@pytest.mark.parametrize("damage", [b"", b"x", b"third, cut o"])
def test_what_is_damaged_is_left_out(folders, url, caplog, damage):
    (ours, here), (theirs, there) = folders
    for content in (b"second", b"third, cut off"):
        ours.keep(write(here, content))
    system, root = fsspec.url_to_fs(url)
    newest = max(names(url))
    system.pipe_file(f"{root}/{newest}", damage)
    theirs.fetch(there / "trials/a/checkpoint.pt")
    assert (there / "trials/a/checkpoint.pt").read_bytes() == b"second"
    assert "is damaged; left out" in caplog.text


def test_a_write_that_is_killed_in_the_middle_is_not_there(folders, url, monkeypatch):
    (ours, here), (theirs, there) = folders
    ours.keep(write(here, b"first"))

    def killed(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(ours._system), "mv", killed)
    with pytest.raises(KeyboardInterrupt):
        ours.keep(write(here, b"second"))
    monkeypatch.undo()
    assert theirs.read(there / "trials/a/checkpoint.pt") == b"first"
    ours.keep(write(here, b"weights", "trials/a/weights.safetensors"))
    ours.keep(write(here, b"of another", "trials/b/checkpoint.pt"))
    ours.clear([here / "trials/a"])
    assert [name.split("-", 3)[3] for name in names(url)] == ["weights.safetensors", "checkpoint.pt"]
    ours.drop(here / "trials/b/checkpoint.pt")
    assert len(names(url)) == 1
    ours.remove()
    assert names(url) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nowhere://x", "'nowhere://x' cannot be opened: Protocol not known"),
        ("ftp://me:s3cret@host/x", r"'ftp://me:\*\*\*@host/x' holds a password"),
    ],
)
def test_a_url_that_cannot_be_is_refused_when_the_study_is_created(tmp_path, url, message):
    with pytest.raises(StudyError, match=message):
        create_study(tmp_path, tiny_config().model_copy(update={"artifacts": url}))


def test_a_folder_is_kept_as_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checked_artifacts("shared") == (tmp_path / "shared").as_uri()
    assert checked_artifacts("s3://bucket/x") == "s3://bucket/x"
    assert checked_artifacts("") == ""


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StudyError, match=r"artifacts: .* cannot be written: .*; run the same command again"):
        Artifacts((tmp_path / "file").as_uri(), "tiny", tmp_path).keep(write(tmp_path, b"x"))


def test_they_go_with_the_study(tmp_path, url):
    study = create_study(tmp_path, tiny_config().model_copy(update={"artifacts": url}))
    study.artifacts.keep(write(study.folder, b"x"))
    assert names(url) != []
    delete_study(study)
    assert names(url) == []


def test_a_folder_is_given_on_the_command_line(tmp_path):
    words = ("study", "create", "tiny", "--config", TINY, "--artifacts", "shared")
    done = cli_here(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert open_study(tmp_path / "studies", "tiny").config.artifacts == (tmp_path / "shared").as_uri()
