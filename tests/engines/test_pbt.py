"""A population in a study: who copies whom, what it is charged, and that it goes on wherever it was killed."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from autoprog_search.analysis.headline import headline
from autoprog_search.engines.population import trained, turns
from autoprog_search.errors import ConfigError
from autoprog_search.methods.pbt import exploit
from autoprog_search.study.creation import create_study
from autoprog_search.study.results import curves_frame, trials_frame
from autoprog_search.study.store import Job, StoredStudy, open_study
from tests.forked import Forked
from tests.tiny import CPU, SHORT, environment, levels, run_here, tiny_config, tiny_trainer, without_measuring

MEMBERS = 3
CONFIG = tiny_config(*SHORT, "recipe.epochs=3", f"methods={{pbt: {{trials: {MEMBERS}, seeds: 1}}}}")
FIRST = Job("pbt", 0, 0)


def killed(folder: Path) -> None:
    """Be a worker that kills itself when the second member has begun its second stage."""
    study = open_study(folder, "tiny")
    begun = study.folder / "trials/pbt-s0-t1/stage2.pt"
    run_here(study, lambda: begun.exists() and os.kill(os.getpid(), signal.SIGKILL))


def create(folder) -> StoredStudy:
    return without_measuring(create_study(folder / "studies", CONFIG))


def comparable(study: StoredStudy) -> pd.DataFrame:
    frame = trials_frame(study)
    return frame[[c for c in frame.columns if not c.endswith("_seconds")]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    study = create(tmp_path_factory.mktemp("pbt"))
    return study, run_here(study)


def stood(study: StoredStudy, stage: int) -> list:
    return [trained(study, Job("pbt", 0, number), stage) for number in range(MEMBERS)]


def test_the_worst_copies_the_best_at_the_first_boundary_and_nobody_at_the_last(undisturbed):
    study, _ = undisturbed
    before, after = stood(study, 1), stood(study, 2)
    parents = exploit(dict(enumerate(done.val_top1 for done in before)))
    assert [done.parent for done in after] == [parents[number] for number in range(MEMBERS)]
    (copy,) = (number for number, parent in parents.items() if parent != number)
    parent = parents[copy]
    assert before[copy].val_top1 == min(done.val_top1 for done in before)
    assert before[parent].val_top1 == max(done.val_top1 for done in before)
    assert after[copy].levels[0] == before[parent].levels[0]
    assert after[copy].levels[1] != before[parent].levels[1]  # it explores
    assert [turns(study, FIRST, 3)[number].parent for number in range(MEMBERS)] == [0, 1, 2]
    curves = curves_frame(study).set_index(["trial", "epoch"])["val_top1"]
    assert curves[copy, 1.0] == curves[parent, 1.0]  # its run is the parent's up to there
    assert curves[copy, 2.0] != curves[parent, 2.0]


def test_members_begin_under_different_schedules_and_end_under_those_that_are_stored(undisturbed):
    study, _ = undisturbed
    assert len({turn.levels for turn in turns(study, FIRST, 1).values()}) == MEMBERS
    for job, trial in study.trials().items():
        ran = [study.config.space.at(*pair) for pair in study.config.space.from_parameters(trial.params)]
        assert [s.depth for s in ran] == trial.user_attrs["depths"]
        assert [s.patches for s in ran] == trial.user_attrs["patches"]
        assert (study.trial_folder(job) / "weights.safetensors").exists()


def test_the_whole_population_is_charged_a_run_for_its_lineage(undisturbed):
    study, _ = undisturbed
    trainer = tiny_trainer(CONFIG, levels(CONFIG, (0, 0), (1, 1), (2, 2)))
    space, steps = CONFIG.space, trainer.run.spec.part_steps
    batch, cost = CONFIG.recipe.batch_size, trainer.run.elastic.cost
    frame = trials_frame(study)
    own, total = [0] * MEMBERS, [0] * MEMBERS
    for stage in (1, 2, 3):
        for number, turn in turns(study, FIRST, stage).items():
            own[number] += steps[stage - 1] * cost.step_flops(space.at(*turn.levels[stage - 1]), batch)
    for number, row in enumerate(frame.itertuples()):
        ran = zip(row.depths, row.patches, strict=True)
        stages = zip(steps, ran, strict=True)
        sub_networks = {(s.depth, s.patches): s for s in space.sub_networks}
        total[number] = sum(count * cost.step_flops(sub_networks[pair], batch) for count, pair in stages)
    assert frame["own_flops"].tolist() == own
    assert frame["total_flops"].tolist() == total
    assert own != total  # the control: the member that copied gave up a stage of its own
    (head,) = headline(frame, 0.5).to_dict("records")
    assert head["spent_flops"] == sum(own)
    assert head["total_flops"] in total


def test_it_tells_of_each_member_once_and_leaves_no_checkpoint(undisturbed):
    study, events = undisturbed
    for kind in ("start", "done"):
        assert [event.job.trial for event in events if event.kind == kind] == list(range(MEMBERS))
    assert list(study.folder.glob("trials/*/*.pt")) == []


def test_killed_and_interrupted_it_ends_the_same(undisturbed, tmp_path):
    study, asked = create(tmp_path), iter(range(10**6))
    assert Forked(partial(killed, tmp_path / "studies"), env=environment()).wait() == -signal.SIGKILL
    assert (study.folder / "trials/pbt-s0-t1/stage2.pt").exists()
    assert all(done is not None for done in stood(study, 1))
    assert not any(trial.state.is_finished() for trial in study.trials().values())
    while any(not trial.state.is_finished() for trial in study.trials().values()):
        run_here(study, lambda: next(asked) % 26 == 25)
    pd.testing.assert_frame_equal(comparable(study), comparable(undisturbed[0]))


def test_a_member_whose_training_fails_leaves_the_population(tmp_path, monkeypatch):
    study = create(tmp_path)
    from autoprog_search.engines import population
    from autoprog_search.engines.workplace import Workplace
    from autoprog_search.errors import RunFailedError

    def train(study, member, stage, turn, *_):
        if (member.trial, stage) == (1, 2):
            raise RunFailedError("loss: not finite")
        population.open_trial(study, member).set_user_attr(
            f"stage{stage}",
            {"parent": turn.parent, "levels": turn.levels, "val_top1": 90.0, "total_flops": 1, "own_flops": 1},
        )

    monkeypatch.setattr(population, "_train", train)
    events = []
    nowhere = Workplace(None, CPU, None)
    population.run_population(study, FIRST, nowhere, tell=events.append, should_stop=lambda: False)
    assert {number: turn.parent for number, turn in turns(study, FIRST, 2).items()} == {0: 0, 1: 1, 2: 0}
    assert list(turns(study, FIRST, 3)) == [0, 2]
    assert [(event.kind, event.job.trial) for event in events if event.kind != "start"] == [("fail", 1)]


def test_one_is_no_population():
    with pytest.raises(ConfigError, match="methods, pbt, trials: 1 is no population"):
        tiny_config("methods={pbt: {trials: 1}}")
