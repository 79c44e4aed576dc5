"""When the networks of a study grew under a free clock: a lane a run, an axis a column, under the learning rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

AXES = {"patches": "resolution", "depth": "depth"}  # the one that has to be mixed earlier first
LANE, HEAD = 30, 110  # px
BESIDE = 0.28  # lanes, from a run's line to its mixing times


def draw_clocks(clocks: Mapping[tuple[str, int, int], pd.DataFrame], rates: pd.DataFrame) -> go.Figure:
    """The learning rate above, and below of each run when it grew, when it was to, and how long that took to mix."""
    lanes, height = len(clocks), HEAD + LANE * len(clocks)
    figure = make_subplots(
        rows=2,
        cols=2,
        column_titles=[*AXES.values()],
        row_heights=[HEAD / height, 1 - HEAD / height],
        shared_xaxes=True,
        shared_yaxes=True,
        vertical_spacing=24 / height,
        horizontal_spacing=0.03,
    )
    for column, axis in enumerate(AXES, start=1):
        figure.add_scatter(
            x=rates["tick"],
            y=rates["rate"],
            mode="lines",
            line={"color": "#888888", "width": 1.5},
            fill="tozeroy",
            fillcolor="rgba(136, 136, 136, 0.15)",
            showlegend=False,
            hovertemplate="tick %{x:.1f}: %{y:.2f} of the largest<extra></extra>",
            row=1,
            col=column,
        )
        for lane, ((method, seed, trial), rows) in enumerate(clocks.items()):
            run = f"<b>{method}</b> seed {seed} trial {trial}"
            for trace in _lane(rows[rows["axis"] == axis], lanes - 1 - lane, colour_of(method), run):
                figure.add_scatter(**trace, showlegend=False, row=2, col=column)
    names = [f"{method} {seed}" for method, seed, _ in clocks]
    figure.update_yaxes(title="learning rate", range=[0, 1.1], tickvals=[0, 1], row=1, col=1)
    figure.update_yaxes(tickvals=[*range(lanes)], ticktext=names[::-1], range=[-0.6, lanes - 0.4], row=2)
    figure.update_xaxes(range=[0, 46], tickvals=[*range(0, TICKS + 1, 6)])
    figure.update_xaxes(title="tick; mixing time, steps: expected → came", row=2)
    return styled(figure, height=height + 110, hovermode="closest")


def _lane(rows: pd.DataFrame, y: int, colour: str, run: str) -> Iterator[dict[str, Any]]:
    """The traces of a run's axis."""
    grown = rows[rows["grew"]]
    edges = [0.0, *grown["tick"], float(TICKS)]
    for k, (begin, end) in enumerate(pairwise(edges)):
        yield _line([begin, end], y, colour, 2 + 4 * k / max(len(grown), 1))
    known = rows[rows["deadline"].notna()]
    yield _marks(known, "deadline", y, "line-ns", colour, 22) | {
        "hovertemplate": f"{run}<br>deadline %{{x:.0f}}, as known at tick %{{text:.0f}}<extra></extra>",
        "text": known["tick"].to_numpy(float),
    }
    probed = rows[rows["probed"] > 0]
    yield _marks(probed, "tick", y, "diamond", colour, 10) | {
        "hovertemplate": f"{run}<br>probe at tick %{{x:.0f}}, %{{text}} steps a branch<extra></extra>",
        "text": probed["probed"].to_numpy(int),
    }
    for row in grown.to_dict("records"):
        for name, side, ink in (("expected", BESIDE, "#777777"), ("came", -BESIDE, colour)):
            if np.isfinite(row[name]):
                yield _line([row["tick"], row[name]], y + side, ink, 4)
        yield {
            "x": [row["tick"]],
            "y": [y],
            "mode": "markers",
            "marker": {"color": colour, "size": 9, "line": {"color": "white", "width": 1}},
            "hovertemplate": f"{run}<br>to {row['size']} at step {row['step']:,}<br>mixing {_steps_text(row)} steps"
            "<extra></extra>",
        }
    yield {
        "x": [TICKS + 0.6],
        "y": [y],
        "mode": "text",
        "text": [", ".join(map(_steps_text, grown.to_dict("records")))],
        "textposition": "middle right",
        "hoverinfo": "skip",
    }


def _line(x: list[float], y: float, colour: str, width: float) -> dict[str, Any]:
    return {"x": x, "y": [y, y], "mode": "lines", "line": {"color": colour, "width": width}, "hoverinfo": "skip"}


def _marks(rows: pd.DataFrame, name: str, y: int, symbol: str, colour: str, size: int) -> dict[str, Any]:
    marker = {"symbol": symbol, "size": size, "color": "white", "line": {"color": colour, "width": 2}}
    return {"x": rows[name].to_numpy(float), "y": [y] * len(rows), "mode": "markers", "marker": marker}


def _steps_text(row: Mapping[Any, Any]) -> str:
    """For example `200 → 419`; `> 90` where the loss was not back for so many steps."""
    expected = f"{row['mixing']:,.0f}" if np.isfinite(row["mixing"]) else MISSING
    return f"{expected} → " + (f"{row['mixed']:,.0f}" if np.isfinite(row["mixed"]) else f"> {row['watched']:,}")
