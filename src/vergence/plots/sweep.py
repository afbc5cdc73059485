"""Scores over a sweep: what was measured of each kind of variable, and beside it the bounds that were predicted."""

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from vergence.errors import ConfigError
from vergence.plots.style import MARKERS, MUTED, PALETTE, PAPER, RULE, quiet, styled

Spacing = Literal["linear", "log", "names"]
Layout = Literal["wide", "narrow"]

KINDS = ("unbiased", "perturbed", "omitted", "private")  # drawn in this order, and after them any others
_WORDS = {
    "unbiased": "named rightly (unbiased)",
    "perturbed": "named wrongly at times (perturbed)",
    "omitted": "never named (omitted)",
    "private": "only in the image (private)",
}
_NEEDED = ("kind", "seed", "value", "predicted_low", "predicted_high", "expected")
_APART = 6.0  # points between kinds at one setting
_BESIDE = 2.6  # points from a measurement to its prediction
_OPEN = 1e-9


def scores_over_sweep(
    table: pd.DataFrame,
    *,
    over: str,
    label: str,
    panels: str,
    titles: Mapping[Any, str],
    score: str,
    spacing: Spacing = "linear",
    layout: Layout = "wide",
) -> Figure:
    """Draw mean scores of each kind against a setting, with their range over seeds and the predicted bounds beside.

    Args:
        table: Columns kind, seed, value, predicted_low, predicted_high, expected, the swept setting and what tells
            panels apart.
        over: Column of the swept setting.
        label: What to write at its axis.
        panels: Column that tells panels apart.
        titles: Title of each panel by that column's value, in order.
        score: What the scores are, with their unit.
        spacing: How settings are placed: by their value, by its logarithm, or one after another where they are names.
        layout: About 800 pixels with panels side by side, or 400 with panels one below another.

    Returns:
        One panel for each title. Kinds stand beside each other at every setting, so that none hides another; bounds
        that exclude nothing are not drawn.

    Raises:
        ConfigError: If the table is empty or lacks a column.
    """
    missing = [name for name in (*_NEEDED, over, panels) if name not in table]
    if table.empty or missing or not titles:
        raise ConfigError(
            f"table needs rows and the columns {', '.join((*_NEEDED, over, panels))}; "
            f"missing: {', '.join(missing) or 'rows'}"
        )
    found = set(table["kind"])
    known = [kind for kind in KINDS if kind in found]
    others = sorted(found - set(KINDS))
    # The four kinds look the same in every figure.
    looks = {kind: (KINDS.index(kind) if kind in KINDS else number) for number, kind in enumerate([*known, *others])}
    settings = list(dict.fromkeys(table[over] if spacing == "names" else sorted(table[over])))
    place = {value: at if spacing == "names" else value for at, value in enumerate(settings)}
    n = len(titles)
    with styled():
        size = (8.3, 3.5) if layout == "wide" else (4.1, 0.9 + 2.9 * n)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(*((1, n) if layout == "wide" else (n, 1)), squeeze=False, sharey=True, sharex=True)
        for axes, (value, title) in zip(grid.flat, titles.items(), strict=True):
            _frame(axes, title)
            part = table[table[panels] == value]
            for position, (kind, number) in enumerate(looks.items()):
                rows = part[part["kind"] == kind]
                offset = _APART * (position - (len(looks) - 1) / 2)
                if len(rows):
                    _draw(axes, rows, over=over, place=place, number=number, offset=offset, joined=spacing != "names")
        for axes in grid[-1] if layout == "wide" else grid[-1:, 0]:
            axes.set_xlabel(label)
        for axes in grid.flat:
            _ticks(axes, settings, spacing, crowded=layout == "narrow" or n > 2)
        for axes in grid[:, 0]:
            axes.set_ylabel(score)
        handles = [_handle(number, _WORDS.get(kind, kind)) for kind, number in looks.items()]
        if table[["predicted_low", "predicted_high"]].notna().any(axis=None):
            bar = Line2D([], [], color=MUTED, alpha=0.45, linewidth=5, solid_capstyle="butt", label="predicted")
            handles.append(bar)
        if _expectations(table).any():
            handles.append(Line2D([], [], color=MUTED, marker="_", linestyle="none", markersize=7, label="expected"))
        n_columns = min(len(handles), 3) if layout == "wide" else 1
        figure.legend(handles=handles, loc="outside upper left", ncols=n_columns, frameon=False)
    return figure


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_ylim(-0.08, 1.08)
    quiet(axes, "left")
    axes.tick_params(labelbottom=True)


