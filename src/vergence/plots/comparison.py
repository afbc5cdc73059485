"""Differences of scores with their intervals, about a line at none."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vergence.errors import ConfigError
from vergence.plots.directions import Layout
from vergence.plots.style import INK, MUTED, PALETTE, RULE, quiet, styled

_WIDTH = {"wide": 8.2, "narrow": 3.9}
_LOOKS = {"better": (PALETTE[0], "o"), "worse": (PALETTE[1], "s"), "open": (MUTED, "o")}
_LONGEST = {"wide": 60, "narrow": 26}


def score_differences(table: pd.DataFrame, *, layout: Layout = "wide") -> Figure:
    """A row for each score: its difference as a point, its interval as a line, coloured by what that says.

    Args:
        table: The columns label, difference, low, high (NaN where there is no interval) and verdict ("better", "worse"
            or "open").
        layout: "wide" or "narrow".

    Raises:
        ConfigError: If the table is empty.

    Example:
        >>> row = {"label": "hair", "difference": -0.4, "low": -0.5, "high": -0.3, "verdict": "worse"}
        >>> score_differences(pd.DataFrame([row])).axes[0].get_xlabel()
        'after less before, with 95 % intervals'
    """
    if table.empty:
        raise ConfigError("there is no difference to draw")
    places = np.arange(len(table))[::-1]
    with styled():
        figure = Figure(figsize=(_WIDTH[layout], 0.9 + 0.27 * len(table)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        for verdict, (colour, marker) in _LOOKS.items():
            here = (table["verdict"] == verdict).to_numpy()
            if not here.any():
                continue
            part = table[here]
            axes.hlines(places[here], part["low"], part["high"], color=colour, linewidth=1.6)
            label = {"open": "interval holds 0"}.get(verdict, verdict)
            filled = colour if verdict != "open" else "none"
            axes.plot(
                part["difference"], places[here], marker, color=colour, markersize=4.5, label=label,
                markerfacecolor=filled,
            )  # fmt: skip
        longest = _LONGEST[layout]
        labels = [one if len(one) <= longest else f"{one[: longest - 1]}…" for one in table["label"]]
        axes.set_yticks(places, labels)
        axes.set_xlabel("after less before, with 95 % intervals" if layout == "wide" else "after less before")
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_ylim(-0.7, len(table) - 0.3)
        quiet(axes, "left")
        figure.legend(frameon=False, ncols=3, loc="outside upper left")
    return figure
