"""What an audit with labels says of each factor: tables for a terminal, records for the page."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table

from vergence.corpus import BiasEstimate
from vergence.corpus.estimate import NOT_ASSESSABLE
from vergence.corpus.rates import NOT_DETERMINED
from vergence.reports.findings import percent
from vergence.terminal import grid, plain

RATES: Mapping[str, str] = {"selection": "mentioned in", "wrong_value": "wrong in", "rho": "redrawn (ρ)"}
"""What a reader is told for a column of `BiasEstimate.factors`."""

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


def factor_rows(estimate: BiasEstimate, forecast: pd.DataFrame) -> list[dict[str, Any]]:
    """What is said of each factor, in plain texts.

    Args:
        estimate: What captions omit and get wrong.
        forecast: What follows; as `vergence.corpus.forecast` gives it, in the order of the estimate.

    Returns:
        For each: factor, images, clusters, assessable, statement, reason, strength and its interval, and `rates`: a
        triple of value, interval and the reason where the value is "not determined", for what `RATES` names.
    """
    rows = []
    strengths = {row["factors"][0]: row for row in estimate.spectrum.drop_duplicates("factors").to_dict("records")}
    for row, said in zip(estimate.factors.to_dict("records"), forecast.to_dict("records"), strict=True):
        why = row["note"].removeprefix(f"{NOT_DETERMINED}: ")
        rates = []
        for name in RATES:
            known = not pd.isna(row[name])
            limits = f"{percent(row[f'{name}_low'])} to {percent(row[f'{name}_high'])}"
            # Limits of 0 and 1 beside a rate that is not determined say nothing.
            told = known or (row[f"{name}_low"], row[f"{name}_high"]) != (0, 1)
            rates.append(
                (percent(row[name]) if known else NOT_DETERMINED, limits if told else "", "" if known else why)
            )
        rows.append(
            {
                **{name: row[name] for name in ("factor", "images", "clusters")},
                "assessable": row["note"] != NOT_ASSESSABLE,
                "statement": said["statement"],
                "reason": said["reason"],
                "strength": _strength(strengths.get(row["factor"])),
                "rates": rates,
                "shares": _shares(row),
            }
        )
    return rows


def _strength(row: Mapping[Any, Any] | None) -> tuple[str, str]:
    """The strongest direction of a factor, and its interval; empty where there is none."""
    return ("", "") if row is None else (f"{row['strength']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}")


def _shares(row: Mapping[Any, Any]) -> tuple[float, float]:
    """The shares of captions that say the image's value and that say another one; in [0, 1], together at most 1."""
    said, wrong = (
        0.0 if pd.isna(row[name]) else min(max(row[name], 0.0), 1.0) for name in ("selection", "wrong_value")
    )
    return said * (1 - wrong), said * wrong


def factor_tables(estimate: BiasEstimate, forecast: pd.DataFrame) -> Iterator[RenderableType]:
    """Rates by factor for a terminal, and below each of them its forecast and why something is not determined."""
    headings = ("factor", "images", *RATES.values())
    rows = factor_rows(estimate, forecast)
    cells = [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in (headings, *cells)) for column in range(len(headings))]
    yield _aligned(headings, [], widths, title=f"Rates with {percent(estimate.level)} intervals, by factor")
    for row, line in zip(rows, cells, strict=True):
        yield _aligned(headings, [line], widths, show_header=False)
        sigma, limits = row["strength"]
        strength = f"strength {sigma} ({limits}), " if sigma else ""
        below = [f"{strength}{row['statement']}: {row['reason']}"] if row["assessable"] else [row["statement"]]
        reasons: dict[str, list[str]] = {}
        for name, (_, _, why) in zip(RATES.values(), row["rates"], strict=True):
            if why and row["assessable"]:
                reasons.setdefault(why, []).append(name)
        below += [
            f"{', '.join(names)} {NOT_DETERMINED}: {why}" for why, names in reasons.items() if why != row["reason"]
        ]
        yield from (Padding(plain(text), (0, 0, 0, 4)) for text in below)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if not row["assessable"]:
        return (row["factor"], "", "", "", "")
    rates = [f"{value} ({limits.replace(' %', '')})" if limits else value for value, limits, _ in row["rates"]]
    return (row["factor"], f"{row['images']:,}", *rates)


def _aligned(headings: tuple[str, ...], rows: list[tuple[str, ...]], widths: list[int], **options: Any) -> Table:
    table = grid(headings, rows, left=("factor", *RATES.values()), pad_edge=False, **options)
    for column, width in zip(table.columns, widths, strict=True):
        column.min_width = min(width, 24)
    return table


def said_tables(estimate: BiasEstimate) -> Iterator[RenderableType]:
    """What captions say by what images show, a table for each labelled factor with its title, for a terminal."""
    for table in said_by_shown_tables(estimate):
        yield plain(f"{table['factor']}: {table['title']}", style="italic")
        yield Padding(grid(table["headings"], table["rows"], pad_edge=False), (0, 0, 1, 0))


def said_by_shown_tables(estimate: BiasEstimate) -> Iterator[dict[str, Any]]:
    """Each factor's table as plain cells: whole, or where it has many values, the most frequent wrong ones, if any.

    Yields:
        factor, title, headings and rows.
    """
    for factor, cells in estimate.tables.groupby("factor", sort=False):
        shown = list(dict.fromkeys(cells["shown"]))
        if len(shown) <= _WIDEST:
            said = list(dict.fromkeys(cells["said"]))
            counts = cells["captions"].to_numpy().reshape(len(shown), -1)
            kept = [column for column, name in enumerate(said) if name in shown or counts[:, column].any()]
            headings = ("shown", *(said[column] for column in kept))
            rows = [(value, *map(_count, row[kept])) for value, row in zip(shown, counts, strict=True)]
            title = "captions by what the image shows (rows) and what is said (columns)"
            yield {"factor": factor, "title": title, "headings": headings, "rows": rows}
            continue
        wrong = cells[cells["said"].isin(shown) & (cells["said"] != cells["shown"]) & (cells["captions"] > 0)]
        first = wrong.sort_values("captions", ascending=False, kind="stable").head(_MOST)
        rows = [(row["shown"], row["said"], _count(row["captions"])) for row in first.to_dict("records")]
        title = f"most frequent wrong values, {len(rows)} of {len(wrong)}"
        if rows:
            yield {"factor": factor, "title": title, "headings": ("shown", "said", "captions"), "rows": rows}


def _count(captions: float) -> str:
    whole = round(captions)
    return f"{whole:,}" if abs(captions - whole) < 1e-6 else f"{captions:,.1f}"
