"""What accuracy each method attains at what cost: a line that half of the seeds reach, between all and any of them."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from autoprog_search.analysis.attainment import Attainment
from autoprog_search.report.colours import looks
from autoprog_search.report.layout import MARKS, styled
from autoprog_search.report.units import unit_for

MOST_BANDS = 5  # more of them hide each other


def draw_attainment(found: Attainment) -> go.Figure:
    """Steps to the right of each trial's cost; a band begins where every seed has a trial."""
    figure = go.Figure()
    unit = unit_for(found.cost.max(initial=0.0), found.unit)
    cost, look = found.cost / unit.factor, looks(found.attained)
    for method, attained in found.attained.items():
        every, half, any_one = attained  # as LEVELS
        whole = np.isfinite(every)
        if found.seeds[method] > 1 and len(found.attained) <= MOST_BANDS:
            (x, low), (_, high) = (_stairs(cost[whole], side[whole]) for side in (every, any_one))
            figure.add_scatter(
                x=np.concatenate((x, x[::-1])),
                y=np.concatenate((high, low[::-1])),
                fill="toself",
                fillcolor=look[method].colour,
                opacity=0.15,
                line={"width": 0},
                legendgroup=method,
                showlegend=False,
                hoverinfo="skip",
            )
        shown = np.isfinite(half)
        figure.add_scatter(
            x=cost[shown],
            y=half[shown],
            mode="lines+markers",
            line=look[method].line(2, shape="hv"),
            marker=look[method].marker(7, maxdisplayed=MARKS),
            name=f"{method} ({found.seeds[method]} seed{'s' * (found.seeds[method] > 1)})",
            legendgroup=method,
            hovertemplate=f"<b>{method}</b> at %{{x:.4g}} {unit.name}: half of the seeds attain %{{y:.2f}} %"
            "<extra></extra>",
        )
    figure.update_xaxes(title=f"training and search cost of a run, {unit.name}")
    figure.update_yaxes(title="validation top-1 attained, %")
    return styled(figure, hovermode="closest")


def _stairs(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of steps that hold until the next x."""
    return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
