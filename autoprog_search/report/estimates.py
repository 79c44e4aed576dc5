"""What the one-shot search saw: every candidate's estimated loss and cost, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoprog_search.report.colours import looks
from autoprog_search.report.layout import styled
from autoprog_search.report.units import cost_text, unit_for


def draw_estimates(stages: Mapping[int, pd.DataFrame], cost_unit: Literal["FLOPs", "s"]) -> go.Figure:
    """A panel a stage: loss against cost with error bars of one standard error; what was chosen is filled."""
    columns = min(2, max(len(stages), 1))
    rows = max(-(-len(stages) // columns), 1)
    titles = [f"stage {stage}" for stage in stages]
    figure = make_subplots(rows=rows, cols=columns, subplot_titles=titles, vertical_spacing=0.36 / rows)
    seen: set[str] = set()
    look_of = looks(method for candidates in stages.values() for method in candidates["method"])
    for place, candidates in enumerate(stages.values()):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        unit = unit_for(float(candidates["cost"].max()), cost_unit)
        for method in dict.fromkeys(candidates["method"]):
            look = look_of[method]
            for chosen in (False, True):
                points = candidates[(candidates["method"] == method) & (candidates["chosen"] == chosen)]
                name = f"{method}: chosen" if chosen else f"{method}: candidate"
                figure.add_scatter(
                    x=points["cost"].to_numpy(float) / unit.factor,
                    y=points["loss"].to_numpy(float),
                    error_y={"array": points["loss_se"].to_numpy(float), "thickness": 1, "width": 3},
                    mode="markers",
                    name=name,
                    legendgroup=name,
                    showlegend=name not in seen,
                    marker={"color": look.colour, "size": 13, "symbol": look.symbol}
                    if chosen
                    else {"color": look.colour, "size": 8, "symbol": f"{look.symbol}-open"},
                    text=[_hover(point, cost_unit) for point in points.itertuples()],
                    hovertemplate="%{text}<extra></extra>",
                    **at,
                )
                seen.add(name)
        figure.update_xaxes(title=f"a step, {unit.name}", type="log", nticks=5, **at)
        figure.update_yaxes(title="estimated loss, nats" if at["col"] == 1 else None, **at)
    styled(figure, height=130 + 320 * rows, hovermode="closest")
    # Above the panels' titles.
    return figure.update_layout(margin={"t": 80}, legend={"y": 1.0 + 0.12 / rows})


def _hover(s: Any, unit: str) -> str:
    w = "" if pd.isna(s.w) else f"<br>w {s.w:.3g}"
    return (
        f"<b>{s.method}</b> seed {s.seed} trial {s.trial}<br>{s.depth} blocks x {s.patches} patches"
        f"{' (chosen)' if s.chosen else ''}<br>loss {s.loss:.4f} ± {s.loss_se:.4f}"
        f"<br>{cost_text(s.cost, unit)} a step{w}"
    )
