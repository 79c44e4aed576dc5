"""Curves are the headline trials' rows of the curves table."""

from __future__ import annotations

import pandas as pd
import pytest

from autoprog_search.errors import ConfigError
from autoprog_search.report.curves import draw_curves, validation_curves
from autoprog_search.study.results import curves_frame, headline, trials_frame


def test_curves_of_the_headline_trials(study):
    frame, heads = curves_frame(study), headline(trials_frame(study), 0.5)
    curves = validation_curves(frame.sample(frac=1, random_state=0), heads, "flops")  # rows in any order
    assert [(c.method, c.seed, c.trial) for c in curves] == list(
        zip(heads["method"], heads["seed"], heads["trial"], strict=True)
    )
    rows = frame[(frame["method"] == "tpe") & (frame["seed"] == 2)]
    tpe = next(c for c in curves if c.method == "tpe" and c.seed == 2)
    rows = rows[rows["trial"] == tpe.trial]
    assert tpe.flops.tolist() == rows["flops"].tolist()
    assert tpe.val_top1.tolist() == rows["val_top1"].tolist()
    figure = draw_curves(curves)
    assert len(figure.data) == len(curves)
    assert len({trace.line.color for trace in figure.data}) == 6


def test_seconds_are_not_stored(study):
    with pytest.raises(ConfigError, match="stored against FLOPs only, got 'seconds'"):
        validation_curves(curves_frame(study), headline(trials_frame(study), 0.5), "seconds")


def test_no_curves():
    assert validation_curves(pd.DataFrame(), pd.DataFrame(), "flops") == []
    assert len(draw_curves([]).data) == 0
