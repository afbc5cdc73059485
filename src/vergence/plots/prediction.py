"""Scores between floor and ceiling, caption by caption and over output sizes.

A filled mark with a bar is a measurement and its interval. The grey field goes from the floor, what an untrained
encoder scores, to the ceiling, what the labels themselves teach it. Each panel is one factor, so that the figure can be
set in one column for a narrow page.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from types import MappingProxyType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from vergence.checks import at_least
from vergence.errors import ConfigError
from vergence.plots.style import INK, MUTED, PAPER, RULE, SHADE, looks, quiet, settle, styled

_METRICS = MappingProxyType({"matthews_corrcoef": "Matthews correlation", "r2_score": "R²", "r2": "R²"})
_WIDE, _NARROW = 8.3, 3.9  # inches: 800 and 375 pixels of a page
_FLOOR, _CEILING = (0, (2, 2)), (0, ())  # dashed, and in one
_COLUMNS = ("captions", "factor", "metric", "value", "low", "high", "floor", "ceiling", "seed")


def between_floor_and_ceiling(scores: pd.DataFrame, *, n_columns: int = 4) -> Figure:
    """Draw each factor's score under all captions, between its floor and its ceiling.

    Args:
        scores: One row for each kind of captions, factor and seed, all at one output size: captions, factor, metric,
            value, low, high, floor, ceiling (NaN where unknown) and seed. The least seed is drawn with its interval,
            others as small marks.
        n_columns: Panels side by side; 1 suits a page 400 px wide, 4 one of 800 px.

    Returns:
        One panel for each factor, in the order of the table, captions from top to bottom.

    Raises:
        ConfigError: If the table is empty, lacks a column or repeats a row, or `n_columns` is below 1.

    Example:
        >>> row = {"captions": "omit", "factor": "skin_tone", "metric": "r2_score", "value": 0.2, "seed": 0}
        >>> ends = {"low": 0.1, "high": 0.3, "floor": 0.25, "ceiling": 0.87}
        >>> figure = between_floor_and_ceiling(pd.DataFrame([row | ends]))
        >>> figure.axes[0].get_title("left"), figure.axes[0].get_xlabel()
        ('skin tone', 'R²')
    """
    _require(scores, *_COLUMNS)
    if scores.duplicated(["captions", "factor", "seed"]).any():
        raise ConfigError("scores must have one row for each captions, factor and seed. Select one output size")
    captions, factors = _ordered(scores["captions"]), list(dict.fromkeys(scores["factor"]))
    first = scores["seed"].min()
    with styled():
        figure, panels = _panels(len(factors), n_columns, height=0.6 + 0.36 * len(captions))
        for position, (axes, factor) in enumerate(zip(panels, factors, strict=True)):
            rows = scores[scores["factor"] == factor]
            main = rows[rows["seed"] == first].set_index("captions")
            axes.set_title(_words(factor), pad=6)
            axes.set_xlim(*_limits(scores))
            axes.set_ylim(len(captions) - 0.4, -0.65)
            axes.set_xticks([tick for tick in (-1, -0.5, 0, 0.5, 1) if tick >= axes.get_xlim()[0]])
            axes.set_axisbelow(True)
            axes.set_yticks(range(len(captions)), captions if position % n_columns == 0 else [""] * len(captions))
            quiet(axes, "left", "bottom")
            ends = main[["floor", "ceiling"]].mean()
            if ends.notna().all():
                axes.axvspan(ends["floor"], ends["ceiling"], color=SHADE, zorder=0, linewidth=0)
            for end, style in (("floor", _FLOOR), ("ceiling", _CEILING)):
                if not np.isnan(ends[end]):
                    axes.axvline(ends[end], color=MUTED, linewidth=1.2, linestyle=style, zorder=1)
            for row, name in enumerate(captions):
                others = rows[(rows["captions"] == name) & (rows["seed"] != first)]["value"]
                if name in main.index:
                    _measurement(axes, row, main.loc[name], others, colour=looks(captions)[name][0])
            if position >= len(factors) - n_columns:
                axes.set_xlabel(_metric(rows["metric"].iloc[0]))
        _key(figure, several_seeds=scores["seed"].nunique() > 1)
        settle(figure)
    return figure


def score_by_size(scores: pd.DataFrame, *, n_columns: int = 4) -> Figure:
    """Draw each factor's score against the output size of the encoders, one line for each kind of captions.

    Args:
        scores: The columns of `between_floor_and_ceiling` with encoding_size (>= 1), one seed, one row for each
            captions, factor and size.
        n_columns: Panels side by side; 1 suits a page 400 px wide, 4 one of 800 px.

    Returns:
        One panel for each factor, in the order of the table; sizes on a logarithmic axis, where twice as many outputs
        are the same step everywhere.

    Raises:
        ConfigError: If the table is empty, lacks a column, or `n_columns` is below 1.
    """
    _require(scores, *_COLUMNS, "encoding_size")
    captions, factors = _ordered(scores["captions"]), list(dict.fromkeys(scores["factor"]))
    sizes = sorted({int(size) for size in scores["encoding_size"]})
    with styled():
        figure, panels = _panels(len(factors), n_columns, height=2.0)
        for position, (axes, factor) in enumerate(zip(panels, factors, strict=True)):
            rows = scores[scores["factor"] == factor]
            axes.set_title(_words(factor), pad=6)
            axes.set_xscale("log", base=2)
            axes.set_xlim(sizes[0] / 1.35, sizes[-1] * (9 if n_columns > 1 else 4))
            axes.set_ylim(_limits(scores)[0], 1.08)
            axes.set_xticks(_apart(sizes), [str(size) for size in _apart(sizes)])
            axes.set_xticks([], minor=True)
            axes.set_yticks([tick for tick in (-1, -0.5, 0, 0.5, 1) if tick >= axes.get_ylim()[0]])
            axes.grid(axis="y", color=RULE, linewidth=0.6)
            axes.set_axisbelow(True)
            quiet(axes, "left", "bottom")
            if position % n_columns == 0:
                axes.set_ylabel(_metric(rows["metric"].iloc[0]))
            if position >= len(factors) - n_columns:
                axes.set_xlabel("outputs")
            _ends(axes, rows)
            _lines(axes, rows, captions)
        _key(figure, several_seeds=False)
        settle(figure)
    return figure


def _measurement(axes: Axes, y: int, row: "pd.Series", others: "pd.Series", *, colour: str) -> None:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    if np.isnan(value):
        axes.text(sum(axes.get_xlim()) / 2, y, "not measured", color=MUTED, ha="center", va="center", fontsize=8)
        return
    if not np.isnan(low) and not np.isnan(high):
        axes.plot([low, high], [y, y], color=colour, linewidth=2.4, solid_capstyle="butt", zorder=3)
    # Other trainings lie a little below, so that no mark hides another.
    axes.plot(others, [y + 0.24] * len(others), marker="|", linestyle="none", color=colour, markersize=6, zorder=3)
    axes.plot(value, y, marker="o", markersize=6, color=colour, markeredgecolor=PAPER, markeredgewidth=0.8, zorder=4)
    number = axes.text(value, y - 0.24, _score(value), color=INK, ha="center", va="bottom", fontsize=8.5, zorder=5)
    number.set_path_effects([withStroke(linewidth=2.5, foreground=PAPER)])


def _ends(axes: Axes, rows: pd.DataFrame) -> None:
    """Floor and ceiling by size."""
    ends = rows.groupby("encoding_size")[["floor", "ceiling"]].mean()
    both = ends.dropna()
    axes.fill_between(both.index.astype(float), both["floor"], both["ceiling"], color=SHADE, zorder=0, linewidth=0)
    for name, style in (("floor", _FLOOR), ("ceiling", _CEILING)):
        known = ends[name].dropna()
        axes.plot(known.index.astype(float), known, color=MUTED, linewidth=1.2, linestyle=style, zorder=1)


def _lines(axes: Axes, rows: pd.DataFrame, captions: Sequence[str]) -> None:
    ends: list[tuple[float, float, str, str]] = []
    several = [name for name in captions if rows[rows["captions"] == name]["encoding_size"].nunique() > 1]
    for position, name in enumerate(several):
        line = rows[(rows["captions"] == name) & rows["value"].notna()].sort_values("encoding_size")
        if line.empty:
            continue
        colour, marker = looks(captions)[name]
        # A little apart, so that marks at the same size do not hide each other.
        sizes = line["encoding_size"].to_numpy(dtype=float) * 1.07 ** (position - (len(several) - 1) / 2)
        axes.vlines(sizes, line["low"], line["high"], color=colour, linewidth=1.8, zorder=3)
        axes.plot(
            sizes, line["value"], color=colour, marker=marker, markersize=5.5, linewidth=1.4,
            markeredgecolor=PAPER, markeredgewidth=0.8, zorder=4,
        )  # fmt: skip
        ends.append((float(line["value"].iloc[-1]), float(sizes[-1]), name, colour))
    for height, (value, size, name, colour) in zip(_spread([end[0] for end in ends]), ends, strict=True):
        axes.annotate(
            f"{name} {_score(value)}", (size, height), xytext=(6, 0), textcoords="offset points",
            color=colour, va="center", fontsize=8, fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def _apart(sizes: Sequence[int]) -> list[int]:
    """Sizes whose labels do not run into each other on a logarithmic axis."""
    shown: list[int] = []
    for size in sizes:
        if not shown or size >= 1.6 * shown[-1]:
            shown.append(size)
    return shown


def _spread(heights: Sequence[float], *, apart: float = 0.13) -> list[float]:
    """Move labels up and down just enough to stand clear of each other."""
    order = np.argsort(heights, kind="stable")
    placed = np.array(heights, dtype=float)
    for lower, upper in pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + apart)
    shift = (placed - np.array(heights)).mean() if len(placed) else 0.0
    return [float(height) for height in placed - shift]


def _panels(n: int, n_columns: int, *, height: float) -> tuple[Figure, list[Axes]]:
    at_least("n_columns", n_columns, 1)
    columns = min(n, n_columns)
    n_rows = ceil(n / columns)
    layout = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.06, wspace=0.06, hspace=0.04)
    figure = Figure(figsize=(_NARROW if columns == 1 else _WIDE, height * n_rows + 0.55), layout=layout)
    grid = figure.subplots(n_rows, columns, squeeze=False)
    for spare in grid.flat[n:]:
        spare.remove()
    return figure, list(grid.flat[:n])


def _key(figure: Figure, *, several_seeds: bool) -> None:
    marks: list[Line2D | Patch] = [
        Line2D([], [], color=INK, marker="o", linewidth=2.4, markersize=6, label="measured, 95 % interval"),
        Line2D([], [], color=MUTED, linewidth=1.2, linestyle=_FLOOR, label="floor: untrained"),
        Line2D([], [], color=MUTED, linewidth=1.2, linestyle=_CEILING, label="ceiling: trained on the labels"),
    ]
    if several_seeds:
        marks.insert(1, Line2D([], [], color=INK, marker="|", linestyle="none", label="other seeds"))
    narrow = figure.get_figwidth() < 5
    figure.legend(
        handles=marks, loc="outside upper left", ncols=1 if narrow else len(marks), frameon=False, fontsize=8,
        handlelength=1.8, columnspacing=1.4, borderpad=0.1,
    )  # fmt: skip


def _limits(scores: pd.DataFrame) -> tuple[float, float]:
    lowest = float(np.nanmin(np.append(scores[["value", "low", "floor"]].to_numpy(dtype=float), 0.0)))
    return max(-1.05, lowest - 0.06), 1.04


def _require(scores: pd.DataFrame, *columns: str) -> None:
    missing = [column for column in columns if column not in scores]
    if missing:
        raise ConfigError(f"scores must have the columns {', '.join(columns)}; missing: {', '.join(missing)}")
    if scores.empty:
        raise ConfigError("scores must have at least one row; got none: there is nothing to draw")


def _ordered(names: "pd.Series") -> list[str]:
    return list(dict.fromkeys(names))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _metric(name: str) -> str:
    return _METRICS.get(name, _words(name))


def _score(value: float) -> str:
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")
