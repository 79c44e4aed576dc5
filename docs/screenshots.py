"""Screenshots of a study's report, for the docs: the page in a headless Chromium, as small PNGs."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from autoprog_search.errors import StudyError
from autoprog_search.report.page import report_page
from autoprog_search.study.results import StudyFrames
from docs.browser import opened

NO_DITHER = Image.Dither.NONE


@dataclass(frozen=True, slots=True)
class Shot:
    """What of a report is shown.

    Attributes:
        title: in words.
        width, height: of the window, px.
        script: JavaScript that is run first, to open or to sort something, or to scroll.
    """

    title: str
    width: int
    height: int
    dark: bool = False
    script: str = ""


SHOTS = {
    "report": Shot("The report", 1280, 1180),
    "report-narrow": Shot(
        "The report on a telephone", 390, 844, script="document.querySelectorAll('section')[1].scrollIntoView()"
    ),
    "report-figures": Shot(
        "Figures of the report, dark", 1280, 1060, dark=True,
        script="document.getElementById('figure-curves-flops').closest('section').scrollIntoView()",
    ),
    "report-trials": Shot(
        "All trials, filtered and sorted", 1280, 560,
        script="""const sections = [...document.querySelectorAll('section')];
            const trials = sections.find((e) => e.innerText.startsWith('Trials'));
            trials.querySelector('details').open = true;
            const input = trials.querySelector('input');
            input.value = 'random'; input.dispatchEvent(new Event('input'));
            [...trials.querySelectorAll('button')].find((e) => e.innerText.startsWith('GFLOPs')).click();
            trials.scrollIntoView()""",
    ),
}  # fmt: skip


def screenshot(study: StudyFrames, shot: Shot) -> bytes:
    """A PNG of a study's report.

    Raises:
        StudyError: kaleido or a Chrome is missing (extra `figures`).
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        path.write_text(report_page(study))
        try:
            picture = asyncio.run(_taken(path, shot))
        except (ImportError, RuntimeError) as error:
            raise StudyError(
                f"no screenshot: {error}; `pip install '.[figures]'` and a Chromium make it work"
            ) from None
    small = io.BytesIO()
    # An octree keeps the colours of few pixels, which a median cut leaves out; a third of the size.
    colours = Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=NO_DITHER)
    colours.save(small, "png", optimize=True)
    return small.getvalue()


async def _taken(path: Path, shot: Shot) -> bytes:
    async with opened(path, shot.width, shot.height) as page:
        await page.show(shot.width, shot.height, shot.dark)
        if shot.script:
            await page.value(f"(() => {{ {shot.script} }})()")
        return await page.picture()
