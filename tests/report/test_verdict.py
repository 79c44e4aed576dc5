"""A verdict claims what the numbers show, and no more."""

from __future__ import annotations

import pandas as pd
import pytest

from autoprog_search.analysis.compare import compare
from autoprog_search.analysis.noninferiority import seeds_needed
from autoprog_search.analysis.verdict import verdicts
from autoprog_search.report.verdict import verdict_text
from autoprog_search.study.results import trials_frame
from tests.synthetic import synthetic_study, with_accuracies

FULL = [95.01, 95.1, 95.19]


def said(method: str, frame: pd.DataFrame, margin: float = 0.5) -> str:
    """The verdict on a method, without its name."""
    (text,) = [verdict_text(v) for v in verdicts(frame, compare(frame, 0.5, margin)) if v.method == method]
    return text.partition(": ")[2]


@pytest.mark.parametrize(
    ("linear", "claim"),
    [
        (
            [95.0, 95.2, 95.1],
            "+0.00 [-0.24, +0.24] points, 3 seeds. That no more than 0.5 points are lost is shown (p = 0.006).",
        ),
        ([96.0, 96.1, 96.3], "are lost is shown (p = 0.00031), and so is a gain."),
        ([94.8, 94.9, 95.0], "are lost is shown (p = 0.00019), and so is some loss."),
        ([94.0, 94.1, 94.2], "-1.00 [-1.02, -0.98] points, 3 seeds. A loss of more than 0.5 points is shown."),
        ([94.0, 94.5, 94.2], "is not shown, though some loss is: "),
        ([95.5, 94.6, 95.2], "That no more than 0.5 points are lost is not shown: "),
    ],
)
def test_a_claim_is_made_where_the_interval_lies_on_one_side(linear, claim):
    text = said("linear", with_accuracies(linear, FULL))
    assert text.startswith("2.08× fewer FLOPs than full (2.08× fewer seconds), ")
    assert claim in text


def test_the_margin_decides():
    frame = with_accuracies([94.6, 94.5, 94.9], FULL)
    assert "no more than 0.5 points are lost is not shown, though some" in said("linear", frame)
    assert "no more than 1.5 points are lost is shown" in said("linear", frame, margin=1.5)
    assert "A loss of more than 0.01 points is shown" in said("linear", frame, margin=0.01)


def test_how_many_seeds_it_takes():
    """Had nothing been lost, and if as much is lost as measured."""
    frame = with_accuracies([95.3, 94.5, 95.2], FULL)  # -0.1 in the mean
    spread = pd.Series([0.29, -0.6, 0.01]).std()
    equal, measured = seeds_needed(0.5, spread), seeds_needed(0.4, spread)
    assert 3 < equal < measured
    assert said("linear", frame).endswith(
        f"not shown: {equal:.0f} seeds would show it if in truth nothing is lost, {measured:.0f} if as much is lost as "
        "measured."
    )
    gained = with_accuracies([95.9, 94.7, 95.3], FULL)
    assert said("linear", gained).endswith("seeds would show it if in truth nothing is lost.")
    worse = with_accuracies([95.4, 93.2, 94.3], FULL)
    assert said("linear", worse).endswith("in truth nothing is lost, no number would if as much is lost as measured.")


def test_seeds_that_were_enough_had_nothing_been_lost():
    frame = with_accuracies([94.65, 94.55, 94.8, 94.6, 94.7, 94.8], [95.0, 95.01, 95.02, 95.03, 95.2, 95.3])
    assert "if in truth nothing" not in said("linear", frame)
    assert said("linear", frame).endswith("seeds would show it if as much is lost as measured.")


def test_one_seed_shows_nothing():
    text = said("linear", with_accuracies([96.0], full=[90.0]))
    assert text.endswith("+6.00 points, one seed. That is not enough to tell a difference from chance.")


def test_seeds_without_spread_test_nothing():
    text = said("linear", with_accuracies([94.8, 95.0, 95.2], full=[95.0, 95.2, 95.4]))
    assert text.endswith("-0.20 points, 3 seeds. All 3 seeds differ by the same, so there is no spread to test by.")


