"""Tables: read back as written, and studies that look up what they would have trained, in closed form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from filelock import FileLock
from optuna.trial import create_trial

from autoprog_search.data.load import load_data
from autoprog_search.engines.events import Event
from autoprog_search.engines.worker import run_trials
from autoprog_search.errors import ConfigError, DataError
from autoprog_search.methods.optuna import AutoProgSampler
from autoprog_search.oneshot.candidates import candidates
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import Recipe
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.creation import DIRECTIONS, create_study
from autoprog_search.study.resolve import config_from_file, make_config
from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import Job, StoredStudy
from autoprog_search.tables.loading import load_table
from autoprog_search.tables.table import GrowthTable
from tests.tabulated import SEARCHED, SPACE, STEPS, cost, rising, step_cost, write_artificial
from tests.tiny import CPU, cli, cli_here, run_here


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return write_artificial(tmp_path_factory.mktemp("table") / "nine.parquet")


@pytest.fixture
def table(file) -> GrowthTable:
    return load_table(str(file))


def config_on(file: Path, *methods: str, trials: int = 4, seeds: int = 2, overrides: tuple[str, ...] = ()):
    data = {"name": f"table:{file}"}
    return make_config("look", space=None, data=data, methods=methods, trials=trials, seeds=seeds, overrides=overrides)


def answered(root: Path, config: StudyConfig) -> StoredStudy:
    study = create_study(root, config)
    run_here(study)
    return study


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_written_is_read(table):
    assert table.info.space == SPACE
    assert len(table.runs) == 2 * SPACE.count()
    assert table.full_flops == sum(STEPS) * step_cost(SPACE.full)
    for levels in SPACE.enumerate():
        assert table.truth[levels] == (cost(levels), pytest.approx(rising(levels, 0) + 0.5))  # seeds 0 and 1


def test_a_search_is_cut_to_fewer_candidates_at_the_cost_of_their_mean(table):
    first = table.search("any", 0, (), candidates(SPACE, 1, None, "any"))
    assert len(first.estimates) == 4  # forcing growth drops none in stage 1
    kept = candidates(SPACE, 2, SubNetwork(2, 4), "depth")
    cut = table.search("depth", 1, (SubNetwork(2, 4),), kept)
    assert [e.sub_network for e in cut.estimates] == [SubNetwork(4, 4), SubNetwork(4, 16)]
    assert cut.search_flops == pytest.approx((16 + 64) / 2)
    assert cut.supernet_flops == pytest.approx(SEARCHED * (16 + 64) / 2)


def test_a_survey_of_the_same_force_growth_is_preferred(tmp_path):
    def loss(candidate: SubNetwork, walk: tuple[SubNetwork, ...], seed: int) -> float:
        return float(len(walk))

    file = write_artificial(tmp_path / "two.parquet", loss=loss, surveys=("none", "depth"))
    loaded = load_table(str(file))
    path, kept = (SubNetwork(2, 4),), candidates(SPACE, 2, SubNetwork(2, 4), "depth")
    assert loaded.search("depth", 0, path, kept) == loaded.searches["depth", 0, path]


def test_seeds_that_the_table_has_are_its_own_others_are_drawn_for_every_method_alike(table):
    assert [table.seed_of(seed, trial, 1) for seed in (0, 1) for trial in (0, 5)] == [0, 0, 1, 1]
    drawn = [table.seed_of(seed, trial, 29) for seed in range(30) for trial in range(4)]
    assert set(drawn) == {0, 1}
    assert 40 < sum(drawn) < 80  # of 120


def test_the_command_line_shows_it(file, tmp_path):
    shown = cli_here("table", "show", file, "-f", "json", cwd=tmp_path)
    rows = json.loads(shown.stdout)
    assert len(rows) == 9
    assert rows[0] == {
        "depths": "2 2 4",
        "resolutions": "8 8 16",
        "flops": 1440,
        "speedup": 1.778,
        "val_top1": 91.94,
        "top1": 90.94,
    }
    assert cli_here("table", "list", cwd=tmp_path).returncode == 0
    wrong = cli_here("table", "make", "x", "-o", "x.csv", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "error: output: 'x.csv' ends in '.csv'; a table is written as .parquet\n",
    )


def test_what_is_no_table_is_named(tmp_path):
    (tmp_path / "text.parquet").write_text("no parquet")
    for name, words in (
        (str(tmp_path / "text.parquet"), "is no parquet file"),
        (str(tmp_path / "gone.parquet"), "cannot be read"),
        ("nowhere", "there is no such table"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_table(name)


# ── studies on it ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_fixed_schedules_have_their_rows(file, tmp_path):
    frame = trials_frame(answered(tmp_path, config_on(file, "full", "linear", "grid", trials=9)))
    assert set(frame["state"]) == {"COMPLETE"}
    for row in frame.to_dict("records"):
        pairs = zip(row["depths"], row["patches"], strict=True)
        levels = tuple(SPACE.levels_of(SubNetwork(*pair)) for pair in pairs)
        assert row["total_flops"] == cost(levels)
        assert row["val_top1"] == pytest.approx(rising(levels, row["seed"]))
        assert row["speedup_flops"] == pytest.approx(40 * 64 / cost(levels))
    assert len(frame[frame["method"] == "grid"][["depths", "patches"]].map(tuple).drop_duplicates()) == 9


@pytest.mark.parametrize(
    ("force_growth", "walk", "train", "search"),
    [
        # Stage 1: 4 supernet steps of a mean candidate (30), 6 of the chosen one (16); estimates 30.
        # Stage 2 likewise with the two that are as deep (mean 40), of which the same is chosen again.
        ("none", [4, 4, 16], 4 * 30 + 6 * 16 + 4 * 40 + 6 * 16 + 20 * 64, 30 + 40),
        ("patches", [4, 16, 16], 4 * 30 + 6 * 16 + 10 * 64 + 20 * 64, 30),  # one finer candidate is left: no search
    ],
)
def test_autoprog_pays_for_its_searches(file, tmp_path, force_growth, walk, train, search):
    overrides = (f"growth.force_growth={force_growth}", "growth.w=0")
    study = answered(tmp_path, config_on(file, "full", "autoprog", overrides=overrides))
    trial = study.trials()[Job("autoprog", 1, 0)]
    row = trial.user_attrs
    assert row["patches"] == walk
    assert row["depths"] == [4, 4, 4]
    assert (row["train_flops"], row["search_flops"]) == (pytest.approx(train), pytest.approx(search))
    levels = tuple(SPACE.levels_of(SubNetwork(*pair)) for pair in zip(row["depths"], row["patches"], strict=True))
    assert row["val_top1"] == rising(levels, 1)
    assert row["curve"][-1]["flops"] == pytest.approx(row["total_flops"])
    assert SPACE.from_parameters(trial.params) == levels
    assert row["stages"][0]["losses"] == [0.5, 0.5, 0.25, 0.25]


def test_variants_choose_by_their_own_rule(file, tmp_path):
    overrides = ("methods={autoprog+deep: {seeds: 1, growth: {w: 0}}, autoprog+cheap: {seeds: 1, growth: {w: 9}}}",)
    study = answered(tmp_path, config_on(file, overrides=overrides))
    chosen = {job.method: trial.user_attrs["stages"][0]["chosen"] for job, trial in study.trials().items()}
    assert chosen == {"autoprog+deep": [4, 4], "autoprog+cheap": [2, 4]}


def test_it_asks_the_very_sampler(file, tmp_path, monkeypatch):
    offered = []
    monkeypatch.setattr(AutoProgSampler, "offer", lambda self, number, context: offered.append(context))
    answered(tmp_path, config_on(file, "autoprog", seeds=1, overrides=("growth.force_growth=none",)))
    assert [context.stage for context in offered] == [1, 2]
    assert offered[1].history == (offered[0].estimates,)


def test_who_answers_and_what_was_left_by_a_kill_changes_nothing(file, tmp_path):
    config = config_on(file, "tpe", "nsga2", "random", trials=6, seeds=3)
    alone = answered(tmp_path / "alone", config)
    shared = create_study(tmp_path / "shared", config)
    # What a worker leaves that dies while it stores its trials.
    name = shared.optuna_name("tpe", 1)
    half = optuna.create_study(study_name=name, storage=shared.storage, directions=DIRECTIONS)
    half.add_trial(create_trial(values=[0.0, 0.0]))
    assert [t.state.name for t in shared.trials().values()].count("COMPLETE") == 1
    told: list[Event] = []
    lock = shared.lock_path(Job("nsga2", 0, 0))
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):  # another worker's: it is waited for
        run_trials(shared, "cpu", 0, told.append, lambda: sum(event.trials for event in told) == 3 * 18 - 6)
    assert sum(event.trials for event in told) == 3 * 18 - 6
    run_trials(shared, "cpu", 1, told.append, lambda: False)
    assert sum(event.trials for event in told) == 3 * 18

    def rows(study: StoredStudy) -> list[tuple[object, ...]]:
        return [(job, t.params, t.values, t.state.name) for job, t in study.trials().items()]

    assert rows(alone) == rows(shared)
    run_trials(shared, "cpu", 0, told.append, lambda: False)
    assert sum(event.trials for event in told) == 3 * 18  # nothing runs twice


WRONG = {
    "another number of epochs": (("autoprog", "full-short"), (), "full-short follows autoprog"),
    "stopped early": (("asha",), (), "asha steers its runs from outside"),
    "a population": (("pbt",), (), "pbt steers its runs from outside"),
    "a score of slopes": (("autoprog",), ("growth.search.score=loss_decrease_per_flop",), "holds the losses alone"),
    "other stages": (("one-layer",), (), "one-layer trains other stages"),
    "a sweep": (("full",), ("methods.full.epochs=[3]", "methods.full.trials=1"), "full trains other stages"),
    "a variant's settings": (("full",), ("methods.full.growth={operator: split}",), "trained with growth.operator"),
    "recipe": (("full",), ("recipe.lr=0.5",), "trained with recipe.lr 0.001, not 0.5"),
    "what was trained": (("full",), ("growth.search.share=0.2",), r"growth.search.share 0.08, not 0.2"),
    "target": (("autoprog",), ("growth.target_speedup=2",), "growth.target_speedup None, not 2"),
}


@pytest.mark.parametrize("key", WRONG)
def test_what_the_table_has_not_is_refused(key, file):
    methods, overrides, words = WRONG[key]
    with pytest.raises(ConfigError, match=words):
        config_on(file, *methods, overrides=overrides)


def test_another_space_is_refused(file):
    with pytest.raises(ConfigError, match=r"trained with space.name 'nine', not 'digits_table'"):
        make_config("x", space="digits_table", data={"name": f"table:{file}"}, methods=["full"], trials=1, seeds=1)


def test_autoprog_needs_estimates(tmp_path):
    file = write_artificial(tmp_path / "bare.parquet", surveys=())
    with pytest.raises(ConfigError, match=r"autoprog needs estimates under growth\.force_growth 'patches' or 'none'"):
        config_on(file, "full", "autoprog")
    assert config_on(file, "full", "random")


def test_a_studys_own_file_makes_another(file, tmp_path):
    config = config_on(file, "full", "random")
    created = create_study(tmp_path, config)
    again = config_from_file(created.folder / "study.yaml", "look")
    assert again == config
    assert again.space == SPACE


def test_a_table_trains_nothing(file):
    data = DataConfig(name=f"table:{file}")
    with pytest.raises(DataError, match="holds results, no images"):
        load_data(data, SPACE, Recipe(), CPU)


def test_answers_come_without_torch(file, tmp_path):
    create_study(tmp_path, config_on(file, "full", "autoprog", "tpe", "nsga2"))
    code = (
        "import sys; from pathlib import Path; from autoprog_search.study.store import open_study;"
        "from autoprog_search.engines.worker import run_trials;"
        f"run_trials(open_study(Path({str(tmp_path)!r}), 'look'), 'cpu', 0, print, lambda: False);"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Event") == 8


@pytest.mark.slow
def test_two_workers_from_the_command_line(file, tmp_path):
    table = ("--data", f"table:{file}", "--methods", "full,autoprog,random", "--trials", "3", "--seeds", "4")
    cli_here("study", "create", "t", *table, cwd=tmp_path)
    run = cli("study", "run", "t", "--workers", "2", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "[20/20" in run.stderr
    done = cli_here("study", "regret", "t", "-f", "json", cwd=tmp_path)
    rows = {row["method"]: row for row in json.loads(done.stdout)}
    assert list(rows) == ["full", "autoprog", "random"]
    assert rows["random"]["trials"] == 3
    assert (rows["full"]["spent"], rows["full"]["match"], rows["full"]["match_never"]) == (1, None, 100)
