"""The report and figures in a real browser: what it complains of, what overflows, whether tables sort and filter."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from autoprog_search.report.figures import FIGURES
from autoprog_search.report.page import report_page
from autoprog_search.report.writing import IMAGES, write_figure
from autoprog_search.study.results import StudyFrames, published_frames, stored_frames
from docs.browser import DRAWN, Page, opened
from tests.synthetic import clock_rows, synthetic_study
from tests.tiny import cli_here

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
HALF_SEEN = """[...document.querySelectorAll('.rows > .scroll')].flatMap(scroll => {
    const box = scroll.getBoundingClientRect(), left = scroll.querySelector('th').getBoundingClientRect().right;
    return [...scroll.querySelectorAll('td')].filter(cell => {
        const at = cell.getBoundingClientRect(), seen = Math.min(at.right, box.right) - Math.max(at.left, left);
        return seen > 1 && seen < at.width - 1 || cell.scrollWidth > cell.clientWidth;
    }).map(cell => cell.innerText) })"""
SCROLLED = """document.querySelectorAll('.rows > .scroll').forEach(scroll => {{ scroll.scrollLeft = {} }}),
    new Promise(done => setTimeout(done, 150))"""
HIDDEN = """[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth
    && getComputedStyle(e).overflowX !== 'visible' || e.getBoundingClientRect().right > innerWidth + 1
    || [...e.querySelectorAll('td, th')].some(cell => cell.getBoundingClientRect().right > innerWidth + 1))
    .map(e => e.ariaLabel ?? e.innerText.slice(0, 40))"""
PALE = """(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
        .getContext('2d', { willReadFrequently: true });
    const over = (colour, ground) => {  // as drawn, whatever it is written as
        for (const one of [ground, colour]) { canvas.fillStyle = one; canvas.fillRect(0, 0, 1, 1); }
        const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
        return `rgb(${r}, ${g}, ${b})`;
    };
    const light = colour => { const [r, g, b] = colour.match(/\\d+/g).map(c => c / 255)
        .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b };
    const ground = e => e ? over(getComputedStyle(e).backgroundColor, ground(e.parentElement)) : 'rgb(255, 255, 255)';
    const ratio = e => { const style = getComputedStyle(e), below = ground(e.closest('svg')?.parentElement ?? e);
        const [a, b] = [light(over(e.closest('svg') ? style.fill : style.color, below)), light(below)];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) };
    const texts = [...document.querySelectorAll('main *')].filter(e => e.getClientRects().length
        && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
    const pale = texts.filter(e => ratio(e) < 4.5);
    return [texts.length, pale.map(e => `${ratio(e).toFixed(1)} ${e.outerHTML.slice(0, 80)}`)];
})()"""
WIDE_ON_A4 = 703  # px between the margins
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
def drawable(tables) -> Callable[[str], StudyFrames]:
    """A study that has the figure of that kind: of six methods on three seeds, or a published one of eight."""
    larger = published_frames(STUDIES / "fashion_table")
    rows = [row for seed in range(3) for row in clock_rows("autoprog", seed, 90.0)]
    others = {"ranks": larger, "importance": larger, "clock": replace(tables, clock=pd.DataFrame(rows))}
    return lambda kind: others.get(kind, tables)


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


def test_no_number_is_half_seen_on_a_telephone(report):
    """However far one scrolls a table."""

    async def look(page: Page) -> None:
        await page.value("document.querySelectorAll('details').forEach(e => e.open = true)")
        for width in (320, 390, 599):
            await page.show(width, 800)
            for scrolled in (0, 60, 290, 10_000):
                await page.value(SCROLLED.format(scrolled))
                assert await page.value(HALF_SEEN) == []
            assert await page.value("document.querySelector('.rows > .scroll').scrollLeft") > 500

    seen(report, look, 390)


def test_print_has_all_of_each_table(report):
    async def look(page: Page) -> None:
        await page.value("document.querySelectorAll('details').forEach(e => e.open = true)")
        await page.show(WIDE_ON_A4, 1000, media="print")
        assert await page.value(HIDDEN) == []
        assert await page.value("getComputedStyle(document.querySelector('.filter')).display") == "none"

    seen(report, look, 1280)


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out(report, dark):
    """WCAG's ratio for text, in tables, texts and figures."""

    async def look(page: Page) -> None:
        await page.value("document.querySelectorAll('details').forEach(e => e.open = true)")
        await page.show(1280, 800, dark)
        count, pale = await page.value(PALE)
        assert count > 500
        assert pale == []
        page_is = await page.value("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", page_is))) < 60) == dark

    seen(report, look, 1280)


