"""What of a comparison is there."""

from __future__ import annotations

from autoprog_search.analysis.compare import COLUMNS, compare
from autoprog_search.analysis.verdict import verdicts
from autoprog_search.study.results import trials_frame
from tests.swept import swept_trials
from tests.synthetic import synthetic_study, with_accuracies


def test_every_method_of_the_study_has_one(study):
    frame = trials_frame(study)
    frame.loc[frame["method"] == "random", "state"] = "FAIL"
    compared = compare(frame, 0.5)
    assert list(compared.columns) == list(COLUMNS)
    found = verdicts(frame, compared)
    assert [v.method for v in found] == ["full", "full-short", "linear", "autoprog", "random", "tpe"]
    assert [v.row is None for v in found] == [False] * 4 + [True, False]
    assert (found[4].seeds, found[4].failed_seeds, found[4].failed_trials) == (3, 3, 15)
    assert (found[5].seeds, found[5].failed_seeds, found[5].failed_trials) == (3, 0, 1)
    assert found[0].short_speedup == compared["speedup_flops"][1]


def test_a_seed_is_unfinished_while_a_trial_of_it_may_run():
    frame = trials_frame(synthetic_study(seeds=4, methods=("full", "random")))
    frame.loc[(frame["method"] == "random") & (frame["seed"] == 0), "state"] = [*["FAIL"] * 4, "WAITING"]
    frame.loc[(frame["method"] == "random") & (frame["seed"] == 1), "state"] = [*["PRUNED"] * 4, "FAIL"]
    frame.loc[(frame["method"] == "random") & (frame["seed"] == 2), "state"] = "PRUNED"
    random = verdicts(frame, compare(frame, 0.5))[1]
    assert (random.seeds, random.row["seeds"]) == (4, 1)
    assert (random.failed_seeds, random.stopped_seeds, random.unfinished_seeds) == (1, 1, 1)


def test_other_lengths_of_a_sweep_do_not_stand_for_the_one_compared():
    frame = swept_trials(seeds=2)
    lost = (frame["method"] == "linear") & (frame["seed"] == 1) & (frame["trial"] == 0)
    frame.loc[lost, ["state", "scheduled_epochs"]] = ["FAIL", None]
    linear = next(v for v in verdicts(frame, compare(frame, 0.5)) if v.method == "linear")
    assert (linear.seeds, linear.failed_seeds, linear.row["seeds"]) == (2, 1, 1)


def test_runs_of_a_table_that_repeat_are_counted_once():
    frame = with_accuracies([94.0, 94.1, 94.2], full=[95.0, 95.2, 95.0])
    row = compare(frame, 0.5).set_index("method").loc["linear"]
    assert (row["paired"], row["trained"]) == (3, 2)
    assert row[["p_margin", "seeds_if_equal", "top1_se", "difference_low", "difference_high"]].isna().all()
    assert row["spread"] > 0


def test_who_searched_for_whom():
    frame = trials_frame(synthetic_study(methods=("full", "full-short", "autoprog", "replay")))
    assert [v.searched_by for v in verdicts(frame, compare(frame, 0.5))] == [None, None, None, "autoprog"]
