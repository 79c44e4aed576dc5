"""Notes claim what the numbers show, and no more."""

from __future__ import annotations

import pandas as pd
import pytest

from autoprog_search.analysis.findings import findings
from autoprog_search.report.notes import reading_notes
from autoprog_search.study.results import trials_frame
from tests.synthetic import synthetic_study, with_accuracies


@pytest.mark.parametrize(
    ("half", "claim"),
    [
        ([93.4, 93.6, 93.7], "-1.43"),
        ([94.6, 94.5, 94.7], "-0.40"),
    ],
)
def test_whether_more_training_pays_is_said_of_full_alone(half, claim):
    frame = with_accuracies([50.0, 50.0, 50.0], full=[95.0, 95.0, 95.0])
    short = frame.copy()
    short["trial"], short["scheduled_epochs"] = 1, frame["scheduled_epochs"] / 2
    short.loc[short["method"] == "full", "val_top1"] = half
    notes = reading_notes(findings(pd.concat([frame, short], ignore_index=True), 0.5))
    (note,) = [n for n in notes if n.startswith("full of ")]
    epochs = frame["scheduled_epochs"].iloc[0]
    assert note.startswith(f"full of {epochs / 2:g} epochs instead of {epochs:g}: {claim}")
    assert "over 3 seeds" in note
    assert ("more training pays here" in note) == (claim == "-1.43")
    assert ("hardly pays here" in note) == (claim == "-0.40")
    assert not any(n.startswith("full of ") for n in reading_notes(findings(frame, 0.5)))


def test_unfinished_trials_are_counted(study):
    notes = reading_notes(findings(trials_frame(study), 0.5))
    assert notes[0] == "Trials failed: 1 of 42 (tpe 1); no number here includes them."
    assert notes[1] == "Trials not finished: 1 of 42 (tpe 1); no number here includes them."
    assert any("not corrected for comparing 5 methods" in note for note in notes)
    assert any("from 3 seeds it may be 0.5 to 6.3 times that" in note for note in notes)
    assert any("with a probability of 80 %" in note for note in notes)


def test_nothing_is_said_of_intervals_where_there_are_none():
    frame = with_accuracies([96.0], full=[90.0])
    assert not any("Intervals" in note or "seeds" in note for note in reading_notes(findings(frame, 0.5)))


def test_several_devices_and_versions_are_named(study):
    frame = trials_frame(study)
    assert not any("devices" in note or "versions" in note for note in reading_notes(findings(frame, 0.5)))
    frame.loc[0, ["device", "versions"]] = ["H100", "{}"]
    notes = reading_notes(findings(frame, 0.5))
    assert any("2 devices (H100; cpu (2 threads)): compare FLOPs, not seconds" in note for note in notes)
    assert any("2 sets of library versions" in note for note in notes)


def test_an_empty_study_has_notes():
    frame = trials_frame(synthetic_study(seeds=1, methods=("full",)))
    assert reading_notes(findings(frame.iloc[:0], 0.5))


def test_what_the_loader_took_is_said_stage_by_stage():
    frame = trials_frame(synthetic_study(seeds=1, methods=("full", "linear")))
    assert "Training waited for images, stage by stage: 10 %, 10 %, 10 %, 10 % of the time." in reading_notes(
        findings(frame, 0.5)
    )
    linear = frame["method"] == "linear"
    frame.loc[linear, "loader_seconds"] = pd.Series([[9, 0, 0, 0]], index=frame.index[linear])
    frame.loc[linear, "stage_seconds"] = pd.Series([[10, 10, 10, 10]], index=frame.index[linear])
    assert "stage by stage: 50 %, 5 %, 5 %, 5 % of" in " ".join(reading_notes(findings(frame, 0.5)))


def test_networks_that_were_as_good_before_they_grew_are_named():
    """The gain is the end's accuracy less that before the last growth: (98 - 97.5 + 98 - 97.1) / 2 and 98 - 90."""
    frame = with_accuracies([98.0, 98.0], full=[98.0, 98.0])
    grows = frame["method"] != "full"
    frame["growth_top1"] = pd.Series([None] * len(frame), dtype=object)
    assert not any("never grown" in note for note in reading_notes(findings(frame, 0.5)))
    (small,) = set(frame.loc[grows, "method"])
    for at, before in zip(frame.index[grows], [97.5, 97.1], strict=True):
        frame.at[at, "growth_top1"] = [None, (60.0, 50.0), None, (before, 40.0)]
    (note,) = [note for note in reading_notes(findings(frame, 0.5)) if "never grown" in note]
    assert f"accuracy: {small} +0.7; what" in note
    for at in frame.index[grows]:
        frame.at[at, "growth_top1"] = [None, (90.0, 50.0)]
    assert not any("never grown" in note for note in reading_notes(findings(frame, 0.5)))
