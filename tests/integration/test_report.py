"""The page of a real run, opened as a reader would open it."""

from pathlib import Path

import pytest
from tests.browser import check_page

pytestmark = pytest.mark.slow


def test_the_page_is_whole_silent_accessible_and_fits_a_phone(quick_demo: Path) -> None:
    check_page(quick_demo / "page.html")
