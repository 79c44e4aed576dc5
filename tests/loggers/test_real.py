"""TensorBoard, MLflow and Weights & Biases themselves: what a run has told them is read back from their files."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoprog_search import train
from autoprog_search.errors import ConfigError
from autoprog_search.interrupt import Interrupted
from autoprog_search.loggers.logbook import logged
from autoprog_search.loggers.logger import FLOPS, LOSS, RATE
from autoprog_search.loggers.mlflow import MLflow
from autoprog_search.loggers.wandb import WandB
from tests.loggers.remembering import HOSTILE, SPELT_OUT, hostile_run
from tests.tiny import SHORT, TINY, cli_here, set_to, tiny_config

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("ignore"),  # their own
]


def small() -> dict:
    """Arguments of a run of three stages, an epoch of five steps each."""
    config = tiny_config("methods={full: {seeds: 1}}", *SHORT, "recipe.epochs=3")
    return {"space": config.space, "data": config.data, "recipe": config.recipe, "device": "cpu", "schedule": "linear"}


def in_sessions(out: Path, logger: str, *, loses: bool = False) -> dict:
    """A run that was stopped at step 7, in its second stage, and went on.

    Args:
        loses: it went on twice from there, as after a kill at step 12: what it told then it tells again.
    """
    stopped_after(7, out, logger)
    if loses:
        stands = (out / "checkpoint.pt").read_bytes()
        stopped_after(5, out, logger)
        (out / "checkpoint.pt").write_bytes(stands)
    return train(**small(), out=out, loggers=[logger])


def stopped_after(count: int, out: Path, logger: str) -> None:
    steps = iter(range(100))
    with pytest.raises(Interrupted):
        train(**small(), out=out, loggers=[logger], should_stop=lambda: next(steps) == count)


@pytest.fixture
def warned(caplog):
    """What was warned of."""
    caplog.set_level(logging.WARNING, "autoprog_search")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "autoprog_search"]


# ── TensorBoard ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def tensorboard():
    return pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def scalars(events, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_has_the_run_in_one(tensorboard, tmp_path, warned):
    row = in_sessions(tmp_path, "tensorboard", loses=True)
    events = tensorboard.EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    for tag in (LOSS, RATE, FLOPS):
        assert [step for step, _ in scalars(events, tag)] == [*range(1, 16)], tag
    assert scalars(events, FLOPS)[-1][1] == pytest.approx(row["total_flops"])
    top1 = [point["val_top1"] for point in row["curve"]]
    assert scalars(events, "val/top1") == [(step, pytest.approx(v)) for step, v in zip((5, 10, 15), top1, strict=True)]
    by_cost = [int(point["flops"]) // 10**6 for point in row["curve"]]
    of_cost = tensorboard.EventAccumulator(str(tmp_path / "tensorboard" / "by_mflops")).Reload()
    assert [step for step, _ in scalars(of_cost, "by_mflops/val/top1")] == by_cost
    texts = events.Tensors("growth/text_summary")
    grown = sorted({(e.step, e.tensor_proto.string_val[0].decode()) for e in texts})  # it hides no text told twice
    assert [step for step, _ in grown] == [0, 5, 10]
    assert grown[2][1].startswith("stage 3 of 3 trains 4 blocks x 16 patches, grown from 3 blocks x 9 patches")
    settings = events.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| recipe.epochs | 3 |" in settings
    assert scalars(events, "result/top1")[0][1] == pytest.approx(row["top1"])
    weights = events.Tensors("weights/text_summary")[0].tensor_proto.string_val[0].decode()
    assert Path(unescape(weights)) == tmp_path / "weights.safetensors"  # its files hold none
    assert not warned()


def test_tensorboard_needs_a_folder(tensorboard):
    with pytest.raises(ConfigError, match="loggers: TensorBoard writes into the run's folder; give `out`"):
        train(**small(), loggers=["tensorboard"])


def test_tensorboard_shows_hostile_names_as_text(tensorboard, tmp_path):
    from autoprog_search.loggers.logger import End, LoggedRun
    from autoprog_search.loggers.tensorboard import TensorBoard

    board = TensorBoard(tmp_path)
    board.start(LoggedRun("x", "", None, {"data.name": "<script>|`x`"}, 0, 0), None)
    board.finish(End("interrupted"))
    events = tensorboard.EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    text = events.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text.splitlines()[-1] == "| data.name | &#60;script&#62;&#124;&#96;x&#96; |"


# ── MLflow ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def mlflow(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tiny")
    monkeypatch.chdir(tmp_path)  # where its artifacts lie
    return pytest.importorskip("mlflow")


def test_mlflow_has_the_run_in_one(mlflow, tmp_path, warned):
    row = in_sessions(tmp_path / "run", "mlflow", loses=True)
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "linear seed 0")

    def history(name: str) -> list[tuple[int, float]]:
        return sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name))

    for name in (LOSS, RATE):
        assert sorted({step for step, _ in history(name)}) == [*range(1, 16)], name
    assert history(FLOPS)[-1][1] == row["total_flops"]
    assert history("val/top1") == [(5 * k, point["val_top1"]) for k, point in enumerate(row["curve"], start=1)]
    assert [step for step, _ in history("by_mflops/val/top1")] == [int(p["flops"]) // 10**6 for p in row["curve"]]
    events = {name: text for name, text in run.data.tags.items() if name.startswith("event ")}
    assert sorted(events) == [f"event {step:09}" for step in (0, 5, 10)]
    assert run.data.params["recipe.epochs"] == "3"
    assert run.data.metrics["result/top1"] == row["top1"]
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["weights.safetensors"]
    kept = Path(client.download_artifacts(run.info.run_id, "weights.safetensors"))
    assert kept.read_bytes() == (tmp_path / "run/weights.safetensors").read_bytes()
    assert not warned()


def test_two_loggers_on_the_command_line_are_both_told(mlflow, tensorboard, tmp_path):
    (tmp_path / "tiny.yaml").write_text(yaml.dump(yaml.safe_load(TINY.read_text())["space"]))
    few = set_to("recipe.epochs=3", *SHORT)
    loggers = ("--logger", "tensorboard", "--logger", "mlflow")
    words = ("train", "--space", "tiny.yaml", "--schedule", "linear", *few, *loggers, "--device", "cpu", "-o", "out")
    done = cli_here(*words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    top1 = json.loads(done.stdout)["top1"]
    events = tensorboard.EventAccumulator(str(tmp_path / "out/tensorboard")).Reload()
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert scalars(events, "result/top1")[0][1] == pytest.approx(top1)
    assert run.data.metrics["result/top1"] == top1
    assert len(events.Scalars(LOSS)) == len(client.get_metric_history(run.info.run_id, LOSS)) == 15


def test_mlflow_shows_hostile_text_as_text(mlflow, warned):
    with logged([MLflow()], hostile_run(), name=HOSTILE):
        pass
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.info.run_name == run.data.params["method"] == SPELT_OUT
    assert not warned()


def test_an_mlflow_server_that_is_away_stops_nothing(mlflow, monkeypatch, tmp_path, warned):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9/")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert train(**small(), loggers=["mlflow"])["epochs"] == 3
    (text,) = warned()
    assert text.startswith("logger: MLflow failed (")
    assert "secret" not in text


# ── Weights & Biases ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def wandb(monkeypatch, tmp_path):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for folder in ("WANDB_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(folder, str(tmp_path))
    yield
    wandb.teardown()  # which remembers the folders


def test_wandb_offline_has_every_session(wandb, tmp_path, warned):
    row = in_sessions(tmp_path / "run", "wandb")
    assert not warned()
    assert len({run.run_id for run in found_in(tmp_path, "run")}) == 1  # both sessions are one run's
    rows = [read(record.item) for record in found_in(tmp_path, "history")]
    assert [row["_step"] for row in rows if LOSS in row] == [*range(1, 16)]
    assert [row["val/top1"] for row in rows if "val/top1" in row] == [point["val_top1"] for point in row["curve"]]
    assert [row["_step"] for row in rows if "growth/event" in row] == [0, 5, 10]
    (artifact,) = found_in(tmp_path, "artifact")
    assert artifact.type == "model"
    (file,) = artifact.manifest.contents
    assert file.path == "weights.safetensors"
    assert Path(file.local_path).read_bytes() == (tmp_path / "run/weights.safetensors").read_bytes()


def test_wandb_shows_hostile_text_as_text(wandb, tmp_path, warned):
    with logged([WandB()], hostile_run(), name=HOSTILE):
        pass
    run, *_ = found_in(tmp_path, "run")
    assert run.display_name == read(run.config.update)["method"] == SPELT_OUT
    assert not warned()


def found_in(folder: Path, kind: str) -> list[Any]:
    """The records of a kind in the files of an offline run, a session's each."""
    from wandb.proto import wandb_internal_pb2

    found = []
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        for data in records_in(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == kind:
                found.append(getattr(record, kind))
    return found


def read(items: Iterable[Any]) -> dict[str, Any]:
    """What a record has, by name."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def records_in(log: bytes) -> Iterator[bytes]:
    """Of a file in LevelDB's log format, after W&B's header of 7 bytes: blocks of 32 KiB, records in parts."""
    place, record = 7, b""
    while place + 7 <= len(log):
        left = 2**15 - place % 2**15
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(log[place + 4 : place + 6], "little"), log[place + 6]
        record += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""
