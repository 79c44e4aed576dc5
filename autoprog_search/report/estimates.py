"""What the one-shot search saw: every candidate's estimated loss and cost, stage by stage."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoprog_search.analysis.estimates import StageEstimates
from autoprog_search.report.colours import colour_of
from autoprog_search.report.layout import styled
from autoprog_search.report.units import cost_text, unit_for


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
