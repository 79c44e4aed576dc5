"""The tables of a study: lists are lists, in the storage's frames and in those that files give back."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from autoprog_search import load_study
from autoprog_search.errors import StudyError
from autoprog_search.runs.row import COLUMNS, LISTS, CurveRow, EstimateRow, columns_of
from autoprog_search.study.creation import create_study
from autoprog_search.study.resolve import config_from_file
from autoprog_search.study.results import LoadedStudy, csv_text, export, published_frames, stored_frames
from tests.published import FOLDERS
from tests.synthetic import SyntheticStudy, synthetic_study
from tests.tiny import TINY, cli_here

GREW = [None, [51.5, 40.25], None, [60.0, 61.0]]


@pytest.fixture
def study(tmp_path):
    """Made-up trials, one that grew, one waiting, one failed, in a folder that can be exported to."""
    study = synthetic_study(seeds=2)
    study.folder = tmp_path / "synthetic"
    study.folder.mkdir()
    (study.folder / "study.yaml").write_text(json.dumps(study.config.model_dump(mode="json")))
    next(iter(study.given.values())).user_attrs["growth_top1"] = GREW
    return study


def test_what_a_trial_has_once_a_stage_is_a_list(study):
    frame = study.results()
    assert frame.loc[0, "depths"] == [8, 8, 8, 8]
    assert frame.loc[0, "growth_top1"] == GREW
    (waiting,) = frame[frame["state"] == "WAITING"].to_dict("records")
    assert all(waiting[name] is None for name in LISTS)
    assert {type(value) for name in LISTS for value in frame[name]} == {list, type(None)}


def test_csv_gives_back_the_frame(study):
    export(study)
    read = published_frames(study.folder)
    stored = stored_frames(study)
    unset = ["config_hash"]  # of no trial, since no storage made them: None is read as NaN
    assert_frame_equal(read.trials.drop(columns=unset), stored.trials.drop(columns=unset), check_dtype=False, rtol=0)
    assert all(read.trials[name].tolist() == stored.trials[name].tolist() for name in LISTS)  # None for None
    assert csv_text(read.trials) == (study.folder / "results.csv").read_text()
    assert_frame_equal(read.curves, stored.curves, check_dtype=False, rtol=0, atol=0)


def test_parquet_holds_lists(study):
    import pyarrow.parquet

    export(study)
    read, stored = pyarrow.parquet.read_table(study.folder / "results.parquet").to_pydict(), study.results()
    assert list(read) == [column.name for column in COLUMNS]
    assert all(read[name] == stored[name].tolist() for name in LISTS)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_published_results_are_written_again_to_the_byte(folder):
    published, stored = published_frames(folder).trials, (folder / "results.csv").read_bytes()
    younger = [] if b",world_size," in stored else ["world_size"]
    assert csv_text(published.drop(columns=younger)).encode() == stored
    assert (published["world_size"] == 1).all()
    assert all(isinstance(depths, list) for depths in published["depths"])


def test_a_study_without_any_trial_run_has_empty_lists_columns(tmp_path):
    create_study(tmp_path, config_from_file(TINY, "new"))
    frame = load_study("new", root=tmp_path).results()
    assert len(frame) > 0
    assert all(value is None for name in LISTS for value in frame[name])
    assert load_study("new", tmp_path).epochs().empty
    assert load_study("new", str(tmp_path)).estimates().empty
    assert_frame_equal(pd.read_csv(io.StringIO(csv_text(frame)))[["method", "seed"]], frame[["method", "seed"]])


def test_every_column_is_there_and_has_its_type(study):
    """Of a study that has run, and of one that has not."""
    for frame_of, row in ((LoadedStudy.epochs, CurveRow), (LoadedStudy.estimates, EstimateRow)):
        frame, none_yet = frame_of(study), frame_of(SyntheticStudy(study.config, {}))
        columns = columns_of(row)
        assert list(frame) == list(none_yet) == ["study", "method", "seed", "trial", *(c.name for c in columns)]
        assert len(frame) > 0 == len(none_yet)
        assert list(frame.dtypes) == list(none_yet.dtypes)
        kinds = {"count": "i", "number": "f", "flag": "b", "text": "O"}
        assert [frame[column.name].dtype.kind for column in columns] == [kinds[column.kind] for column in columns]


def test_a_whole_number_that_is_missing_is_a_float(study):
    del next(iter(study.given.values())).user_attrs["curve"][0]["patches"]
    assert study.epochs()["patches"].isna().sum() == 1
    assert study.epochs()["depth"].dtype == int


@pytest.mark.parametrize("cell", ["6; 12", "6", '{""a"": 1}', "[6, 12"])
def test_a_cell_that_is_no_list_is_one_line(study, cell):
    export(study)
    path = study.folder / "results.csv"
    path.write_text(path.read_text().replace('"[8, 8, 8, 8]"', f'"{cell}"'))
    with pytest.raises(StudyError, match=r"results\.csv cannot be read: ") as error:
        published_frames(study.folder)
    assert "\n" not in str(error.value)


def test_show_prints_lists_as_json_and_their_text_as_csv(tmp_path, study, monkeypatch):
    monkeypatch.setattr("autoprog_search.study.store.open_study", lambda root, name: study)
    rows = json.loads(cli_here("study", "show", "s", "-f", "json", cwd=tmp_path).stdout)
    assert rows[0]["depths"] == [8, 8, 8, 8]
    assert rows[0]["growth_top1"] == GREW
    assert [row["depths"] for row in rows if row["state"] == "WAITING"] == [None]
    shown = pd.read_csv(io.StringIO(cli_here("study", "show", "s", "-f", "csv", cwd=tmp_path).stdout))
    assert json.loads(shown.loc[0, "growth_top1"]) == GREW
    assert "[8, 8, 8, 8]" in cli_here("study", "show", "s", cwd=tmp_path).stdout
