"""Means and worst cases of the numerical studies' tables, as claims with bounds."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from vergence.studies.study import Claim

OF_A_MEAN, OF_A_SETTING, OF_A_RUN = 0.05, 0.1, 0.2
"""Margins of what theory says: of a mean over settings, of a setting's mean, of one variable in one run."""

_SETTINGS = (
    *("selected", "perturbed", "output_size", "perturbation_probability", "mention", "mismatch"),
    *("violation", "objective", "bottleneck"),
)


def final_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Scores of variables, in domain, at the end of the training."""
    return table[
        (table["metric"] == "r2") & (table["domain"] == "in") & (table["role"] != "label") & (table["share"] == 1)
    ]


def mean_of(statement: str, values: pd.Series, *, at_least: float | None = None, at_most: float | None = None) -> Claim:
    """A claim of the mean of some values."""
    return Claim(statement=statement, measured=values.mean(), at_least=at_least, at_most=at_most)


def worst_of(
    statement: str, values: pd.Series, *, at_least: float | None = None, at_most: float | None = None
) -> Claim:
    """A claim of the worst of some values: the largest if they are to be small, else the smallest."""
    values = values.dropna()
    if values.empty:
        return Claim(statement=statement, measured=None, at_least=at_least, at_most=at_most)
    at: Any = values.idxmax() if at_most is not None else values.idxmin()
    keys = at if isinstance(at, tuple) else (at,)
    where = words([str(name) for name in values.index.names], keys)
    return Claim(statement=statement, measured=values[at], at_least=at_least, at_most=at_most, where=where)


def worst_setting(
    statement: str,
    rows: pd.DataFrame,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    column: str = "value",
) -> Claim:
    """Of the means of settings over seeds and variables, the worst."""
    by = _varying(rows) or ["selected"]
    return worst_of(statement, rows.groupby(by)[column].mean(), at_least=at_least, at_most=at_most)


def worst_row(
    statement: str,
    rows: pd.DataFrame,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    column: str = "value",
) -> Claim:
    """Of all variables in all runs, the worst."""
    by = ["factor", *_varying(rows), "seed"]
    values = rows.groupby(by)[column]
    return worst_of(
        statement, values.max() if at_most is not None else values.min(), at_least=at_least, at_most=at_most
    )


def _varying(rows: pd.DataFrame) -> list[str]:
    """Settings that tell these rows apart; the output size is none if it is that of the block."""
    follows = rows["output_size"].eq(rows["n_unbiased"]).all() and rows["n_unbiased"].nunique() > 1
    return [name for name in _SETTINGS if rows[name].nunique() > 1 and not (follows and name == "output_size")]


def room_below(rows: pd.DataFrame) -> Claim:
    """Of runs with fewer outputs than the block: how many of its dimensions they hold at most, for each output."""
    total = rows.assign(value=rows["value"].clip(lower=0)).groupby(["run", "output_size"])["value"].sum(min_count=1)
    share = total / total.index.get_level_values("output_size")
    return worst_of("fewer outputs than the block: sum of R² for each output, largest run", share, at_most=1.05)


def words(names: Sequence[str], values: Iterable[object]) -> str:
    """Settings and their values in words."""
    parts = ((name.replace("_", " "), value) for name, value in zip(names, values, strict=True))
    return ", ".join(str(value) if name in {"factor", "run"} else f"{name} {value}" for name, value in parts)
