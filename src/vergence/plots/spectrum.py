"""The spectrum of two sides: directions by strength, beside what chance would give."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vergence.errors import ConfigError
from vergence.plots.style import INK, MUTED, PALETTE, RULE, SHADE, quiet, styled

_COLUMNS = ("value", "low", "high")
_LISTED = 24  # directions with a row of their own


def directions_by_strength(table: pd.DataFrame, *, chance: float, threshold: float | None = None) -> Figure:
    r"""Draw each direction's strength and interval; of many directions, the first and the whole curve beside them.

    Args:
        table: A row per direction, the strongest first: value, low, high, in [0, 1]; and `concepts`, what the direction
            speaks of, in words, if that is known.
        chance: Below it a strength is what shuffled pairs give.
        threshold: $\sigma^*$, below which a bottleneck removes a direction; no line if `None`.

    Returns:
        A figure of one panel, or two.

    Raises:
        ConfigError: If the table is empty or lacks a column.

    Example:
        >>> rows = [(0.9, 0.88, 0.92), (0.1, 0.0, 0.2)]
        >>> figure = directions_by_strength(pd.DataFrame(rows, columns=["value", "low", "high"]), chance=0.15)
        >>> figure.axes[0].get_xlabel()
        'strength σ (correlation on held-out pairs)'
    """
    missing = [column for column in _COLUMNS if column not in table]
    if missing or table.empty:
        raise ConfigError(
            f"the table must have rows and the columns {', '.join(_COLUMNS)}; missing: {', '.join(missing) or 'rows'}"
        )
    shown = table.head(_LISTED)
    with styled():
        figure = Figure(figsize=(8.3, 1.4 + 0.24 * max(len(shown), 6)), layout="constrained")
        if len(table) > _LISTED:
            listed, whole = figure.subplots(1, 2, width_ratios=(3, 2))
            _curve(whole, table, chance, threshold)
        else:
            listed = figure.subplots()
        _rows(listed, shown, chance, threshold, of=len(table))
        handles, labels = listed.get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, ncols=len(labels), loc="outside upper left")
    return figure


def _rows(axes: Axes, table: pd.DataFrame, chance: float, threshold: float | None, *, of: int) -> None:
    places = range(len(table))
    reach = [table["value"] - table["low"].clip(upper=table["value"]), table["high"] - table["value"]]
    axes.axvspan(0, chance, color=SHADE, label="by chance", zorder=0)
    above = table["value"] > chance
    for mask, color in ((above, PALETTE[0]), (~above, MUTED)):
        if mask.any():
            axes.errorbar(
                table["value"][mask],
                [place for place, one in zip(places, mask, strict=True) if one],
                xerr=[side[mask] for side in reach],
                fmt="o",
                color=color,
                markersize=4,
                elinewidth=1.2,
                label="strength, with its interval" if color == PALETTE[0] or not above.any() else None,
            )
    if threshold is not None:
        axes.axvline(threshold, color=PALETTE[1], linestyle="--", linewidth=1, label=f"σ* = {threshold:.2f}")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(len(table) - 0.5, -0.5)
    words = table["concepts"] if "concepts" in table else [""] * len(table)
    axes.set_yticks(places, [f"{word}  {place + 1}" if word else f"{place + 1}" for place, word in enumerate(words)])
    axes.set_xlabel("strength σ (correlation on held-out pairs)")
    axes.set_ylabel("direction" if of == len(table) else f"the first {len(table)} of {of} directions")
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    quiet(axes, "left")


def _curve(axes: Axes, table: pd.DataFrame, chance: float, threshold: float | None) -> None:
    places = range(1, len(table) + 1)
    axes.axhspan(0, chance, color=SHADE, zorder=0)
    axes.fill_between(places, table["low"], table["high"], color=PALETTE[4], alpha=0.4, linewidth=0)
    axes.plot(places, table["value"], color=PALETTE[0], linewidth=1)
    if threshold is not None:
        axes.axhline(threshold, color=PALETTE[1], linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(1, len(table))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("direction (logarithmic)")
    axes.set_ylabel("strength σ", color=INK)
    axes.grid(color=RULE, linewidth=0.6)
