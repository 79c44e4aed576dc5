"""Connections to a PostgreSQL server that are cut at one message after the other, before it arrives or after."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from autoprog_search.engines.table import answer_trials
from autoprog_search.errors import LostClaim
from autoprog_search.study import server
from autoprog_search.study.claims import claim, lost_if_taken
from autoprog_search.study.creation import create_study
from autoprog_search.study.resolve import config_from_file
from autoprog_search.study.results import export, trials_frame
from autoprog_search.study.storage import open_storage
from autoprog_search.study.store import open_study
from tests.postgres import needs_server
from tests.proxy import Proxy, proxied

pytestmark = needs_server
ON_TABLE = "data: {name: 'table:fashion'}\nmethods: {random: {trials: 2, seeds: 1}, full: {seeds: 1}}\n"


@pytest.fixture
def proxy(postgres, monkeypatch):
    monkeypatch.setattr(server, "POLL_SECONDS", 0.02)
    with proxied(postgres.port) as between:
        yield between


def through(proxy: Proxy, postgres, schema: str) -> str:
    return postgres.schema(schema).replace(f":{postgres.port}/", f":{proxy.port}/")


@pytest.mark.parametrize("answered", [True, False])
def test_opening(proxy, postgres, answered):
    """As a command does that has just begun: a server that was there a moment ago is there."""
    url = through(proxy, postgres, f"opening_{answered}".lower())
    open_storage(url)  # makes tables
    proxy.sent = 0
    open_storage(url).get_all_studies()
    for cuts, number in enumerate(range(1, proxy.sent + 1, 3), start=1):
        proxy.sent, proxy.cut_at, proxy.answered = 0, number, answered
        assert open_storage(url).get_all_studies() == []
        assert proxy.cuts == cuts


def test_a_trial_whose_answer_is_lost_is_created_once(proxy, postgres, caplog):
    """Optuna by itself would create it again."""
    storage = open_storage(through(proxy, postgres, "created"))
    study = optuna.create_study(study_name="a", storage=storage)
    given = create_trial(state=TrialState.COMPLETE, value=1.0, user_attrs={"x": 1})
    before = proxy.sent
    storage.create_new_trial(study._study_id, given)
    messages = proxy.sent - before
    for number in range(1, messages + 1):
        caplog.clear()
        proxy.sent, proxy.cut_at, proxy.answered = 0, number, True
        assert storage.get_trial(storage.create_new_trial(study._study_id, given)).number == number
        assert [r.getMessage().count("waiting until it answers again") for r in caplog.records] in ([], [1])
    assert proxy.cuts == messages
    assert [trial.number for trial in study.get_trials()] == list(range(messages + 1))


@pytest.mark.parametrize("answered", [True, False])
def test_a_study_on_a_table(proxy, postgres, tmp_path, answered):
    (tmp_path / "given.yaml").write_text(ON_TABLE)
    config = config_from_file(tmp_path / "given.yaml", "tiny")
    alone = create_study(tmp_path / "alone", config)
    answer_trials(alone, lambda event: None, lambda: False)
    for number in range(7, 540, 60):
        url = through(proxy, postgres, f"table_{answered}_{number}".lower())
        create_study(tmp_path / str(number), config.model_copy(update={"storage": url}))
        proxy.sent, proxy.cut_at, proxy.answered = 0, number, answered
        study = open_study(tmp_path / str(number), "tiny")
        answer_trials(study, lambda event: None, lambda: False)
        export(study)
        for name in ("depths", "val_top1", "total_flops"):
            assert trials_frame(study)[name].tolist() == trials_frame(alone)[name].tolist()
        assert len(study.storage.get_all_trials(study.optuna_study("random", 0)._study_id)) == 2


def test_who_meets_what_the_next_holder_has_removed_has_lost_its_claim(postgres, tmp_path, monkeypatch):
    """And says that, not that something is missing."""
    (tmp_path / "given.yaml").write_text(ON_TABLE)
    url = postgres.schema("removed")
    config = config_from_file(tmp_path / "given.yaml", "tiny").model_copy(update={"storage": url})
    study = create_study(tmp_path, config)
    path = study.folder / "trials/.random-s0.lock"
    monkeypatch.setenv("AUTOPROG_SEARCH_LEASE_SECONDS", "1")
    ours = claim(study, path)
    assert ours is not None
    next_holder = "holder = 'there:1:x', token = token + 1, until = until + 60"
    postgres.ask(f"UPDATE removed.autoprog_search_leases SET {next_holder}")
    with pytest.raises(LostClaim, match="there:1 has taken it up"), lost_if_taken(ours):
        raise KeyError("Record does not exist.")
    ours.release()
