"""What the study claims: bounded where theory is exact, and where it is not how far it is off."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd

from vergence.studies.spectrum.predict import APART, FULL, LEAST, WITHIN
from vergence.studies.spectrum.slices import COSINES, EXACT_CHANNELS, SPECTRA, SPHERE_SIZES, THRESHOLDS
from vergence.studies.study import Claim

HELD = 0.5
"""R² from which on a direction counts as held."""
_FIT = (0.02, 0.6)
"""Amplitudes between which strengths are extrapolated to y = 0."""
_FEWEST = 4
_RANK = len(SPECTRA["graded"])


def claims(table: pd.DataFrame) -> list[Claim]:
    """Every claim of the study."""
    parts: tuple[Callable[[pd.DataFrame], list[Claim]], ...] = (
        _amplitudes, _thresholds, _sphere, _channels, _away_from_gaussians, _objectives, _temperature, _batch, _pairs,
        _sizes, _values, _mentions,
    )  # fmt: skip
    return [claim for part in parts for claim in part(table)]


def extrapolated(strength: np.ndarray, y: np.ndarray) -> float | None:
    """Strength at which y is 0: a parabola through strengths over amplitudes, by least squares.

    The equation's own shape is not used, so that a wrong one shows.

    Example:
        >>> y = np.linspace(0.05, 0.5, 6)
        >>> round(extrapolated(0.3 + 0.5 * y - 0.1 * y**2, y), 6)
        0.3
    """
    fit = (y > _FIT[0]) & (y < _FIT[1])
    if len(np.unique(y[fit].round(6))) < _FEWEST:
        return None
    return float(np.polyfit(y[fit], strength[fit], 2)[-1])


def _amplitudes(table: pd.DataFrame) -> list[Claim]:
    rows = table[(table["metric"] == "y") & table["predicted_low"].notna()]
    off = (rows["value"] / rows["expected"] - 1).abs()
    found = []
    for channel in EXACT_CHANNELS:
        for mismatch, words in ((0.0, ""), (0.2, ", a fifth of the pairs mismatched")):
            part = off[(rows["channel"] == channel) & (rows["mismatch"] == mismatch)]
            if channel == "redraw" and mismatch:
                continue
            found.append(
                _worst(f"amplitudes y ≥ {LEAST}, {channel}{words}: largest distance, as a share", part, rows, WITHIN)
            )
    return [*found, Claim(statement="the same, mean of all", measured=off.mean())]


def _thresholds(table: pd.DataFrame) -> list[Claim]:
    found = []
    for beta, tau in THRESHOLDS:
        theory = beta * tau / (1 + beta * tau)
        worst = _worst_threshold(_near(table, beta, tau, "noise", None), theory)
        what = (
            f"σ* at β = {beta:g}, τ = {tau:g} (theory {theory:.3f}): distance when y is extrapolated to 0, as a share"
        )
        found.append(Claim(statement=what, measured=worst, at_most=WITHIN))
    return found


def _away_from_gaussians(table: pd.DataFrame) -> list[Claim]:
    found = []
    for channel, k, words in (
        ("omission", None, "omission of continuous factors"),
        ("omission", 3, "omission of factors of three values"),
        ("redraw", 3, "redraw of factors of three values"),
    ):
        for beta, tau in THRESHOLDS[1:4]:
            theory = beta * tau / (1 + beta * tau)
            rows = _near(table, beta, tau, channel, k)
            value = _threshold(rows)
            found.append(Claim(statement=f"σ* under {words}, β = {beta:g} (theory {theory:.3f})", measured=value))
    return found


def _near(table: pd.DataFrame, beta: float, tau: float, channel: str, k: int | None) -> pd.DataFrame:
    rows = table[(table["question"] == "thresholds") & (table["metric"] == "y") & table["factor"].str.match(r"d\d+$")]
    values = rows["n_values"].isna() if k is None else rows["n_values"] == k
    return rows[(rows["bottleneck"] == beta) & (rows["temperature"] == tau) & (rows["channel"] == channel) & values]


def _threshold(rows: pd.DataFrame) -> float | None:
    known = rows.dropna(subset=["value"])
    return extrapolated(known["strength"].to_numpy(), known["value"].to_numpy()) if len(known) else None


def _worst_threshold(rows: pd.DataFrame, theory: float) -> float | None:
    """Of all seeds; `None` if one of them does not tell."""
    found = [_threshold(part) for _, part in rows.groupby("seed")]
    if not found or any(one is None for one in found):
        return None
    return max(abs(one / theory - 1) for one in found if one is not None)


def _sphere(table: pd.DataFrame) -> list[Claim]:
    rows = table[(table["question"] == "sphere") & (table["metric"] == "share") & (table["factor"] != "image_other")]
    off = (rows["value"] - rows["expected"]).abs()
    found = []
    for size, cosine in product(SPHERE_SIZES, COSINES):
        here = np.isclose(rows["temperature"], 2 * cosine) & (rows["output_size"] == size)
        full = here & (rows["batch_size"] == FULL)
        what = f"shares on the sphere, {size} outputs, τ = {cosine:g}"
        found.append(_worst(f"{what}, batch {FULL}: largest distance", off[full], rows, APART))
        for batch in sorted(rows.loc[here & ~full, "batch_size"].unique()):
            part = off[here & (rows["batch_size"] == batch)]
            found.append(Claim(statement=f"{what}, batch {batch:g}: largest distance", measured=part.max()))
    return found


def _channels(table: pd.DataFrame) -> list[Claim]:
    rows = table[(table["question"] == "amplitudes") & (table["metric"] == "y") & (table["expected"] >= LEAST)]
    off = (rows["value"] / rows["expected"] - 1).abs()
    return [
        Claim(
            statement=f"amplitudes y ≥ {LEAST}, {channel}, β = {beta:g}: mean distance, as a share",
            measured=part.mean(),
        )
        for (channel, beta), part in off.groupby([rows["channel"], rows["bottleneck"]])
        if channel not in EXACT_CHANNELS
    ]


def _objectives(table: pd.DataFrame) -> list[Claim]:
    rows = table[
        (table["question"] == "objectives") & (table["metric"] == "share") & (table["factor"] != "image_other")
    ]
    off = (rows["value"] - rows["expected"]).abs()
    return [
        Claim(statement=f"{objective}, {constraint}, β = {beta:g}: largest distance of a share", measured=part.max())
        for (objective, constraint, beta), part in off.groupby(
            [rows["objective"], rows["constraint"], rows["bottleneck"]], sort=False
        )
    ]


def _temperature(table: pd.DataFrame) -> list[Claim]:
    rows = table[(table["question"] == "temperature") & (table["metric"] == "temperature")]
    return [
        Claim(
            statement=f"τ learned from 1, {row['objective']}, {row['constraint']}, β = {row['bottleneck']:g}",
            measured=row["value"],
        )
        for _, row in rows.iterrows()
    ]


def _batch(table: pd.DataFrame) -> list[Claim]:
    rows = table[(table["question"] == "batch") & (table["metric"] == "y") & (table["expected"] >= LEAST)]
    off = rows["value"] / rows["expected"] - 1
    return [
        Claim(
            statement=f"batch {batch:g}: mean of y over the equation's, minus 1, of y ≥ {LEAST}", measured=part.mean()
        )
        for batch, part in off.groupby(rows["batch_size"])
    ]


def pairs_needed(table: pd.DataFrame) -> pd.Series:
    """By strength, at how many pairs a linear probe reads half of the direction's variance; interpolated in log N."""
    rows = table[(table["question"] == "pairs") & (table["metric"] == "r2_linear")].dropna(subset=["value"])
    found = {}
    for strength, part in rows.groupby("strength"):
        means = part.groupby("n_pairs")["value"].mean()
        above, below = means[means >= HELD], means[means < HELD]
        if above.empty or below.empty or below.index.min() > above.index.min():
            continue
        first = above.index[above.index > below.index[below.index < above.index.max()].max()].min()
        last = below.index[below.index < first].max()
        part_way = (HELD - means[last]) / (means[first] - means[last])
        found[strength] = float(np.exp(np.log(last) + part_way * np.log(first / last)))
    return pd.Series(found, dtype=float)


