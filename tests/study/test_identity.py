"""Which study a folder is, and whether it still says what its trials ran under."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from PIL import Image

from autoprog_search.engines.engine import Needs
from autoprog_search.engines.run import run_study
from autoprog_search.errors import AutoProgError, ConfigError, StudyError
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.creation import complete_study, create_study
from autoprog_search.study.deletion import delete_study
from autoprog_search.study.identity import check_unchanged, first_hash, hash_of, settings_of, stored_hashes
from autoprog_search.study.listing import list_studies
from autoprog_search.study.opening import open_data
from autoprog_search.study.results import stored_frames, trials_frame
from autoprog_search.study.store import StoredStudy, open_study
from tests.tiny import CPU, tiny_config

TWO = "methods={full: {seeds: 1}, random: {trials: 2, seeds: 1}, full+late: {seeds: 1, growth: {tie_se: 0.5}}}"


def edit(study: StoredStudy, change) -> StoredStudy:
    """The study after somebody edited its study.yaml."""
    path = study.folder / "study.yaml"
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return open_study(study.folder.parent, study.folder.name)


EDITS = {
    "recipe.lr was 0.003, is 0.1": lambda d: d["recipe"].update(lr=0.1),
    "space.stages was 3, is 4": lambda d: d["space"].update(stages=4),
    "growth.tie_se was 1.0, is 3.0": lambda d: d["growth"].update(tie_se=3.0),
    "threads was 1, is 2": lambda d: d.update(threads=2),
    'data.cache was null, is "shrunk"': lambda d: d["data"].update(cache="shrunk"),
    "data.val_share was 0.1, is 0.2": lambda d: d["data"].update(val_share=0.2),
    "growth.tie_se was 0.5, is 0.75": lambda d: d["methods"]["full+late"]["growth"].update(tie_se=0.75),
    "name was 'tiny', is 'other'": lambda d: d.update(name="other"),
    "epochs was [], is [3, 6]": lambda d: d["methods"]["full"].update(epochs=[3, 6], trials=2),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_study_file_that_was_edited_is_refused_in_a_line_that_says_what(tmp_path, what):
    edited = edit(create_study(tmp_path, tiny_config(TWO)), EDITS[what])
    for act in (check_unchanged, complete_study, lambda study: run_study(study, Needs(device="cpu"))):
        with pytest.raises(StudyError) as error:
            act(edited)
        assert what in str(error.value)
        assert "study create NAME --config" in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(tolerance=2.0),
        lambda d: d["data"].update(workers=7, cache_dir="/elsewhere"),
        lambda d: d["nni"].update(engine="sequential"),
        lambda d: d["methods"]["full"].update(seeds=3),
        lambda d: d["methods"].update(linear={"seeds": 1}),
        lambda d: d["methods"]["random"].update(trials=4),
    ],
    ids=[
        "tolerance",
        "loader processes, a cache's place",
        "where NNI runs",
        "more seeds",
        "another method",
        "more draws",
    ],
)
def test_what_decides_no_result_of_before_may_be_edited(tmp_path, change):
    study = create_study(tmp_path, tiny_config(TWO))
    before = stored_hashes(study)
    edited = edit(study, change)
    complete_study(edited)
    assert before.items() <= stored_hashes(edited).items()


def test_more_trials_of_a_sampler_are_other_trials(tmp_path):
    study = create_study(tmp_path, tiny_config("methods={tpe: {trials: 4, seeds: 1}}"))
    with pytest.raises(StudyError, match="trials was 4, is 12"):
        check_unchanged(edit(study, lambda d: d["methods"]["tpe"].update(trials=12)))


def test_rows_bear_the_hash_of_what_they_ran_under(tmp_path):
    study = create_study(tmp_path, tiny_config(TWO))
    hashes = trials_frame(study).set_index("method")["config_hash"]
    assert hashes["full"] != hashes["full+late"]
    assert set(hashes) == set(stored_hashes(study).values())
    assert all(value.startswith("3:") and len(value) == 14 for value in hashes)
    edited = edit(study, lambda d: d["recipe"].update(lr=0.1))
    assert trials_frame(edited)["config_hash"].tolist() == trials_frame(study)["config_hash"].tolist()


def test_the_hash_changes_with_whatever_decides_a_result():
    def hashed(*overrides: str, method: str = "full") -> str:
        return hash_of(settings_of(tiny_config(TWO, *overrides), method))

    assert hashed() == hashed("tolerance=3") == hashed("data.workers=0") == hashed("methods.full.seeds=9")
    others = ["recipe.epochs=7", "growth.w=0.1", "space.resolution_step=2", "threads=2", "data.train_share=0.5"]
    found = {hashed(other) for other in others if "step" not in other} | {hashed()}
    assert len(found) == len(others)
    assert hashed(method="full+late") not in found


def test_the_hash_covers_a_methods_own_settings_and_those_of_the_trial_that_it_follows():
    methods = "methods={autoprog: {seeds: 1}, replay: {seeds: 1}, full-short: {seeds: 1}, linear+own: {seeds: 1}}"

    def hashed(method: str, *overrides: str) -> str:
        return hash_of(settings_of(tiny_config(methods, *overrides), method))

    own = ["growth.blocks.chain=lowest", "growth.search.share=0.2", "space.stages=2", "epochs=[7]"]
    found = [hashed("linear+own", f"methods.linear+own.{field}") for field in own] + [hashed("linear+own")]
    assert len(set(found)) == len(own) + 1
    taught = "methods.autoprog.growth.search.share=0.2"
    for follower in ("replay", "full-short"):
        assert hashed(follower, taught) != hashed(follower)
    assert hashed("linear+own", taught) == hashed("linear+own")


def test_a_study_of_before_settings_were_stored_is_checked_by_the_first_rule(tmp_path):
    study = create_study(tmp_path, tiny_config(TWO))
    for summary in optuna.get_all_study_summaries(study.storage):
        study.storage.set_study_user_attr(summary._study_id, "settings", {})
    hashes = set(stored_hashes(study).values())
    assert hashes == {first_hash(study.config)}
    pd.DataFrame({"config_hash": sorted(hashes)}).to_csv(study.folder / "results.csv")
    check_unchanged(study)
    edited = edit(study, lambda d: d["recipe"].update(lr=0.1))
    with pytest.raises(StudyError, match=f"says other settings .*{hashes.pop()}"):
        check_unchanged(edited)


def test_the_first_rule_gives_what_published_studies_say():
    """Of those that no field of the settings was added to since."""
    from autoprog_search.study.results import published_frames

    for name in ("digits", "fashion_mnist", "fashion_defaults"):
        tables = published_frames(Path(__file__).parents[2] / "studies" / name)
        assert set(tables.trials["config_hash"]) == {first_hash(tables.config)}


def test_objectives_have_names(tmp_path):
    study = create_study(tmp_path, tiny_config(TWO))
    assert study.optuna_study("full", 0).metric_names == ["total_flops", "val_top1"]


# ── copies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_copy_is_a_study_of_its_own(tmp_path):
    study = create_study(tmp_path, tiny_config(TWO))
    shutil.copytree(study.folder, tmp_path / "copy")
    copy = open_study(tmp_path, "copy")
    assert list_studies(tmp_path) == ["copy", "tiny"]
    check_unchanged(copy)
    stored = copy.optuna_study("full", 0)
    stored.tell(stored.ask(), [1.0, 2.0])
    assert set(trials_frame(copy)["study"]) == {"copy"}
    assert stored_frames(copy).config.name == "copy"
    assert [frame.query("method == 'full'")["state"].item() for frame in map(trials_frame, (copy, study))] == [
        "COMPLETE",
        "WAITING",
    ]
    delete_study(copy)
    assert list_studies(tmp_path) == ["tiny"]
    assert len(study.trials()) == 4


def test_a_study_that_was_renamed_goes_on(tmp_path):
    study = create_study(tmp_path, tiny_config(TWO))
    study.folder.rename(tmp_path / "renamed")
    renamed = open_study(tmp_path, "renamed")
    complete_study(renamed)
    assert len(renamed.trials()) == 4


def test_a_copy_that_would_share_its_storage_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    study = create_study(tmp_path, tiny_config().model_copy(update={"storage": url}))
    shutil.copytree(study.folder, tmp_path / "copy")
    with pytest.raises(StudyError, match="study create NAME --config"):
        open_study(tmp_path, "copy")


# ── names that lead elsewhere ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["full+../../evil", "full+a/b", "full+..", "full+", "full+.x", "full+a+../b"])
def test_a_variants_name_is_as_strict_as_a_studys(name):
    with pytest.raises(ConfigError, match="is no variant's name"):
        tiny_config(f"methods={{'{name}': {{seeds: 1}}}}")


def test_links_out_of_the_study_are_refused(tmp_path):
    study, outside = create_study(tmp_path / "studies", tiny_config(TWO)), tmp_path / "outside"
    outside.mkdir()
    job = next(study.jobs())
    (study.folder / "trials").mkdir()
    study.trial_folder(job).symlink_to(outside)
    with pytest.raises(StudyError, match="leads out of"):
        study.lock_path(job)
    assert list(outside.iterdir()) == []


# ── data ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def pictures(folder, classes="ab", count=12):
    for split in ("train", "val"):
        for number, name in enumerate(classes):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                colour = np.full((20, 20, 3), 40 * number + i, dtype=np.uint8)
                Image.fromarray(colour).save(folder / split / name / f"{i}.png")
    return folder


def folder_config(folder) -> StudyConfig:
    space = (
        "{name: d, model: deit_tiny_patch16_224, model_args: {img_size: 32, patch_size: 8, embed_dim: 16, depth: 4, "
        "num_heads: 2}, depth: 4, resolution: 32, patch_size: 8, depths: [2, 4], resolutions: [16, 32], stages: 2}"
    )
    return tiny_config(f"space={space}", f"data={{name: {folder}, workers: 0}}", TWO, "recipe.batch_size=4")


CHANGES = {
    "there are 3 classes, not 2|classes are now": lambda d: pictures_of_another_class(d),
    "train has 25 images, not 24": lambda d: shutil.copy(d / "train/a/0.png", d / "train/a/more.png"),
    "train has 23 images, not 24": lambda d: (d / "train/b/3.png").unlink(),
    "validation has 23 images, not 24": lambda d: (d / "val/b/3.png").unlink(),
    "names or labels of train images are others": lambda d: (d / "train/b/3.png").rename(d / "train/b/x.png"),
    "sizes of train images are others": lambda d: Image.new("RGB", (64, 64)).save(
        d / "train/b/3.png", compress_level=0
    ),
}


def pictures_of_another_class(folder):
    for split in ("train", "val"):
        shutil.copytree(folder / split / "a", folder / split / "c")


@pytest.mark.parametrize("what", CHANGES)
def test_a_study_does_not_run_on_data_that_have_changed(tmp_path, what):
    data = pictures(tmp_path / "d")
    study = create_study(tmp_path / "studies", folder_config(data))
    open_data(study, CPU)
    CHANGES[what](data)
    with pytest.raises(StudyError, match=what) as error:
        open_data(study, CPU)
    assert "has changed since study 'tiny' was created" in str(error.value)


def test_data_may_be_moved(tmp_path):
    data = pictures(tmp_path / "d")
    study = create_study(tmp_path / "studies", folder_config(data))
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(AutoProgError, match="neither a known data set"):
        open_data(study, CPU)
    moved = edit(study, lambda d: d["data"].update(name=str(tmp_path / "elsewhere")))
    check_unchanged(moved)
    open_data(moved, CPU)


def test_a_study_on_data_that_do_not_exist_is_not_created(tmp_path):
    with pytest.raises(AutoProgError, match="nowhere"):
        create_study(tmp_path, tiny_config("data={name: /nowhere/at/all}", TWO))
    assert list_studies(tmp_path) == []


def test_settings_are_plain_json(tmp_path):
    study = create_study(tmp_path, tiny_config(TWO))
    for summary in optuna.get_all_study_summaries(study.storage):
        assert json.loads(json.dumps(summary.user_attrs)) == summary.user_attrs


# ── what the first version of this forgot ───────────────────────────────────────────────────────────────────────────


def test_weights_to_start_from_count_by_content(tmp_path):
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"some weights")
    study = create_study(tmp_path / "studies", tiny_config(TWO, f"recipe.init_checkpoint={weights}"))
    open_data(study, CPU)
    weights.write_bytes(b"other weights")
    changed = open_study(tmp_path / "studies", "tiny")
    with pytest.raises(StudyError, match=r"recipe, init_checkpoint: the file has changed"):
        open_data(changed, CPU)
    weights.unlink()
    with pytest.raises(AutoProgError, match=r"weights\.pt"):
        create_study(tmp_path / "again", tiny_config(TWO, f"recipe.init_checkpoint={weights}"))
    assert list_studies(tmp_path / "again") == []


def test_no_trials_are_created_on_data_that_have_changed(tmp_path):
    """Else the study would hold two sets of data, and run on neither."""
    data = pictures(tmp_path / "d")
    study = create_study(tmp_path / "studies", folder_config(data))
    shutil.copy(data / "train/a/0.png", data / "train/a/more.png")
    more = edit(study, lambda d: d["methods"]["full"].update(seeds=2))
    with pytest.raises(StudyError, match="train has 25 images, not 24"):
        complete_study(more)
    (data / "train/a/more.png").unlink()
    back = open_study(tmp_path / "studies", "tiny")
    complete_study(back)
    open_data(back, CPU)
    assert len(back.trials()) == 5


def test_two_folders_do_not_share_the_trials_of_one_storage(tmp_path):
    config = tiny_config(TWO).model_copy(update={"storage": f"sqlite:///{tmp_path / 'shared.db'}"})
    first = create_study(tmp_path / "a", config)
    with pytest.raises(StudyError, match=f"are those of {first.folder.resolve()}"):
        create_study(tmp_path / "b", config)
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    with pytest.raises(StudyError, match=f"are those of {first.folder.resolve()}"):
        check_unchanged(open_study(tmp_path / "c", "tiny"))
    shutil.rmtree(tmp_path / "c")
    (tmp_path / "a").rename(tmp_path / "d")  # moved: then they are its own
    check_unchanged(open_study(tmp_path / "d", "tiny"))


def test_a_creation_that_was_interrupted_may_be_done_again_otherwise(tmp_path):
    study = create_study(tmp_path, tiny_config(TWO))
    (study.folder / "study.yaml").unlink()  # it is written last
    again = create_study(tmp_path, tiny_config(TWO, "recipe.lr=0.1"))
    check_unchanged(again)
    stored = again.optuna_study("full", 0)
    stored.tell(stored.ask(), [1.0, 2.0])
    (again.folder / "study.yaml").unlink()  # this was no creation: somebody lost the file
    with pytest.raises(StudyError, match=r"recipe\.lr was 0\.1"):
        create_study(tmp_path, tiny_config(TWO))
    assert "COMPLETE" in {trial.state.name for trial in again.optuna_study("full", 0).trials}


def test_a_study_that_is_deleted_meanwhile_is_not_made_again(tmp_path):
    study = create_study(tmp_path, tiny_config(TWO))
    opened = open_study(tmp_path, "tiny")
    delete_study(study)
    with pytest.raises(StudyError, match="no study any more"):
        complete_study(opened)
    assert list(tmp_path.iterdir()) == []
