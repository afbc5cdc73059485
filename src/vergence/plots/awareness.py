"""What a model sees of a concept against how often captions mention it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vergence.errors import ConfigError
from vergence.plots.directions import Layout
from vergence.plots.style import INK, MARKERS, MUTED, PALETTE, PAPER, RULE, settle, styled

_SIZE = {"wide": (8.2, 4.4), "narrow": (3.9, 4.6)}
_COLOURS = 6


def coverage_against_awareness(concepts: pd.DataFrame, *, layout: Layout = "wide") -> Figure:
    """A point for each concept, colours by group where there are six or fewer.

    Args:
        concepts: With the columns group, concept, share, f1.
        layout: "wide" or "narrow".

    Returns:
        The figure. Concepts that no caption mentions stand at the left edge, at half of the smallest share.

    Raises:
        ConfigError: If there is no concept.
    """
    if concepts.empty:
        raise ConfigError("there is no concept to draw")
    groups = list(dict.fromkeys(concepts["group"]))
    mentioned = concepts.loc[concepts["share"] > 0, "share"]
    least = mentioned.min() / 2 if len(mentioned) else 1e-6
    with styled():
        figure = Figure(figsize=_SIZE[layout], layout="constrained")
        axes = figure.add_subplot()
        for number, group in enumerate(groups):
            part = concepts[concepts["group"] == group]
            several = len(groups) <= _COLOURS
            axes.scatter(
                part["share"].clip(lower=least),
                part["f1"],
                s=22,
                color=PALETTE[number % len(PALETTE)] if several else PALETTE[0],
                marker=MARKERS[number % len(MARKERS)] if several else "o",
                alpha=0.85,
                label=group if several else None,
            )
        axes.set(xscale="log", xlabel="share of captions that mention it", ylabel="F1, names alone", ylim=(-0.03, 1.03))
        if len(groups) <= _COLOURS:
            axes.legend(loc="upper left", frameon=False)
    return figure


def awareness_by_coverage(
    table: pd.DataFrame,
    *,
    panels: Mapping[str, pd.Series],
    slopes: Mapping[str, float],
    score: str,
    layout: Layout = "wide",
) -> Figure:
    """Awareness of each value against how often captions mention it, with what was expected and the fitted slope.

    Args:
        table: A row for each value of each run: factor, coverage (share of captions), value, expected, ceiling.
        panels: By title, which rows it shows; panels without rows are left out.
        slopes: Score per tenfold coverage, by title: drawn through the middle of the points where it is known.
        score: What awareness is measured by.
        layout: "wide", or "narrow" with panels one below another.

    Returns:
        The figure: points are means over runs of a value at one coverage, dashes the ceilings, rings what
         was expected; a line has the slope.

    Raises:
        ConfigError: If there is nothing to draw.
    """
    shown = {title: table[rows] for title, rows in panels.items() if rows.any()}
    if not shown:
        raise ConfigError("there is no value to draw: the table has no row of these panels")
    columns = 1 if layout == "narrow" else min(3, len(shown))
    lines = -(-len(shown) // columns)
    width = _SIZE[layout][0]
    with styled():
        figure = Figure(figsize=(width, 2.5 * lines + 0.6), layout="constrained")
        for place, (title, rows) in enumerate(shown.items()):
            axes = figure.add_subplot(lines, columns, place + 1)
            points = rows.groupby(["factor", "coverage"])[["value", "expected", "ceiling"]].mean().reset_index()
            _measured(axes, points, slopes.get(title))
            axes.set_title(title)
            axes.set(xscale="log", ylim=(-0.04, 1.04), ylabel=score if place % columns == 0 else "")
            axes.set_xlabel("share of captions that mention it")
            axes.minorticks_off()
            axes.xaxis.set_major_formatter(lambda value, tick: f"{100 * value:.2g} %")
            axes.grid(color=RULE, linewidth=0.5)
            axes.set_axisbelow(True)
            axes.tick_params(length=2, color=MUTED)
        figure.legend(handles=_key(), loc="outside lower left", ncols=2 if layout == "narrow" else 4, frameon=False)
        settle(figure)
    return figure


def _measured(axes: Axes, points: pd.DataFrame, slope: float | None) -> None:
    x = points["coverage"]
    axes.plot(x, points["ceiling"], "_", color=MUTED, markersize=5, alpha=0.55, zorder=1)
    axes.plot(x, points["expected"], "o", color=PALETTE[1], markersize=4.5, mfc="none", mew=0.7, alpha=0.6, zorder=2)
    axes.plot(x, points["value"], "o", color=PALETTE[0], markersize=3.4, mec=PAPER, mew=0.3, alpha=0.9, zorder=3)
    known = points.dropna(subset=["coverage", "value"])
    if slope is not None and len(known):
        logs = np.log10(known["coverage"].to_numpy(float))
        ends = np.array([logs.min(), logs.max()])
        axes.plot(10**ends, known["value"].mean() + slope * (ends - logs.mean()), color=INK, linewidth=1.2, zorder=4)


def _key() -> list[Line2D]:
    look: dict[str, Any] = {"linestyle": "none"}
    return [
        Line2D([], [], marker="o", color=PALETTE[0], markersize=4, label="measured", **look),
        Line2D([], [], marker="o", color=PALETTE[1], mfc="none", markersize=5, label="expected", **look),
        Line2D([], [], marker="_", color=MUTED, markersize=6, label="ceiling: labels teach", **look),
        Line2D([], [], color=INK, linewidth=1.2, label="slope"),
    ]


def intervals_by_name(
    table: pd.DataFrame, *, series: str, names: Mapping[Any, str], label: str, layout: Layout = "wide"
) -> Figure:
    """Estimates with their intervals, one below another.

    Args:
        table: Columns name, value, low, high and the series'.
        series: Column whose values get colours and markers of their own.
        names: What those are called, in the order of the key.
        label: What is estimated, with its unit.
        layout: "wide" or "narrow".

    Raises:
        ConfigError: If there is no row.
    """
    if table.empty:
        raise ConfigError("there is no estimate to draw")
    order = list(dict.fromkeys(table["name"]))
    with styled():
        figure = Figure(figsize=(_SIZE[layout][0], 0.5 * len(order) + 1.1), layout="constrained")
        axes = figure.add_subplot()
        for number, (value, name) in enumerate(names.items()):
            rows = table[table[series] == value]
            y = np.array([order.index(one) for one in rows["name"]]) + 0.18 * (number - (len(names) - 1) / 2)
            sides = np.abs(rows[["low", "high"]].to_numpy(float).T - rows["value"].to_numpy(float))
            axes.errorbar(
                rows["value"], y, xerr=np.nan_to_num(sides), fmt=MARKERS[number], color=PALETTE[number], markersize=4.5,
                linewidth=1.2, label=name,
            )  # fmt: skip
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_yticks(range(len(order)), order)
        axes.set_ylim(len(order) - 0.5, -0.5)
        axes.set_xlabel(label)
        axes.grid(axis="x", color=RULE, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        figure.legend(loc="outside lower left", ncols=len(names), frameon=False)
        settle(figure)
    return figure
