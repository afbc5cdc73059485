"""Floor and ceiling: what a score on real items is to be held against, and what it says then.

A score between 0 and 1 means little by itself: an untrained encoder has some of most factors, and no captions teach
more than the images, the encoder and the probe give. The floor is the score of the same encoder before any training,
the ceiling its score when the labels themselves have trained it (`vergence.training.supervised`).
"""

from collections.abc import Sequence
from enum import StrEnum
from math import isfinite, nan

import numpy as np
import pandas as pd

from vergence.errors import ConfigError

LEARNED_FROM = 0.75
"""A score at least so far up from floor to ceiling is called learned."""

NOT_LEARNED_TO = 0.25
"""A score at most so far up, or below the floor, is called not learned."""

SHORTEST = 0.05
"""A ceiling that is not higher than the floor by more than this leaves nothing to tell apart."""


class Standing(StrEnum):
    """How much of what can be learned of a factor was learned."""

    LEARNED = "learned"
    PARTLY = "in part"
    NOT_LEARNED = "not learned"
    UNTOLD = "cannot be told"


def share(score: float, *, floor: float, ceiling: float) -> float:
    """How far up a score is from floor (0) to ceiling (1).

    Args:
        score: The score.
        floor: Score of the same encoder before any training.
        ceiling: Its score when trained with the labels.

    Returns:
        A share; below 0 under the floor, above 1 over the ceiling; NaN if the ceiling is not above the floor by more
        than `SHORTEST`, or a number is missing.

    Example:
        >>> share(0.7, floor=0.2, ceiling=0.9)
        0.7142857142857143
    """
    width = ceiling - floor
    return (score - floor) / width if isfinite(score) and isfinite(width) and width > SHORTEST else nan


def standing(score: float, *, floor: float, ceiling: float) -> Standing:
    """Say in a word how much was learned: see `share`, `LEARNED_FROM` and `NOT_LEARNED_TO`.

    Example:
        >>> standing(0.8, floor=0.25, ceiling=0.87).value, standing(0.14, floor=0.25, ceiling=0.87).value
        ('learned', 'not learned')
    """
    up = share(score, floor=floor, ceiling=ceiling)
    if not isfinite(up):
        return Standing.UNTOLD
    if up >= LEARNED_FROM:
        return Standing.LEARNED
    return Standing.NOT_LEARNED if up <= NOT_LEARNED_TO else Standing.PARTLY


def beside(table: pd.DataFrame, *, teacher: str, floor: str, ceiling: str, by: Sequence[str]) -> pd.DataFrame:
    """Put the floor and the ceiling beside every score of a table that holds their rows, too.

    Args:
        table: One row for each score, in column value.
        teacher: Column that says what an encoder was trained on.
        floor: What it says of an encoder that was not trained.
        ceiling: What it says of one that the labels have trained.
        by: Columns that a score has in common with its floor and its ceiling, such as factor, size and seed.

    Returns:
        The table with columns floor and ceiling; NaN where there is none.

    Raises:
        ConfigError: If a column is missing, or a score has several floors or ceilings.
    """
    missing = [name for name in (teacher, "value", *by) if name not in table]
    if missing:
        raise ConfigError(
            f"the table must have columns {teacher}, value, {', '.join(by)}; missing: {', '.join(missing)}"
        )
    found = table.drop(columns=[name for name in ("floor", "ceiling") if name in table])
    for name, taught_by in (("floor", floor), ("ceiling", ceiling)):
        ends = table.loc[table[teacher] == taught_by, [*by, "value"]].rename(columns={"value": name})
        if ends.duplicated(list(by)).any():
            raise ConfigError(f"each score must have one {name}; some have several. Add what tells them apart to by")
        found = found.merge(ends, on=list(by), how="left")
    return found.set_index(table.index)


def shares(table: pd.DataFrame) -> np.ndarray:
    """`share` of every row of a table with columns value, floor and ceiling."""
    columns = (table[name].astype(float) for name in ("value", "floor", "ceiling"))
    return np.array([share(value, floor=low, ceiling=high) for value, low, high in zip(*columns, strict=True)])
