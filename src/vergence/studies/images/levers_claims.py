"""What each lever removed of the target and what it cost, beside what was expected; claims and figures of that."""

from collections.abc import Sequence
from functools import partial
from math import isfinite

import numpy as np
import pandas as pd

from vergence.metrics.trends import trend
from vergence.plots.runs import agreement, predicted_against_measured
from vergence.studies.images.measure import NETWORK
from vergence.studies.images.spec import CAPTIONS
from vergence.studies.study import Claim, Drawing

TARGET = "color"
_KEY = ["run", "texts", "seed", "encoding_size", "bottleneck", "temperature"]
LEVERS = {
    "none": "nothing",
    "omit": "omitted",
    "perturb": "perturbed",
    "size": "fewer outputs",
    "beta": "bottleneck",
    "tau": "temperature",
    "several": "several",
}
_REMOVED, _KEPT, _OTHERS = 0.2, 0.8, 0.7  # of the way from floor to ceiling


def positions(table: pd.DataFrame) -> pd.DataFrame:
    """Scores of a network probe, and what was expected of them, as parts of the way from floor to ceiling.

    Args:
        table: Of a study.

    Returns:
        Its rows of captioned factors on the image's side, with columns at and expected_at; NaN where the ceiling is not
        .2 above the floor.
    """
    rows = table[(table["taught_by"] == CAPTIONS) & (table["side"] == "image") & (table["probe"] == NETWORK)]
    rows = rows[rows["metric"].eq("matthews") & rows["role"].ne("private")]
    width = (rows["ceiling"] - rows["floor"]).where(lambda wide: wide >= 0.2)
    return rows.assign(
        at=(rows["value"] - rows["floor"]) / width,
        expected_at=((rows["expected"] - rows["floor"]) / width).clip(lower=0),  # where nothing is read, chance is
    )


