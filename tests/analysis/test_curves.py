"""Curves are the headline trials' rows of the curves table."""

from __future__ import annotations

import pytest

from autoprog_search.analysis.curves import validation_curves
from autoprog_search.analysis.headline import headline
from autoprog_search.errors import ConfigError
from autoprog_search.study.results import curves_frame, trials_frame


def test_curves_of_the_headline_trials(study):
    frame, heads = curves_frame(study), headline(trials_frame(study), 0.5)
    curves = validation_curves(frame.sample(frac=1, random_state=0), heads, "flops")  # rows in any order
    assert list(curves) == list(zip(heads["method"], heads["seed"], heads["trial"], strict=True))
    rows = frame[(frame["method"] == "tpe") & (frame["seed"] == 2)]
    (trial,) = heads[(heads["method"] == "tpe") & (heads["seed"] == 2)]["trial"]
    rows = rows[rows["trial"] == trial]
    assert curves["tpe", 2, trial]["flops"].tolist() == rows["flops"].tolist()
    assert curves["tpe", 2, trial]["val_top1"].tolist() == rows["val_top1"].tolist()


def test_seconds_are_not_stored(study):
    with pytest.raises(ConfigError, match="stored against FLOPs only, got 'seconds'"):
        validation_curves(curves_frame(study), headline(trials_frame(study), 0.5), "seconds")
