"""What engines can be asked for, and what a worker takes of a cluster; no cluster is needed for it."""

from __future__ import annotations

import sys

import pytest

from autoprog_search.engines.engine import ENGINES, Needs, check_needs
from autoprog_search.engines.ray_cluster import Node, Share, share_of
from autoprog_search.errors import ConfigError, MissingExtraError
from autoprog_search.study.creation import create_study
from autoprog_search.study.resolve import make_config
from autoprog_search.study.store import StoredStudy
from tests.tiny import cli_here, tiny_config

FULL = "methods={full: {seeds: 1}}"


@pytest.fixture
def study(tmp_path) -> StoredStudy:
    return create_study(tmp_path, tiny_config(FULL, "data.workers=2"))


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_can_be_loaded_and_knows_only_what_there_is(name):
    assert callable(ENGINES[name].loaded())
    assert ENGINES[name].takes <= set(Needs.__dataclass_fields__)


@pytest.mark.parametrize(
    ("engine", "needs", "said"),
    [
        ("local", Needs(address="auto"), "address: auto is nothing that the engine local can be asked for, but ray"),
        ("local", Needs(gpus_per_trial=2), "gpus_per_trial: 2 is nothing that the engine local can be asked for"),
        ("ray", Needs(device="cuda:1"), "device: cuda:1 is nothing that the engine ray can be asked for, but local"),
        ("ray", Needs(gpus_per_trial=1.5), "gpus_per_trial: 1.5 is neither a share of one GPU nor a whole number"),
    ],
)
def test_what_an_engine_does_not_know_is_refused(engine, needs, said):
    with pytest.raises(ConfigError) as refused:
        check_needs(engine, needs)
    assert str(refused.value).startswith(said)


def test_the_command_says_so_in_one_line(study):
    root = study.folder.parent
    done = cli_here("--root", root, "study", "run", "tiny", "--gpus-per-trial", "2", cwd=root)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: gpus_per_trial: 2 is nothing")


def test_without_ray_one_line_says_what_to_install(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    root = study.folder.parent
    done = cli_here("--root", root, "study", "run", "tiny", "--engine", "ray", cwd=root)
    assert (done.returncode, done.stderr) == (
        2,
        "error: engine: Ray is not installed; install it: pip install 'autoprog-search[ray]'\n",
    )
    from autoprog_search.methods.tune import tune_space

    with pytest.raises(MissingExtraError, match=r"pip install 'autoprog-search\[ray\]'"):
        tune_space(study.config.space)


@pytest.mark.parametrize(
    ("share", "workers"),
    [
        (Share(1, 1, 0), 8 + 4),
        (Share(1, 3, 0), 2 + 1),
        (Share(1, 1, 1), 2),
        (Share(1, 1, 0.5), 4),
        (Share(2, 1, 1), 1),
        (Share(2, 5, 1), 0),
        (Share(4, 1, 1), 0),
    ],
)
def test_how_many_workers_fit(share, workers):
    """All processes of a trial are on one node."""
    assert share.fits([Node(8, 2), Node(4, 0)]) == workers


def test_what_a_worker_takes(study):
    """A thread and two loader processes, a GPU where there is one, or what is asked for."""
    assert share_of(study, Needs(), [Node(8, 0)]) == Share(1, 3, 0)
    assert share_of(study, Needs(), [Node(2, 0)]) == Share(1, 2, 0)
    assert share_of(study, Needs(), [Node(8, 2), Node(4, 0)]) == Share(1, 3, 1)
    assert share_of(study, Needs(gpus_per_trial=2, cpus_per_trial=4), [Node(8, 2)]) == Share(2, 4, 1)
    assert share_of(study, Needs(gpus_per_trial=0.5), [Node(8, 2)]) == Share(1, 3, 0.5)
    with pytest.raises(ConfigError, match=r"4 GPUs and 8 CPUs are wanted on one node; those .* up to 2 and 8"):
        share_of(study, Needs(gpus_per_trial=4), [Node(8, 2)])
    assert share_of(study, Needs(workers=1, gpus_per_trial=4), [Node(8, 2)]).processes == 4


def test_what_a_worker_on_a_table_takes(tmp_path):
    """Nothing is loaded there, and nothing trained."""
    config = make_config("looked_up", space=None, trials=1, data={"name": "table:fashion"}, methods=["full"], seeds=1)
    assert share_of(create_study(tmp_path, config), Needs(), [Node(8, 2)]) == Share(1, 1, 0)
