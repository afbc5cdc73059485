"""What an audit with labels says of each factor: lines and tables for a terminal, records for the page."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from rich.table import Table

from vergence.corpus import BiasEstimate
from vergence.corpus.estimate import NOT_ASSESSABLE
from vergence.corpus.rates import NOT_DETERMINED
from vergence.terminal import grid

_WIDEST = 8  # values of a factor whose whole table is shown
_MOST = 10


def estimate_lines(estimate: BiasEstimate) -> list[str]:
    """How much of the labels the rates are estimated from, and what of them is lost.

    Returns:
        A line on the rows and captions, and one for each factor of which labels are missing.
    """
    lost = ", ".join(f"{count:,} {kind}" for kind, count in estimate.lost.items()) or "nothing"
    lines = [f"labels: {estimate.rows:,} rows; captions left out: {lost}"]
    for row in estimate.factors.to_dict("records"):
        if row["unlabelled"] and row["note"] != NOT_ASSESSABLE:
            left, used = f"{row['unlabelled']:,}", f"{row['images']:,}"
            lines.append(f"{row['factor']}: {left} captions left out for want of a label, {used} used")
    return lines


def forecast_lines(estimate: BiasEstimate, forecast: pd.DataFrame) -> list[str]:
    """Rates and statements by factor, and below them why a rate or a statement is not determined.

    Args:
        estimate: What captions omit and get wrong.
        forecast: What follows; as `vergence.corpus.forecast` gives it, in the order of the estimate.
    """
    table = estimate.factors[["factor", "images", "selection", "wrong_value", "rho"]]
    shown = table.assign(forecast=forecast["statement"])
    lines = shown.to_string(index=False, na_rep="", float_format=lambda rate: f"{rate:.3f}").splitlines()
    reasons = zip(estimate.factors.to_dict("records"), forecast.to_dict("records"), strict=True)
    for row, said in reasons:
        open_ones = [said["reason"]] if said["statement"] == NOT_DETERMINED else []
        note = row["note"].removeprefix(f"{NOT_DETERMINED}: ")
        if note not in ("", NOT_ASSESSABLE, *open_ones):
            open_ones.append(note)
        lines += [f"{row['factor']}: {reason}" for reason in open_ones]
    return lines


def said_tables(estimate: BiasEstimate) -> Iterator[Table]:
    """What captions say by what images show, a table for each labelled factor, for a terminal."""
    for table in said_by_shown_tables(estimate):
        title = f"{table['factor']}: {table['title']}"
        yield grid(table["headings"], table["rows"], title=title, title_justify="left", box=None, pad_edge=False)


def said_by_shown_tables(estimate: BiasEstimate) -> Iterator[dict[str, Any]]:
    """Each factor's table as plain cells: whole, or where it has many values, the most frequent wrong ones.

    Yields:
        factor, title, headings and rows.
    """
    for factor, cells in estimate.tables.groupby("factor", sort=False):
        shown = list(dict.fromkeys(cells["shown"]))
        if len(shown) <= _WIDEST:
            said = list(dict.fromkeys(cells["said"]))
            counts = cells["captions"].to_numpy().reshape(len(shown), -1)
            rows = [(value, *map(_count, row)) for value, row in zip(shown, counts, strict=True)]
            yield {"factor": factor, "title": "captions by shown and said", "headings": ("shown", *said), "rows": rows}
            continue
        wrong = cells[cells["said"].isin(shown) & (cells["said"] != cells["shown"]) & (cells["captions"] > 0)]
        first = wrong.sort_values("captions", ascending=False, kind="stable").head(_MOST)
        rows = [(row["shown"], row["said"], _count(row["captions"])) for row in first.to_dict("records")]
        title = f"most frequent wrong values, {len(rows)} of {len(wrong)}"
        yield {"factor": factor, "title": title, "headings": ("shown", "said", "captions"), "rows": rows}


def _count(captions: float) -> str:
    whole = round(captions)
    return f"{whole:,}" if abs(captions - whole) < 1e-6 else f"{captions:,.1f}"
