"""Tables of the page of `awareness-causal`."""

from collections.abc import Iterator

import pandas as pd

from vergence.reports.page import Section, comparison, grid, prose
from vergence.studies.causal.claims import COVERED, share_causal, slopes, unseen
from vergence.studies.causal.panels import PAPER_SCORE, panel_of
from vergence.studies.causal.slopes import Estimate
from vergence.studies.causal.spec import ASSIGNED

_SCORES = (PAPER_SCORE, "average_precision")
_NUMBERS = ("slope", "95 %", "expected", "r", "causal share", "F1", "ceiling", "mentions")


def tables(table: pd.DataFrame) -> list[Section]:
    """Slopes of both scores, values covered and not seen, and all that was predicted."""
    if table.empty:
        return []
    narrow = int(table["width"].min())
    rows = [
        row for width in sorted(set(table["width"])) for score in _SCORES for row in _slopes(table, int(width), score)
    ]
    headings = ("images", "captions", "width", "score", "slope", "95 %", "expected", "r", "causal share", "95 % of it")
    lacking = [
        (
            row["factor"],
            row["images"],
            f"{row['value']:.2f}",
            f"{row['ceiling']:.2f}",
            f"{row['mentions']:,.0f}",
            row["why"],
        )
        for row in unseen(table, narrow).to_dict("records")
    ]
    covered = grid(
        ("value", "images", "F1", "ceiling", "mentions", "why"),
        lacking,
        label="Values that are mentioned often and not seen",
        numbers=_NUMBERS,
    )
    return [
        Section(
            "Slopes",
            grid(headings, rows, label="Score per tenfold coverage", numbers=_NUMBERS)
            + prose(
                "Slope: score per tenfold coverage; of assigned rates within values, of others over values; "
                "expected: of the scores that theory expects. r: "
                "correlation of score and log coverage over values. Causal share: assigned slope over that one."
            ),
        ),
        Section(
            "Covered, and not seen",
            covered
            + prose(
                f"Values that were mentioned {COVERED:g} times or more and have F1 below .5 where rates are assigned. "
                "Why: the ceiling, if the encoder that labels train does not reach .5 either; else captions."
            ),
        ),
        Section("Measured beside predicted", comparison(table, settings=["images", "captions", "width", "metric"])),
    ]


def _slopes(table: pd.DataFrame, width: int, score: str) -> Iterator[tuple[object, ...]]:
    for images, captions, one, r in slopes(table, width, score):
        foretold = panel_of(table, images, captions, width=width, score=score, column="expected")
        expected = "" if foretold is None else f"{foretold.slope:.3f}"
        said = images, captions, width, score.replace("_", " "), *_numbers(one, digits=3), expected, f"{r:.2f}"
        if captions == ASSIGNED:
            yield *said, "", ""
        else:
            yield *said, *_numbers(share_causal(table, images, captions, width=width, score=score), digits=2)


def _numbers(found: Estimate, *, digits: int) -> tuple[str, str]:
    return f"{found.value:.{digits}f}", f"{found.low:.{digits}f} to {found.high:.{digits}f}"
