"""An HTML document that needs no network: style, script, and plotly.js once, compressed, for the figures in it.

plotly.js as its Python package ships it is 4.8 MB; gzip in base64 makes it 2.0, and the browser unpacks it
(`DecompressionStream`: Chrome 80, Firefox 113, Safari 16.4), from a file too.
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from gzip import compress
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from autoprog_search.errors import printable
from autoprog_search.report.layout import CONFIG

if TYPE_CHECKING:
    import plotly.graph_objects as go

# What is in the document, and no address: a browser keeps it, whatever a study's texts hold.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def document(title: str, body: str) -> str:
    """The whole document; a body has its texts escaped, and its figures by `placed`."""
    plotly = f'<script type="text/plain" id="plotly">{packed_plotlyjs()}</script>\n' if 'class="figure"' in body else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{_part('page.css')}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"{plotly}<script>\n{_part('page.js')}</script>\n</body>\n</html>\n"
    )


def placed(figure: go.Figure, name: str) -> str:
    """A figure as a part of the body, which the document's script draws."""
    data = to_json_plotly({**figure.to_plotly_json(), "config": CONFIG})  # it spells out every < in a text
    return (
        f'<div class="figure"><div class="plot" id="{escape(name)}" style="min-height:{figure.layout.height or 450}px">'
        f'<noscript>Figures need JavaScript.</noscript></div><script type="application/json">{data}</script></div>'
    )


def text(value: str) -> str:
    """Any text as HTML that shows it: no tag begins in it, and control characters are spelt out."""
    return escape(printable(value))


@lru_cache(maxsize=1)
def packed_plotlyjs() -> str:
    """gzip, in base64; the same at every call."""
    return b64encode(compress(get_plotlyjs().encode(), mtime=0)).decode()


def _part(name: str) -> str:
    return (files("autoprog_search.report") / name).read_text(encoding="utf-8")
