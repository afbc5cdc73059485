"""Forecasts beside measurements: where a score was said to lie, and where it does."""

from math import isnan
from types import MappingProxyType

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vergence.checks import at_least
from vergence.errors import ConfigError
from vergence.plots.style import INK, MUTED, PALETTE, PAPER, RULE, SHADE, quiet, settle, styled

_COLUMNS = (
    "captions", "encoding_size", "block", "factor", "value", "low", "high", "floor", "ceiling",
    "predicted_low", "predicted_high", "outcome",
)  # fmt: skip
_MARKS = MappingProxyType(
    {
        "as predicted": ("o", PALETTE[0]),
        "below the prediction": ("v", PALETTE[1]),
        "above the prediction": ("^", PALETTE[1]),
        "not determined": ("o", MUTED),
    }
)
_WIDE, _NARROW = 8.3, 3.9  # inches: 800 and 375 pixels of a page


def forecast_beside_measurement(table: pd.DataFrame, *, n_columns: int | None = None) -> Figure:
    """Draw each measured score, with its interval, over the scores that its forecast allows.

    Args:
        table: One row for each captions, size and factor: captions, encoding_size, block (size of the unbiased block),
            factor, value, low, high, floor, ceiling, predicted_low, predicted_high and outcome.
        n_columns: Panels side by side; as many as factors if `None`.

    Returns:
        A panel for each factor and size: first outputs as many as the block has factors, then each larger size.

    Raises:
        ConfigError: If the table has no row or lacks a column, or captions come twice at one size.

    Example:
        >>> row = {"captions": "omit", "encoding_size": 3, "block": 3, "factor": "skin_tone", "outcome": "as predicted"}
        >>> ends = {"predicted_low": 0.0, "predicted_high": 0.3, "floor": 0.2, "ceiling": 0.8}
        >>> figure = forecast_beside_measurement(pd.DataFrame([row | ends | {"value": 0.2, "low": 0.1, "high": 0.3}]))
        >>> figure.axes[0].get_title("left")
        'skin tone, as the block'
    """
    missing = [column for column in _COLUMNS if column not in table]
    if missing or table.empty:
        raise ConfigError(
            f"the table must have rows and the columns {', '.join(_COLUMNS)}; missing: {', '.join(missing) or 'rows'}"
        )
    if table.duplicated(["captions", "encoding_size", "factor"]).any():
        raise ConfigError("the table must have one row for each captions, size and factor; select one seed")
    kinds = table["encoding_size"].where(table["encoding_size"] != table["block"], 0)  # 0: that of the block
    captions, factors = (list(dict.fromkeys(table[name])) for name in ("captions", "factor"))
    panels = [(size, factor) for size in sorted(set(kinds)) for factor in factors]
    columns = min(len(factors) if n_columns is None else n_columns, len(panels))
    at_least("n_columns", columns, 1)
    rows = -(-len(panels) // columns)
    with styled():
        size = (
            _NARROW if columns == 1 else _WIDE,
            (0.75 + 0.25 * len(captions)) * rows + (1.9 if columns == 1 else 0.8),
        )
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.06))
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True).flat
        for position, (axes, (kind, factor)) in enumerate(zip(grid, panels, strict=False)):
            outputs = f"{int(kind)} outputs" if kind else "as the block"
            axes.set_title(f"{factor.replace('_', ' ')}, {outputs}", pad=4, fontsize=9)
            axes.set_xlim(-0.15, 1.03)
            axes.set_ylim(len(captions) - 0.4, -0.6)
            axes.set_yticks(range(len(captions)), captions if position % columns == 0 else [""] * len(captions))
            axes.grid(axis="x", color=RULE, linewidth=0.6)
            axes.set_axisbelow(True)
            quiet(axes, "left", "bottom")
            for _, row in table[(table["factor"] == factor) & (kinds == kind)].iterrows():
                _forecast(axes, captions.index(row["captions"]), row)
            if position >= len(panels) - columns:
                axes.set_xlabel("Matthews correlation")
        for spare in list(figure.axes)[len(panels) :]:
            spare.remove()
        _key(figure)
        settle(figure)
    return figure


def _forecast(axes: Axes, y: int, row: "pd.Series") -> None:
    left, right = axes.get_xlim()
    if row["outcome"] != "not determined" and not isnan(row["predicted_low"]):
        start, end = max(left, row["predicted_low"]), min(right, row["predicted_high"])
        axes.barh(y, max(end - start, 0.01), left=start, height=0.8, color=SHADE, zorder=0.5)
    marker, colour = _MARKS.get(row["outcome"], ("o", MUTED))
    for end, style in (("floor", (0, (2, 2))), ("ceiling", "solid")):
        axes.plot([row[end]] * 2, [y - 0.4, y + 0.4], color=INK, linewidth=0.8, linestyle=style, zorder=2)
    axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2, solid_capstyle="butt", zorder=3)
    axes.plot(
        row["value"], y,
        marker=marker, markersize=5.5, color=colour, markeredgecolor=PAPER, markeredgewidth=0.6, zorder=4,
    )  # fmt: skip


def _key(figure: Figure) -> None:
    marks: list[Line2D | Patch] = [Patch(color=SHADE, label="where the forecast says the score lies")]
    marks += [
        Line2D([], [], color=colour, marker=marker, linewidth=2, markersize=5.5, label=outcome)
        for outcome, (marker, colour) in _MARKS.items()
    ]
    marks.append(Line2D([], [], color=INK, linewidth=0.8, linestyle=(0, (2, 2)), label="floor: untrained"))
    marks.append(Line2D([], [], color=INK, linewidth=0.8, label="ceiling: trained on the labels"))
    narrow = figure.get_figwidth() < 5
    figure.legend(
        handles=marks, loc="outside upper left", ncols=1 if narrow else 3, frameon=False, fontsize=8, columnspacing=1.4
    )
