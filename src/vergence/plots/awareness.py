"""What a model sees of a concept against how often captions mention it."""

import pandas as pd
from matplotlib.figure import Figure

from vergence.errors import ConfigError
from vergence.plots.directions import Layout
from vergence.plots.style import MARKERS, PALETTE, styled

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
