"""What studies of captions of the embedded set have in common: they measure a training alike, and so share it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from markupsafe import Markup

from vergence.misalignment import Misalignment
from vergence.probes import oracle_scores
from vergence.probes.floors import beside
from vergence.reports.page import grid, why
from vergence.reports.words import show, words
from vergence.studies.demo.corpus import load_split
from vergence.studies.demo.spec import CEILING, FLOOR, Teaching
from vergence.studies.demo.training import halves, key_of, teach
from vergence.studies.study import Finished, Result, Row, Study, Tell
from vergence.studies.table import as_row
from vergence.theory import predict

_BY = ("side", "factor", "seed")


class DrawingsStudy(Study[Teaching]):
    """A study whose runs are trainings on the embedded set, its floor and its ceiling among them."""

    family = "drawings"
    details = ("n_fit", "n_test", "n_concepts")
    foretold: tuple[str, ...] = ("told",)
    margin = 0.05  # of a score: what a training of twelve epochs leaves

    def key(self, spec: Teaching) -> Mapping[str, Any]:
        """Captions by what they say, and everything else that a training depends on."""
        return key_of(spec)

    def label(self, spec: Teaching) -> str:
        """Captions, size and seed."""
        return f"{spec.name.replace(' ', '-')}_{spec.encoding_size}_seed-{spec.seed}"

    def settings(self, spec: Teaching) -> Row:
        """Captions, size, seed and epochs."""
        return {
            "captions": spec.name,
            "encoding_size": spec.encoding_size,
            "seed": spec.seed,
            "epochs": spec.recipe.training.epochs,
        }

    def predict(self, spec: Teaching) -> list[Row]:
        """What theory says of every factor where the floor is 0 and the ceiling 1: neither has been measured yet."""
        if spec.policy is None:
            return []
        split = load_split(spec.recipe, seed=spec.seed, data=spec.data)
        space, bias = split.pairs.space, spec.policy.misalignment
        told = oracle_scores(*halves(split, torch.zeros(len(split.pairs), 0)), space, bias)
        said = predict(space, bias, encoding_size=spec.encoding_size, oracle=told)
        return [
            {
                "factor": name,
                **as_row(one),
                "told": told.get(name),
            }
            for name, one in said.items()
        ]

    def measure(self, group: Sequence[Teaching], *, folders: Sequence[Path], tell: Tell) -> list[Result]:
        """Train and probe, one after another."""
        results = []
        for spec, folder in zip(group, folders, strict=True):
            taught = teach(spec, folder=folder, tell=tell)
            extras = {name: value for name, value in asdict(taught).items() if name != "rows"}
            results.append(Result(taught.rows, extras))
        return results

    def finish(self, table: pd.DataFrame, runs: Sequence[Finished[Teaching]]) -> pd.DataFrame:
        """Put floor and ceiling beside every score, and state the predictions between them."""
        found = beside(table, teacher="captions", floor=FLOOR, ceiling=CEILING, by=(*_BY, "encoding_size"))
        found["ceiling"] = found["ceiling"].fillna(_ceiling_elsewhere(table))
        ends = {
            name: table[table["captions"] == name].set_index([*_BY, "encoding_size"])[["value", "low", "high"]]
            for name in (FLOOR, CEILING)
        }
        specs = {self.label(run.spec): run.spec for run in runs if run.spec.policy is not None}
        for label, rows in found.groupby("run", sort=False):
            if label not in specs or rows[["floor", "ceiling"]].isna().any(axis=None):
                continue
            spec = specs[str(label)]
            for column, value in self.on_scale(spec, rows, ends).items():
                found.loc[rows.index, column] = value
        return found

    def on_scale(self, spec: Teaching, rows: pd.DataFrame, ends: Mapping[str, pd.DataFrame]) -> Mapping[str, list[Any]]:
        """Predictions of a run between its floor and its ceiling, by column."""
        assert spec.policy is not None
        return scaled(spec.policy.misalignment, spec, rows, ends)

    def captioned(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of captions, without those of floor and ceiling."""
        return table[~table["captions"].isin((FLOOR, CEILING))]

    def comparison(self, table: pd.DataFrame) -> Markup:
        """Every score of captions between floor and ceiling, beside its prediction."""
        told = self.captioned(table)
        reasons = list(dict.fromkeys(told["reason"]))
        seeds = ("seed",) if table["seed"].nunique() > 1 else ()
        rows = []
        for row in told.to_dict("records"):
            interval = f"{show(row['value'])} [{show(row['low'])}, {show(row['high'])}]"
            bounds = f"{show(row['predicted_low'])} to {show(row['predicted_high'])}"
            setting = row["captions"], row["encoding_size"], *(row[name] for name in seeds), words(row["factor"])
            ends = show(row["floor"]), interval, show(row["ceiling"])
            rows.append((*setting, *ends, bounds, row["outcome"], reasons.index(row["reason"]) + 1))
        numbers = ("floor", "measured", "ceiling", "predicted")
        headings = ("captions", "outputs", *seeds, "factor", *numbers, "outcome", "why")
        return grid(headings, rows, label="Scores beside their predictions", numbers=numbers) + why(reasons)


def scaled(
    misalignment: Misalignment, spec: Teaching, rows: pd.DataFrame, ends: Mapping[str, pd.DataFrame]
) -> dict[str, list[Any]]:
    """Predict the scores of a run between floor and ceiling.

    Args:
        misalignment: What its captions do.
        spec: The run.
        rows: Of the table: factor, side, seed, encoding_size, floor, ceiling and told.
        ends: Floors and ceilings with their intervals, by side, factor, seed and encoding_size.

    Returns:
        Columns predicted_low, predicted_high, expected and reason, in the order of the rows.
    """
    space = load_split(spec.recipe, seed=spec.seed, data=spec.data).pairs.space
    floor, ceiling = ends_of(rows, ends)
    known = rows.dropna(subset=["told"])
    told = {str(name): float(score) for name, score in zip(known["factor"], known["told"], strict=True)}
    said = predict(space, misalignment, encoding_size=spec.encoding_size, oracle=told, floor=floor, ceiling=ceiling)
    ordered = [said[name] for name in rows["factor"]]
    return {
        "predicted_low": [one.low for one in ordered],
        "predicted_high": [one.high for one in ordered],
        "expected": [np.nan if one.expected is None else one.expected for one in ordered],
        "reason": [one.reason for one in ordered],
    }


def ends_of(
    rows: pd.DataFrame, ends: Mapping[str, pd.DataFrame]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Floor and ceiling of each factor of a run, with their intervals."""
    floor: dict[str, dict[str, float]] = {}
    ceiling: dict[str, dict[str, float]] = {}
    for row in rows.to_dict("records"):
        for name, into, what in ((FLOOR, floor, "floor"), (CEILING, ceiling, "ceiling")):
            index = ends[name].index
            at = tuple(row[key] for key in (*_BY, "encoding_size"))
            if at not in index:  # of another size
                same = [other for other in index if other[: len(_BY)] == at[: len(_BY)]]
                at = same[0] if same else at
            into[row["factor"]] = {"value": row[what]} if at not in index else ends[name].loc[at].to_dict()
    return floor, ceiling


def _ceiling_elsewhere(table: pd.DataFrame) -> pd.Series:
    """For every row the ceiling of its factor and seed at the size that has one; the smallest if there are several."""
    known = table[table["captions"] == CEILING].sort_values("encoding_size").drop_duplicates(list(_BY))
    found = table[list(_BY)].merge(known[[*_BY, "value"]], on=list(_BY), how="left")["value"]
    return found.set_axis(table.index)
