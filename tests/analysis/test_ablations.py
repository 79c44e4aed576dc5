"""Ablations: variants against their plain method, paired over seeds."""

from __future__ import annotations

import pandas as pd
import pytest

from autoprog_search.analysis.ablations import COLUMNS, ablations
from autoprog_search.analysis.compare import mean_interval
from autoprog_search.errors import StudyError
from autoprog_search.runs.row import COLUMNS as TRIALS
from docs.texts import ablation_rows
from tests.swept import EPOCHS, trial_row

FULL, PLAIN, VARIANT = [98.0, 98.2, 98.4], [97.0, 97.4, 97.1], [97.5, 97.5, 97.7]


def table() -> pd.DataFrame:
    """Three seeds; the plain method also at half the length, the variant has a fourth seed and a failed one.

    Autoprog has no variant, so it is none of the rows.
    """
    rows = [
        trial_row(method, seed, 0, EPOCHS, flops, top1, speedup_flops=8e11 / flops)
        for method, flops, accuracies in (
            ("full", 8e11, FULL),
            ("linear+zero_init", 4e11, [*VARIANT, 90.0]),
            ("linear", 4e11, PLAIN),
            ("autoprog", 4e11, PLAIN),
        )
        for seed, top1 in enumerate(accuracies)
    ]
    rows += [trial_row("linear", seed, 1, EPOCHS / 2, 2e11, 50.0, speedup_flops=4) for seed in range(3)]
    rows.append(trial_row("linear+zero_init", 4, 0, EPOCHS, 4e11, 10.0, state="FAIL"))
    return pd.DataFrame(rows, columns=[column.name for column in TRIALS])


def test_differences_are_paired_on_the_validation_split():
    result = ablations(table(), EPOCHS)
    assert list(result.columns) == list(COLUMNS)
    assert result["method"].tolist() == ["full", "linear+zero_init", "linear"]
    rows = result.set_index("method")
    variant, (mean, low, high) = rows.loc["linear+zero_init"], mean_interval([0.5, 0.1, 0.6])
    assert variant["difference"] == pytest.approx(mean)
    assert variant["difference_low"] == pytest.approx(low)
    assert variant["difference_high"] == pytest.approx(high)
    assert variant["seeds"] == 4
    assert variant["speedup_flops"] == 2
    plain = rows.loc["linear"]
    assert plain["val_top1"] == pytest.approx(sum(PLAIN) / 3 - 0.5)  # half the length does not count
    assert plain["top1"] == pytest.approx(sum(PLAIN) / 3)
    assert plain["top1_se"] == pytest.approx(pd.Series(PLAIN).sem())
    assert rows.loc[["full", "linear"], "difference"].isna().all()


def test_what_growing_did_is_averaged_over_the_seeds():
    frame = table()
    frame["growth_top1"] = None
    of = frame["method"] == "linear+zero_init"
    grown = [[None, [70 + seed, 40 + seed], None if seed else [80, 60]] for seed in range(of.sum())]
    frame.loc[of, "growth_top1"] = pd.Series(grown, index=frame.index[of])
    rows = ablations(frame, EPOCHS).set_index("method")["growth_top1"]
    assert rows["linear+zero_init"] == [[71.5, 41.5]]  # the last stage did not grow in every run
    assert rows["linear"] == []
    shown = ablation_rows(ablations(frame, EPOCHS))[1]
    assert shown["before → after each growth, %"] == "72 → 42"


def test_a_variant_whose_plain_method_is_not_there():
    frame = table()
    (variant,) = ablations(frame[frame["method"] == "linear+zero_init"], EPOCHS).to_dict("records")
    assert pd.isna(variant["difference"])


def test_without_a_variant_there_is_nothing_to_compare():
    frame = table()
    with pytest.raises(StudyError, match=r"no finished trial of a METHOD\+VARIANT at 20 epochs"):
        ablations(frame[frame["method"] != "linear+zero_init"], EPOCHS)
