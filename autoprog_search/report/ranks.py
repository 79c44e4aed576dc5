"""Where what searches put first comes out when it is trained: a panel a stage and an end that truth is read at."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from autoprog_search.analysis.ranks import ENDS
from autoprog_search.report.colours import looks
from autoprog_search.report.layout import styled


def draw_ranks(ranks: pd.DataFrame) -> go.Figure:
    """Mean true rank against the estimated one; on the dotted line estimates are right, a flat line says nothing."""
    stages = sorted(ranks["stage"].unique())
    figure = make_subplots(
        rows=len(ENDS),
        cols=len(stages),
        subplot_titles=[f"stage {stage}<br>end of {end}" for end in ENDS for stage in stages],
        vertical_spacing=0.18,
    )
    seen: set[str] = set()
    look = looks(ranks["method"])
    for (end, stage), panel in ranks.groupby(["end", "stage"], sort=False):
        at = {"row": ENDS.index(str(end)) + 1, "col": stages.index(stage) + 1}
        last = int(panel["estimated"].max())
        figure.add_scatter(
            x=[1, last], y=[1, last], mode="lines", line={"color": "#999999", "dash": "dot", "width": 1},
            showlegend=False, hoverinfo="skip", **at,
        )  # fmt: skip
        for name, rows in panel.groupby("method", sort=False):
            method = str(name)
            figure.add_scatter(
                x=rows["estimated"].to_numpy(),
                y=rows["true"].to_numpy(),
                mode="lines+markers",
                line=look[method].line(),
                marker=look[method].marker(),
                name=method,
                legendgroup=method,
                showlegend=method not in seen,
                text=[f"{row.searches} searches, Kendall's tau {row.tau:+.2f}" for row in rows.itertuples()],
                hovertemplate=f"<b>{method}</b> put on place %{{x}}: true rank %{{y:.1f}}<br>%{{text}}<extra></extra>",
                **at,
            )
            seen.add(method)
        figure.update_xaxes(title="estimated rank" if at["row"] == len(ENDS) else None, dtick=1, **at)
        figure.update_yaxes(title="true rank" if at["col"] == 1 else None, autorange="reversed", **at)
    figure.update_annotations(font_size=12)
    styled(figure, height=640, hovermode="closest")
    return figure.update_layout(margin={"t": 80}, legend={"y": 1.08})
