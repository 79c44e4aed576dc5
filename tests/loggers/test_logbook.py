"""What a run tells its loggers; and that they change nothing of it, whatever they do."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from unittest import mock

import pytest

from autoprog_search import train
from autoprog_search.errors import ConfigError
from autoprog_search.interrupt import Interrupted
from autoprog_search.loggers.logbook import Logbook
from autoprog_search.loggers.logger import FLOPS, LOSS, RATE
from autoprog_search.loggers.registry import LOGGERS, LoggerInfo
from autoprog_search.study.creation import create_study
from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import open_study
from tests.loggers.remembering import HOSTILE, SPELT_OUT, Remembering, hostile_run
from tests.tiny import FEW, SHORT, cli_here, run_trials, tiny_config, without_measuring

SAME = ("depths", "stage_epochs", "val_top1", "top1", "ema_top1", "loss", "total_flops", "curve")


def small(*overrides: str) -> dict:
    """Arguments of a run of three stages, an epoch of five steps each."""
    config = tiny_config("methods={full: {seeds: 1}}", *SHORT, "recipe.epochs=3", *overrides)
    return {"space": config.space, "data": config.data, "recipe": config.recipe, "device": "cpu"}


@pytest.fixture
def warned(caplog):
    """What was warned of."""
    caplog.set_level(logging.WARNING, "autoprog_search")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_run_tells_every_step_every_epoch_and_every_stage(tmp_path):
    log = Remembering()
    row = train(**small(), schedule="linear", out=tmp_path / "run", loggers=[log])
    assert [step for step, _ in log.of(LOSS)] == [*range(1, 16)]
    assert [step for step, _ in log.of(RATE)] == [*range(1, 16)]
    flops = [value for _, value in log.of(FLOPS)]
    assert flops == sorted(set(flops))
    assert flops[-1] == row["total_flops"]
    assert log.of("val/top1") == [(5 * k, point["val_top1"]) for k, point in enumerate(row["curve"], start=1)]
    assert [point.flops for point in log.points if "val/top1" in point.values] == [p["flops"] for p in row["curve"]]
    assert log.of("growth/depth") == [(5, 2), (10, 3), (15, 4)]
    means = [sum(loss for _, loss in log.of(LOSS)[k : k + 5]) / 5 for k in (0, 5, 10)]
    assert means == pytest.approx([point["train_loss"] for point in row["curve"]])
    (_, first), (at, second), _ = log.events
    assert first == "stage 1 of 3 trains 2 blocks x 4 patches"
    before, after = row["growth_top1"][1]
    assert at == 5
    assert second.startswith("stage 2 of 3 trains 3 blocks x 9 patches, grown from 2 blocks x 4 patches: ")
    assert second.endswith(f"validation top-1 {before:.2f} % before, {after:.2f} % after")
    assert log.end.outcome == "finished"
    assert log.end.results["val_top1"] == row["val_top1"]
    assert log.end.weights == tmp_path / "run" / "weights.safetensors"
    assert log.run.settings["recipe.epochs"] == 3
    assert log.run.settings["space.depths"] == "[2, 3, 4]"
    assert not (tmp_path / "run" / "loggers.json").exists()


def test_a_search_is_told_too():
    log = Remembering()
    row = train(**small(*FEW, "recipe.epochs=6"), loggers=[log])
    assert [step for step, _ in log.of(LOSS)] == [*range(1, 31)]
    searched = row["stages"][0]["searched_steps"]
    assert log.events[0][0] == searched > 0
    assert f"of 4 candidates, searched for {searched} steps" in log.events[0][1]
    assert log.end.weights is None  # nothing is written


@pytest.mark.parametrize("call", ["start", "log", "event", "finish"])
def test_a_logger_that_fails_is_left_out_and_changes_no_bit(call, warned):
    alone = train(**small(), schedule="linear")
    failing, sound = type("Failing", (Remembering,), {})(fails=call), Remembering()
    row = train(**small(), schedule="linear", loggers=[failing, sound])
    assert [row[name] for name in SAME] == [alone[name] for name in SAME]
    (text,) = warned()
    assert text.startswith("logger: Failing failed (http://me:***@server/ is away) and is left out")
    assert len(sound.points) == 18
    assert sound.end.outcome == "finished"


def test_an_interrupted_run_goes_on_as_the_same(tmp_path):
    first, second = Remembering(), Remembering()
    with pytest.raises(Interrupted):
        train(**small(), schedule="linear", out=tmp_path, loggers=[first], should_stop=lambda: len(first.events) == 2)
    assert first.end.outcome == "interrupted"
    train(**small(), schedule="linear", out=tmp_path, loggers=[second])
    assert (first.known_as, second.known_as) == (None, "number 7")
    assert second.run.step == 5
    assert [step for step, _ in first.of(LOSS) + second.of(LOSS)] == [*range(1, 16)]
    assert [step for step, _ in first.of("val/top1") + second.of("val/top1")] == [5, 10, 15]
    assert [step for step, _ in first.events + second.events] == [0, 5, 10]
    assert not (tmp_path / "loggers.json").exists()


def test_logging_asks_the_device_for_nothing(waits):
    """What waits for a GPU is called as often as without a logger."""
    train(**small(), schedule="linear")
    alone = waits.copy()
    waits.clear()
    train(**small(), schedule="linear", loggers=[Remembering()])
    assert waits == alone
    assert waits["tolist"] >= 3  # the control: an epoch's losses come so


def test_what_another_run_was_called_is_not_taken(tmp_path):
    (tmp_path / "loggers.json").write_text(json.dumps({"run": "another", "names": {"Remembering": "number 6"}}))
    log = Remembering()
    train(**small(), schedule="full", out=tmp_path, loggers=[log])
    assert log.known_as is None


def test_hostile_text_is_spelt_out():
    """Names of settings, too."""
    run, log = hostile_run(), Remembering()
    space = run.spec.space.model_copy(update={"model_args": {HOSTILE: 1}})
    run.spec = replace(run.spec, space=space)
    Logbook([log], run, HOSTILE, HOSTILE, None)
    assert (log.run.name, log.run.group, log.run.settings["method"]) == (SPELT_OUT,) * 3
    assert log.run.settings[f"space.model_args.{SPELT_OUT}"] == 1
    assert all(str(text).isprintable() for setting in log.run.settings.items() for text in setting)


def test_two_loggers_of_one_class_are_refused():
    with pytest.raises(ConfigError, match="loggers: two are of the same class"):
        train(**small(), schedule="full", loggers=[Remembering(), Remembering()])


@pytest.fixture
def told(monkeypatch):
    """The loggers that are made by the name `remembering`, in order."""
    made: list[Remembering] = []

    def make() -> Remembering:
        made.append(Remembering())
        return made[-1]

    monkeypatch.setattr("tests.loggers.remembering.make", make, raising=False)
    entry = LoggerInfo("remembers", "tests.loggers.remembering:make", "tests")
    with mock.patch.dict(LOGGERS, {"remembering": entry}):
        yield made


@pytest.mark.slow
def test_a_studys_trials_are_runs_of_their_own_and_its_results_the_same(told, tmp_path):
    config = tiny_config("methods={full: {seeds: 1}, linear: {seeds: 1}}", *SHORT, "recipe.epochs=3", name="s")
    studies = [without_measuring(create_study(tmp_path / name, config)) for name in ("plain", "logged")]
    run_trials(studies[0], "cpu", 0, lambda event: None, lambda: False)
    run_trials(studies[1], "cpu", 0, lambda event: None, lambda: False, loggers=("remembering",))
    plain, logged = (trials_frame(open_study(study.folder.parent, "s")) for study in studies)
    same = [name for name in plain.columns if not name.endswith("_seconds")]
    assert plain[same].astype(str).equals(logged[same].astype(str))
    assert [(log.run.name, log.run.group) for log in told] == [
        ("full seed 0", "s"),
        ("linear seed 0", "s"),
    ]
    assert [log.end.results["top1"] for log in told] == logged["top1"].tolist()
    assert [log.end.weights.name for log in told] == ["weights.safetensors"] * 2


@pytest.mark.slow
def test_a_population_is_a_run_a_member_over_all_of_its_turns(told, tmp_path):
    config = tiny_config("methods={full: {seeds: 1}, pbt: {trials: 2, seeds: 1}}", *SHORT, "recipe.epochs=3", name="p")
    study = without_measuring(create_study(tmp_path, config))
    run_trials(study, "cpu", 0, lambda event: None, lambda: False, loggers=("remembering",))
    turns = [log for log in told if log.run.name == "pbt seed 0 trial 1"]
    assert [log.known_as for log in turns] == [None, "number 7", "number 7"]
    assert [log.end.outcome for log in turns] == ["interrupted", "interrupted", "finished"]
    assert [step for log in turns for step, _ in log.of(LOSS)] == [*range(1, 16)]


def test_a_package_that_is_missing_is_named_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("autoprog_search.loggers.registry.find_spec", lambda name: None)
    done = cli_here("train", "--space", "digits", "--logger", "wandb", "--output", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr == "error: logger: wandb is not installed; install it with: pip install 'autoprog-search[wandb]'\n"
    )
    with pytest.raises(ConfigError, match="logger: 'tensorbord' is none; did you mean tensorboard"):
        train(**small(), loggers=["tensorbord"])
    assert not (tmp_path / "out").exists()
