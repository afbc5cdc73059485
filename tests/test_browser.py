"""Where tests find a browser, and what becomes of them without one."""

from pathlib import Path

import pytest
from tests import browser
from tests.browser import MISSING, NAMES, find_browser, require_browser, said_of_skips


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def never() -> None:
    raise AssertionError("nothing is to be installed")


@pytest.mark.parametrize("name", NAMES)
def test_any_chromium_on_the_path_will_do(tmp_path: Path, name: str) -> None:
    own = program(tmp_path / "playwright" / "chrome")
    (tmp_path / "first").mkdir()
    there = program(tmp_path / "second" / name)
    path = f"{tmp_path / 'first'}:{tmp_path / 'second'}"
    assert find_browser(path, managed=lambda: own, install=never) == str(there)


def test_a_file_that_cannot_be_run_is_no_browser(tmp_path: Path) -> None:
    program(tmp_path / "chromium").chmod(0o644)
    own = program(tmp_path / "playwright" / "chrome")
    assert find_browser(str(tmp_path), managed=lambda: own, install=never) == str(own)


def test_playwright_is_asked_to_install_one_last(tmp_path: Path) -> None:
    own = tmp_path / "chrome"
    assert find_browser(str(tmp_path), managed=lambda: own, install=lambda: program(own)) == str(own)
    assert find_browser(str(tmp_path / "none"), managed=lambda: None, install=lambda: None) is None


def test_without_a_browser_a_test_is_skipped_and_in_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "browser", lambda: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=MISSING[:20]):
        require_browser()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=MISSING[:20]):
        require_browser()


def test_skips_are_counted_in_one_line() -> None:
    assert said_of_skips(["another reason"]) is None
    assert said_of_skips(["another reason", *[f"('x.py', 3, 'Skipped: {MISSING}')"] * 3]) == (
        f"3 tests that open a page were skipped: {MISSING}"
    )