def effects(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each run: where the target and the others are between floor and ceiling, recall, alignment, lever.

    Args:
        table: Of the study.

    Returns:
        Columns of the settings, lever; target, target_expected, others, others_expected (means over factors, parts of
        the way), recall1, recall1_expected, cka, cka_expected.
    """
    rows = positions(table)
    columns = ["target", "target_expected", "others", "others_expected"]
    if rows.empty:
        return pd.DataFrame(columns=[*_KEY, "lever", *columns, "recall1", "recall1_expected", "cka", "cka_expected"])
    found = rows.groupby("run", sort=False)[_KEY].first()
    mine = rows["factor"] == TARGET
    for name, which in (("target", mine), ("others", ~mine)):
        of_run = rows[which].groupby("run")
        found[name], found[f"{name}_expected"] = of_run["at"].mean(), of_run["expected_at"].mean()
    both = table[(table["side"] == "both") & (table["taught_by"] == CAPTIONS)]
    for metric in ("recall1", "cka"):
        of_run = both[both["metric"] == metric].groupby("run")
        found[metric], found[f"{metric}_expected"] = of_run["value"].mean(), of_run["expected"].mean()
    found["lever"] = [lever(row, found) for row in found.to_dict("records")]
    return found.reset_index(drop=True)


def lever(row: dict, table: pd.DataFrame) -> str:  # type: ignore[type-arg]
    """Which lever a run pulls, among those of a study whose most usual setting is the base."""
    said = str(row["texts"])
    target = next((part for part in said.split(", ") if part.startswith(TARGET)), "")
    pulled = {"perturb": "redrawn" in said, "omit": not target or "named" in said}
    for short, name in (("size", "encoding_size"), ("beta", "bottleneck"), ("tau", "temperature")):
        pulled[short] = row[name] != table[name].mode().iloc[0]
    names = [name for name, is_pulled in pulled.items() if is_pulled]
    return "none" if not names else names[0] if len(names) == 1 else "several"


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of each setting, as the page has them: what a lever removed and what it cost."""
    found = effects(table)
    numbers = ["target", "target_expected", "others", "others_expected"]
    numbers += ["recall1", "recall1_expected", "cka", "cka_expected"]
    by = ["lever", "texts", "encoding_size", "bottleneck", "temperature"]
    return found.groupby(by, sort=False)[numbers].mean().reset_index()


def claims(table: pd.DataFrame) -> list[Claim]:
    """What theory is firm about is bounded; the rest is described, each setting by its numbers."""
    runs = effects(table)
    settings = summary(table) if len(runs) else runs
    plain, omitted = (
        settings[settings["lever"] == "none"],
        settings[~settings["texts"].astype(str).str.contains(TARGET)],
    )
    alone = omitted[omitted["lever"] == "omit"]
    exact = settings[settings["lever"].isin(["beta", "tau"])]
    rho = trend(*(runs[name].to_numpy(dtype=float) for name in ("target_expected", "target")), generator=_stream())
    found = [
        _worst("nothing done: the target, part of the way from floor to ceiling", plain["target"], at_least=_KEPT),
        _worst("nothing done: the others, mean", plain["others"], at_least=_OTHERS),
        _worst("omitted in all texts: the target", omitted["target"], at_most=_REMOVED),
        _worst("omitted in all texts, nothing else done: the others, mean", alone["others"], at_least=_OTHERS),
        _worst("omitted in half, and fewer outputs than factors: the target", _half(settings, 4), at_most=_REMOVED),
        _worst("bottleneck or temperature alone, which take nothing that is exact: the target", exact["target"],
               at_least=_KEPT),
        Claim(
            statement="Spearman of the target's expected and measured place, lower end of its 95 % interval",
            measured=rho.low,
            at_least=0.0,
            where=str(rho),
        ),
    ]  # fmt: skip
    for name in ("target", "others", "recall1", "cka"):
        known = runs.dropna(subset=[name, f"{name}_expected"]) if len(runs) else runs
        pairs = known.rename(columns={name: "value", f"{name}_expected": "expected"})[["expected", "value"]]
        rank, distance, n = agreement(pairs.astype(float))
        what = f"{name}: mean distance of measured and expected"
        found.append(Claim(statement=what, measured=distance, where=f"n = {n}, rank correlation {rank:.2f}"))
    return found + _described(settings)


def _half(settings: pd.DataFrame, outputs: int) -> "pd.Series[float]":
    half = settings["texts"].astype(str).str.contains("50% named") & (settings["encoding_size"] == outputs)
    return settings.loc[half, "target"]


def _worst(
    statement: str, values: "pd.Series[float]", *, at_least: float | None = None, at_most: float | None = None
) -> Claim:
    known = values.astype(float)
    complete = len(known) > 0 and known.map(isfinite).all()
    worst = (known.min() if at_most is None else known.max()) if complete else None
    return Claim(statement=f"{statement}, worst setting", measured=worst, at_least=at_least, at_most=at_most)


def _described(settings: pd.DataFrame) -> list[Claim]:
    """What each setting removed, and what it cost against doing nothing."""
    plain = settings[settings["lever"] == "none"]
    found = []
    for row in settings.to_dict("records"):
        cost = {name: float(row[name] - plain[name].mean()) for name in ("others", "recall1", "cka")}
        found.append(
            Claim(
                statement=f"{words(row)}: the target",
                measured=float(row["target"]),
                where=f"expected {row['target_expected']:.2f}; others {cost['others']:+.2f}, "
                f"recall@1 {cost['recall1']:+.2f}, CKA {cost['cka']:+.2f}",
            )
        )
    return found


def words(row: dict) -> str:  # type: ignore[type-arg]
    """A setting in words."""
    target = next((part for part in str(row["texts"]).split(", ") if part.startswith(TARGET)), f"{TARGET} omitted")
    said = target.replace("%", " %")
    return f"{said}; n = {row['encoding_size']}, β = {row['bottleneck']:g}, τ = {row['temperature']:g}"


def figures(table: pd.DataFrame) -> dict[str, Drawing]:
    """What was expected of the target and the others, and what was measured."""
    runs = effects(table)
    if runs.empty:
        return {}
    long = pd.concat(
        [
            runs[["lever", name, f"{name}_expected"]].rename(columns={name: "value", f"{name}_expected": "expected"})
            for name in ("target", "others")
        ]
    )
    if long.dropna().empty:
        return {}
    return {"levers": beside(long, "Target and mean of the other factors, by lever.")}


def beside(long: pd.DataFrame, caption: str, *, levers: Sequence[str] = tuple(LEVERS)) -> Drawing:
    """Measured over expected, coloured by lever, with rank correlation and mean distance in the caption.

    Args:
        long: Columns lever, expected and value, as parts of the way from floor to ceiling.
        caption: What to say first.
        levers: Which, in this order.
    """
    rank, distance, n = agreement(long)
    said = f"{caption} {n:,} scores with an expectation: rank correlation {rank:.2f}, mean distance {distance:.2f}."
    draw = partial(
        predicted_against_measured,
        long,
        series="lever",
        names={name: LEVERS[name] for name in levers},
        score="0 is what the untrained encoder scores, 1 what labels teach it",
    )
    return Drawing(said, draw(layout="wide"), draw(layout="narrow"))


def _stream() -> np.random.Generator:
    return np.random.default_rng(0)
