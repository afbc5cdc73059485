"""Measures of alignment beside what they would be by chance."""

from math import isfinite
from types import MappingProxyType

import pandas as pd
from matplotlib.figure import Figure

from vergence.errors import ConfigError
from vergence.plots.style import INK, MUTED, PALETTE, RULE, styled

_WORDS = MappingProxyType(
    {
        "unbiased_cka": "Centred kernel alignment, unbiased",
        "cka": "Centred kernel alignment",
        "mutual_knn": "Mutual nearest neighbours",
        "cknna": "Kernel alignment among mutual neighbours",
        "svcca": "Canonical correlation of principal directions",
        "procrustes": "Likeness up to rotation and scale",
        "pair_distance": "Distance within pairs",
        "centroid_distance": "Distance of centroids",
        "relative_gap": "Modality gap relative to spread",
        "linear_separability": "Linear separability of the modalities",
    }
)
_COLUMNS = ("metric", "value", "null_mean", "null_std")


def alignment_against_chance(table: pd.DataFrame) -> Figure:
    """Draw each measure as a point, and its null as a bar of two standard deviations either way; infinity is said.

    Args:
        table: One row per metric: metric, value, null_mean, null_std.

    Returns:
        One panel per metric, each on its own scale, since a distance and a correlation share none.

    Raises:
        ConfigError: If the table is empty or lacks a column.

    Example:
        >>> row = {"metric": "cka", "value": 0.8, "null_mean": 0.1, "null_std": 0.02}
        >>> alignment_against_chance(pd.DataFrame([row])).axes[0].get_title("left")
        'Centred kernel alignment (cka)'
    """
    missing = [column for column in _COLUMNS if column not in table]
    if missing or table.empty:
        raise ConfigError(
            f"the table must have rows and the columns {', '.join(_COLUMNS)}; missing: {', '.join(missing) or 'rows'}"
        )
    with styled():
        figure = Figure(figsize=(8.3, 0.8 + 0.8 * len(table)), layout="constrained")
        panels = figure.subplots(len(table), squeeze=False)[:, 0]
        for axes, (name, value, mean, std) in zip(panels, table[list(_COLUMNS)].to_numpy().tolist(), strict=True):
            axes.set_title(f"{_WORDS[name]} ({name})" if name in _WORDS else name, pad=4)
            spread = 2 * std if isfinite(std) else 0.0
            axes.errorbar(mean, 0, xerr=spread, fmt="|", color=MUTED, capsize=4, label="by chance, ± 2 sd")
            axes.plot(
                value, 0, "o", markerfacecolor="none", markeredgecolor=PALETTE[0], markeredgewidth=2, label="measured"
            )
            if not isfinite(value):
                axes.text(0.98, 0.5, "measured: infinite", transform=axes.transAxes, ha="right", va="center", color=INK)
            axes.grid(axis="x", color=RULE, linewidth=0.6)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.margins(x=0.15, y=1)
        panels[-1].set_xlabel("value of the measure (units of its own)")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, ncols=2, loc="outside upper left")
    return figure
