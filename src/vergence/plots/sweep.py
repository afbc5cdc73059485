"""Scores over a sweep: what was measured of each kind of variable, and beside it what theory predicts."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from vergence.errors import ConfigError
from vergence.plots.style import INK, MARKERS, PALETTE, PAPER, RULE, quiet, styled

ROLES = ("unbiased", "perturbed", "omitted", "private")  # drawn in this order, and after them any others


def scores_over_sweep(
    table: pd.DataFrame, *, over: str, label: str, panels: str | None = None, titles: Sequence[str] | None = None
) -> Figure:
    """Draw mean scores of each role against a setting, with the range over seeds, and the oracle's as open diamonds.

    Args:
        table: Columns role, factor, seed, value, oracle, the swept setting and what tells panels apart.
        over: Column of the swept setting; numbers, or names, which keep the order of the table and are not joined.
        label: What to write at its axis.
        panels: Column that tells panels apart; one panel if `None`.
        titles: Of the panels, in the order of the values sorted; the values themselves if `None`.

    Returns:
        One panel for each value, side by side.

    Raises:
        ConfigError: If the table is empty or lacks a column.
    """
    needed = {"role", "seed", "value", "oracle", over} | ({panels} if panels else set())
    if table.empty or not needed <= set(table):
        raise ConfigError(
            f"table needs rows and the columns {', '.join(sorted(needed))}; got {', '.join(map(str, table))}"
        )
    groups = [(None, table)] if panels is None else list(table.groupby(panels))
    numbers = pd.api.types.is_numeric_dtype(table[over])
    settings = list(dict.fromkeys(table[over].sort_values() if numbers else table[over]))
    found = set(table["role"])
    roles = [*(role for role in ROLES if role in found), *sorted(found - set(ROLES))]
    place = {value: position for position, value in enumerate(settings)}
    with styled():
        layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
        figure = Figure(figsize=(0.8 + 4.2 * len(groups), 3.4), layout=layout)
        row = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
        for position, (axes, (value, part)) in enumerate(zip(row, groups, strict=True)):
            axes.set_title(str(titles[position] if titles else "" if value is None else f"{panels}: {value!s}"))
            axes.grid(axis="y", color=RULE, linewidth=0.6)
            axes.set_axisbelow(True)
            axes.set_xticks(range(len(settings)), [f"{s:g}" if numbers else _on_two_lines(s) for s in settings])
            axes.set_xlim(-0.3, len(settings) - 0.7)
            axes.set_xlabel(label)
            axes.set_ylim(-0.08, 1.08)
            quiet(axes, "left")
            for number, role in enumerate(roles):
                rows = part[part["role"] == role]
                if rows.empty:
                    continue
                by_seed = rows.groupby([over, "seed"])["value"].mean().unstack()
                at = np.array([place[setting] for setting in by_seed.index], dtype=float)
                colour = PALETTE[number]
                low, high = by_seed.min(axis=1), by_seed.max(axis=1)
                if numbers:
                    axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
                else:
                    axes.vlines(at, low, high, color=colour, alpha=0.4)
                style = {"color": colour, "marker": MARKERS[number], "linestyle": "-" if numbers else "none"}
                axes.plot(at, by_seed.mean(axis=1), markersize=5, label=role, **style)
                oracle = rows.groupby(over)["oracle"].mean()
                axes.plot(
                    at,
                    oracle,
                    marker="D",
                    linestyle="none",
                    markersize=7,
                    markerfacecolor="none",
                    markeredgecolor=colour,
                )
        row[0].set_ylabel("mean score over variables")
        row[0].plot([], [], marker="D", linestyle="none", markerfacecolor=PAPER, markeredgecolor=INK, label="predicted")
        handles = {
            label: handle for axes in row for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        order = [label for label in (*roles, "predicted") if label in handles]
        figure.legend([handles[label] for label in order], order, loc="outside upper left", ncols=6, frameon=False)
    return figure


def _on_two_lines(name: object) -> str:
    """A name broken at a space or underscore near its middle, so that long ones fit beside each other."""
    words = re.findall(r"[^ _]+[ _]*", str(name))
    half = (len(words) + 1) // 2
    return "\n".join("".join(part).rstrip() for part in (words[:half], words[half:]) if part)