def _pairs(table: pd.DataFrame) -> list[Claim]:
    needed = pairs_needed(table)
    slope = np.polyfit(np.log(needed.index), np.log(needed), 1)[0] if len(needed) > 2 else None
    found = [Claim(statement="pairs that a direction needs go with its strength to the power of", measured=slope)]
    return found + [
        Claim(statement=f"σ = {sigma:g}: pairs for R² {HELD}, times σ²", measured=n * sigma**2)
        for sigma, n in zip(needed.index.astype(float), needed, strict=True)
    ]


def _sizes(table: pd.DataFrame) -> list[Claim]:
    rows = table[table["question"] == "sizes"]
    found = []
    for (spectrum, tau), part in rows.groupby(["spectrum", "temperature"], sort=False):
        sizes = part["output_size"]
        for what, which in (("as many outputs as directions or fewer", sizes <= _RANK), ("more", sizes > _RANK)):
            here = f"{spectrum}, τ = {tau:g}, {what}"
            probed = part[which & (part["metric"] == "r2")]
            torn = probed.loc[~probed["expected"].isin([0.0, 1.0]), "run"]  # equal directions share an output
            probed = probed[~probed["run"].isin(torn)]
            right = (probed["value"] >= HELD) == (probed["expected"] == 1)
            found += [
                Claim(statement=f"{here}: held or not as predicted, of what is decided", measured=right.mean()),
                Claim(
                    statement=f"{here}: loss minus that of the law",
                    measured=_gap(part[part["run"].isin(probed["run"])]),
                ),
            ]
    return found


