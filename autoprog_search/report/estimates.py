"""What the one-shot search saw: every candidate's estimated loss and cost, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoprog_search.report.colours import colour_of
from autoprog_search.report.layout import styled
from autoprog_search.report.units import cost_text, unit_for
from autoprog_search.schedule import SubNetwork


@dataclass(frozen=True)
class StageEstimates:
    """The candidates of one stage, of all trials that searched there, (candidates,) each.

    Attributes:
        resolution: pixels.
        loss, loss_se: estimate and its standard error, nats.
        cost: of one training step, as the score took it, see `unit`.
        w: the exponent that the score gave the cost; NaN where none was used.
        chosen: the search took this one, bool.
    """

    stage: int
    method: np.ndarray
    seed: np.ndarray
    trial: np.ndarray
    depth: np.ndarray
    resolution: np.ndarray
    loss: np.ndarray
    loss_se: np.ndarray
    cost: np.ndarray
    w: np.ndarray
    chosen: np.ndarray
    unit: Literal["FLOPs", "s"]


def stage_estimates(estimates: pd.DataFrame, patch_size: int, unit: Literal["FLOPs", "s"]) -> list[StageEstimates]:
    """The estimates (`study.results.estimates_frame`), one entry a stage that was searched, ascending."""
    if estimates.empty:
        return []
    found = []
    for stage, group in estimates.groupby("stage"):
        pairs = zip(group["depth"], group["patches"], strict=True)
        found.append(
            StageEstimates(
                stage=int(str(stage)),
                method=group["method"].to_numpy(object),
                seed=group["seed"].to_numpy(int),
                trial=group["trial"].to_numpy(int),
                depth=group["depth"].to_numpy(int),
                resolution=np.array([SubNetwork(int(d), int(n)).resolution(patch_size) for d, n in pairs]),
                loss=group["loss"].to_numpy(float),
                loss_se=group["loss_se"].to_numpy(float),
                cost=group["cost"].to_numpy(float),
                w=group["w"].to_numpy(float),
                chosen=group["chosen"].to_numpy(bool),
                unit=unit,
            )
        )
    return found


def draw_estimates(stages: list[StageEstimates]) -> go.Figure:
    """A panel a stage: loss against cost with error bars of one standard error; what was chosen is filled."""
    columns = min(2, max(len(stages), 1))
    rows = max(-(-len(stages) // columns), 1)
    titles = [f"stage {s.stage}" for s in stages]
    figure = make_subplots(rows=rows, cols=columns, subplot_titles=titles, vertical_spacing=0.36 / rows)
    seen: set[str] = set()
    for place, s in enumerate(stages):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        unit = unit_for(s.cost.max(initial=0.0), s.unit)
        for method in dict.fromkeys(s.method):
            for chosen in (False, True):
                points = (s.method == method) & (s.chosen == chosen)
                name = f"{method}: chosen" if chosen else f"{method}: candidate"
                figure.add_scatter(
                    x=s.cost[points] / unit.factor,
                    y=s.loss[points],
                    error_y={"array": s.loss_se[points], "thickness": 1, "width": 3},
                    mode="markers",
                    name=name,
                    legendgroup=name,
                    showlegend=name not in seen,
                    marker={
                        "color": colour_of(str(method)),
                        "size": 13 if chosen else 8,
                        "symbol": "star" if chosen else "circle-open",
                    },
                    text=[_hover(s, int(i)) for i in np.flatnonzero(points)],
                    hovertemplate="%{text}<extra></extra>",
                    **at,
                )
                seen.add(name)
        figure.update_xaxes(title=f"cost of a training step, {unit.name}", type="log", nticks=6, **at)
        figure.update_yaxes(title="estimated loss, nats" if at["col"] == 1 else None, **at)
    styled(figure, height=130 + 320 * rows, hovermode="closest")
    # Above the panels' titles.
    return figure.update_layout(margin={"t": 80}, legend={"y": 1.0 + 0.12 / rows})


def _hover(s: StageEstimates, i: int) -> str:
    w = "" if np.isnan(s.w[i]) else f"<br>w {s.w[i]:.3g}"
    return (
        f"<b>{s.method[i]}</b> seed {s.seed[i]} trial {s.trial[i]}<br>{s.depth[i]} blocks, {s.resolution[i]} px"
        f"{' (chosen)' if s.chosen[i] else ''}<br>loss {s.loss[i]:.4f} ± {s.loss_se[i]:.4f}"
        f"<br>{cost_text(s.cost[i], s.unit)} a step{w}"
    )
