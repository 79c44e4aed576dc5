"""A wheel from the tree holds the growth spaces, the recipes, the demo and its types, and works in another folder."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from autoprog_search.tables.loading import TABLES

ROOT = Path(__file__).parent.parent


def check_metadata(path: Path) -> None:
    """What an index shows of the package, and refuses where it is wrong."""
    fields = Metadata.from_email(path.read_bytes(), validate=True)
    assert fields.author == "autoprog-search contributors"
    assert fields.license_expression == "Apache-2.0"
    assert fields.keywords is not None
    assert {"AutoProg", "timm"} <= set(fields.keywords)
    assert fields.project_urls
    assert all(url.startswith("https://") for url in (fields.home_page, *fields.project_urls.values()))
    classifiers = fields.classifiers or []
    assert {line.partition(" :: ")[0] for line in classifiers} >= {"Development Status", "Intended Audience", "Topic"}
    assert "Programming Language :: Python :: 3.10" in classifiers
    assert str(fields.requires_python) == ">=3.10"
    assert not any(line.startswith("License ::") for line in classifiers)  # an index refuses it beside an expression


@pytest.mark.slow
def test_wheel_works_without_the_tree(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    copy = tmp_path / "tree"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(copy)], check=True)
    files = subprocess.run(["git", "ls-files", "-mo", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in files.stdout.split():  # the tree as it is now, not as it was committed
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*build, str(tmp_path / "dist"), str(copy)], check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    check_metadata(next(site.glob("*.dist-info")) / "METADATA")
    # An isolated interpreter sees this environment's libraries, and our package only as the wheel has it.
    code = f"import sys; sys.path.insert(0, {str(site)!r}); from autoprog_search.cli.main import main; main()"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = run("space", "list", "-f", "csv")
    assert [line.split(",")[0] for line in listed.splitlines()[1:]] == [
        p.stem for p in sorted((ROOT / "search_spaces").glob("*.yaml"))
    ]
    assert "digits" in run("demo", "--help")
    assert '"schedules": 36' in run("table", "list", "--format", "json")
    assert (site / "autoprog_search/py.typed").exists()
    assert (site / "autoprog_search/study/demo.yaml").exists()
    assert (site / "autoprog_search/methods/nni_node.js").exists()
    assert (site / "autoprog_search/report/page.css").exists()
    assert (site / "autoprog_search/report/page.js").exists()
    tables = sorted(p.name for p in TABLES.glob("*.parquet"))
    assert sorted(p.name for p in (site / "autoprog_search/tables").glob("*.parquet")) == tables
    assert sum(p.stat().st_size for p in TABLES.glob("*.parquet")) < 5e6
    assert list((site / "autoprog_search/settings/recipes").glob("*.yaml"))
