"""Panels out of the study's table: awareness of each value in each run against the logarithm of its coverage."""

from math import nan
from typing import Literal

import numpy as np
import pandas as pd

from vergence.studies.causal.slopes import Panel
from vergence.studies.causal.spec import ASSIGNED

PAPER_SCORE = "f1"
_FEWEST = 3  # values, and below it no slope
_STILL = 1e-12


def values_of(table: pd.DataFrame, images: str, captions: str | None = None, score: str = PAPER_SCORE) -> pd.DataFrame:
    """Rows of single values of one set, of one kind of captions if it is named."""
    rows = table[(table["images"] == images) & (table["role"] == "value") & (table["metric"] == score)]
    return rows if captions is None else rows[rows["captions"] == captions]


def panel_of(
    table: pd.DataFrame,
    images: str,
    captions: str,
    *,
    width: int,
    score: str = PAPER_SCORE,
    column: Literal["value", "expected"] = "value",
) -> Panel | None:
    """Awareness of the values that every run has scored, with effects of values where rates are assigned at random.

    Args:
        table: Of the study.
        images: Which set.
        captions: Which captions.
        width: Of the encoder.
        score: Which score of awareness.
        column: What was measured, or what theory expected.

    Returns:
        `None` if there are fewer than three such values, or no run.
    """
    rows = values_of(table, images, captions, score)
    rows = rows[rows["width"] == width]
    if rows.empty:
        return None
    x, y = (rows.pivot(index="run", columns="factor", values=name) for name in ("coverage", column))
    whole = y.notna().all() & x.notna().all()
    if whole.sum() < _FEWEST:
        return None
    return Panel(np.log10(x.loc[:, whole].to_numpy(float)), y.loc[:, whole].to_numpy(float), captions == ASSIGNED)


def alike(first: Panel, second: Panel) -> bool:
    """Whether panels are of as many values: of one set they then are of the same."""
    return bool(first.x.shape[1] == second.x.shape[1])


def correlation(panel: Panel) -> float:
    """Of coverage and awareness over values, the mean over runs; NaN where one does not change in some run."""
    x, y = (side - side.mean(1, keepdims=True) for side in (panel.x, panel.y))
    size = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return float(((x * y).sum(1) / size).mean()) if (size > _STILL).all() else nan


def reached(rows: pd.DataFrame) -> pd.Series:
    """Where a score lies between chance (0) and ceiling (1); NaN where the ceiling is hardly above chance."""
    room = rows["ceiling"] - rows["floor"]
    return ((rows["value"] - rows["floor"]) / room).where(room > 0.1)