def test_every_figures_own_page(drawable, tmp_path):
    """It opens, has nothing to complain of, and draws something."""
    paths = {kind: tmp_path / f"{kind}.html" for kind in FIGURES}
    for kind, path in paths.items():
        write_figure(FIGURES[kind].draw(drawable(kind), "flops"), path)

    async def visit() -> None:
        async with opened("about:blank", width=390, ready="true") as page:
            for kind, path in paths.items():
                await page.go(path.as_uri(), f"location.href.endsWith('/{kind}.html') && {DRAWN}")
                drawn = "document.querySelectorAll('.plot svg.main-svg .trace path').length"
                assert await page.value(drawn) > 3, kind
                assert page.complaints == [], kind

    asyncio.run(visit())


@pytest.mark.filterwarnings("ignore:The kopts argument is ignored")  # of one browser for all of them
def test_every_figure_is_an_image_of_every_format(drawable, tmp_path):
    import kaleido

    begins = {"svg": b"<svg", "pdf": b"%PDF", "png": b"\x89PNG"}
    kaleido.start_sync_server(n=1, mathjax=False)
    try:
        for kind, info in FIGURES.items():
            figure = info.draw(drawable(kind), "flops")
            for suffix in IMAGES:
                path = tmp_path / f"{kind}.{suffix}"
                write_figure(figure, path, style="paper")
                assert path.read_bytes().startswith(begins[suffix])
    finally:
        kaleido.stop_sync_server()
    svg = (tmp_path / "pareto.svg").read_text()
    assert 'width="529' in svg  # 140 mm
    assert "<img" not in svg


@pytest.mark.filterwarnings("ignore:The kopts argument is ignored")
@pytest.mark.parametrize("suffix", IMAGES)
def test_the_docs_command_draws_for_a_paper(suffix, tmp_path, monkeypatch):
    """Text of 8 pt in the paper's font and the width asked for, an inch of 96 px, 72 pt or 300 dots."""
    page = (STUDIES.parent / "docs/results.md").read_text()
    (line,) = re.findall(r"^autoprog-search (study plot .* --style paper .*)$", page, flags=re.MULTILINE)
    monkeypatch.setattr("autoprog_search.study.store.open_study", lambda root, name: synthetic_study())
    done = cli_here(*shlex.split(line.replace("NAME", "any").replace("pareto.pdf", f"pareto.{suffix}")), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"pareto.{suffix}\n"), done.stderr
    drawn = (tmp_path / f"pareto.{suffix}").read_bytes()
    if suffix == "svg":
        width, across = map(float, re.search(rb'width="(\S+)".*? viewBox="0 0 (\S+) ', drawn).groups())
        assert width == pytest.approx(5.5 * 96, abs=1)
        assert {*re.findall(rb"font-family: ([^;]*);", drawn)} == {b"Helvetica, Arial, 'Liberation Sans', sans-serif"}
        assert float(re.search(rb"font-size: (\d+)px", drawn)[1]) * width / across == pytest.approx(
            8 * 96 / 72, abs=0.1
        )
    elif suffix == "pdf":
        assert float(re.search(rb"/MediaBox ?\[0 0 (\S+)", drawn)[1]) == pytest.approx(5.5 * 72, abs=1)
    else:
        assert int.from_bytes(drawn[16:20], "big") == pytest.approx(5.5 * 300, abs=3)  # of the header
