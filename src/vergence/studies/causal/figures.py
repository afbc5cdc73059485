"""Figures of `awareness-causal`: awareness against coverage, and the slopes."""

from functools import partial

import pandas as pd

from vergence.plots.awareness import awareness_by_coverage, intervals_by_name
from vergence.studies.causal.claims import SETS, slopes
from vergence.studies.causal.panels import PAPER_SCORE, panel_of
from vergence.studies.causal.spec import ASSIGNED, OBSERVED
from vergence.studies.study import Drawing

TITLES = {
    ASSIGNED: "rates assigned at random",
    **{name: name for names in OBSERVED.values() for name in names},
}


def figures(table: pd.DataFrame) -> dict[str, Drawing]:
    """Figures by the names of their files; none of an empty table."""
    if table.empty:
        return {}
    narrow = int(table["width"].min())
    return {
        **{
            f"coverage-{images}": _coverage(table, images, narrow)
            for images in SETS
            if (table["images"] == images).any()
        },
        "slopes": _slopes(table),
    }


def panels_of(images: str) -> tuple[str, ...]:
    """Kinds of captions of a set, the assigned ones first."""
    return ASSIGNED, *OBSERVED[images]


def _coverage(table: pd.DataFrame, images: str, width: int) -> Drawing:
    rows = table[(table["images"] == images) & (table["role"] == "value") & (table["metric"] == PAPER_SCORE)]
    rows = rows[rows["width"] == width]
    panels = {TITLES[name]: rows["captions"] == name for name in panels_of(images)}
    found = {name: panel_of(table, images, name, width=width) for name in panels_of(images)}
    lines = {TITLES[name]: panel.slope for name, panel in found.items() if panel is not None}
    draw = partial(awareness_by_coverage, rows, panels=panels, slopes=lines, score="zero-shot F1, names alone")
    return Drawing(
        f"Zero-shot F1 of each value of the {images} images against the share of captions that mention it, on unseen "
        "images; means over runs in which a value has the same coverage. Rings: what theory expects between chance and "
        "the ceiling, which is what the same encoder reaches when labels teach it. Line: the slope, within values "
        "where rates are assigned.",
        draw(layout="wide"),
        draw(layout="narrow"),
    )


def _slopes(table: pd.DataFrame) -> Drawing:
    widths = sorted(int(width) for width in table["width"].unique())
    rows = pd.DataFrame(
        [
            {"name": f"{images}: {captions}", "width": width, "value": one.value, "low": one.low, "high": one.high}
            for width in widths
            for images, captions, one, _ in slopes(table, width)
        ]
    )
    names = {width: f"encoder {width} times as wide" if width > 1 else "narrow encoder" for width in widths}
    draw = partial(intervals_by_name, rows, series="width", names=names, label="F1 per tenfold coverage")
    return Drawing(
        "How much zero-shot F1 changes with a tenfold coverage, with 95 % intervals over values and runs: of rates "
        "assigned at random, effects of values taken out; of coverage as it comes, over values.",
        draw(layout="wide"),
        draw(layout="narrow"),
    )
