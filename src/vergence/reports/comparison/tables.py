"""Results that come as tables alone: of `vergence probe`, of `align` and `spectrum`, and of studies."""

import re
from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vergence.arrow import read_table
from vergence.errors import ConfigError, CorpusError
from vergence.files import read_json
from vergence.probes.comparison import HIGHER, Compared, seeds_rows, unpaired_rows
from vergence.reports.comparison.kinds import probe_in

_ALONE = (
    "results of vergence probe hold no answers, so the two are taken to be independent; compare folders of embeddings "
    "with --labels for intervals over what they share"
)
_SCORED = (
    *("matthews", "matthews_corrcoef", "matthews_linear", "r2", "r2_linear"),
    *("share", "recall1", "cka", "knn1", "knn5"),
)
"""Measures of studies of which more is better; the others, such as a loss, are shown and not judged."""

_RUN = "run of any seed"
_SEED = re.compile(r"[ ,_-]*seed[ =_-]*[0-9]+")
_MEASURED = (
    "run", "seed", "value", "low", "high", "predicted_low", "predicted_high", "expected", "reason", "told", "statement",
    "block", "floor", "ceiling", "outcome", "n_fit", "n_test", "n_concepts",
)  # fmt: skip
"""Columns of a study's table that are no setting."""


def compare_probes(before: Path, after: Path) -> Compared:
    """Compare two results of `vergence probe`, which hold scores and not answers, so that they do not pair.

    Raises:
        CorpusError: If a result is missing.
        ConfigError: If they are of other labels.
    """
    one, other = (_probe(path) for path in (before, after))
    if one["labels"] != other["labels"]:
        raise ConfigError(
            f"{before} is scored by {one['labels']} and {after} by {other['labels']}; probe both with the same labels"
        )
    notes = [_ALONE]
    if differing := [name for name in ("test_fraction", "seed", "split", "items") if one.get(name) != other.get(name)]:
        said = ", ".join(f"{name} ({one.get(name)}, {other.get(name)})" for name in differing)
        notes.append(f"the items tested are not the same: they differ in {said}")
    sides = [pd.DataFrame(side["factors"])[["factor", "metric", "score", "low", "high"]] for side in (one, other)]
    rows = _joined(*sides, by=["factor", "metric"], value="score")
    rows = rows.assign(section="factors", name=rows["factor"], better=HIGHER, floor=0.0, floor_is="a constant answer")
    return Compared(unpaired_rows(rows), notes=tuple(notes))


def compare_alignment(before: Path, after: Path) -> Compared:
    """Compare what `vergence align` and `vergence spectrum` have written, of whichever of them both folders have."""
    parts, notes = [], []
    one, other = (_content(path / "alignment.json", "metrics") for path in (before, after))
    if one and other:
        notes.append("alignment.json holds no intervals; compare folders of embeddings to have them")
        if one["items"] != other["items"]:
            notes.append(f"alignment is of {one['items']} items before and {other['items']} after")
        sides = [
            pd.DataFrame(side["metrics"])[["metric", "value", "null_mean"]].assign(low=nan, high=nan)
            for side in (one, other)
        ]
        rows = _joined(*sides, by=["metric"], value="value", kept=["null_mean"])
        distances = rows["metric"].isin(["pair_distance", "centroid_distance", "relative_gap", "linear_separability"])
        rows = rows[~distances]
        made = rows.assign(section="alignment", name=rows["metric"], better=HIGHER, floor_is="chance")
        parts.append(unpaired_rows(made.rename(columns={"null_mean": "floor"})))
    one, other = (_content(path / "spectrum.json", "strengths") for path in (before, after))
    if one and other:
        sides = [
            pd.DataFrame(side["strengths"]).assign(name=[f"direction {k + 1}" for k in range(len(side["strengths"]))])
            for side in (one, other)
        ]
        chance = max(float(side["null"]["chance"]) for side in (one, other))
        rows = _joined(*sides, by=["name"], value="value")
        made = rows.assign(section="spectrum", metric="strength", better=HIGHER, floor=chance, floor_is="chance")
        parts.append(unpaired_rows(made.assign(ceiling=1.0)))
    return Compared(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), notes=tuple(notes))


