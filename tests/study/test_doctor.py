"""`study doctor`: every kind of damage is found by its name, what can be mended is, and no result changes."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import optuna
import pandas as pd
import pytest

from autoprog_search.errors import StudyError
from autoprog_search.files import file_lock
from autoprog_search.study.artifacts import digest
from autoprog_search.study.creation import create_study
from autoprog_search.study.locking import RUNNING
from autoprog_search.study.results import export, trials_frame
from autoprog_search.study.store import Job, open_study
from tests.tiny import FEW, SHORT, cli_here, run_here, tiny_config, without_measuring

FULL, LINEAR = (f"trials/{method}-s0-t0" for method in ("full", "linear"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A studies folder with one that was run to its end, and exported."""
    root = tmp_path_factory.mktemp("finished")
    config = tiny_config(*FEW, *SHORT, "methods={full: {seeds: 1}, linear: {seeds: 1}}")
    study = without_measuring(create_study(root, config))
    run_here(study)
    export(study)
    return root


@pytest.fixture
def folder(finished, tmp_path) -> Path:
    """Of a copy of that study."""
    return Path(shutil.copytree(finished / "tiny", tmp_path / "studies/tiny"))


def doctor(folder: Path, *options: str) -> tuple[int, str, str]:
    done = cli_here("study", "doctor", "tiny", "-f", "csv", *options, cwd=folder.parents[1])
    return done.returncode, done.stdout, done.stderr.splitlines()[-1]


def half_a_file(folder: Path) -> None:
    (folder / ".results.csv.abcdefgh.tmp").write_text("half")


def a_dead_lock(folder: Path) -> None:
    (folder / RUNNING).mkdir(exist_ok=True)
    (folder / RUNNING / "1-dead.lock").touch()


def an_orphan(folder: Path) -> None:
    shutil.copytree(folder / FULL, folder / "trials/gone-s0-t0")


def a_checkpoint(folder: Path) -> None:
    (folder / FULL / "checkpoint.pt").write_bytes(b"of a worker that was killed right then")


def an_old_table(folder: Path) -> None:
    path = folder / "results.csv"
    path.write_text(path.read_text().replace("COMPLETE", "RUNNING"))


def no_profile(folder: Path) -> None:
    (folder / "profile.json").write_text("{")


MENDED = {
    half_a_file: ".results.csv.abcdefgh.tmp: a part of a file",
    a_dead_lock: ".running/1-dead.lock: the lock of a process that was killed",
    an_orphan: "trials/gone-s0-t0: of no trial of study.yaml",
    a_checkpoint: "full seed 0: checkpoint.pt of a trial that has ended",
    an_old_table: "results.csv says other results than the storage",
    no_profile: "profile.json cannot be read",
}


def test_a_study_that_is_whole(folder):
    assert doctor(folder) == (0, "\n", "study 'tiny' is whole")


@pytest.mark.parametrize("harm", MENDED, ids=lambda harm: harm.__name__)
def test_what_is_mended(folder, harm):
    study = open_study(folder.parent, "tiny")
    before, weights = trials_frame(study), (folder / FULL / "weights.safetensors").read_bytes()
    harm(folder)
    code, found, last = doctor(folder)
    assert (code, last) == (1, "study 'tiny': 1 of 1 things are left")
    assert MENDED[harm] in found
    code, found, last = doctor(folder, "--repair")
    assert (code, last) == (0, "study 'tiny': 0 of 1 things are left")
    assert doctor(folder) == (0, "\n", "study 'tiny' is whole")
    pd.testing.assert_frame_equal(trials_frame(study), before)
    assert (folder / FULL / "weights.safetensors").read_bytes() == weights


def test_an_orphan_is_moved_and_not_removed(folder):
    an_orphan(folder)
    doctor(folder, "--repair")
    assert (folder / "lost/gone-s0-t0/weights.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "said"), [(None, "is not there"), (b"damaged", "cannot be read"), (b"", "cannot be read")]
)
def test_weights_are_told_and_left(folder, content, said):
    path = folder / LINEAR / "weights.safetensors"
    path.unlink() if content is None else path.write_bytes(content)
    for options in ((), ("--repair",)):
        code, found, last = doctor(folder, *options)
        assert (code, last) == (1, "study 'tiny': 1 of 1 things are left")
        assert f"linear seed 0: weights.safetensors {said}" in found


def test_weights_that_are_cut_off(folder):
    path = folder / LINEAR / "weights.safetensors"
    os.truncate(path, path.stat().st_size - 1)
    assert "weights.safetensors cannot be read" in doctor(folder)[1]


@pytest.mark.parametrize("at", [0, 10 * 4096])  # SQLite's own header, a page of the trials
def test_a_damaged_database_is_one_line(folder, at):
    path = folder / "study.db"
    data = bytearray(path.read_bytes())
    data[at : at + 3000] = bytes(3000)
    path.write_bytes(data)
    code, found, _ = doctor(folder)
    assert code == 1
    assert "study.db" in found
    assert doctor(folder, "--repair")[0] == 1


