"""The performance profile against its definition, problem by problem."""

from __future__ import annotations

import pytest

from autoprog_search.analysis.headline import headline
from autoprog_search.analysis.performance import performance_profile
from autoprog_search.errors import ConfigError, StudyError
from autoprog_search.report.performance import draw_performance
from autoprog_search.study.results import StudyFrames, stored_frames
from tests.synthetic import synthetic_study

METHODS = ("full", "autoprog", "random")


def study(seeds: int = 3, methods: tuple[str, ...] = METHODS) -> StudyFrames:
    return stored_frames(synthetic_study(seeds=seeds, methods=methods))


@pytest.mark.parametrize("cost", ["flops", "seconds"])
@pytest.mark.parametrize("margin", [0.1, 0.5])
def test_shares_of_problems_within_a_ratio(cost, margin):
    studies = [study(), study(2)]
    found = performance_profile(studies, cost, margin)
    problems = []
    for each in studies:
        heads = headline(each.trials, each.config.tolerance).set_index(["seed", "method"])
        for seed in heads.index.unique("seed"):
            of_seed = heads.loc[seed]
            solvers = of_seed[of_seed["top1"] >= of_seed.loc["full", "top1"] - margin]
            problems.append(solvers[f"spent_{cost}"].to_dict())
    assert found.problems == len(problems) == 5
    assert list(found.solved) == list(METHODS)
    assert found.ratios[0] == 1
    for method in METHODS:
        for ratio, share in zip(found.ratios, found.solved[method], strict=True):
            solved = [p for p in problems if method in p and p[method] / min(p.values()) <= ratio]
            assert share == pytest.approx(len(solved) / len(problems))
    assert found.solved["full"][-1] == 1
    figure = draw_performance(found, "FLOPs")
    assert [trace.name for trace in figure.data] == list(METHODS)
    assert figure.data[0].y[-1] == 100


def test_a_failed_run_solves_nothing_and_one_to_come_is_no_problem_yet():
    frames = study()
    trials = frames.trials
    trials.loc[(trials["method"] == "autoprog") & (trials["seed"] == 0), "state"] = "FAIL"
    trials.loc[(trials["method"] == "random") & (trials["seed"] == 1) & (trials["trial"] == 4), "state"] = "WAITING"
    found = performance_profile([frames], "flops", margin=100)
    assert found.problems == 2
    assert found.solved["autoprog"][-1] == 0.5


def test_methods_that_not_all_studies_have_are_left_out():
    found = performance_profile([study(), study(2, ("full", "linear", "autoprog", "replay"))], "flops")
    assert list(found.solved) == ["full", "autoprog"]
    assert "replay" not in performance_profile([study(2, ("full", "autoprog", "replay"))], "flops").solved


def test_what_cannot_be_profiled():
    with pytest.raises(StudyError, match="profile: synthetic, synthetic do not share full and another method"):
        performance_profile([study(), study(2, ("full", "linear"))], "flops")
    running = study()
    running.trials.loc[running.trials["method"] == "full", "state"] = "RUNNING"
    with pytest.raises(StudyError, match="no seed on which full, autoprog, random have all ended"):
        performance_profile([running], "flops")
    with pytest.raises(ConfigError, match="margin: -1 is not"):
        performance_profile([running], "flops", margin=-1)
