"""The report and figures in a real browser: what it complains of, what overflows, whether tables sort and filter."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from autoprog_search.report.figures import FIGURES
from autoprog_search.report.page import report_page
from autoprog_search.report.writing import IMAGES, write_figure
from autoprog_search.study.results import StudyFrames, published_frames, stored_frames
from docs.browser import Page, opened
from tests.synthetic import clock_rows, synthetic_study

choreographer = pytest.importorskip("choreographer", reason="kaleido is not installed (extra `figures`)")
chromium = pytest.importorskip("choreographer.browsers.chromium").Chromium
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.find_browser(skip_local=False) is None, reason="there is no Chrome or Chromium"),
]
STUDIES = Path(__file__).parents[2] / "studies"
EVIL = "linear+<img src=x onerror=alert(1)>%{y}"
OVERFLOWING = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CUT = """[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .plot, details:not([open])')
    && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
FIRST_COLUMN = (
    "[...document.querySelectorAll('.rows tbody')[0].rows].filter(r => !r.hidden).map(r => r.cells[0].innerText)"
)


@pytest.fixture(scope="module")
def tables() -> StudyFrames:
    """A study with a method of a hostile name, as it might be published."""
    study = stored_frames(synthetic_study())
    for table in (study.trials, study.curves, study.estimates):
        table["method"] = table["method"].astype(object).replace("linear", EVIL)
    return study


@pytest.fixture(scope="module")
def report(tables, tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_page(tables))
    return path


def seen(path: Path, look: Callable[[Page], Awaitable[None]], width: int) -> None:
    async def visit() -> None:
        async with opened(path.as_uri(), width=width) as page:
            await look(page)
            assert page.complaints == []

    asyncio.run(visit())


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows_and_nothing_is_complained_of(report, width):
    async def look(page: Page) -> None:
        for dark in (False, True):
            await page.show(width, 800, dark)
            assert await page.value(OVERFLOWING) <= 0
            assert await page.value(CUT) == []
        drawn = "[...document.querySelectorAll('.plot')].map(e => [!!e.querySelector('.main-svg'), e.scrollWidth])"
        plots = await page.value(drawn)
        assert len(plots) >= 9
        assert all(svg and wide <= width for svg, wide in plots)
        await page.value("document.querySelectorAll('details').forEach(e => e.open = true)")
        assert await page.value(OVERFLOWING) <= 0
        assert await page.value("document.querySelectorAll('.plot a, .plot img, .plot script').length") == 0
        legend = await page.value("[...document.querySelectorAll('.legendtext')].map(e => e.textContent)")
        assert EVIL in legend  # shown as it is called
        assert len(await page.printed()) > 10_000

    seen(report, look, width)


def test_tables_sort_and_filter(report):
    async def look(page: Page) -> None:
        before = await page.value(FIRST_COLUMN)
        header = "document.querySelectorAll('.rows')[0].querySelectorAll('thead button')[{}]"
        values = "[...document.querySelectorAll('.rows tbody')[0].rows].map(r => Number(r.cells[{}].dataset.sort))"
        cost = await page.value(
            "[...document.querySelectorAll('.rows th')].findIndex(e => e.innerText.trim() === 'FLOPs')"
        )
        await page.value(header.format(cost) + ".focus()")
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await page.send("Input.dispatchKeyEvent", type="keyDown", text="\r", **enter)  # by the keyboard
        await page.send("Input.dispatchKeyEvent", type="keyUp", **enter)
        costs = await page.value(values.format(cost))
        assert costs == sorted(costs) != []
        assert await page.value(header.format(cost) + ".parentElement.ariaSort") == "ascending"
        await page.value(header.format(cost) + ".click()")
        assert await page.value(values.format(cost)) == sorted(costs, reverse=True)
        await page.value(header.format(cost) + ".click()")
        assert await page.value(FIRST_COLUMN) == before
        typed = (
            "(i => {{ i.value = {!r}; i.dispatchEvent(new Event('input')) }})(document.querySelector('.filter input'))"
        )
        await page.value(typed.format("AUTOPROG"))
        assert await page.value(FIRST_COLUMN) == ["autoprog"]
        assert await page.value("document.querySelector('.filter output').innerText") == "1 of 6 rows"
        await page.value(typed.format("auto nothing"))
        assert await page.value(FIRST_COLUMN) == []
        await page.value(typed.format(""))
        assert await page.value(FIRST_COLUMN) == before

    seen(report, look, 1280)


def test_a_figures_own_page(tables, tmp_path):
    path = tmp_path / "pareto.html"
    write_figure(FIGURES["pareto"].draw(tables, "flops"), path)

    async def look(page: Page) -> None:
        assert await page.value("!!document.querySelector('.plot .main-svg')")

    seen(path, look, 390)


@pytest.mark.filterwarnings("ignore:The kopts argument is ignored")  # of one browser for all of them
def test_every_figure_is_an_image_of_every_format(tables, tmp_path):
    """Of a study of six methods on three seeds; what it has too few trials for, of a published one of eight methods."""
    import kaleido

    begins = {"svg": b"<svg", "pdf": b"%PDF", "png": b"\x89PNG"}
    larger = published_frames(STUDIES / "fashion_table")
    timed = replace(
        tables, clock=pd.DataFrame([row for seed in range(3) for row in clock_rows("autoprog", seed, 90.0)])
    )
    others = {"ranks": larger, "importance": larger, "clock": timed}
    kaleido.start_sync_server(n=1, mathjax=False)
    try:
        for kind, info in FIGURES.items():
            figure = info.draw(others.get(kind, tables), "flops")
            for suffix in IMAGES:
                path = tmp_path / f"{kind}.{suffix}"
                write_figure(figure, path, style="paper")
                assert path.read_bytes().startswith(begins[suffix])
    finally:
        kaleido.stop_sync_server()
    svg = (tmp_path / "pareto.svg").read_text()
    assert 'width="529' in svg  # 140 mm
    assert "<img" not in svg