def compare_studies(before: Path, after: Path) -> Compared:
    """Compare two folders of one study, run by run of equal settings, over the seeds that both have.

    Raises:
        ConfigError: If they are of different studies.
        CorpusError: If a table is missing, or no run is in both.
    """
    names = [str(_required(read_json(path / "verdict.json"), path).get("study")) for path in (before, after)]
    if names[0] != names[1]:
        raise ConfigError(f"{before} is of study {names[0]} and {after} of {names[1]}; compare runs of one study")
    tables = [_runs(path) for path in (before, after)]
    by = [name for name in tables[0].columns if name not in _MEASURED and name in tables[1].columns]
    for path, table in zip((before, after), tables, strict=True):
        if table.duplicated([*by, "seed"]).any():
            raise CorpusError(f"{path} holds several rows of one score, which do not pair; run the study again")
    numbers = ["value", "low", "high", "floor", "ceiling"]
    sides = [table[[*by, "seed", *numbers]].dropna(subset=["value"]) for table in tables]
    joined = sides[0].merge(sides[1].drop(columns=["floor", "ceiling"]), on=[*by, "seed"], suffixes=("", "_after"))
    only = [len(side) - len(joined) for side in sides]
    if joined.empty:
        raise CorpusError(f"{before} and {after} have no run of equal settings and seed in common")
    new = {f"{number}{end}": f"{side}{limit}" for side, end in (("before", ""), ("after", "_after"))
           for number, limit in (("value", ""), ("low", "_low"), ("high", "_high"))}  # fmt: skip
    rows = joined.rename(columns=new)
    rows["name"] = rows["factor"].astype(str)
    details = [name for name in by[by.index("side") :] if name not in ("factor", "metric") and rows[name].nunique() > 1]
    rows["group"] = [
        ", ".join([str(run).strip("_- "), *map(_said, own)])
        for run, own in zip(rows[_RUN], rows[details].to_numpy().tolist(), strict=True)
    ]
    rows = rows.assign(section="factors", floor_is="untrained encoder", judged=rows["metric"].isin(_SCORED))
    rows["better"] = np.where(rows["judged"], HIGHER, "")
    every = [unpaired_rows(part) for _, part in rows.groupby("seed")]
    shared = {"scores": (len(joined), only[0], only[1])}
    if len(every) == 1:
        return Compared(every[0], shared=shared, notes=("one seed: intervals are those of the tested items",))
    note = f"{len(every)} seeds pair: intervals are for further seeds, on the same items"
    return Compared(seeds_rows(every), shared=shared, notes=(note,))


def _runs(path: Path) -> pd.DataFrame:
    """The table of a study, each run called alike for all seeds."""
    table = read_table(path / "table.parquet").to_pandas()
    if missing := [name for name in ("run", "side", "factor", "metric", "value") if name not in table]:
        raise CorpusError(f"{path / 'table.parquet'} is no table of a study: it lacks {', '.join(missing)}")
    seeds = table["seed"] if "seed" in table else pd.Series(0, index=table.index)
    called = [_SEED.sub("", str(run)) for run in table["run"]]
    columns = [_RUN, *table.columns.drop("seed", errors="ignore"), "seed"]
    found: pd.DataFrame = table.assign(seed=seeds, **{_RUN: called})[columns]
    return found.fillna({name: "" for name in columns if found[name].dtype == object})


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _joined(
    one: pd.DataFrame, other: pd.DataFrame, *, by: list[str], value: str, kept: list[str] | None = None
) -> pd.DataFrame:
    sides = []
    for name, table in (("before", one), ("after", other)):
        columns = {value: name, "low": f"{name}_low", "high": f"{name}_high"}
        sides.append(table[[*by, *columns, *(kept or () if name == "before" else ())]].rename(columns=columns))
    joined = sides[0].merge(sides[1], on=by, how="inner")
    numbers = [name for name in joined.columns if name not in by]
    joined[numbers] = joined[numbers].astype(float)
    return joined.dropna(subset=["before", "after"]).reset_index(drop=True)


def _probe(path: Path) -> Mapping[str, Any]:
    file = probe_in(path)
    if file is None:
        raise CorpusError(f"{path} must hold one result of vergence probe; name the file")
    content: Mapping[str, Any] = read_json(file)
    return content


def _content(path: Path, key: str) -> Mapping[str, Any] | None:
    """What a file holds; `None` if there is none."""
    return _required(read_json(path), path, key) if path.is_file() else None


def _required(content: Any, path: Path, *keys: str) -> Mapping[str, Any]:
    if not isinstance(content, dict) or not set(keys) <= content.keys():
        raise CorpusError(f"{path} is not what vergence writes; make it again")
    return content