def test_an_edited_study_is_told_by_its_field(folder):
    path = folder / "study.yaml"
    path.write_text(path.read_text().replace("lr: 0.003", "lr: 0.004"))
    assert "recipe.lr was 0.003, is 0.004" in doctor(folder)[1]


def test_a_study_that_runs_is_not_repaired_and_its_files_are_its_own(folder):
    half_a_file(folder)
    lock = file_lock(folder / RUNNING / "1-alive.lock")
    with lock.acquire():
        assert doctor(folder) == (0, "\n", "study 'tiny' is whole")
        code, _, last = doctor(folder, "--repair")
    assert code == 2
    assert "a process is running it" in last


@pytest.mark.parametrize("damaged", [False, True])
def test_a_trial_that_nobody_goes_on_with(tmp_path, damaged):
    config = tiny_config(*FEW, *SHORT, "methods={full: {seeds: 1}}")
    study = without_measuring(create_study(tmp_path / "studies", config))
    run_here(study, should_stop=_after(5))
    checkpoint = study.trial_folder(Job("full", 0, 0)) / "checkpoint.pt"
    if damaged:
        os.truncate(checkpoint, 1000)
    code, found, _ = doctor(study.folder, "--repair")
    assert code == 1
    assert "full seed 0: begun, and nobody runs it" in found
    assert ("full seed 0: checkpoint.pt is damaged" in found) == damaged
    assert checkpoint.exists() != damaged
    run_here(study)
    assert set(trials_frame(study)["state"]) == {"COMPLETE"}


@pytest.fixture
def shared(folder) -> Path:
    """Where that copy's files lie as well, as if it had been run so; its own folder is `studies/tiny` beside it."""
    path, url = folder / "study.yaml", (folder.parents[1] / "shared").as_uri()
    path.write_text(re.sub("artifacts: .*", f"artifacts: {url}", path.read_text()))
    artifacts = open_study(folder.parent, "tiny").artifacts
    for kept in (folder / "profile.json", *folder.glob("trials/*/weights.safetensors")):
        artifacts.keep(kept)
    return folder.parents[1] / "shared/tiny"