def test_seeds_that_look_the_same_runs_up_test_nothing():
    """As a table's that has fewer seeds than the study."""
    frame = with_accuracies([94.0, 94.1, 94.0, 94.3], full=[95.0, 95.2, 95.0, 95.2])
    text = said("linear", frame)
    assert text.endswith(
        "4 seeds. Whether accuracy is lost is not tested: these seeds look up 2 trained runs of full again and again."
    )
    assert "[" not in text
    assert said("full", frame).startswith("test accuracy 95.10 % for ")


def test_without_full_there_is_nothing_to_compare_with():
    frame = trials_frame(synthetic_study(methods=("linear",)))
    assert said("linear", frame).endswith("3 seeds; no run of full of the same seed to compare with.")
    frame = with_accuracies([96.0, 95.0], full=[95.0, 94.0])
    frame.loc[frame["method"] == "full", "state"] = "RUNNING"
    assert "no run of full of the same seed" in said("linear", frame)
    assert said("full", frame) == "no seed has finished (2 not finished yet)."


def test_seeds_that_are_missing_are_named():
    frame = with_accuracies([96.0, 95.0, 94.0, 94.4, 94.4], full=[95.0, 94.2, 93.1, 93.0, 93.3])
    seed = frame["seed"]
    frame.loc[(frame["method"] == "full") & (seed == 2), "state"] = "FAIL"
    frame.loc[(frame["method"] == "linear") & (seed == 3), "state"] = "FAIL"
    frame.loc[(frame["method"] == "linear") & (seed == 4), "state"] = "WAITING"
    assert "points, 2 of 5 seeds (1 failed, 1 not finished yet, 1 without full)." in said("linear", frame)
    assert said("full", frame).endswith(", 4 of 5 seeds (1 failed).")


def test_a_seed_that_failed_is_no_seed_that_lost_nothing():
    frame = with_accuracies([95.0, 95.2, 95.1, 20.0], [*FULL, 95.0])
    frame.loc[(frame["method"] == "linear") & (frame["seed"] == 3), "state"] = "FAIL"
    assert "is shown for the seeds that finished, but 1 failed (p = " in said("linear", frame)


def test_several_trials_pay_for_all_of_them(study):
    frame = trials_frame(study)
    row = compare(frame, 0.5).set_index("method").loc["tpe"]
    run = f"{row['speedup_flops']:.2f}× fewer FLOPs than full ({row['speedup_seconds']:.2f}× fewer seconds)"
    spent = f"4.33 trials a seed and {row['spent']:.2f}× full's FLOPs (1 failed, not counted)"
    assert said("tpe", frame).startswith(f"the run that stands for it takes {run}, but finding it took {spent}, ")


def test_a_search_is_counted_and_one_that_is_not_is_named():
    frame = trials_frame(synthetic_study(methods=("full", "autoprog", "replay")))
    assert "× fewer FLOPs than full, search included (" in said("autoprog", frame)
    assert "× fewer FLOPs than full, the search of autoprog not counted (" in said("replay", frame)


def test_seconds_of_several_devices_are_left_out():
    frame = with_accuracies([95.0, 95.2, 95.1], FULL)
    assert "seconds" in said("linear", frame)
    assert said("full", frame).endswith(" s, 3 seeds.")
    frame.loc[0, "device"] = "another"
    assert "seconds" not in said("linear", frame)


@pytest.mark.parametrize(("ratio", "text"), [(2.0, "2.00× fewer"), (0.5, "2.00× more"), (1.004, "no fewer")])
def test_dearer_is_not_said_to_be_cheaper(ratio, text):
    frame = with_accuracies([95.0, 95.2, 95.1], FULL)
    frame.loc[frame["method"] == "linear", "speedup_flops"] = ratio
    assert said("linear", frame).startswith(f"{text} FLOPs than full")


def test_the_control_of_the_same_cost():
    frame = trials_frame(synthetic_study(methods=("full", "full-short", "autoprog", "linear")))
    frame.loc[frame["method"].isin(["full-short", "autoprog"]), "speedup_flops"] = 2.02
    frame.loc[frame["method"] == "full-short", "top1"] = [90.0, 90.5, 90.2]
    assert "Against full-short, ordinary training at the same cost, +" in said("autoprog", frame)
    assert said("autoprog", frame).endswith("points: a gain is shown.")
    assert "full-short" not in said("linear", frame)  # it costs something else
    assert "Against" not in said("full-short", frame)
