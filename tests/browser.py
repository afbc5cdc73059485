"""Opens a page in headless Chromium and says what a reader would complain about."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
_VIEWS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((1200, "light"), (400, "dark"))
_ARGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
_NAMELESS = """() => [...document.querySelectorAll("img, svg")]
    .filter(e => e.getAttribute("aria-hidden") !== "true")
    .filter(e => !(e.getAttribute("alt") || e.getAttribute("aria-label") || "").trim())
    .map(e => e.outerHTML.slice(0, 200))"""
_BROKEN = """() => Promise.all([...document.images].map(i => i.decode().then(() => null, () => i.alt)))
    .then(names => names.filter(Boolean))"""
_HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map(h => Number(h.tagName[1]))"""


@contextmanager
def open_page(
    path: Path, *, width: int = 1200, theme: Literal["light", "dark"] = "light"
) -> Iterator[tuple[Page, list[str]]]:
    """Open a file; the list gathers console errors, failed loads and requests that leave the page."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGS)
        try:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
            page.on(
                "console", lambda m: complaints.append(f"console: {m.text}") if m.type in ("error", "warning") else None
            )
            page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
            page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url[:100]}"))
            page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            page.on(
                "request",
                lambda r: None if r.url.startswith("data:") or r.url == path.resolve().as_uri()
                else complaints.append(f"request: {r.url[:100]}"),
            )  # fmt: skip
            page.goto(path.resolve().as_uri(), wait_until="load")
            yield page, complaints
        finally:
            browser.close()


def check_page(path: Path) -> None:
    """Require what every report promises: quiet, self-contained, named pictures, ordered headings, fit for a phone."""
    with open_page(path) as (page, complaints):
        assert page.evaluate(_NAMELESS) == [], "pictures without an alternative text"
        assert page.evaluate("document.documentElement.lang")
        assert page.title().strip()
        levels = page.evaluate(_HEADINGS)
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels)), levels
        for width, theme in _VIEWS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=theme)
            assert page.evaluate(_BROKEN) == [], "pictures that do not decode"
            assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert complaints == []
