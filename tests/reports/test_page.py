"""The page in a browser: quiet, self-contained, fit for a phone, legible in the dark."""

from pathlib import Path

import pytest
from tests.browser import check_page, open_page
from tests.reports.results import demo_results, images
from tests.reports.test_render import hostile

from vergence.reports import build_report

_CORNER = """async dark => {
    const image = document.querySelector(".plot img"); await image.decode();
    const canvas = document.createElement("canvas"); canvas.width = canvas.height = 4;
    const context = canvas.getContext("2d"); context.drawImage(image, 0, 0);
    const corner = context.getImageData(1, 1, 1, 1).data[0];
    return dark ? corner < 40 : corner > 240;
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(build_report(demo_results(), images=images()).html(), encoding="utf-8")
    return path


@pytest.mark.slow
def test_the_report_keeps_its_promises_in_a_browser(page: Path) -> None:
    check_page(page)


@pytest.mark.slow
def test_a_hostile_report_does_nothing_in_a_browser(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(build_report(hostile(demo_results()), images=images()).html(), encoding="utf-8")
    check_page(path)


@pytest.mark.slow
def test_figures_follow_the_theme_and_the_width(page: Path) -> None:
    shapes = {}
    with open_page(page) as (tab, _):
        for width, theme in ((1200, "light"), (1200, "dark"), (400, "dark")):
            tab.set_viewport_size({"width": width, "height": 900})
            tab.emulate_media(color_scheme=theme)
            # The page is told before its pictures are drawn again: wait for the corner, and fail if it never comes.
            tab.wait_for_function(_CORNER, arg=theme == "dark")
            box = tab.locator(".plot img").first.bounding_box()
            assert box is not None
            shapes[width] = box["width"] / box["height"]
    assert shapes[400] < 1 < shapes[1200]


def test_the_browser_check_notices_what_it_is_for(tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text(
        '<html lang="en"><title>t</title><h1>h</h1><img src="http://127.0.0.1:9/x.png"><script>f()</script>'
    )
    with open_page(path) as (_, complaints):
        assert any(complaint.startswith("request: http://127.0.0.1:9/x.png") for complaint in complaints)
        assert any(complaint.startswith("script:") for complaint in complaints)
    with pytest.raises(AssertionError, match="without an alternative text"):
        check_page(path)