def _values(table: pd.DataFrame) -> list[Claim]:
    rows = table[(table["question"] == "values") & table["metric"].str.startswith("matthews")]
    found = []
    for (strength, metric), part in rows.groupby(["strength", "metric"], sort=False):
        enough = part.loc[part["value"] >= 0.9, "output_size"]
        what = f"five values, σ = {strength:g}: fewest outputs with {str(metric).replace('_', ', ')} of 0.9"
        found.append(Claim(statement=what, measured=float(enough.min()) if len(enough) else None))
    return found


def _mentions(table: pd.DataFrame) -> list[Claim]:
    rows = table[table["question"] == "mentions"]
    found = []
    for (channel, _), part in rows.groupby(["channel", "run"], sort=False):
        sigma = part["strength"].max()
        by = part.groupby("metric")["value"].mean()
        squares = part.loc[part["factor"].str.endswith("²"), "value"].sum()
        what = f"ten factors of σ = {sigma:.3f} by {channel}"
        found += [
            Claim(statement=f"{what}: mean R²", measured=by.get("r2")),
            Claim(statement=f"{what}: mean R² of a linear probe", measured=by.get("r2_linear")),
            Claim(statement=f"{what}: share of squares in the representation", measured=squares),
            Claim(statement=f"{what}: loss minus that of the true block", measured=_gap(part)),
        ]
    return found


def _gap(rows: pd.DataFrame) -> float:
    """By how much the loss of what was learned is above that of the linear readings as the law has them, on average."""
    means = rows.groupby("metric")["value"].mean()
    return float(means.get("loss", np.nan) - means.get("loss of the law", np.nan))


def _worst(statement: str, off: pd.Series, rows: pd.DataFrame, at_most: float) -> Claim:
    """The largest distance; what was not measured does not hold."""
    if off.empty or off.isna().any():
        return Claim(statement=statement, measured=None, at_most=at_most)
    at = rows[rows.index == off.index[int(off.argmax())]].iloc[0]
    where = f"{at['factor']}, σ = {at['strength']:.2f}, β = {at['bottleneck']:g}, seed {at['seed']}"
    return Claim(statement=statement, measured=off.max(), at_most=at_most, where=where)
