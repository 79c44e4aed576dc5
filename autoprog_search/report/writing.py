"""Figures as files: a page of its own, or an image in the size and the font of a screen or a paper."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from autoprog_search.errors import ConfigError, StudyError, shown
from autoprog_search.files import write_atomic

if TYPE_CHECKING:
    import plotly.graph_objects as go

IMAGES = ("svg", "pdf", "png")
FORMATS = ("html", *IMAGES)
UNITS = {"px": 1.0, "pt": 96 / 72, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}
"""Lengths in px, of which an inch has 96."""
LENGTH = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(UNITS)})?")
LEAST, MOST = 100, 10_000  # px


@dataclass(frozen=True, slots=True)
class Style:
    """How an image is drawn.

    Attributes:
        width: of the image, unless another is asked for, px.
        scale: of the whole drawing, fonts (13 px) and lines included.
        height: of the figure, over its height in a page.
        dots: of a .png, a px.
        layout: what is different from a page.
    """

    width: float
    scale: float
    height: float
    dots: float
    layout: dict[str, Any]


PAPER_FONT = {"family": "Helvetica, Arial, 'Liberation Sans', sans-serif", "color": "black"}
STYLES = {
    "screen": Style(1000, 1.0, 1.0, 2.0, {}),
    # Text of 8 pt in a column of 140 mm, as wide as that of most conferences, 300 dots an inch.
    "paper": Style(140 * UNITS["mm"], 8 * UNITS["pt"] / 13, 0.75, 300 / 96, {"font": PAPER_FONT}),
}


def write_figure(figure: go.Figure, path: Path, width: float | None = None, style: str = "screen") -> None:
    """Write a figure: as a page of its own (.html), or as an image (`IMAGES`).

    Args:
        width: of an image, px; by default its style's.
        style: of an image, a name in `STYLES`.

    Raises:
        ConfigError: another suffix, or a width or a style of a page, which is as wide as its window.
        StudyError: an image without kaleido or without a Chrome that runs; or the file cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise ConfigError(f"output: {str(path)!r} ends in {path.suffix!r}; figures are written as {known}")
    if kind != "html":
        write_atomic(path, _image(figure, kind, width, STYLES[style]))
        return
    if width is not None or style != "screen":
        raise ConfigError(f"output: {str(path)!r} is as wide as its window; a width and a style are for images")
    from autoprog_search.report.document import document, placed

    write_atomic(path, document(path.stem, f"<section>{placed(figure, 'figure')}</section>").encode())


def length(text: str) -> float:
    """A length such as 1000, 1000px, 140mm, 14cm, 5.5in, 397pt, in px.

    Raises:
        ConfigError: it is none, or none that an image may have.
    """
    found = LENGTH.fullmatch(text.strip())
    px = float(found[1]) * UNITS[found[2] or "px"] if found else 0.0
    if not LEAST <= px <= MOST:
        raise ConfigError(
            f"width: {shown(text)} is no length from {LEAST} to {MOST:,} px, such as 1000px, 140mm, 5.5in, 397pt"
        )
    return px


def _image(figure: go.Figure, kind: str, width: float | None, style: Style) -> bytes:
    # Not through figure.to_image: that one makes the browser fetch MathJax from the network, which we never use.
    for name in ("kaleido", "choreographer"):  # they log tracebacks of what they then ignore
        logging.getLogger(name).setLevel(logging.CRITICAL)
    drawing = figure.to_dict()
    drawing["layout"] = _merged(drawing["layout"], style.layout)
    opts = {
        "format": kind,
        "width": round((width or style.width) / style.scale),
        "height": round((figure.layout.height or 500) * style.height),
        "scale": style.scale * (style.dots if kind == "png" else 1),
    }
    try:
        kaleido = import_module("kaleido")
        return cast(bytes, kaleido.calc_fig_sync(drawing, opts=opts, kopts={"mathjax": False}))
    except (ImportError, AttributeError):  # not installed, or older than 1
        raise StudyError(_no_chrome(kind)) from None
    except (RuntimeError, OSError, TimeoutError) as error:
        reason = " ".join(str(error).split())
        missing = type(error).__name__ == "ChromeNotFoundError"
        raise StudyError(_no_chrome(kind) + ("" if missing or not reason else f" ({reason[:120]})")) from None


def _merged(layout: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return layout | {name: {**layout.get(name, {}), **value} for name, value in more.items()}


def _no_chrome(kind: str) -> str:
    return (
        f"{kind}: no Chrome for kaleido; `pip install autoprog-search[figures]` and a Chrome or Chromium "
        "(`plotly_get_chrome` downloads one) make it work, and .html works without"
    )
