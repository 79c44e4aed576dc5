"""What trained when: the headline trials' depth and resolution over the epochs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoprog_search.report.colours import colour_of
from autoprog_search.report.layout import styled

SHIFT = 0.015  # of an axis's span, between the lines of two methods


@dataclass(frozen=True)
class Staircase:
    """One trial's schedule.

    Attributes:
        epochs: where each stage begins, then where the last one ends, (stages + 1,).
        depth, resolution: from there on, blocks and pixels, (stages + 1,); the last stage's stands twice.
    """

    method: str
    seed: int
    trial: int
    epochs: np.ndarray
    depth: np.ndarray
    resolution: np.ndarray


def staircases(heads: pd.DataFrame) -> list[Staircase]:
    """The schedules of headline trials (`study.results.headline`), one a (method, seed)."""
    found = []
    for row in heads.to_dict("records"):
        depths, resolutions, lengths = (row[name] for name in ("depths", "resolutions", "stage_epochs"))
        found.append(
            Staircase(
                method=str(row["method"]),
                seed=int(row["seed"]),
                trial=int(row["trial"]),
                epochs=np.concatenate(([0.0], np.cumsum(lengths))),
                depth=np.array([*depths, depths[-1]]),
                resolution=np.array([*resolutions, resolutions[-1]]),
            )
        )
    return found


def draw_schedules(stairs: list[Staircase]) -> go.Figure:
    """Two panels, depth above resolution. Lines are shifted a little, so that no method hides another."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    methods = list(dict.fromkeys(s.method for s in stairs))
    panels = (("depth", "depth, blocks"), ("resolution", "resolution, px"))
    for row, (axis, title) in enumerate(panels, start=1):
        levels = np.unique(np.concatenate([getattr(s, axis) for s in stairs])) if stairs else np.array([0])
        step = SHIFT * max(float(levels[-1] - levels[0]), 1.0)
        seen: set[str] = set()
        for s in stairs:
            shift = step * (methods.index(s.method) - (len(methods) - 1) / 2)
            figure.add_scatter(
                x=s.epochs,
                y=getattr(s, axis) + shift,
                mode="lines",
                line={"color": colour_of(s.method), "width": 2, "shape": "hv"},
                opacity=0.85,
                name=s.method,
                legendgroup=s.method,
                showlegend=row == 1 and s.method not in seen,
                customdata=getattr(s, axis),
                hovertemplate=f"<b>{s.method}</b> seed {s.seed} trial {s.trial}<br>from epoch %{{x:.4g}}: "
                f"{axis} %{{customdata}}<extra></extra>",
                row=row,
                col=1,
            )
            seen.add(s.method)
        figure.update_yaxes(title=title, tickvals=levels, row=row, col=1)
    figure.update_xaxes(title="epoch", row=2, col=1)
    return styled(figure, height=560, hovermode="closest")
