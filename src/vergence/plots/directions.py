"""What is measured of each direction of a spectrum beside what a law says of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from vergence.plots.style import INK, MARKERS, MUTED, PALETTE, PAPER, RULE, settle, styled

_WIDTH = {"wide": 8.0, "narrow": 3.6}
_SCALE = LinearSegmentedColormap.from_list("presence", [PAPER, PALETTE[0]])

Layout = Literal["wide", "narrow"]
_RING = "held, says theory; small: in part"


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What stands along an axis.

    Args:
        column: Of the table.
        label: What it is, with its unit.
        spacing: "linear", "log", or "symlog" (linear below a hundredth).
        limits: Its ends; those of the data if `None`.
    """

    column: str
    label: str
    spacing: Literal["linear", "log", "symlog"] = "linear"
    limits: tuple[float, float] | None = None


def measured_beside_law(
    table: pd.DataFrame,
    *,
    x: Axis,
    y: Axis,
    panels: Mapping[str, pd.Series],
    series: str,
    names: Mapping[Any, str],
    law: str = "expected",
    layout: Layout = "wide",
) -> Figure:
    """Points for what was measured, a line of the same colour for the law, a panel for each part of the table.

    Args:
        table: A row per measurement.
        x: Along the horizontal axis.
        y: Along the vertical one; the law is drawn on it too.
        panels: By title, which rows it shows; panels without rows are left out.
        series: Column whose values get colours and markers of their own.
        names: What those are called, in the order of the key.
        law: Column with what the law says; not drawn where it is missing.
        layout: "wide" or "narrow".

    Returns:
        The figure.
    """

    def draw(axis: Axes, rows: pd.DataFrame) -> None:
        for place, value in enumerate(names):
            part = rows[rows[series] == value].sort_values(x.column)
            colour = PALETTE[place % len(PALETTE)]
            known = part.dropna(subset=[law]).groupby(x.column)[law].mean()
            axis.plot(known.index, known.to_numpy(), color=colour, linewidth=1.2, alpha=0.7, zorder=1)
            look: dict[str, Any] = {"color": colour, "markersize": 4, "mec": PAPER, "mew": 0.4}
            guide = ":" if known.empty else ""  # without a law the eye needs one
            axis.plot(part[x.column], part[y.column], _marker(place) + guide, linewidth=0.8, zorder=2, **look)
        _scale(axis, x, y)

    handles = [_handle(place, name) for place, name in enumerate(names.values())]
    return _drawn(table, panels, draw, handles, layout=layout, height=2.5)


def held_by_size(
    table: pd.DataFrame, *, panels: Mapping[str, pd.Series], value: str, label: str, layout: Layout = "wide"
) -> Figure:
    """A square for every direction and output size: the darker, the more is read; a ring where the law has it held.

    Args:
        table: Columns factor, strength, output_size, expected and the value, in [0, 1].
        panels: By title, which rows it shows.
        value: Column of the colour; means over seeds are drawn.
        label: What it is.
        layout: "wide" or "narrow".

    Returns:
        The figure.
    """
    handles = [
        Line2D([], [], marker="s", linestyle="", markersize=9, color=_SCALE(1.0), label=f"{label} 1; white 0"),
        Line2D([], [], marker="o", linestyle="", markersize=5, mfc="none", mec=INK, label=_RING),
    ]
    return _drawn(table, panels, partial(_squares, value=value), handles, layout=layout, height=2.4)


def _drawn(
    table: pd.DataFrame,
    panels: Mapping[str, pd.Series],
    draw: Callable[[Axes, pd.DataFrame], None],
    handles: list[Line2D],
    *,
    layout: Layout,
    height: float,
) -> Figure:
    """A panel for each title that has rows, and the key below."""
    shown = {title: table[rows] for title, rows in panels.items() if rows.any()}
    with styled():
        figure, axes = _panels(len(shown), layout, height=height)
        for axis, (title, rows) in zip(axes, shown.items(), strict=False):
            axis.set_title(title)
            draw(axis, rows)
        _key(figure, handles, layout)
        settle(figure)
    return figure


def _squares(axes: Axes, rows: pd.DataFrame, *, value: str) -> None:
    means = rows.groupby(["factor", "output_size"]).agg({value: "mean", "expected": "mean", "strength": "mean"})
    strengths = means["strength"].groupby("factor").mean()
    order = sorted(strengths.index, key=lambda name: (len(name), name))
    sizes = sorted(rows["output_size"].unique())
    for row in means.reset_index().to_dict("records"):
        at = (sizes.index(row["output_size"]), order.index(row["factor"]))
        shade = float(np.clip(row[value], 0, 1))
        axes.scatter(*at, marker="s", s=150, color=_SCALE(shade), edgecolors=RULE, linewidths=0.5)
        if row["expected"] > 0:
            ink = PAPER if shade > 0.6 else INK
            axes.scatter(*at, marker="o", s=30 * row["expected"], facecolors="none", edgecolors=ink, linewidths=1)
    axes.set_xticks(range(len(sizes)), [f"{size:g}" for size in sizes])
    axes.set_yticks(range(len(order)), [f"σ = {strengths[name]:.2f}" for name in order])
    axes.set_xlim(-0.6, len(sizes) - 0.4)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlabel("outputs")
    axes.tick_params(length=0)


def _handle(place: int, name: str) -> Line2D:
    colour = PALETTE[place % len(PALETTE)]
    return Line2D([], [], color=colour, marker=_marker(place), label=name, markersize=4, linewidth=1.2)


def _marker(place: int) -> str:
    """Another one where colours come again."""
    return MARKERS[(place + place // len(PALETTE)) % len(MARKERS)]


def _panels(n: int, layout: Layout, *, height: float) -> tuple[Figure, list[Axes]]:
    columns = 1 if layout == "narrow" else min(2, max(1, n))
    lines = -(-max(1, n) // columns)
    figure = Figure(figsize=(_WIDTH[layout], height * lines + 0.6), layout="constrained")
    axes = [figure.add_subplot(lines, columns, place + 1) for place in range(n)]
    return figure, axes


def _scale(axes: Axes, x: Axis, y: Axis) -> None:
    for axis, name in ((x, "x"), (y, "y")):
        if axis.spacing != "linear":
            options = {"linthresh": 0.01, "linscale": 0.5} if axis.spacing == "symlog" else {}
            getattr(axes, f"set_{name}scale")(axis.spacing, **options)
            ticks = getattr(axes, f"{name}axis")
            ticks.set_major_formatter(lambda value, place: f"{value:g}")  # mathematics is not parsed
            ticks.set_minor_formatter(NullFormatter())
        if axis.limits is not None:
            getattr(axes, f"set_{name}lim")(*axis.limits)
        getattr(axes, f"set_{name}label")(axis.label)
    axes.grid(color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(color=MUTED)


def _key(figure: Figure, handles: list[Line2D], layout: Layout) -> None:
    columns = 1 if layout == "narrow" else min(4, len(handles))
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, frameon=False)
