"""Figures of the numerical studies: scores over a sweep, beside what was predicted of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from vergence.plots.sweep import Spacing, scores_over_sweep
from vergence.studies.study import Drawing

_R2, _MATTHEWS = "mean R² over variables", "Matthews correlation"


@dataclass(frozen=True, kw_only=True)
class Panels:
    """What a figure shows.

    Args:
        over: Column of the swept setting.
        label: What it is, at its axis.
        column: Column that tells panels apart.
        titles: Of the panels, by its values; values that are not named have no panel.
        rows: Which scores: of variables, of labels, or of the classifier.
        scale: How settings are spaced.
        where: A column and the value that it has in what is drawn.
    """

    over: str
    label: str
    column: str
    titles: Mapping[Any, str]
    rows: Literal["variables", "labels", "classes"] = "variables"
    scale: Spacing = "linear"
    where: tuple[str, float] | None = None


def draw(table: pd.DataFrame, panels: Panels) -> Drawing:
    """Draw a study's table.

    Args:
        table: Of a study.
        panels: What to draw of it.

    Returns:
        The figure for a wide and a narrow page.
    """
    rows = _rows(table, panels)
    wide, narrow = (
        scores_over_sweep(
            rows,
            over=panels.over,
            label=panels.label,
            panels=panels.column,
            titles={value: title for value, title in panels.titles.items() if (rows[panels.column] == value).any()},
            score=_MATTHEWS if panels.rows == "classes" else _R2 if panels.rows == "variables" else "R²",
            spacing=panels.scale,
            layout=layout,
        )
        for layout in ("wide", "narrow")
    )
    what = {
        "variables": "Mean R² of each kind of variable, read from the image's representation",
        "labels": "R² of labels made of the first 3, 5, 7 and 9 factors, read from the image's representation",
        "classes": "Matthews correlation of a classifier of y2, fitted in domain",
    }[panels.rows]
    spread = "names stand in no order" if panels.scale == "names" else f"spacing is {panels.scale}"
    caption = (
        f"{what}, against {panels.label}; {spread}. Points are means over seeds, bars the range of the seeds; the "
        "broad mark beside each point is what was predicted, from its lower to its upper bound, and a dash what is "
        "expected within bounds. Where theory excludes nothing there is no broad mark."
    )
    return Drawing(caption, wide, narrow)


def _rows(table: pd.DataFrame, panels: Panels) -> pd.DataFrame:
    rows = table[(table["side"] == "image") & (table["share"] == 1)]
    if panels.where is not None:
        column, value = panels.where
        rows = rows[rows[column] == value]
    if panels.over == "objective":
        rows = rows[rows["perturbed"] == 5]
    if panels.rows == "variables":
        return rows[(rows["role"] != "label") & (rows["domain"] == "in")].assign(kind=rows["role"])
    if panels.rows == "labels":
        chosen = rows[(rows["role"] == "label") & (rows["domain"] == "in") & (rows["metric"] == "r2")]
        return chosen.assign(kind=chosen["factor"])
    return rows[rows["factor"] == "y2 class"].assign(kind="y2 class")
