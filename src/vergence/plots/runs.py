"""Whole runs as points: two measures of each, or what was predicted of a score against what it was."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vergence.errors import ConfigError
from vergence.plots.directions import Axis, Layout
from vergence.plots.style import INK, MARKERS, MUTED, PALETTE, PAPER, RULE, settle, styled

_WIDTH = {"wide": 8.2, "narrow": 3.9}
_NEEDED = ("expected", "value")


def runs_as_points(
    table: pd.DataFrame,
    *,
    x: Axis,
    panels: Sequence[Axis],
    series: str,
    names: Mapping[Any, str],
    joined: bool = False,
    ticks: Mapping[float, str] | None = None,
    layout: Layout = "wide",
) -> Figure:
    """A panel for each measure, a point for each run, colours by series.

    Args:
        table: A row for each run.
        x: Along the horizontal axis of every panel.
        panels: What stands along the vertical axes; its column `NAME_law` is drawn as a line, if there is one.
        series: Column whose values get colours and markers of their own.
        names: What those are called, in the order of the key.
        joined: Whether a line joins the means at each x.
        ticks: What is written along the horizontal axis at which places; numbers if `None`.
        layout: "wide", or "narrow" with panels one below another.

    Returns:
        The figure.

    Raises:
        ConfigError: If the table is empty or lacks a column.
    """
    _require(table, x.column, series, *(panel.column for panel in panels))
    n = len(panels)
    columns = 1 if layout == "narrow" else min(n, 3)
    lines = -(-n // columns)
    with styled():
        figure = Figure(figsize=(_WIDTH[layout], 2.5 * lines + 0.7), layout="constrained")
        for place, panel in enumerate(panels):
            axes = figure.add_subplot(lines, columns, place + 1)
            for number, value in enumerate(names):
                _points(axes, table[table[series] == value], x, panel, number, joined=joined)
            _axes(axes, x, panel)
            if ticks is not None:
                axes.set_xticks(list(ticks), list(ticks.values()), rotation=40, ha="right", rotation_mode="anchor")
            elif x.spacing == "log":
                places = sorted(table[x.column].unique())
                axes.set_xticks(places, [f"{place:g}" for place in places])
        handles = [
            Line2D([], [], color=_colour(k), marker=_marker(k), linestyle="none", markersize=5, label=name)
            for k, name in enumerate(names.values())
        ]
        if any(f"{panel.column}_law" in table for panel in panels):
            handles.append(Line2D([], [], color=MUTED, linestyle="--", linewidth=1.2, label="by the law"))
        figure.legend(handles=handles, loc="outside upper left", ncols=1 if layout == "narrow" else 4, frameon=False)
        settle(figure)
    return figure


def _points(axes: Axes, rows: pd.DataFrame, x: Axis, y: Axis, number: int, *, joined: bool) -> None:
    means = rows.groupby(x.column)
    if joined and len(rows):
        axes.plot(means[y.column].mean(), color=_colour(number), linewidth=1, alpha=0.6)
    if f"{y.column}_law" in rows and len(rows):
        axes.plot(means[f"{y.column}_law"].mean(), color=_colour(number), linewidth=1.2, linestyle="--", alpha=0.8)
    axes.plot(
        rows[x.column],
        rows[y.column],
        _marker(number),
        color=_colour(number),
        markersize=4.6,
        markeredgecolor=PAPER,
        markeredgewidth=0.5,
    )


def _axes(axes: Axes, x: Axis, y: Axis) -> None:
    for axis, name in ((x, "x"), (y, "y")):
        if axis.spacing != "linear":
            options = {"linthresh": 0.01, "linscale": 0.5} if axis.spacing == "symlog" else {}
            getattr(axes, f"set_{name}scale")(axis.spacing, **options)
            getattr(axes, f"{name}axis").set_major_formatter(lambda value, place: f"{value:g}")
            axes.minorticks_off()
        if axis.limits is not None:
            getattr(axes, f"set_{name}lim")(*axis.limits)
    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    axes.grid(color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(length=2, color=MUTED)


def predicted_against_measured(
    table: pd.DataFrame, *, series: str, names: Mapping[Any, str], score: str, layout: Layout = "wide"
) -> Figure:
    """Draw what was measured over what was expected, with the line on which both are equal.

    Args:
        table: Columns expected and value, and the series'; rows in which one is missing are left out.
        series: Column whose values get colours and markers of their own, such as the lever that was pulled.
        names: What those are called, in the order of the key.
        score: What both are, with their unit.
        layout: "wide" with a panel for each series beside that of all, "narrow" with all in one.

    Returns:
        The figure.

    Raises:
        ConfigError: If the table has no complete row or lacks a column.

    Example:
        >>> rows = pd.DataFrame({"expected": [0.0, 1.0], "value": [0.1, 0.9], "lever": ["omit", "size"]})
        >>> names = {"omit": "omitted", "size": "output size"}
        >>> len(predicted_against_measured(rows, series="lever", names=names, score="score").axes)
        3
    """
    _require(table, *_NEEDED, series)
    known = table.dropna(subset=list(_NEEDED))
    shown = {value: name for value, name in names.items() if (known[series] == value).any()}
    if not shown:
        raise ConfigError("the table must have a row with both expected and value; got none: there is nothing to draw")
    parts = {"All": known, **{name: known[known[series] == value] for value, name in shown.items()}}
    if layout == "narrow":
        parts = {"All": known}
    lowest = min(-0.15, float(known["value"].min()) - 0.05)  # less than the untrained encoder has
    columns = 1 if layout == "narrow" else min(4, len(parts))
    lines = -(-len(parts) // columns)
    with styled():
        figure = Figure(figsize=(_WIDTH[layout], (2.3 if columns > 1 else 3.6) * lines + 0.8), layout="constrained")
        for place, (title, rows) in enumerate(parts.items()):
            axes = figure.add_subplot(lines, columns, place + 1)
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, zorder=1)
            for number, value in enumerate(shown):
                own = rows[rows[series] == value]
                axes.plot(
                    own["expected"], own["value"], _marker(number), color=_colour(number), markersize=3.6,
                    markeredgecolor=PAPER, markeredgewidth=0.4, alpha=0.85, zorder=2,
                )  # fmt: skip
            _axes(axes, Axis(column="", label="expected"), Axis(column="", label="measured"))
            axes.set_title(f"{title}, n = {len(rows):,}", color=INK)
            axes.set_xlim(-0.05, 1.05)
            axes.set_ylim(lowest, max(1.05, float(known["value"].max()) + 0.05))
        handles = [
            Line2D([], [], color=_colour(k), marker=_marker(k), linestyle="none", markersize=5, label=name)
            for k, name in enumerate(shown.values())
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=2 if layout == "narrow" else 4, frameon=False)
        figure.supxlabel(score, color=MUTED, fontsize=8.5)
        settle(figure)
    return figure


def agreement(table: pd.DataFrame) -> tuple[float, float, int]:
    """Spearman's rank correlation of expected and measured, their mean distance, and how many there are.

    Args:
        table: Columns expected and value; incomplete rows are left out.

    Returns:
        The correlation is NaN if one of the two never changes.

    Example:
        >>> rho, distance, n = agreement(pd.DataFrame({"expected": [0.0, 0.5, 1.0], "value": [0.1, 0.4, 0.9]}))
        >>> round(rho, 3), round(distance, 3), n
        (1.0, 0.1, 3)
    """
    known = table.dropna(subset=list(_NEEDED))
    ranks = known[list(_NEEDED)].rank()
    still = len(known) < 2 or bool((ranks.nunique() < 2).any())
    rho = nan if still else float(np.corrcoef(ranks["expected"], ranks["value"])[0, 1])
    return rho, float((known["value"] - known["expected"]).abs().mean()), len(known)


def _require(table: pd.DataFrame, *columns: str) -> None:
    missing = [column for column in columns if column not in table]
    if missing or table.empty:
        raise ConfigError(
            f"the table must have rows and the columns {', '.join(columns)}; missing: {', '.join(missing) or 'rows'}"
        )


def _colour(number: int) -> str:
    return PALETTE[number % len(PALETTE)]


def _marker(number: int) -> str:
    return MARKERS[(number + number // len(PALETTE)) % len(MARKERS)]
