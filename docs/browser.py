"""A page in a headless Chromium, by the library that kaleido draws images with: its size, its colours, what it says.

Needs the extra `figures` and a Chrome or Chromium, as `study plot` does for images.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 120  # seconds that a page has to get ready
DRAWN = "document.documentElement?.dataset.figures === 'drawn'"
"""That a report, or a figure's page, has drawn all its figures."""


@dataclass
class Page:
    """A page that has been opened.

    Attributes:
        complaints: errors and warnings of its console, and scripts that failed.
    """

    tab: Any
    complaints: list[str] = field(default_factory=list)

    async def send(self, command: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and give its result."""
        answer = await self.tab.send_command(command, parameters)
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to, a promise's too."""
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def go(self, url: str, ready: str = DRAWN) -> None:
        """Open another page in its place, and wait until it is ready (a JavaScript expression is true)."""
        await self.send("Page.navigate", url=url)
        for _ in range(PATIENCE * 10):
            await asyncio.sleep(0.1)
            if await self.value(ready):
                return
        raise TimeoutError(f"{url} is not ready after {PATIENCE} s: {self.complaints}")

    async def show(self, width: int, height: int, dark: bool = False, media: str = "screen") -> None:
        """As a window of that size shows it, px, to someone who likes it light or dark; or `media` print."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", media=media, features=[scheme])
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.send("Emulation.setDeviceMetricsOverride", **screen)
        await self.value("new Promise((done) => setTimeout(done, 300))")  # figures follow a moment later

    async def picture(self) -> bytes:
        """What is in the window, as a PNG."""
        return b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])

    async def printed(self) -> bytes:
        """The page on A4, as a PDF."""
        inches = {"paperWidth": 8.27, "paperHeight": 11.69}
        return b64decode((await self.send("Page.printToPDF", printBackground=True, **inches))["data"])


@asynccontextmanager
async def opened(url: str, width: int = 1280, height: int = 800, ready: str = DRAWN) -> AsyncIterator[Page]:
    """A page in a window of that size, once it is ready.

    Args:
        ready: a JavaScript expression that is true then.
    """
    import choreographer

    async with choreographer.Browser(headless=True) as browser:
        page = Page(await browser.create_tab())

        async def said(message: dict[str, Any]) -> None:
            if message["params"].get("type") not in ("log", "info", "debug"):
                page.complaints.append(str(message["params"]))

        for event in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            page.tab.subscribe(event, said, repeating=True)
        for domain in ("Runtime", "Log", "Page"):
            await page.send(f"{domain}.enable")
        await page.send("Emulation.setScrollbarsHidden", hidden=True)
        await page.show(width, height)
        await page.go(url, ready)
        yield page
