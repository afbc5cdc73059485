"""What a plan expects of each factor against what was measured, from floor to ceiling."""

import pandas as pd
from matplotlib.figure import Figure

from vergence.errors import ConfigError
from vergence.plots.style import MARKERS, MUTED, PALETTE, quiet, styled

_NEEDED = ("at", "factor", "way", "up", "lowest", "highest")
_APART = 0.012  # of the scale, between factors that are expected alike


def expected_and_measured(table: pd.DataFrame, *, width: int = 800) -> Figure:
    """Draw measured ways from floor (0) to ceiling (1) over expected ones.

    Args:
        table: A row for each point: at (the panel), factor, way (expected), up (measured), lowest and highest.
        width: Pixels: panels stand side by side, or below one another where there is no room.

    Returns:
        A panel for each value of `at`, with the line on which both are equal.

    Raises:
        ConfigError: If the table is empty or lacks a column.

    Example:
        >>> row = {"at": "8 outputs", "factor": "tone", "way": 1.0, "up": 0.9, "lowest": 0.8, "highest": 1.0}
        >>> [axes.get_title("left") for axes in expected_and_measured(pd.DataFrame([row])).axes]
        ['8 outputs']
    """
    missing = [name for name in _NEEDED if name not in table]
    if missing or table.empty:
        raise ConfigError(f"the table must have rows and columns {', '.join(_NEEDED)}; missing: {missing or 'rows'}")
    panels, factors = list(dict.fromkeys(table["at"])), list(dict.fromkeys(table["factor"]))
    columns = len(panels) if width >= 600 else 1
    rows = -(-len(panels) // columns)
    with styled():
        figure = Figure(figsize=(width / 96, rows * 3.8 + 0.5), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, panel in zip(grid.flat, panels, strict=True):
            here = table[table["at"] == panel]
            axes.axline((0, 0), slope=1, color=MUTED, linewidth=0.8, linestyle="--", zorder=0)
            for place, factor in enumerate(factors):
                own = here[here["factor"] == factor]
                axes.errorbar(
                    own["way"] + _APART * (place - (len(factors) - 1) / 2),
                    own["up"],
                    yerr=[own["up"] - own["lowest"], own["highest"] - own["up"]],
                    fmt=MARKERS[place],
                    color=PALETTE[place],
                    markersize=4.5,
                    elinewidth=0.8,
                    label=factor.replace("_", " "),
                )
            axes.set_title(panel)
            axes.set_xlim(-0.06, 1.06)
            axes.set_xlabel("expected before training")
            axes.set_ylabel("measured")
            quiet(axes, "left")
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, ncols=len(labels), loc="outside upper left")
    return figure
