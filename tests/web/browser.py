"""A real Chromium that talks to nothing but loopback, and notes what a page does wrong."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from tests.support.patience import AT_MOST_S
from tests.support.requirement import require

_AT_MOST_MS = AT_MOST_S * 1000
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
_QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass
class Seen:
    """What the pages of one context asked for and complained of."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    @property
    def outside(self) -> list[str]:
        ours = ("127.0.0.1", None)
        return [url for url in self.requests if urlsplit(url).hostname not in ours]

    def note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    path = shutil.which("chromium")
    require(path, "Chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_QUIET, timeout=_AT_MOST_MS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def tab(browser: Browser, url: str, **options: Any) -> AsyncIterator[tuple[Page, Seen]]:
    """A page in a context of its own: its cookies, its scheme, its size."""
    seen = Seen()
    context = await browser.new_context(base_url=url, **options)
    context.set_default_timeout(_AT_MOST_MS)

    def asked(request: Request) -> None:
        seen.requests.append(request.url)

    context.on("request", asked)
    context.on("console", seen.note)
    context.on("weberror", lambda error: seen.complaints.append(str(error.error)))

    async def close(dialog: Any) -> None:
        seen.dialogs.append(dialog.message)
        await dialog.dismiss()

    context.on("dialog", close)
    try:
        yield await context.new_page(), seen
    finally:
        await context.close()


async def faults_of(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.2 A and AA. It is evaluated, not loaded: the policy holds."""
    await page.evaluate(AXE)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = await page.evaluate("tags => axe.run(document, {runOnly: tags})", tags)
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]} {node['any'][:1]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
