"""`autoprog-search dashboard`: optuna-dashboard really serves a study, and changes nothing of it."""

from __future__ import annotations

import hashlib
import io
import json
import re
import signal
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from optuna.artifacts.exceptions import ArtifactNotFound

from autoprog_search.errors import MissingExtraError, StudyError
from autoprog_search.report import dashboard
from autoprog_search.report.read_only import ReadOnlyFiles, ReadOnlyStorage
from autoprog_search.study.creation import create_study
from autoprog_search.study.results import stored_frames
from autoprog_search.study.store import open_study
from tests.forked import Forked, start
from tests.synthetic import synthetic_study
from tests.tiny import cli_here, run_here, tiny_config, without_measuring

needs_dashboard = pytest.mark.skipif(find_spec("optuna_dashboard") is None, reason="needs the extra `dashboard`")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A study of two methods that has ended."""
    root = tmp_path_factory.mktemp("root")
    fields = ("recipe.epochs=3", "data.train_share=0.2", "recipe.batch_size=40")
    config = tiny_config(*fields, "methods={full: {seeds: 1}, linear: {seeds: 1}}")
    run_here(without_measuring(create_study(root / "studies", config)))
    return root


def got(url: str, body: dict | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="PUT" if body else "GET")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


@needs_dashboard
def test_it_serves_the_study_and_writes_nothing(root):
    database = root / "studies/tiny/study.db"
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    serving = start("dashboard", "tiny", "--port", "0", cwd=root)
    try:
        url = address(serving)
        assert url.startswith("http://127.0.0.1:")
        assert b"<html" in got(f"{url}/dashboard").lower()
        studies = json.loads(got(f"{url}/api/studies"))["study_summaries"]
        assert sorted(study["study_name"] for study in studies) == ["tiny/full/s0", "tiny/linear/s0"]
        page = f"{url}/api/studies/{studies[0]['study_id']}"
        detail = json.loads(got(page))
        assert "full, the reference: test accuracy" in detail["note"]["body"]
        assert detail["objective_names"] == ["total_flops", "val_top1"]
        assert "pareto" in {plot["id"] for plot in detail["plotly_graph_objects"]}
        check_files(url, detail, root)
        got(f"{page}/note", {"body": "seen", "version": detail["note"]["version"] + 1})
        assert json.loads(got(page))["note"]["body"] == "seen"
    finally:
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=60)
    assert serving.returncode == 0
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before


def check_files(url: str, detail: dict, root: Path) -> None:
    """A trial's weights and learning curve are there as artifacts, byte for byte and epoch by epoch."""
    (trial,) = detail["trials"]
    files = {one["filename"]: one["artifact_id"] for one in trial["artifacts"]}
    at = f"{url}/artifacts/{trial['study_id']}/{trial['trial_id']}"
    folder = root / "studies/tiny/trials" / detail["name"].removeprefix("tiny/").replace("/", "-")
    assert got(f"{at}/{files['weights.safetensors']}") == Path(f"{folder}-t0/weights.safetensors").read_bytes()
    curve = pd.read_csv(io.BytesIO(got(f"{at}/{files['curve.csv']}")))
    assert curve["epoch"].tolist() == [1, 2, 3]
    assert curve["val_top1"].between(0, 100).all()


def address(serving: Forked) -> str:
    """What it says once it listens."""
    assert serving.stderr is not None
    said = []
    while line := serving.stderr.readline():
        said.append(line)
        if found := re.search(r"(http://\S+) shows study tiny", line):
            return found[1]
    raise AssertionError("".join(said))


def test_without_the_extra_one_line_says_what_to_install(root, monkeypatch):
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    done = cli_here("dashboard", "tiny", cwd=root)
    assert done.returncode == MissingExtraError.exit_code == 2
    assert done.stderr == f"error: {dashboard.NEEDS}\n"
    assert "pip install 'autoprog-search[dashboard]'" in done.stderr


def test_hostile_text_in_the_note_is_text():
    tables = stored_frames(synthetic_study())
    tables.trials["method"] = (
        tables.trials["method"].astype(object).replace("linear", "linear+<script>*b*[c](d)&lt;\x1b[2J")
    )
    text = dashboard.note(tables)
    assert r"- linear+\<script\>\*b\*\[c\](d)\&lt;\\x1b\[2J: " in text
    assert "\x1b" not in text


def test_the_front_refuses_whatever_changes_a_trial(root):
    front = ReadOnlyStorage(open_study(root / "studies", "tiny").storage, {"tiny/full/s0"})
    (only,) = front.get_all_studies()
    for write in (
        lambda: front.delete_study(only._study_id),
        lambda: front.create_new_trial(only._study_id),
        lambda: front.set_trial_user_attr(front.get_all_trials(only._study_id)[0]._trial_id, "a", 1),
    ):
        with pytest.raises(StudyError, match="shown, not changed"):
            write()


def test_files_are_offered_and_nothing_else():
    files = ReadOnlyFiles()
    name = files.offer(lambda: b"content")
    assert files.open_reader(name).read() == b"content"
    assert files.offer(lambda: b"content") != name  # not to be guessed
    with pytest.raises(ArtifactNotFound):
        files.open_reader("../../etc/passwd")
    for write in (lambda: files.write(name, io.BytesIO(b"other")), lambda: files.remove(name)):
        with pytest.raises(StudyError, match="shown, not changed"):
            write()
    assert files.open_reader(name).read() == b"content"
