"""The growth space, the evaluators and AutoProg in NNI's terms, without an experiment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from autoprog_search.choosing import Method
from autoprog_search.errors import ConfigError, RunFailedError
from autoprog_search.methods.kinds import Hosted
from autoprog_search.methods.plan import TrialInfo
from autoprog_search.methods.registry import METHODS
from autoprog_search.methods.runs import FinishedRun
from autoprog_search.oneshot.score import ScoreRule
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.space import GrowthSpace, Levels
from autoprog_search.testing.methods import play
from tests.strategies import SMALL, growth_spaces

pytest.importorskip("nni_node")
pytest.importorskip("pytorch_lightning")

import nni
from nni.mutable import SampleValidationError
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.space import ModelStatus, SimplifiedModelSpace

from autoprog_search.methods.nni import (
    AutoProgStrategy,
    FinishedEvaluator,
    GrowthEvaluator,
    growth_model_space,
    hpo_search_space,
)
from autoprog_search.methods.nni_experiment import NODE_MODULE, interrupted_when, node_on_loopback

SPACE = GrowthSpace.load("digits")
SMALL_SPACE = GrowthSpace.model_validate(SMALL)
PROPOSING = [name for name, kind in METHODS.items() if isinstance(kind, Hosted) and not kind.needs_estimates(1)]


def strategy_of(name: str, seed: int, trials: int):
    return METHODS[name].strategy_for(TrialInfo("tests", name, seed, 0, trials, SPACE, GrowthSettings()))


@dataclass
class PlayedRuns:
    """Runs that cost nothing: a schedule's metric is a function of it, a method is played with synthetic estimates."""

    seed: int = 0
    failing: int | None = None
    asked: list[Levels] = field(default_factory=list)

    def of_schedule(self, levels: Levels) -> FinishedRun:
        self.asked.append(levels)
        return self._finished(len(self.asked) - 1, levels)

    def of_method(self, trial: int, method: Method) -> FinishedRun:
        if trial == self.failing:
            raise RunFailedError("the loss is nan")
        chosen = [choice.sub_network for _, choice in play(method, SPACE, self.seed)] + [SPACE.full]
        self.asked.append(tuple(SPACE.levels_of(s) for s in chosen))
        return self._finished(trial, self.asked[-1])

    def of_trial(self, trial: int) -> FinishedRun:
        return self._finished(trial, self.asked[-1])

    def _finished(self, trial: int, levels: Levels) -> FinishedRun:
        metric = float(sum(map(sum, levels)))
        named = SPACE.to_parameters(levels) if len(levels) == SPACE.stages else {}
        return FinishedRun(trial, levels, named, metric, metric, 0.5, (1.0, metric), ({"chosen": levels[0]},))


def search(space: GrowthSpace, strategy, trials: int, runs: PlayedRuns | None = None) -> SequentialExecutionEngine:
    """Let a strategy search on NNI's in-process engine."""
    model_space = SimplifiedModelSpace.from_model(growth_model_space(space), GrowthEvaluator(runs or PlayedRuns()))
    engine = SequentialExecutionEngine(max_model_count=trials)
    strategy(model_space, engine)
    return engine


# ── the space ───────────────────────────────────────────────────────────────────────────────────────────────────────


@given(space=growth_spaces(), seed=st.integers(0, 2**32))
def test_a_schedule_survives_the_way_through_nni(space, seed):
    levels = space.sample(Random(seed))
    frozen = growth_model_space(space).freeze(space.to_parameters(levels))
    assert frozen.levels == levels
    labels = growth_model_space(space).simplify().keys()
    assert {label for label in labels if label.endswith("_level")} == set(space.distributions())


def test_a_sample_that_shrinks_is_refused_by_nni():
    shrinking = dict.fromkeys(SPACE.to_parameters(SPACE.sample(Random(0))), 1) | {"stage2_depth_level": 0}
    with pytest.raises(SampleValidationError):
        growth_model_space(SPACE).freeze(shrinking)


@pytest.mark.parametrize("name", PROPOSING)
def test_nnis_strategies_propose_schedules_each_once_and_by_their_seed(name):
    def proposed(seed: int) -> list[Levels]:
        runs = PlayedRuns()
        search(SPACE, strategy_of(name, seed, 12), 12, runs)
        return runs.asked

    levels = proposed(3)
    assert len(set(levels)) == len(levels) == 12
    assert all(SPACE.repair(schedule) == schedule for schedule in levels)  # none of them shrinks
    assert proposed(3) == levels
    assert proposed(4) != levels