def _draw(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    over: str,
    place: Mapping[Any, float],
    number: int,
    offset: float,
    joined: bool,
) -> None:
    """Means and ranges of one kind, moved a little aside, and its predicted bounds beside them."""
    colour = PALETTE[number % len(PALETTE)]
    figure = axes.get_figure()
    assert figure is not None

    def moved(points: float) -> Any:
        return axes.transData + ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)

    by_seed = rows.groupby([over, "seed"])["value"].mean().unstack()
    at = np.array([place[setting] for setting in by_seed.index], dtype=float)
    here = moved(offset - _BESIDE / 2)
    axes.vlines(at, by_seed.min(axis=1), by_seed.max(axis=1), color=colour, linewidth=1.1, transform=here)
    axes.plot(at, by_seed.mean(axis=1), color=colour, linewidth=0.7 if joined else 0, alpha=0.55, transform=here)
    axes.plot(
        at,
        by_seed.mean(axis=1),
        color=colour,
        marker=MARKERS[number % len(MARKERS)],
        linestyle="none",
        markersize=4.4,
        markeredgecolor=PAPER,
        markeredgewidth=0.5,
        transform=here,
    )
    expected = rows[_expectations(rows)].groupby(over)["expected"].mean()
    bounds = rows.groupby(over)[["predicted_low", "predicted_high"]].mean().dropna()
    bounds = bounds[(bounds["predicted_low"] > _OPEN) | (bounds["predicted_high"] < 1 - _OPEN)]
    beside = moved(offset + _BESIDE)
    for setting, low, high in bounds.itertuples():
        ends = [max(low - 0.008, -0.08), min(high + 0.008, 1.08)]  # a number is seen as a short bar
        axes.plot(
            [place[setting]] * 2,
            ends,
            color=colour,
            alpha=0.4,
            linewidth=4,
            solid_capstyle="butt",
            transform=beside,
        )
    where = [place[setting] for setting in expected.index]
    dash: dict[str, Any] = {"marker": "_", "linestyle": "none", "markersize": 6, "markeredgewidth": 1.4}
    axes.plot(where, expected, color=colour, transform=beside, **dash)
    low, high = min(place.values()), max(place.values())
    axes.update_datalim(np.array([[low, 0.0], [high, 1.0]]))


def _ticks(axes: Axes, settings: list[Any], spacing: Spacing, *, crowded: bool) -> None:
    if spacing == "names":
        axes.set_xticks(range(len(settings)), [_on_lines(name) for name in settings])
        axes.set_xlim(-0.5, len(settings) - 0.5)
        return
    if spacing == "log":
        axes.set_xscale("log")
        low, high = min(settings), max(settings)
        axes.set_xlim(low / 1.5, high * 1.5)
    else:
        low, high = min(settings), max(settings)
        room = 0.07 * ((high - low) or 1)
        axes.set_xlim(low - room, high + room)
    shown = _spread(settings, spacing, 6 if crowded else 11)
    axes.set_xticks(shown, [f"{value:g}" for value in shown])
    axes.minorticks_off()
    axes.tick_params(axis="x", length=2.5)


def _spread(settings: list[Any], spacing: Spacing, most: int) -> list[Any]:
    """Settings to write at the axis: the first, and every further one that leaves the one before it room."""
    where = np.log(settings) if spacing == "log" else np.asarray(settings, dtype=float)
    least = (where[-1] - where[0]) / most
    shown = [0]
    for number in range(1, len(settings)):
        if where[number] - where[shown[-1]] >= least - 1e-9:
            shown.append(number)
    return [settings[number] for number in shown]


def _expectations(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows have an expected value that their bounds do not say already."""
    return rows["expected"].notna() & rows["predicted_low"].ne(rows["predicted_high"])


def _handle(number: int, label: str) -> Line2D:
    colour = PALETTE[number % len(PALETTE)]
    return Line2D([], [], color=colour, marker=MARKERS[number % len(MARKERS)], markersize=5, linewidth=1, label=label)


def _on_lines(name: object) -> str:
    """A name broken at a space or underscore near its middle, so that long ones fit beside each other."""
    words = re.findall(r"[^ _]+[ _]*", str(name))
    half = (len(words) + 1) // 2
    return "\n".join("".join(part).rstrip(" _").replace("_", " ") for part in (words[:half], words[half:]) if part)
