"""When the networks of a study grew under a free clock: a lane a run, an axis a column, under the learning rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoprog_search.report.colours import colour_of
from autoprog_search.report.layout import styled
from autoprog_search.report.units import MISSING
from autoprog_search.space import TICKS

AXES = ("patches", "depth")  # the one that grows first
LANE, HEAD, AROUND = 26, 90, 150  # px: a run, the learning rate, titles and legend
BESIDE = 0.3  # lanes, from a run's line to its mixing times
GREY = "#777777"


def draw_clocks(clocks: Mapping[tuple[str, int, int], pd.DataFrame], rates: pd.DataFrame) -> go.Figure:
    """The learning rate above, and below of each run when it grew, when it was to, and how long that took to mix."""
    lanes, height = len(clocks), HEAD + LANE * (len(clocks) + 1)
    figure = make_subplots(
        rows=2,
        cols=2,
        column_titles=[*AXES],
        row_heights=[HEAD / height, 1 - HEAD / height],
        shared_xaxes=True,
        shared_yaxes=True,
        vertical_spacing=LANE / height,
        horizontal_spacing=0.03,
    )
    for column, axis in enumerate(AXES, start=1):
        figure.add_scatter(**_rates(rates), row=1, col=column)
        for lane, ((method, seed, trial), rows) in enumerate(clocks.items()):
            run = f"<b>{method}</b> seed {seed} trial {trial}"
            for trace in _lane(rows[rows["axis"] == axis], lanes - 1 - lane, colour_of(method), run):
                figure.add_scatter(**trace, showlegend=False, row=2, col=column)
    for trace in _legend():
        figure.add_scatter(**trace, row=2, col=1)
    names = [f"{method}, seed {seed}" for method, seed, _ in clocks]
    figure.update_yaxes(range=[0, 1.1], tickvals=[0, 1], row=1)
    figure.update_yaxes(title="learning rate", row=1, col=1)
    figure.update_yaxes(tickvals=[*range(lanes)], ticktext=names[::-1], range=[-0.7, lanes - 0.3], row=2)
    figure.update_xaxes(range=[0, 46], tickvals=[*range(0, TICKS + 1, 6)])
    figure.update_xaxes(title="tick", row=2)
    styled(figure, height=height + AROUND, hovermode="closest")
    return figure.update_layout(margin={"t": 80}, legend={"y": 1 + 30 / height})


def _rates(rates: pd.DataFrame) -> dict[str, Any]:
    return {
        "x": rates["tick"].to_numpy(),
        "y": rates["rate"].to_numpy(),
        "mode": "lines",
        "line": {"color": GREY, "width": 1.5, "simplify": False},  # else the plateau is drawn at a slant
        "fill": "tozeroy",
        "fillcolor": "rgba(119, 119, 119, 0.15)",
        "showlegend": False,
        "hovertemplate": "tick %{x:.1f}: %{y:.2f} of the largest<extra></extra>",
    }


def _lane(rows: pd.DataFrame, y: int, colour: str, run: str) -> Iterator[dict[str, Any]]:
    """The traces of a run's axis."""
    grown = rows[rows["grew"]]
    for k, between in enumerate(pairwise([0.0, *grown["tick"], float(TICKS)])):
        yield _line(between, y, colour, 2 + 4 * k / max(len(grown), 1))
    known, probed = rows[rows["deadline"].notna()], rows[rows["probed"] > 0]
    yield _marks(known["deadline"], y, "line-ns", colour, 18) | {
        "text": known["tick"].to_numpy(float),
        "hovertemplate": f"{run}<br>deadline %{{x:.0f}}, as known at tick %{{text:.0f}}<extra></extra>",
    }
    yield _marks(probed["tick"], y, "diamond", colour, 9) | {
        "text": probed["probed"].to_numpy(int),
        "hovertemplate": f"{run}<br>probe at tick %{{x:.0f}}, %{{text}} steps a branch<extra></extra>",
    }
    found = grown.to_dict("records")
    for row in found:
        for name, side, ink in (("expected", BESIDE, GREY), ("came", -BESIDE, colour)):
            if np.isfinite(row[name]):
                yield _line([row["tick"], row[name]], y + side, ink, 4)
    yield _marks(grown["tick"], y, "circle", colour, 8) | {
        "text": [f"to {row['size']} at step {row['step']:,}<br>mixing {_steps_text(row)} steps" for row in found],
        "hovertemplate": f"{run}<br>%{{text}}<extra></extra>",
    }
    yield {
        "x": [TICKS + 0.6],
        "y": [y],
        "mode": "text",
        "text": [", ".join(_steps_text(row) for row in found if np.isfinite(row["mixing"]))],
        "textposition": "middle right",
        "hoverinfo": "skip",
    }


def _legend() -> Iterator[dict[str, Any]]:
    """What the marks mean, as traces without a place."""
    for name, symbol in (("probe", "diamond"), ("deadline", "line-ns"), ("growth", "circle")):
        yield _marks(pd.Series([None]), 0, symbol, GREY, 10) | {"name": name}
    yield _line([None, None], 0, GREY, 4) | {"name": "mixing: expected (above), came (below); in steps at the right"}


def _line(x: Sequence[float | None], y: float, colour: str, width: float) -> dict[str, Any]:
    ys = [y] * len(x)
    return {"x": [*x], "y": ys, "mode": "lines", "line": {"color": colour, "width": width}, "hoverinfo": "skip"}


def _marks(ticks: pd.Series, y: int, symbol: str, colour: str, size: int) -> dict[str, Any]:
    inside = colour if symbol == "circle" else "white"
    marker = {"symbol": symbol, "size": size, "color": inside, "line": {"color": colour, "width": 2}}
    return {"x": ticks.to_numpy(float), "y": [y] * len(ticks), "mode": "markers", "marker": marker}


def _steps_text(row: Mapping[Any, Any]) -> str:
    """For example `200 → 419`; `> 90` where the loss was not back for so many steps."""
    expected = f"{row['mixing']:,.0f}" if np.isfinite(row["mixing"]) else MISSING
    late = f"> {row['watched']:,}" if row["watched"] else MISSING
    return f"{expected} → " + (f"{row['mixed']:,.0f}" if np.isfinite(row["mixed"]) else late)