@pytest.mark.parametrize("name", PROPOSING)
def test_nnis_strategies_find_schedules_of_many_stages(name):
    """Draws from the product of all levels would hardly ever be monotone: of 8 stages, 1 in 18,000."""
    long = SPACE.model_copy(update={"stages": 8})
    runs = PlayedRuns()
    search(long, strategy_of(name, 1, 8), 8, runs)
    assert len(set(runs.asked)) == 8


def test_nnis_random_search_is_uniform_over_schedules():
    model_space, state = growth_model_space(SMALL_SPACE), np.random.RandomState(0)
    draws = 1800
    counts = Counter(model_space.random(random_state=state).levels for _ in range(draws))
    expected = draws / SMALL_SPACE.count()
    assert set(counts) == set(SMALL_SPACE.enumerate())
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < chi2.ppf(0.999, SMALL_SPACE.count() - 1)


def test_grid_search_proposes_the_whole_space():
    runs = PlayedRuns()
    search(SMALL_SPACE, strategy_of("nni:grid", 0, 1000), 1000, runs)
    assert sorted(runs.asked) == sorted(SMALL_SPACE.enumerate())


def test_evolution_prefers_what_scores_high():
    """With room for more than its first population it mutates the best, so it climbs; random search does not."""

    def mean_of_last(name: str) -> float:
        means = []
        for seed in range(8):
            runs = PlayedRuns()
            search(SPACE, strategy_of(name, seed, 40), 40, runs)
            means.append(sum(sum(map(sum, levels)) for levels in runs.asked[-10:]) / 10)
        return sum(means) / len(means)

    assert mean_of_last("nni:evolution") > mean_of_last("nni:random") + 1


def test_hpo_search_space_has_the_same_labels_and_its_samples_are_repaired():
    described = hpo_search_space(SPACE)
    assert set(described) == set(SPACE.distributions())
    drawn = {name: entry["_value"][0] for name, entry in described.items()}  # [low, high), as NNI's randint
    assert all(entry["_type"] == "randint" for entry in described.values())
    assert SPACE.from_parameters(drawn)[:-1] == ((0, 0),) * 3
    largest = {name: entry["_value"][1] - 1 for name, entry in described.items()}
    assert {SPACE.at(*levels) for levels in SPACE.from_parameters(largest)} == {SPACE.full}
    assert SPACE.from_parameters(largest | {"stage3_depth_level": 0})[2] == SPACE.levels_of(SPACE.full)


# ── the evaluators ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", [GrowthEvaluator, lambda runs: FinishedEvaluator(runs, 1, [{"losses": [1.5]}])])
def test_a_frozen_model_goes_to_another_process_and_back(make):
    levels = SPACE.sample(Random(1))
    model_space = SimplifiedModelSpace.from_model(growth_model_space(SPACE), make(PlayedRuns(seed=4, asked=[levels])))
    frozen = model_space.freeze(SPACE.to_parameters(levels))
    back = nni.load(nni.dump(frozen))
    assert back.executable_model().levels == levels
    assert vars(back.evaluator) == vars(frozen.evaluator)


def test_the_evaluator_reports_every_epoch_and_the_metric():
    engine = search(SPACE, strategy_of("nni:random", 0, 2), 2)
    for model in engine.list_models():
        assert model.status == ModelStatus.Trained
        metric = float(sum(map(sum, SPACE.from_parameters(model.sample))))
        assert model.metrics.final == metric
        assert list(model.metrics.intermediates) == [1.0, metric]


# ── AutoProg ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_autoprog_submits_the_schedule_of_its_run_with_its_estimates():
    runs = PlayedRuns(seed=5)
    strategy = AutoProgStrategy(seed=5)
    (model,) = search(SPACE, strategy, 1, runs).list_models()
    (levels,) = runs.asked  # one live run, and no other
    assert SPACE.from_parameters(model.sample) == levels
    assert isinstance(model.evaluator, FinishedEvaluator)
    assert model.evaluator.stages == [{"chosen": levels[0]}]
    assert model.metric == float(sum(map(sum, levels)))
    assert list(strategy.list_models()) == [model]


def test_autoprog_chooses_what_its_optuna_sampler_chooses():
    import optuna

    from autoprog_search.methods.optuna import AutoProgSampler, OptunaMethod

    for seed in range(10):
        runs = PlayedRuns(seed=seed)
        search(SPACE, AutoProgStrategy(seed=seed), 1, runs)
        trial = optuna.create_study(sampler=AutoProgSampler(seed=seed)).ask()
        played = play(OptunaMethod(trial), SPACE, seed)
        assert runs.asked[0][:-1] == tuple(SPACE.levels_of(choice.sub_network) for _, choice in played)


