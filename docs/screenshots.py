"""Screenshots of a study's report, and of its dashboard, for the docs: in a headless Chromium, as small PNGs."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from PIL import Image

from autoprog_search.errors import StudyError
from autoprog_search.report.page import report_page
from autoprog_search.study.creation import create_study
from autoprog_search.study.results import StudyFrames
from docs.browser import DRAWN, opened

NO_DITHER = Image.Dither.NONE


@dataclass(frozen=True, slots=True)
class Shot:
    """What is shown of a report, or of the dashboard.

    Attributes:
        title: in words.
        width, height: of the window, px.
        script: JavaScript that is run first, to open or to sort something, or to scroll.
        of: a method, whose first seed is shown in the dashboard; empty: the report.
        ready: a JavaScript expression that is true once the page is there.
    """

    title: str
    width: int
    height: int
    dark: bool = False
    script: str = ""
    of: str = ""
    ready: str = DRAWN


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
    "dashboard": Shot(
        "A study in optuna-dashboard", 1280, 1010, of="tpe",
        ready="document.querySelectorAll('.main-svg').length > 20 && document.body.innerText.includes('Timeline')",
        script="""[...document.querySelectorAll('h6')].find((e) => e.innerText.startsWith('Hyperparameter Importance'))
            .closest('.MuiCard-root').scrollIntoView(); window.scrollBy(0, -70)""",
    ),
}  # fmt: skip


def screenshot(study: StudyFrames, shot: Shot) -> bytes:
    """A PNG of a study's report.

    Raises:
        StudyError: kaleido or a Chrome is missing (extra `figures`).
    """
    try:
        with _dashboard(study, shot.of) if shot.of else _report(study) as url:
            picture = asyncio.run(_taken(url, shot))
    except (ImportError, RuntimeError) as error:
        raise StudyError(f"no screenshot: {error}; `pip install '.[figures]'` and a Chromium make it work") from None
    small = io.BytesIO()
    # An octree keeps the colours of few pixels, which a median cut leaves out; a third of the size.
    colours = Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=NO_DITHER)
    colours.save(small, "png", optimize=True)
    return small.getvalue()


@contextmanager
def _report(study: StudyFrames) -> Iterator[str]:
    """Where its report lies."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        path.write_text(report_page(study))
        yield path.as_uri()


@contextmanager
def _dashboard(study: StudyFrames, method: str) -> Iterator[str]:
    """Where the dashboard shows a method of it. No published study has a storage: one on a table is run for that."""
    if study.config.data.table is None:
        raise StudyError(f"no screenshot: study {study.config.name!r} is on no table, so its trials would be trained")
    methods = {name: plan.model_copy(update={"seeds": 1}) for name, plan in study.config.methods.items()}
    with TemporaryDirectory() as folder:
        stored = create_study(Path(folder), study.config.model_copy(update={"methods": methods}))
        command = [sys.executable, "-m", "autoprog_search", "--root", folder]
        subprocess.run([*command, "study", "run", stored.name], check=True, stdout=subprocess.DEVNULL)
        words = [*command, "dashboard", stored.name, "--port", "0"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as serving:
            try:
                assert serving.stdout is not None
                if not (said := serving.stdout.readline()):
                    raise StudyError("no screenshot: the dashboard has not started")  # it has said why
                url = said.split()[0]
                with urlopen(f"{url}/api/studies") as answer:
                    numbers = {one["study_name"]: one["study_id"] for one in json.load(answer)["study_summaries"]}
                yield f"{url}/dashboard/studies/{numbers[stored.optuna_name(method, study.config.first_seed)]}"
            finally:
                serving.send_signal(SIGINT)


async def _taken(url: str, shot: Shot) -> bytes:
    async with opened(url, shot.width, shot.height, shot.ready) as page:
        await page.show(shot.width, shot.height, shot.dark)
        if shot.script:
            await page.value(f"(() => {{ {shot.script} }})()")
        return await page.picture()
