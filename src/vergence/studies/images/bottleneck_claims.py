"""What the studies of [almudevar2025] claim: the paper's sign as bound, so that a disagreement fails.

A trend is a Spearman correlation with a bootstrap interval over splits or runs; it is bounded where the paper claims a
sign, at the end of the interval that has to be on that side of 0.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from vergence.metrics.trends import Trend, trend
from vergence.studies.images.spec import CODES, LABELS
from vergence.studies.study import Claim

ALIKE = ("cka", "knn1", "knn5")
READABLE = 0.9
ESSENTIAL = ("unbiased", "at times", "perturbed")
GENTLE = 1.0
"""β up to which trends are claimed."""
LEFT = 0.05
"""Of a uncertainty reduction ratio: what counts as left of a nuisance; a probe on a fitting half is about ±.01 off."""
WITHIN = 0.05
"""Of a share of the variance: how far from the law."""
_SETTINGS = ["run", "images", "seed", "n_unbiased", "temperature", "learned", "bottleneck", "image_encoder", "epochs"]


def runs_of(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each run of texts: means over its nuisances and its essence, and what both sides say together.

    Args:
        table: Of a study.

    Returns:
        Columns of the settings; nuisance_urr, nuisance_nats, nuisance_share, nuisance_law (the share that the law has),
        kept_of_floor (nuisance URR over that of the untrained encoder), essence_urr; cka, knn1, knn5, recall1, tau,
        cka_law.
    """
    taught = table[table["taught_by"] == CODES]
    if taught.empty:
        return pd.DataFrame(columns=[*_SETTINGS, *_MEANS, *_BOTH])
    essential = taught["role"].isin(ESSENTIAL)
    image = taught["side"] == "image"
    found = taught.groupby("run", sort=False)[_SETTINGS].first()
    for name, (nuisances, metric, column) in _MEANS.items():
        part = taught[image & (essential != nuisances) & (taught["metric"] == metric)]
        found[name] = part.groupby("run")[column].mean()
    both = taught[taught["side"] == "both"]
    for name, (metric, column) in _BOTH.items():
        found[name] = both[both["metric"] == metric].groupby("run")[column].mean()
    return found.reset_index(drop=True)


_MEANS: Mapping[str, tuple[bool, str, str]] = {
    "nuisance_urr": (True, "urr", "value"),
    "nuisance_nats": (True, "nats", "value"),
    "nuisance_floor": (True, "urr", "floor"),
    "nuisance_share": (True, "share", "value"),
    "nuisance_law": (True, "share", "expected"),
    "essence_urr": (False, "urr", "value"),
}
_BOTH: Mapping[str, tuple[str, str]] = {
    "cka": ("cka", "value"),
    "knn1": ("knn1", "value"),
    "knn5": ("knn5", "value"),
    "recall1": ("recall1", "value"),
    "tau": ("temperature", "value"),
    "cka_law": ("cka", "expected"),
}