def test_several_trials_of_autoprog_weigh_cost_differently_and_a_failed_one_is_left_out():
    runs = PlayedRuns(failing=1)
    assert AutoProgStrategy().rules == [ScoreRule()]
    strategy = AutoProgStrategy(trials=4, rule=ScoreRule(tie_se=0.5))
    assert strategy.rules == [ScoreRule(w_scale=scale, tie_se=0.5) for scale in (1, 2, 0.5, 4)]
    assert len(list(search(SPACE, strategy, 4, runs).list_models())) == 3
    assert set(strategy.finished) == {0, 2, 3}


def test_autoprogs_state_goes_on_where_it_was():
    first, runs = AutoProgStrategy(trials=3), PlayedRuns()
    search(SPACE, first, 2, runs)
    state = nni.load(nni.dump(first.state_dict()))
    assert [run["trial"] for run in state["finished"]] == [0, 1]

    again = AutoProgStrategy(trials=3)
    again.load_state_dict(state)
    search(SPACE, again, 3, runs)
    assert set(again.finished) == {0, 1, 2}
    assert again.state_dict()["finished"][:2] == state["finished"]
    asked = len(runs.asked)
    search(SPACE, AutoProgStrategy(trials=3), 3, runs)
    assert len(runs.asked) == asked + 3  # the control: without the state, all three are asked for


@pytest.mark.parametrize(
    ("strategy", "evaluator", "message"),
    [
        (AutoProgStrategy(), FunctionalEvaluator(print), "AutoProgStrategy trains through a GrowthEvaluator, not "),
        (AutoProgStrategy(seed=3), GrowthEvaluator(PlayedRuns(seed=4)), "seed: AutoProgStrategy has 3, .* runs 4"),
    ],
)
def test_what_autoprog_cannot_run_is_refused(strategy, evaluator, message):
    model_space = SimplifiedModelSpace.from_model(growth_model_space(SPACE), evaluator)
    with pytest.raises(ConfigError, match=message):
        strategy(model_space, SequentialExecutionEngine())


# ── the host ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_waiting_main_thread_is_interrupted_once_asked():
    asked = threading.Event()
    threading.Timer(0.3, asked.set).start()
    with pytest.raises(KeyboardInterrupt), interrupted_when(asked.is_set):
        time.sleep(30)


def listening(port: int, address: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, port)) == 0


@pytest.mark.parametrize(("options", "reachable"), [(["--require", str(NODE_MODULE)], False), ([], True)])
def test_nnis_node_listens_on_loopback_only_and_ends_with_its_parent(options, reachable, tmp_path):
    """The control, a node without our module, is open to the machine's other addresses and outlives its parent."""
    import nni_node

    node = f"{nni_node.__path__[0]}/node"
    server = (
        "const server = require('http').createServer().listen(0);"
        "server.on('listening', () => console.log(server.address().port, process.pid))"
    )
    code = f"import subprocess, sys; subprocess.Popen({[node, *options, '-e', server]!r}).wait()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    port, pid = map(int, parent.stdout.readline().split())
    try:
        assert listening(port, "127.0.0.1")
        assert listening(port, "127.0.0.2") == reachable  # loopback too, but not what it was bound to
        parent.kill()
        parent.wait()
        patience = time.monotonic() + 10
        while listening(port, "127.0.0.1") and not reachable and time.monotonic() < patience:
            time.sleep(0.2)
        assert listening(port, "127.0.0.1") == reachable
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class _Busy(BaseHTTPRequestHandler):
    """A node manager that says nothing of use the first five times that it is asked."""

    asked = 0

    def do_GET(self) -> None:
        _Busy.asked += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "RUNNING"}' if _Busy.asked > 5 else b"<html>")

    def log_message(self, *_: object) -> None:
        pass


def test_a_node_manager_that_starts_slowly_is_waited_for(monkeypatch):
    """NNI asks it four times."""
    from nni.experiment import launcher

    monkeypatch.setattr(launcher.time, "sleep", lambda seconds: None)
    _Busy.asked = 0
    with HTTPServer(("127.0.0.1", 0), _Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(OSError, match="Expecting value"):
            launcher._check_rest_server(server.server_port)
        assert _Busy.asked == 4
        _Busy.asked = 0
        with node_on_loopback():
            launcher._check_rest_server(server.server_port)
        assert _Busy.asked == 6
        server.shutdown()
