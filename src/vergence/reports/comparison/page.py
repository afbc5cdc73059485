"""What a comparison says: the finding in a sentence, tables for a page and a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from rich.table import Table

from vergence.plots.comparison import score_differences
from vergence.plots.style import svg
from vergence.probes.comparison import BETTER, WORSE, sure
from vergence.reports.page import Section, build_page, grid, picture, prose
from vergence.reports.words import metric_name, words
from vergence.terminal import grid as terminal_grid
from vergence.terminal import plain

DRAWN = 24
"""Scores in a figure."""
LISTED = 14
"""Scores on a terminal."""
_MOST_ROWS = 400
_NAMED = 4  # of what has fallen
_LONGEST = 44  # of a name on a terminal
_TITLES = MappingProxyType(
    {
        "factors": "Factors",
        "values": "Values of factors",
        "groups": "Groups of concepts",
        "concepts": "Concepts",
        "retrieval": "Retrieval",
        "alignment": "Alignment of images and texts",
        "spectrum": "Strengths of the spectrum",
    }
)
_HEADINGS = ("before", "after", "difference", "95 % interval", "floor", "ceiling", "differing", "adjusted p")
_READING = (
    "A score is better or worse where its 95 % interval excludes 0; beyond chance, where it does so after allowing for "
    "all scores that are looked at (Holm)."
)
_STYLES = MappingProxyType({BETTER: "green", WORSE: "red"})


@dataclass(frozen=True, eq=False)
class Comparison:
    """One AFTER compared with BEFORE.

    Args:
        after: Its path.
        table: Of `judged`.
        shared: By what it is of, how many both have, only the one, only the other.
        notes: What a reader must know, a line each.
        finding: In a sentence.
        fallen: What is worse by more than is allowed; nothing where nothing was asked.
    """

    after: str
    table: pd.DataFrame
    shared: Mapping[str, tuple[int, int, int]]
    notes: tuple[str, ...]
    finding: str
    fallen: pd.DataFrame


def label(row: Mapping[Any, Any]) -> str:
    """What a score is called.

    Example:
        >>> label({"group": "color", "name": "red", "metric": "f1"})
        'red (color), F1'
    """
    group = f" ({words(str(row['group']))})" if row["group"] else ""
    metric = "F1" if row["metric"] == "f1" else metric_name(str(row["metric"]))
    return f"{words(str(row['name']))}{group}, {metric}"


def finding(table: pd.DataFrame, after: str) -> str:
    """How many scores are better and worse beyond chance, and the largest of each, in a sentence or two."""
    n = int((table["judged"] & table["p"].notna()).sum())
    down, up = sure(table, "worse"), sure(table, "better")
    if (table["difference"] == 0).all():
        return f"{after} differs in none of {len(table)} scores"
    if not n:
        return f"{after}: {len(table)} differences without intervals, so that none can be judged"
    if down.empty and up.empty:
        alone = int((table["verdict"] != "open").sum())
        further = f"; {alone} intervals exclude 0 by themselves, as some of so many would by chance" if alone else ""
        return f"{after} is neither better nor worse in any of {n} scores, beyond chance{further}"
    counts = [f"{word} in {len(part)}" for word, part in ((WORSE, down), (BETTER, up)) if len(part)]
    said = [f"{after} is {' and '.join(counts)} of {n} scores, beyond chance"]
    for direction, part in (("worst", down), ("best", up)):
        if len(part):
            said.append(f"{direction}: {_change(part.iloc[0].to_dict())}")
    return "; ".join(said)


def page(before: str, done: Sequence[Comparison], *, limit: float | None, about: Mapping[str, object]) -> str:
    """The page: the finding of the first AFTER, then each one's scores.

    Args:
        before: What all are compared with.
        done: The comparisons.
        limit: By how much a score may be worse; `None` if that was not asked.
        about: How it was made.
    """
    lede = [f"Compared with {before}.", _READING]
    if limit is not None:
        lede += [_limit_said(one, limit) for one in done]
    lede += [f"{one.finding}." for one in done[1:]]
    several = len(done) > 1
    return build_page(
        kicker="vergence compare",
        headline=done[0].finding,
        lede=" ".join(lede),
        claims=[],
        sections=list(chain.from_iterable(_sections(one, named=several) for one in done)),
        about=about,
        notes=list(dict.fromkeys(chain.from_iterable(one.notes for one in done))),
    )


def _limit_said(one: Comparison, limit: float) -> str:
    if one.fallen.empty:
        return f"No score of {one.after} is worse by more than {limit:g} beyond chance."
    named = "; ".join(label(row) for row in one.fallen.head(_NAMED).to_dict("records"))
    more = "; …" if len(one.fallen) > _NAMED else ""
    return f"Worse by more than {limit:g} in {len(one.fallen)} scores of {one.after}: {named}{more}."


def shared_said(shared: Mapping[str, tuple[int, int, int]]) -> list[str]:
    """What both have, and what only one has."""
    return [
        f"{both:,} {what} are in both, {only_before:,} only before, {only_after:,} only after"
        for what, (both, only_before, only_after) in shared.items()
    ]


def terminal(one: Comparison) -> Table:
    """The scores that differ most, for a terminal: what is beyond chance first."""
    order = _ordered(one.table).head(LISTED)
    rows = []
    for row in order.to_dict("records"):
        style = _STYLES.get(row["verdict"], "")
        said = row["verdict"] if row["verdict"] == "open" or _beyond(row) else f"{row['verdict']}, alone"
        name = label(row)
        name = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
        cells = (name, _number(row["before"]), _number(row["after"]), _signed(row["difference"]), _interval(row))
        rows.append((*cells, plain(said, style=style)))
    title = f"{len(order)} of {len(one.table)} scores, the largest differences first"
    headings = ("score", "before", "after", "change", "95 % interval", "")
    return terminal_grid(headings, rows, title=title, left=("score", ""))


def _sections(one: Comparison, *, named: bool) -> list[Section]:
    prefix = f"{one.after}: " if named else ""
    lines = [f"{line}." for line in shared_said(one.shared)]
    changed = one.table[one.table["difference"] != 0]
    drawn = _ordered(changed if len(changed) else one.table).head(DRAWN)
    drawn = drawn.assign(label=[label(row) for row in drawn.to_dict("records")])
    caption = f"The {len(drawn)} largest differences of {len(one.table)} scores, those beyond chance first."
    wide, narrow = (svg(score_differences(drawn, layout=layout)) for layout in ("wide", "narrow"))
    body = (prose(*lines) if lines else Markup("")) + picture(wide, narrow, caption=caption)
    sections = [Section(f"{prefix}What changed", body)]
    for name, title in _TITLES.items():
        part = one.table[one.table["section"] == name]
        if len(part):
            sections.append(Section(f"{prefix}{title}", _scores(part, title)))
    return sections


def _scores(part: pd.DataFrame, title: str) -> Markup:
    floors = [one for one in dict.fromkeys(part["floor_is"]) if one]
    lower = [metric_name(one) for one in dict.fromkeys(part.loc[part["better"] == "lower", "metric"])]
    said = [f"Floor: {', '.join(floors)}."] if floors else []
    said += [f"Of {', '.join(lower)}, less is better."] if lower else []
    over = [one for one in dict.fromkeys(part["paired"]) if one]
    said.append(f"Paired over {', '.join(over)}." if over else "Not paired.")
    rows = [
        (
            label(row),
            row["verdict"] + (", beyond chance" if _beyond(row) else ""),
            _with_ends(row, "before"),
            _with_ends(row, "after"),
            _signed(row["difference"]),
            _interval(row).replace(" ", "\N{NO-BREAK SPACE}"),
            _number(row["floor"]),
            _number(row["ceiling"]),
            _of(row),
            _p(row["p_holm"]),
        )
        for row in part.head(_MOST_ROWS).to_dict("records")
    ]
    if len(part) > _MOST_ROWS:
        said.append(f"The first {_MOST_ROWS} of {len(part):,} scores; all are in compare.parquet.")
    return prose(" ".join(said)) + grid(("score", "verdict", *_HEADINGS), rows, label=title, numbers=_HEADINGS)


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """What is beyond chance first, then by size; what is not judged last."""
    beyond = ((table["p_holm"] < 0.05) & (table["verdict"] != "open")).to_numpy()
    size = table["difference"].abs().to_numpy(dtype=float)
    order = np.lexsort((-size, ~table["judged"].to_numpy(dtype=bool), ~beyond))
    return table.iloc[order]


def _beyond(row: Mapping[Any, Any]) -> bool:
    return bool(row["verdict"] != "open" and row["p_holm"] < 0.05)


def _change(row: Mapping[Any, Any]) -> str:
    return (
        f"{label(row)} {_number(row['before'])} → {_number(row['after'])} "
        f"({_signed(row['difference'])} {_interval(row)})"
    )


def _number(value: float) -> str:
    """Three digits, with a minus that is one; a dash where it is not known."""
    if not isfinite(value):
        return "–"
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")


def _signed(value: float) -> str:
    text = _number(value)
    return f"+{text}" if isfinite(value) and value > 0 else text


def _interval(row: Mapping[Any, Any]) -> str:
    return f"[{_signed(row['low'])}, {_signed(row['high'])}]" if isfinite(row["low"] + row["high"]) else "–"


def _with_ends(row: Mapping[Any, Any], side: str) -> Markup:
    ends = [row[f"{side}_low"], row[f"{side}_high"]]
    value = _number(row[side])
    if not all(map(isfinite, ends)):
        return Markup("{}").format(value)
    return Markup('{} <small class="interval">{} to {}</small>').format(value, *map(_number, ends))


def _of(row: Mapping[Any, Any]) -> str:
    if not isfinite(row["n"]):
        return "–"
    return f"{row['n']:,.0f}" if not isfinite(row["differing"]) else f"{row['differing']:,.0f} of {row['n']:,.0f}"


def _p(value: float) -> str:
    return "–" if not isfinite(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