def left_out(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of captioned factors that codes leave out, as the image's side has them."""
    return table[(table["taught_by"] == CODES) & (table["side"] == "image") & (table["role"] == "omitted")]


def of_nuisance(table: pd.DataFrame) -> list[Claim]:
    """What of the left-out factor is left; whether temperature, depth and architecture matter."""
    rows = left_out(table)
    urr, shares = (rows[rows["metric"] == metric] for metric in ("urr", "share"))
    plain = urr[base(urr)]
    found = [*readable(table)]
    for name, part in plain.groupby("images"):
        means = part.groupby("factor")["value"].mean()
        kept = means.ge(LEFT).mean() if means.notna().all() else None
        found.append(
            Claim(
                statement=f"{name}: of the factors left out, the share of which URR ≥ {LEFT} is left (paper: they are)",
                measured=kept,
                at_least=0.5,
                where=", ".join(f"{factor} {value:.2f}" for factor, value in means.items()),
            )
        )
        floor = part.groupby("factor")["floor"].mean()
        found.append(Claim(statement=f"{name}: mean URR left of them", measured=means.mean()))
        found.append(Claim(statement=f"{name}: mean URR of the same, untrained", measured=floor.mean()))
    if plain.empty:
        found.append(Claim(statement=f"share of factors of which URR ≥ {LEFT} is left", measured=None, at_least=0.5))
    off = (shares["value"] - shares["expected"]).abs()
    known = off.notna().any()
    worst = shares.iloc[int(np.nanargmax(off.to_numpy()))] if known else None
    found.append(
        Claim(
            statement="share of the variance that a left-out factor has, largest distance from the law on the sphere",
            measured=off.max() if len(off) and off.notna().all() else None,
            at_most=WITHIN,
            where="" if worst is None else f"{worst['images']}, {worst['factor']}, {worst['image_encoder']}",
        )
    )
    return [*found, *_sweeps(urr)]


def base(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Runs as published: a temperature that is learned, the encoder and the budget of the scale."""
    if rows.empty:
        return pd.Series(False, index=rows.index)
    longest = rows["epochs"] == rows["epochs"].max()
    usual = rows.loc[longest, "image_encoder"].mode().iloc[0]
    plain: pd.Series[bool] = rows["learned"].astype(bool) & longest & (rows["image_encoder"] == usual)
    return plain


def _sweeps(urr: pd.DataFrame) -> list[Claim]:
    """Spearman's correlation over runs with temperature, and differences between depths; the rest is described."""
    fixed = urr[~urr["learned"].astype(bool)]
    found = trend(*(fixed[name].to_numpy(dtype=float) for name in ("temperature", "value")), generator=_stream())
    claims = _bounded("left-out factor: Spearman of URR and a fixed temperature", found, -1)
    for encoder, part in urr[urr["learned"].astype(bool)].groupby(["epochs", "image_encoder"]):
        epochs, name = encoder
        swept = part[part["factor"].isin(fixed["factor"]) & part["images"].isin(fixed["images"])]
        if len(swept):
            claims.append(
                Claim(
                    statement=f"left-out factor, {name}, {epochs} epochs: URR",
                    measured=swept["value"].mean(),
                    where=f"untrained {swept['floor'].mean():.2f}",
                )
            )
    return claims


def of_alignment(table: pd.DataFrame) -> list[Claim]:
    """Rank correlations over splits, for each set and both."""
    runs = runs_of(table)
    found = [*readable(table)]
    for name in sorted(runs["images"].unique()) or ("both sets",):
        part = runs[runs["images"] == name]
        for alike in ALIKE:
            one = _trend(part, "nuisance_urr", alike)
            found += _bounded(f"{name}: Spearman of mean nuisance URR and {alike}", one, -1)
            inner = _trend(_among_equals(part, "nuisance_urr", alike), "nuisance_urr", alike)
            found += _described(f"{name}: the same among splits that name as many factors, {alike}", inner)
            many = _trend(part, "n_unbiased", alike)
            found += _described(f"{name}: Spearman of the number of factors named and {alike}", many)
        for x, words in (("nuisance_nats", "mean nuisance nats"), ("nuisance_law", "nuisance share by the law")):
            found += _described(f"{name}: Spearman of {words} and cka", _trend(part, x, "cka"))
        found += _described(
            f"{name}: Spearman of nuisance URR and nuisance share by the law",
            _trend(part, "nuisance_urr", "nuisance_law"),
        )
        found += _described(f"{name}: Spearman of cka and cka by the law", _trend(part, "cka", "cka_law"))
        found += _described(f"{name}: Spearman of essence URR and cka", _trend(part, "essence_urr", "cka"))
        found.append(Claim(statement=f"{name}: splits", measured=len(part), at_least=30))
        found += _by_strength(table[table["images"] == name], name)
    return found


def _among_equals(runs: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Ranks within runs of as many named factors, about their mean: what that number does is taken out."""
    groups = runs.groupby("n_unbiased")
    return runs.assign(**{name: groups[name].rank() - groups[name].transform("count") / 2 for name in columns})


def _by_strength(table: pd.DataFrame, name: str) -> list[Claim]:
    """What is read of factors of strength 1 and of strength 0."""
    rows = table[(table["taught_by"] == CODES) & (table["side"] == "image") & (table["metric"] == "urr")]
    essential = rows["role"].isin(ESSENTIAL)
    ones, zeros = rows.loc[essential, "value"], rows.loc[~essential, "value"]
    known = len(ones) and len(zeros) and rows["value"].notna().all()
    return [
        Claim(
            statement=f"{name}: mean URR of factors of strength 1 beyond that of strength 0",
            measured=ones.mean() - zeros.mean() if known else None,
            at_least=0.3,
            where=f"{ones.mean():.2f} and {zeros.mean():.2f}" if known else "",
        )
    ]


def of_beta(table: pd.DataFrame) -> list[Claim]:
    """Trends up to β = 1, by set and by what the temperature does, and how much a β of 1 changes."""
    runs = runs_of(table)
    found = [*readable(table)]
    for name in sorted(runs["images"].unique()) or ("both sets",):
        for learned, words in ((True, "learned temperature"), (False, "fixed temperature")):
            part = runs[(runs["images"] == name) & runs["learned"].eq(learned)]
            found += _over_beta(part, f"{name}, {words}", learned=learned)
    return found


def _over_beta(runs: pd.DataFrame, which: str, *, learned: bool) -> list[Claim]:
    gentle = runs[runs["bottleneck"] <= GENTLE]
    found = _bounded(
        f"{which}, β ≤ 1: Spearman of β and nuisance URR", _trend(gentle, "bottleneck", "nuisance_urr"), -1
    )
    for alike in ("cka", "knn5"):
        found += _bounded(f"{which}, β ≤ 1: Spearman of β and {alike}", _trend(gentle, "bottleneck", alike), 1)
    if learned:
        one = _trend(gentle, "bottleneck", "tau")
        found += _bounded(f"{which}, β ≤ 1: Spearman of β and the temperature at the end", one, -1)
    one = _trend(gentle, "bottleneck", "essence_urr")
    found += _described(f"{which}, β ≤ 1: Spearman of β and essence URR", one)
    for column in ("nuisance_urr", "nuisance_share", "nuisance_law", "essence_urr", "cka", "cka_law", "tau"):
        means = runs.groupby("bottleneck")[column].mean()
        found.append(
            Claim(
                statement=f"{which}: {column.replace('_', ' ')} at β = 1 minus that at β = 0",
                measured=means.get(1.0, np.nan) - means.get(0.0, np.nan),
                where=", ".join(f"{beta:g}: {value:.3f}" for beta, value in means.items()),
            )
        )
    return found


def readable(table: pd.DataFrame) -> list[Claim]:
    """The encoder that labels train reads every factor, so that a low number is not the pixels' doing."""
    rows = table[
        (table["taught_by"] == LABELS) & (table["metric"] == "urr") & (table["epochs"] == table["epochs"].max())
    ]
    found = []
    for name, part in rows.groupby("images"):
        means = part[part["image_encoder"] == part["image_encoder"].mode().iloc[0]].groupby("factor")["value"].mean()
        found.append(
            Claim(
                statement=f"{name}: URR of the encoder that labels train, worst factor",
                measured=means.min() if means.notna().all() else None,
                at_least=READABLE,
                where=", ".join(f"{factor} {value:.2f}" for factor, value in means.items()),
            )
        )
    return found or [Claim(statement="URR of the encoder that labels train", measured=None, at_least=READABLE)]


def _trend(runs: pd.DataFrame, x: str, y: str) -> Trend:
    return trend(*(runs[name].to_numpy(dtype=float) for name in (x, y)), generator=_stream())


def _bounded(statement: str, found: Trend, sign: Literal[-1, 1]) -> list[Claim]:
    """The end of the interval that has to be on the claimed side."""
    end, name = (found.high, "upper") if sign < 0 else (found.low, "lower")
    return [
        Claim(
            statement=f"{statement}, {name} end of its 95 % interval",
            measured=end,
            at_most=0.0 if sign < 0 else None,
            at_least=0.0 if sign > 0 else None,
            where=f"{found}: {found.verdict(sign)}",
        )
    ]


def _described(statement: str, found: Trend) -> list[Claim]:
    return [Claim(statement=statement, measured=found.rho, where=str(found))]


def _stream() -> np.random.Generator:
    return np.random.default_rng(0)