def flip_a_bit(path: Path) -> None:
    """Of the last byte, which is a weight's, a checksum's or a bracket."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def copy_of(shared: Path, name: str) -> Path:
    """The newest."""
    return max(shared.rglob(f"*-{name}"))


def a_bit_of_weights(shared: Path) -> list[str]:
    flip_a_bit(path := copy_of(shared / FULL, "weights.safetensors"))
    return [f"{FULL}/{path.name} is damaged", "full seed 0: weights.safetensors: artifacts have no whole copy"]


def a_bit_of_step_times(shared: Path) -> list[str]:
    flip_a_bit(path := copy_of(shared, "profile.json"))
    return [f"artifacts: {path.name} is damaged"]


def a_bit_of_weights_here(shared: Path) -> list[str]:
    flip_a_bit(shared.parents[1] / "studies/tiny" / FULL / "weights.safetensors")
    return ["full seed 0: weights.safetensors is not what the trial has stored: its content has another digest"]


def a_bit_of_a_late_checkpoint(shared: Path) -> list[str]:
    name = "00000000-00000001-0123456789abcdef-checkpoint.pt"
    (shared / FULL / name).write_bytes(b"of another digest")
    return [f"{FULL}/{name} is damaged"]


def a_late_checkpoint(shared: Path) -> list[str]:
    (shared / FULL / f"00000000-00000001-{digest(b'late')}-checkpoint.pt").write_bytes(b"late")
    return ["-checkpoint.pt: of a trial that has ended"]


def no_copy(shared: Path) -> list[str]:
    copy_of(shared / FULL, "weights.safetensors").unlink()
    return ["full seed 0: weights.safetensors: artifacts have no whole copy"]


def a_part_of_a_copy(shared: Path) -> list[str]:
    (shared / FULL / f".{'01' * 16}").write_bytes(b"half")
    return [f"{FULL}/.{'01' * 16}: a part of a file"]


def an_orphaned_copy(shared: Path) -> list[str]:
    shutil.copytree(shared / FULL, shared / "trials/gone-s0-t0")
    return ["artifacts: trials/gone-s0-t0: of no trial of the study"]


def weights_of_another_attempt(shared: Path) -> list[str]:
    """Whole and of other bits, where those of the row are not."""
    (shared / FULL / copy_of(shared / FULL, "weights.safetensors").name).unlink()
    return [*later_weights(shared), "full seed 0: weights.safetensors: artifacts have no whole copy"]


def later_weights(shared: Path) -> list[str]:
    """Whole, of other bits, and by their names newer than what the row tells of."""
    data = (shared / LINEAR / copy_of(shared / LINEAR, "weights.safetensors").name).read_bytes()
    names = [f"{token:08d}-00000001-{digest(data)}-weights.safetensors" for token in (3, 5)]
    for name in names:
        (shared / FULL / name).write_bytes(data)
    return [f"{FULL}/{name}: of another attempt" for name in names]


def later_weights_and_damaged_ones_here(shared: Path) -> list[str]:
    """What is whole is neither the newest there nor here."""
    told = a_bit_of_weights_here(shared)
    return [*later_weights(shared), *told]


COPIES = [
    later_weights_and_damaged_ones_here,
    weights_of_another_attempt,
    later_weights,
    a_bit_of_weights,
    a_bit_of_step_times,
    a_bit_of_weights_here,
    a_bit_of_a_late_checkpoint,
    a_late_checkpoint,
    no_copy,
    a_part_of_a_copy,
    an_orphaned_copy,
]


def test_what_others_keep_under_a_url_stays(shared):
    """Also where the URL is a folder of studies, which is refused now and was not always."""
    folder = shared.parents[1] / "studies/tiny"
    ours = [shared / "notes.txt", shared / FULL / ".DS_Store", shared / "trials/mine/x"]
    ours[2].parent.mkdir()
    for path in ours:
        path.write_text("mine")
    assert doctor(folder, "--repair") == (0, "\n", "study 'tiny' is whole")
    open_study(folder.parent, "tiny").artifacts.clear([folder / FULL])
    assert all(path.exists() for path in ours)


def test_files_do_not_lie_among_studies(tmp_path):
    config = tiny_config(*FEW, *SHORT, "methods={full: {seeds: 1}}")
    create_study(tmp_path / "a", config)
    for root in (tmp_path / "a", tmp_path / "b"):  # b's files among a's studies, of another machine perhaps
        ours = config.model_copy(
            update={"name": "tiny" if root.name == "b" else "new", "artifacts": str(tmp_path / "a")}
        )
        with pytest.raises(
            StudyError, match=r"where studies have their own folders; give another, say '.*/a/artifacts'"
        ):
            create_study(root, ours)


@pytest.mark.parametrize("harm", COPIES, ids=lambda harm: harm.__name__)
def test_what_is_mended_under_a_url(shared, harm):
    folder = shared.parents[1] / "studies/tiny"
    assert doctor(folder) == (0, "\n", "study 'tiny' is whole")
    before = (folder / FULL / "weights.safetensors").read_bytes()
    expected = harm(shared)
    code, found, last = doctor(folder, "--repair")
    assert (code, last) == (0, f"study 'tiny': 0 of {len(expected)} things are left")
    assert all(what in found for what in expected), found
    assert doctor(folder) == (0, "\n", "study 'tiny' is whole")
    for path in (folder / FULL / "weights.safetensors", copy_of(shared / FULL, "weights.safetensors")):
        assert path.read_bytes() == before


def test_damaged_copies_and_orphaned_ones_are_moved_and_not_removed(shared):
    for harm in (a_bit_of_step_times, an_orphaned_copy):
        harm(shared)
    doctor(shared.parents[1] / "studies/tiny", "--repair")
    lost = sorted(path.relative_to(shared / "lost").parent.as_posix() for path in shared.glob("lost/**/*.*"))
    assert lost == [".", "trials/gone-s0-t0"]


def test_weights_that_are_whole_nowhere_are_told_and_left(shared):
    for harm in (a_bit_of_weights, a_bit_of_weights_here):
        harm(shared)
    folder = shared.parents[1] / "studies/tiny"
    damaged = (folder / FULL / "weights.safetensors").read_bytes()
    code, found, last = doctor(folder, "--repair")
    assert (code, last) == (1, "study 'tiny': 2 of 3 things are left")
    assert "full seed 0: weights.safetensors is not what the trial has stored" in found
    assert (folder / FULL / "weights.safetensors").read_bytes() == damaged


def test_copies_of_what_another_machine_runs_are_no_orphans(shared):
    """Whose study.yaml has a seed more."""
    folder = shared.parents[1] / "studies/tiny"
    study = open_study(folder.parent, "tiny")
    optuna.create_study(study_name=study.optuna_name("full", 1), storage=study.storage, directions=["minimize"] * 2)
    shutil.copytree(shared / FULL, shared / "trials/full-s1-t0")
    assert doctor(folder) == (0, "\n", "study 'tiny' is whole")


def test_a_url_that_does_not_answer_is_a_line(folder):
    path = folder / "study.yaml"
    path.write_text(re.sub("artifacts: .*", "artifacts: nowhere://x", path.read_text()))
    code, found, _ = doctor(folder)
    assert code == 1
    assert "its files under nowhere://x" in found


def _after(steps: int):
    asked = iter(range(steps))
    return lambda: next(asked, None) is None
