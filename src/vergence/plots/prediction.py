"""Measured scores beside what theory predicts, policy by policy and over output sizes.

A filled mark with a bar is a measurement and its interval, an open diamond a prediction, and a shaded field a place
where theory is silent. Each panel is one factor, so that the figure can be set in one column for a narrow page.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, isnan
from types import MappingProxyType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vergence.checks import at_least
from vergence.errors import ConfigError
from vergence.plots.style import INK, MUTED, PAPER, RULE, SHADE, looks, quiet, settle, styled

_METRICS = MappingProxyType({"matthews_corrcoef": "Matthews correlation", "r2_score": "R²"})


def measured_against_predicted(scores: pd.DataFrame, *, n_columns: int = 4) -> Figure:
    """Draw each factor's score under every policy, with its interval and its prediction.

    Args:
        scores: One row for each policy and factor: policy, factor, metric, value, low, high, and predicted, NaN where
            theory is silent. Scores in [-1, 1]; a row without a value is drawn empty.
        n_columns: Panels side by side; 1 suits a page 400 px wide, 4 one of 1000 px.

    Returns:
        One panel for each factor, in the order of the table, policies from top to bottom.

    Raises:
        ConfigError: If the table is empty, lacks a column or repeats a row, or `n_columns` is below 1.

    Example:
        >>> import pandas as pd
        >>> row = {"policy": "omit", "factor": "skin_tone", "metric": "matthews_corrcoef", "predicted": float("nan")}
        >>> figure = measured_against_predicted(pd.DataFrame([row | {"value": 0.2, "low": 0.1, "high": 0.3}]))
        >>> figure.axes[0].get_title("left")
        'skin tone'
    """
    _require(scores, "policy", "factor", "metric", "value", "low", "high", "predicted")
    if scores.duplicated(["policy", "factor"]).any():
        raise ConfigError("scores must have one row for each policy and factor; got several. Select one output size")
    policies, factors = list(dict.fromkeys(scores["policy"])), list(dict.fromkeys(scores["factor"]))
    with styled():
        figure, panels = _panels(len(factors), n_columns, height=0.55 + 0.42 * len(policies))
        for position, (axes, factor) in enumerate(zip(panels, factors, strict=True)):
            rows = scores[scores["factor"] == factor].set_index("policy")
            axes.set_title(_words(factor), pad=6)
            axes.set_xlim(*_limits(scores))
            axes.set_ylim(len(policies) - 0.4, -0.6)
            axes.set_xticks([tick for tick in (-1, -0.5, 0, 0.5, 1) if tick >= axes.get_xlim()[0]])
            axes.grid(axis="x", color=RULE, linewidth=0.6)
            axes.set_axisbelow(True)
            axes.set_yticks(range(len(policies)), policies if position % n_columns == 0 else [""] * len(policies))
            quiet(axes, "left", "bottom")
            for row, policy in enumerate(policies):
                if policy in rows.index:
                    _measurement(axes, row, rows.loc[policy], colour=looks(policies)[policy][0])
            if position >= len(factors) - n_columns:
                axes.set_xlabel(_metric(rows["metric"].iloc[0]))
        _key(figure, silent=bool(scores["predicted"].isna().any()))
        settle(figure)
    return figure


def score_by_size(scores: pd.DataFrame, *, n_columns: int = 4) -> Figure:
    """Draw each factor's score against the output size of the encoders, one line for each policy.

    A triangle on the axis marks the size of a policy's unbiased block, the size of which theory speaks. Of a factor
    outside that block it says nothing at larger sizes: that field is shaded.

    Args:
        scores: The columns of `measured_against_predicted` with encoding_size (>= 1) and n_unbiased, one row for each
            policy, factor and size.
        n_columns: Panels side by side; 1 suits a page 400 px wide, 4 one of 1000 px.

    Returns:
        One panel for each factor, in the order of the table; sizes on a logarithmic axis.

    Raises:
        ConfigError: If the table is empty, lacks a column, or `n_columns` is below 1.
    """
    _require(scores, "policy", "factor", "metric", "value", "low", "high", "predicted", "encoding_size", "n_unbiased")
    policies, factors = list(dict.fromkeys(scores["policy"])), list(dict.fromkeys(scores["factor"]))
    sizes = sorted({int(size) for size in scores["encoding_size"]})
    with styled():
        figure, panels = _panels(len(factors), n_columns, height=2.15)
        for position, (axes, factor) in enumerate(zip(panels, factors, strict=True)):
            rows = scores[scores["factor"] == factor]
            axes.set_title(_words(factor), pad=6)
            axes.set_xscale("log", base=2)
            axes.set_xlim(sizes[0] / 1.35, sizes[-1] * 8)
            axes.set_ylim(_limits(scores)[0], 1.12)
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.set_xticks([], minor=True)
            axes.set_yticks([tick for tick in (-1, -0.5, 0, 0.5, 1) if tick >= axes.get_ylim()[0]])
            axes.grid(axis="y", color=RULE, linewidth=0.6)
            axes.set_axisbelow(True)
            quiet(axes, "left", "bottom")
            axes.tick_params(axis="x", pad=8)  # room for the triangles
            if position % n_columns == 0:
                axes.set_ylabel(_metric(rows["metric"].iloc[0]))
            else:
                axes.tick_params(labelleft=False)
            if position >= len(factors) - n_columns:
                axes.set_xlabel("outputs of each encoder")
            _silence(axes, rows)
            _lines(axes, rows, policies)
        _key(figure, silent=bool(scores["predicted"].isna().any()), block=True)
        settle(figure)
    return figure


def _measurement(axes: Axes, row: int, record: pd.Series, *, colour: str) -> None:
    value, low, high, predicted = (float(record[key]) for key in ("value", "low", "high", "predicted"))
    left, right = axes.get_xlim()
    if isnan(value):
        axes.text(0, row, "not measured", color=MUTED, va="center", style="italic", fontsize=7.5)
        return
    if isnan(predicted):
        axes.barh(row, right - left, left=left, height=0.84, color=SHADE, zorder=0.5)
        ends = [end for end in (low, value, high) if not isnan(end)]
        free_left, free_right = min(ends) - left, right - max(ends)
        at, side = (right - 0.03, "right") if free_right > free_left else (left + 0.03, "left")
        if max(free_left, free_right) > 0.38 * (right - left):  # otherwise the shade alone has to say it
            axes.text(at, row, "theory is silent", color=MUTED, ha=side, va="center", style="italic", fontsize=7.5)
    else:
        axes.plot([value, predicted], [row, row], color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        axes.plot(predicted, row, marker="D", markersize=6, markerfacecolor=PAPER, markeredgecolor=INK, zorder=2)
    if not isnan(low) and not isnan(high):
        axes.plot([low, high], [row, row], color=colour, linewidth=2.4, solid_capstyle="butt", zorder=3)
    axes.plot(
        value, row, marker="o", markersize=6.5, color=colour, markeredgecolor=PAPER, markeredgewidth=0.8, zorder=4
    )
    axes.text(value, row - 0.26, _score(value), color=INK, ha="center", va="bottom", fontsize=8.5, zorder=5)


def _silence(axes: Axes, rows: pd.DataFrame) -> None:
    silent = rows[rows["predicted"].isna() & rows["value"].notna()]
    if silent.empty:
        return
    start = 1.12 * float(silent["n_unbiased"].min())  # above that size, not at it
    axes.axvspan(start, axes.get_xlim()[1], color=SHADE, zorder=0, linewidth=0)
    named = " and ".join(dict.fromkeys(silent["policy"]))
    axes.annotate(
        f"theory is silent on {named}",
        (1, 0), xycoords="axes fraction", xytext=(-4, 4), textcoords="offset points",
        color=MUTED, ha="right", va="bottom", style="italic", fontsize=7.5,
    )  # fmt: skip


def _lines(axes: Axes, rows: pd.DataFrame, policies: Sequence[str]) -> None:
    ends: list[tuple[float, float, str, str]] = []
    predicted = rows.dropna(subset=["predicted"])[["encoding_size", "predicted"]].drop_duplicates()
    axes.plot(
        predicted["encoding_size"], predicted["predicted"],
        marker="D", linestyle="none", markersize=5, markerfacecolor=PAPER, markeredgecolor=INK, zorder=2,
    )  # fmt: skip
    for position, policy in enumerate(policies):
        line = rows[(rows["policy"] == policy) & rows["value"].notna()].sort_values("encoding_size")
        if line.empty:
            continue
        colour, marker = looks(policies)[policy]
        # A little apart, so that intervals at the same size can be told from each other.
        sizes = line["encoding_size"].to_numpy(dtype=float) * 1.05 ** (position - (len(policies) - 1) / 2)
        axes.vlines(sizes, line["low"], line["high"], color=colour, linewidth=1.8, zorder=3)
        axes.plot(
            sizes, line["value"], color=colour, marker=marker, markersize=6, linewidth=1.4,
            markeredgecolor=PAPER, markeredgewidth=0.8, zorder=4,
        )  # fmt: skip
        axes.plot(
            float(line["n_unbiased"].iloc[0]), 0, marker="^", color=colour, markersize=6, clip_on=False,
            transform=axes.get_xaxis_transform(), zorder=5,
        )  # fmt: skip
        ends.append((float(line["value"].iloc[-1]), float(sizes[-1]), policy, colour))
    for height, (value, size, policy, colour) in zip(_spread([end[0] for end in ends]), ends, strict=True):
        axes.annotate(
            f"{policy} {_score(value)}", (size, height), xytext=(7, 0), textcoords="offset points",
            color=colour, va="center", fontsize=8, fontweight="bold", annotation_clip=False,
        )  # fmt: skip


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
    width = 3.9 if columns == 1 else 2.6 * columns
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.12, hspace=0.04)
    figure = Figure(figsize=(width, height * n_rows + 0.6), layout=layout)
    grid = figure.subplots(n_rows, columns, squeeze=False)
    for spare in grid.flat[n:]:
        spare.remove()
    return figure, list(grid.flat[:n])


def _key(figure: Figure, *, silent: bool, block: bool = False) -> None:
    marks: list[Line2D | Patch] = [
        Line2D([], [], color=INK, marker="o", linewidth=2.4, markersize=6, label="measured, 95 % interval"),
        Line2D([], [], color=INK, marker="D", linestyle="none", markerfacecolor=PAPER, label="predicted"),
    ]
    if block:
        marks.append(Line2D([], [], color=MUTED, marker="^", linestyle="none", label="size of the unbiased block"))
    if silent:
        marks.append(Patch(color=SHADE, label="theory is silent"))
    narrow = figure.get_figwidth() < 5
    figure.legend(
        handles=marks, loc="outside upper left", ncols=2 if narrow else len(marks), frameon=False, fontsize=8,
        handlelength=1.6, columnspacing=1.4, borderpad=0.1,
    )  # fmt: skip


def _limits(scores: pd.DataFrame) -> tuple[float, float]:
    lowest = float(np.nanmin(np.append(scores[["value", "low", "predicted"]].to_numpy(dtype=float), 0.0)))
    return max(-1.05, lowest - 0.06), 1.07


def _require(scores: pd.DataFrame, *columns: str) -> None:
    missing = [column for column in columns if column not in scores]
    if missing:
        raise ConfigError(
            f"scores must have the columns {', '.join(columns)}; missing: {', '.join(missing)}. "
            "Make the table with vergence.reports.scores or size_scores"
        )
    if scores.empty:
        raise ConfigError("scores must have at least one row; got none: there is nothing to draw")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _metric(name: str) -> str:
    return _METRICS.get(name, _words(name))


def _score(value: float) -> str:
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")
