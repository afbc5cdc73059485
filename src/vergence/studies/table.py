"""The one long table of a study: every measurement beside what was predicted of it, and what came of that."""

from collections.abc import Hashable, Sequence
from math import isfinite, isnan
from typing import Any

import pandas as pd

from vergence.studies.study import MEASURED, PREDICTED, SCALE, Finished, Row, Spec, Study
from vergence.theory import Measured, Outcome, Prediction, judge

_DIGITS = 5  # of every number


def assemble(study: Study[Spec], runs: Sequence[Finished[Spec]], predictions: Sequence[list[Row]]) -> pd.DataFrame:
    """Put measurements beside predictions: one row for each measurement of each run, judged.

    Args:
        study: Says what each run's settings are.
        runs: What is done.
        predictions: Of each run, as `predict` gave them.

    Returns:
        Columns run, the settings, side, factor, metric, the study's details, `MEASURED`, `PREDICTED`, what else is
        foretold, `SCALE` and outcome.
    """
    rows = []
    for run, predicted in zip(runs, predictions, strict=True):
        base = {"run": study.label(run.spec), **study.settings(run.spec)}
        said = _Said(predicted, study.foretold)
        rows += [{**base, **row, **said.of({**base, **row})} for row in run.result.rows]
    settings = list(study.settings(runs[0].spec)) if runs else []
    order = ["run", *settings, "side", "factor", "metric", *study.details, *MEASURED, *PREDICTED, *study.foretold]
    table = pd.DataFrame(rows).reindex(columns=[*order, *SCALE])
    numbers = [*MEASURED, *PREDICTED[:3], *SCALE]
    table[numbers] = table[numbers].astype(float)
    table = study.finish(table, runs)
    table[numbers] = table[numbers].astype(float)
    floats = table.select_dtypes("float").columns
    table[floats] = table[floats].round(_DIGITS)
    return judged(table, margin=study.margin)


def as_row(prediction: Prediction) -> Row:
    """A prediction as a table has it: the columns `PREDICTED`."""
    return {
        "predicted_low": prediction.low,
        "predicted_high": prediction.high,
        "expected": prediction.expected,
        "reason": prediction.reason,
    }


def judged(table: pd.DataFrame, *, margin: float) -> pd.DataFrame:
    """Hold every measurement against its prediction; the column `outcome` says what came of it.

    Args:
        table: Columns `MEASURED`, `PREDICTED` and `SCALE`; intervals of the latter as floor_low and so on, if known.
        margin: As `judge` has it.
    """
    ends = [f"{name}_{end}" for name in SCALE for end in ("low", "high")]
    known = table.reindex(columns=[*MEASURED, *PREDICTED[:3], *SCALE, *ends]).astype(float)
    return table.assign(outcome=[str(_outcome(row, margin)) for row in known.to_dict("records")])


def _outcome(row: dict[Hashable, Any], margin: float) -> Outcome:
    floor, ceiling = (
        _measured(row, name) if isfinite(row[name]) else Measured(otherwise)
        for name, otherwise in zip(SCALE, (0.0, 1.0), strict=True)
    )
    said = Prediction(
        low=floor.value if isnan(row["predicted_low"]) else row["predicted_low"],
        high=ceiling.value if isnan(row["predicted_high"]) else row["predicted_high"],
        expected=None,
        reason="",
        proved=False,
        floor=floor,
        ceiling=ceiling,
    )
    return judge(said, Measured(row["value"], row["low"], row["high"]), margin=margin)


def _measured(row: dict[Hashable, Any], name: str) -> Measured:
    return Measured(row[name], row[f"{name}_low"], row[f"{name}_high"])


class _Said:
    """The predictions of one run, by what each is for."""

    def __init__(self, rows: Sequence[Row], foretold: Sequence[str]) -> None:
        self.columns = (*PREDICTED, *foretold)
        self.keys = tuple(name for name in rows[0] if name not in self.columns) if rows else ()
        self.rows = {tuple(row[name] for name in self.keys): row for row in rows}

    def of(self, measured: Row) -> Row:
        found = self.rows.get(tuple(measured.get(name) for name in self.keys), {})
        return {name: found.get(name) for name in self.columns} | (
            {} if found else {"reason": "nothing was predicted of it"}
        )
