"""Forecasts beside measurements: where a score was said to lie, and where it does."""

from math import isnan

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vergence.errors import ConfigError
from vergence.plots.style import INK, MUTED, PALETTE, PAPER, RULE, SHADE, quiet, settle, styled

_COLUMNS = (
    "seed", "setting", "encoding_size", "block", "factor", "given_size", "value", "low", "high", "reference",
    "at_least", "at_most", "outcome",
)  # fmt: skip
_MARKS = {"hit": ("o", PALETTE[0]), "miss": ("X", PALETTE[1]), "no number": ("o", MUTED)}


def forecast_beside_measurement(table: pd.DataFrame) -> Figure:
    """Draw each measured score, with its interval, over the scores that its forecast allows.

    Args:
        table: One row for each statement: seed, setting, encoding_size, block (size of the unbiased block), factor,
            given_size (only rows where it is true are drawn), value, low, high, reference, at_least and at_most (NaN
            where the forecast names no number) and outcome: "hit", "miss" or "no number".

    Returns:
        A column for each factor; rows for outputs as many as the block has factors, and for each larger size.

    Raises:
        ConfigError: If the table has no such row or lacks a column.
    """
    missing = [column for column in _COLUMNS if column not in table]
    if missing or not table["given_size"].any():
        raise ConfigError(
            f"the table must have rows given a size and the columns {', '.join(_COLUMNS)}; "
            f"missing: {', '.join(missing) or 'rows'}"
        )
    rows = table[table["given_size"]]
    kinds = rows["encoding_size"].where(rows["encoding_size"] != rows["block"], 0)  # 0: that of the block
    settings, factors, sizes = (list(dict.fromkeys(part)) for part in (rows["setting"], rows["factor"], sorted(kinds)))
    with styled():
        height = (0.7 + 0.27 * len(settings)) * len(sizes) + 0.6
        figure = Figure(
            figsize=(1.4 + 2.3 * len(factors), height), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
        )
        grid = figure.subplots(len(sizes), len(factors), squeeze=False, sharex=True)
        for line, size in zip(grid, sizes, strict=True):
            for column, (axes, factor) in enumerate(zip(line, factors, strict=True)):
                outputs = f"{size} outputs" if size else "as the block"
                axes.set_title(f"{factor.replace('_', ' ')}, {outputs}", pad=4)
                axes.set_xlim(-0.15, 1.03)
                axes.set_ylim(len(settings) - 0.4, -0.6)
                axes.set_yticks(range(len(settings)), settings if column == 0 else [""] * len(settings))
                axes.grid(axis="x", color=RULE, linewidth=0.6)
                axes.set_axisbelow(True)
                quiet(axes, "left", "bottom")
                for _, row in rows[(rows["factor"] == factor) & (kinds == size)].iterrows():
                    _statement(axes, settings.index(row["setting"]), row)
        for axes in grid[-1]:
            axes.set_xlabel("Matthews correlation")
        _key(figure)
        settle(figure)
    return figure


def _statement(axes: Axes, y: int, row: "pd.Series") -> None:
    left, right = axes.get_xlim()
    least, most = row["at_least"], row["at_most"]
    if not (isnan(least) and isnan(most)):
        start, end = left if isnan(least) else least, right if isnan(most) else most
        axes.barh(y, end - start, left=start, height=0.8, color=SHADE, zorder=0.5)
    marker, colour = _MARKS[row["outcome"]]
    axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2, solid_capstyle="butt", zorder=3)
    axes.plot(
        row["value"],
        y,
        marker=marker,
        markersize=5.5,
        color=colour,
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        zorder=4,
    )
    axes.plot([row["reference"]] * 2, [y - 0.4, y + 0.4], color=INK, linewidth=0.8, zorder=2)


def _key(figure: Figure) -> None:
    marks: list[Line2D | Patch] = [Patch(color=SHADE, label="where the forecast says the score lies")]
    marks += [
        Line2D([], [], color=colour, marker=marker, linewidth=2, markersize=5.5, label=outcome)
        for outcome, (marker, colour) in _MARKS.items()
    ]
    marks.append(Line2D([], [], color=INK, linewidth=0.8, label="reference: faithful captions, most outputs"))
    figure.legend(handles=marks, loc="outside upper left", ncols=len(marks), frameon=False, fontsize=8)
