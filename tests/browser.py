"""Finds a Chromium, opens pages in it without a window and says what a reader would complain about.

Any Chromium or Chrome on the path will do, or the one that Playwright manages, which it installs if it can. Without one
the tests that open pages are skipped, and counted in one line; where `CI` is set they fail.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, sync_playwright

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "headless_shell",
)
_APPLICATIONS = tuple(
    f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Chromium", "Google Chrome", "Microsoft Edge")
)
MISSING = "no Chromium or Chrome; install one, or run: python -m playwright install chromium-headless-shell"
_VIEWS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((1200, "light"), (400, "dark"))
_ARGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
_NAMELESS = """() => [...document.querySelectorAll("img, svg")]
    .filter(e => e.getAttribute("aria-hidden") !== "true")
    .filter(e => !(e.getAttribute("alt") || e.getAttribute("aria-label") || "").trim())
    .map(e => e.outerHTML.slice(0, 200))"""
_BROKEN = """() => Promise.all([...document.images].map(i => i.decode().then(() => null, () => i.alt)))
    .then(names => names.filter(Boolean))"""
_HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map(h => Number(h.tagName[1]))"""


def find_browser(
    path: str | None = None, *, managed: Callable[[], Path | None], install: Callable[[], object]
) -> str | None:
    """Find a Chromium: on the path, among applications, as Playwright's own, or as that after it has been installed.

    Args:
        path: Folders to look in, as in `PATH`; that of this process if `None`.
        managed: Says where Playwright keeps its own; `None` or a file that does not exist if it has none.
        install: Has Playwright install one; may fail quietly.
    """
    for name in NAMES:
        if found := shutil.which(name, path=path):
            return found
    for application in _APPLICATIONS:
        if os.access(application, os.X_OK):
            return application
    for attempt in (lambda: None, install):
        attempt()
        own = managed()
        if own is not None and own.is_file():
            return str(own)
    return None


@cache
def browser() -> str | None:
    """The browser of this machine, looked for once."""
    return find_browser(managed=_managed, install=_install)


def _managed() -> Path | None:
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    shells = sorted(own.parents[2].glob("chromium_headless_shell-*/*/*headless*shell*")) if len(own.parents) > 2 else []
    return own if own.is_file() else next((shell for shell in reversed(shells) if os.access(shell, os.X_OK)), None)


def _install() -> None:
    command = [sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]
    try:
        subprocess.run(command, capture_output=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return


def require_browser() -> str:
    """The browser, or the end of the test: a skip, and a failure where `CI` is set."""
    found = browser()
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    return found


def said_of_skips(reasons: Iterable[str]) -> str | None:
    """One line about the tests that were skipped for want of a browser."""
    n = sum(MISSING in reason for reason in reasons)
    return f"{n} tests that open a page were skipped: {MISSING}" if n else None


@contextmanager
def open_page(
    path: Path, *, width: int = 1200, theme: Literal["light", "dark"] = "light"
) -> Iterator[tuple[Page, list[str]]]:
    """Open a file; the list gathers console errors, failed loads and requests that leave the page."""
    complaints: list[str] = []
    executable = require_browser()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=_ARGS)
        try:
            page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
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
            chromium.close()


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
