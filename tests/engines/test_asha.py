"""ASHA in a study: trials stopped early are paid for, win nothing and fail nothing, and are judged the same again."""

from __future__ import annotations

import pandas as pd
import pytest

from autoprog_search.analysis.compare import compare
from autoprog_search.analysis.findings import findings
from autoprog_search.analysis.headline import headline
from autoprog_search.engines.engine import Needs
from autoprog_search.engines.run import run_study
from autoprog_search.methods.asha import stops
from autoprog_search.report.notes import reading_notes
from autoprog_search.report.page import report_page
from autoprog_search.study.creation import create_study
from autoprog_search.study.results import curves_frame, stored_frames, trials_frame
from autoprog_search.study.store import Job, StoredStudy
from tests.tiny import cli_here, run_here, tiny_config, without_measuring

TRIALS, EPOCHS = 3, 3


def create(folder) -> StoredStudy:
    config = tiny_config(f"recipe.epochs={EPOCHS}", f"methods={{asha: {{trials: {TRIALS}, seeds: 1}}}}")
    return without_measuring(create_study(folder / "studies", config))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asha")
    study = create(folder)
    return folder, study, run_here(study)


def comparable(study: StoredStudy) -> pd.DataFrame:
    frame = trials_frame(study)
    return frame[[c for c in frame.columns if not c.endswith("_seconds")]]


def test_each_trial_ends_where_the_rule_says(undisturbed):
    _, study, _ = undisturbed
    trials = [study.trials()[Job("asha", 0, t)] for t in range(TRIALS)]
    curves = [trial.user_attrs["curve"] for trial in trials]
    full = trials[0].user_attrs["full_flops"]
    for t, trial in enumerate(trials):
        asked = [stops(curves[t][:n], curves[:t], full) for n in range(1, len(curves[t]) + 1)][: EPOCHS - 1]
        pruned = trial.state.name == "PRUNED"
        assert asked == [False] * (len(asked) - 1) + [pruned]
        assert (trial.user_attrs["epochs"] < EPOCHS) == pruned
    assert {trial.state.name for trial in trials} == {"COMPLETE", "PRUNED"}


def test_a_stopped_trial_is_paid_for_and_never_the_headline(undisturbed):
    _, study, _ = undisturbed
    frame = trials_frame(study)
    pruned = frame[frame["state"] == "PRUNED"]
    assert pruned["top1"].isna().all()
    assert pruned[["val_top1", "total_flops", "train_seconds"]].notna().all().all()
    spent = [study.trials()[Job("asha", 0, t)].user_attrs["curve"][-1]["flops"] for t in range(TRIALS)]
    assert frame["total_flops"].tolist() == spent
    assert all(len(row.depths) == len(row.stage_epochs) < 3 for row in pruned.itertuples())
    (head,) = headline(frame.assign(val_top1=frame["val_top1"].where(frame["state"] == "COMPLETE", 99)), 0.5).to_dict(
        "records"
    )
    assert head["state"] == "COMPLETE"
    assert head["spent_flops"] == sum(spent)
    assert compare(frame, 0.5)["trials"].tolist() == [TRIALS]
    assert len(curves_frame(study)) == frame["epochs"].sum()


def test_whoever_reads_a_study_understands_it(undisturbed):
    folder, study, events = undisturbed
    pruned = (trials_frame(study)["state"] == "PRUNED").sum()
    ends = [event.message for event in events if event.kind == "done"]
    assert sum("stopped early at" in message for message in ends) == pruned
    assert len(ends) == TRIALS
    assert run_study(study, Needs(device="cpu"))
    assert cli_here("study", "run", "tiny", cwd=folder).returncode == 0
    assert f"{TRIALS}/{TRIALS}" in cli_here("study", "list", cwd=folder).stdout
    assert "PRUNED" in cli_here("study", "show", "tiny", cwd=folder).stdout
    assert f"{pruned} stopped early" in report_page(stored_frames(study))
    notes = reading_notes(findings(trials_frame(study), 0.5))
    assert notes[0].startswith(f"Trials stopped early: {pruned} of {TRIALS} (asha")
    checkpoints = list(study.folder.glob("trials/*/checkpoint.pt"))
    assert checkpoints == []


def test_interrupted_after_every_few_steps_it_decides_the_same(undisturbed, tmp_path):
    study, asked = create(tmp_path), iter(range(10**6))
    while any(not trial.state.is_finished() for trial in study.trials().values()):
        run_here(study, lambda: next(asked) % 35 == 34)
    pd.testing.assert_frame_equal(comparable(study), comparable(undisturbed[1]))
