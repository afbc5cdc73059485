"""Verdicts: what a study's table says of the claims it was made for. All numbers come from the table alone."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vergence.studies.misalignment2025.graded import TERMS, fit_recovery
from vergence.studies.misalignment2025.spec import HELD_OUT_MENTIONS

Claim = dict[str, Any]


def claim(statement: str, measured: float, *, at_least: float | None = None, at_most: float | None = None) -> Claim:
    """One claim: what was to be seen, what was, and whether it holds."""
    known = bool(np.isfinite(measured))
    holds = known and (at_least is None or measured >= at_least) and (at_most is None or measured <= at_most)
    bound = {key: value for key, value in (("at_least", at_least), ("at_most", at_most)) if value is not None}
    number = round(float(measured), 4) if known else None
    return {"claim": statement, "measured": number, **bound, "holds": bool(holds)}


def reaches_the_oracle(table: pd.DataFrame) -> list[Claim]:
    """Unbiased semantics recovered, all others as the oracle says, nothing of what is private; by dependence."""
    claims = []
    scores = table[(table["metric"] == "r2") & (table["domain"] == "in") & (table["role"] != "label")]
    scores = scores[scores["oracle"].notna()]
    for dependent, rows in scores.groupby("dependent"):
        kind = "dependent" if dependent else "independent"
        image, private = rows[(rows["side"] == "image")], rows[rows["role"] == "private"]
        semantics = image[image["role"] != "private"]
        unbiased = semantics[semantics["role"] == "unbiased"]["value"].mean()
        claims += [
            claim(f"{kind}: mean R2 of unbiased semantics", unbiased, at_least=0.92 if dependent else 0.95),
            claim(
                f"{kind}: mean |measured - oracle| over semantics",
                (semantics["value"].clip(lower=0) - semantics["oracle"]).abs().mean(),
                at_most=0.08 if dependent else 0.03,
            ),
        ]
        for side, part in private.groupby("side"):
            mean = part["value"].clip(lower=0).mean()
            claims.append(claim(f"{kind}: mean R2 of {side}-private variables", mean, at_most=0.02))
    return claims


def comes_back_above_the_block(table: pd.DataFrame) -> list[Claim]:
    """Perturbed variables are absent at the size of the block and present above; says from which size on."""
    rows = table[(table["side"] == "image") & (table["role"] == "perturbed")]
    claims = []
    for probability, part in rows.groupby("perturbation_probability"):
        block = int(part["n_unbiased"].iloc[0])
        by_size = part.groupby("output_size")["value"].mean()
        back = by_size[(by_size.index > block) & (by_size >= 0.5)]
        claims += [
            claim(
                f"probability {probability}: mean R2 of perturbed variables at {block} outputs",
                by_size[block],
                at_most=0.2,
            ),
            claim(
                f"probability {probability}: the same at {by_size.index.max()} outputs", by_size.iloc[-1], at_least=0.5
            ),
            claim(
                f"probability {probability}: smallest size with R2 of 0.5",
                float(back.index.min()) if len(back) else np.nan,
            ),
        ]
    return claims


def omitting_what_shifts_helps(table: pd.DataFrame) -> list[Claim]:
    """Out of domain, leaving the shifted pair out beats keeping it; in domain, scores rise up to k = 5."""
    rows = table[(table["factor"] == "y2 class")]
    score = rows.pivot_table(index="seed", columns=["domain", "selected"], values="value")
    claims = []
    if {("out", 8), ("out", 10)} <= set(score.columns):
        gain = (score["out", 8] - score["out", 10]).dropna()
        low, high = paired_interval(gain.to_numpy())
        claims += [
            claim(
                "out of domain: mean gain from omitting the shifted pair (k = 8 against 10)", gain.mean(), at_least=0.0
            ),
            claim("lower end of its paired 95 % interval", low, at_least=1e-9),
            claim("upper end of it", high),
        ]
    means = rows.groupby(["domain", "selected"])["value"].mean().unstack(0)
    rising = means["in"][means.index <= 5]
    claims.append(
        claim("in domain: smallest rise from one k to the next up to k = 5", rising.diff().min(), at_least=0.0)
    )
    for k, row in means.iterrows():
        claims.append(claim(f"k = {k}: in-domain minus out-of-domain score", row["in"] - row["out"]))
    return claims


def rises_with_the_block(table: pd.DataFrame) -> list[Claim]:
    """Labels are predicted as well as their oracle allows, better the more of their semantics are unbiased."""
    rows = table[(table["role"] == "label") & (table["domain"] == "in") & (table["metric"] == "r2")]
    claims = []
    for dependent, part in rows.groupby("dependent"):
        kind = "dependent" if dependent else "independent"
        gap = (part["value"] - part["oracle"]).abs().mean()
        claims.append(claim(f"{kind}: mean |measured - oracle| of label R2", gap))
        by_block = part.groupby(["n_unbiased", "factor"])["value"].mean().unstack()
        rise = np.corrcoef(by_block.index, by_block.mean(axis=1))[0, 1]
        claims.append(claim(f"{kind}: correlation of label R2 with the size of the block", rise, at_least=0.8))
    return claims


def follows_a_curve(table: pd.DataFrame) -> list[Claim]:
    """Recovery against mention, mismatch and size follows a fitted curve, also where it was not fitted."""
    rows = table[(table["side"] == "image") & (table["role"] == "unbiased")]
    settings = ["run", "seed", "mention", "mismatch", "output_size", "n_unbiased"]
    runs = rows.groupby(settings, as_index=False)["value"].mean()
    held_out = runs["mention"].isin(HELD_OUT_MENTIONS)
    if held_out.all() or (~held_out).sum() <= len(TERMS):
        return mean_by(table, "output_size", "mismatch", "mention")
    curve = fit_recovery(runs[~held_out])
    claims = []
    for term, value, low, high in curve.intervals():
        claims += [
            claim(f"logit of R2 {term}", value),
            claim("... lower end of its 95 % interval", low),
            claim("... upper end of it", high),
        ]
    claims.append(claim("standard deviation of a run about the curve", curve.spread))
    if held_out.any():
        fitted, half = curve.predict(runs[held_out])
        apart = (runs["value"][held_out] - fitted).abs()
        claims += [
            claim("held-out settings: mean |fitted - measured| R2", apart.mean(), at_most=0.1),
            claim("held-out settings: share inside the 95 % interval", (apart <= half).mean(), at_least=0.8),
        ]
    return claims + mean_by(table, "output_size", "mismatch", "mention")


def paired_interval(gains: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean of paired differences by Student's t; (nan, nan) for fewer than two."""
    from scipy.stats import t

    if len(gains) < 2:
        return float("nan"), float("nan")
    half = t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    return float(gains.mean() - half), float(gains.mean() + half)


def reaches_it_how_fast(table: pd.DataFrame) -> list[Claim]:
    """Of each objective: where it ends, and the share of the training by which its block was nearly there.

    Before the outputs are as many as they are to be, that does not count.
    """
    settings = ["objective", "perturbed", "output_size", "bottleneck"]
    claims = mean_by(table, *settings)
    rows = table[(table["side"] == "image") & (table["role"] == "unbiased")]
    rows = rows[rows["outputs"] == rows["output_size"]]
    for keys, part in rows.groupby(settings):
        by_share = part.groupby("share")["value"].mean()
        there = by_share.index[by_share >= 0.9]
        what = f"{_words(settings, keys)}: share of the training until R2 0.9"
        claims.append(claim(what, there.min() if len(there) else np.nan))
    return claims


def _words(names: Sequence[str], values: Iterable[Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def mean_by(table: pd.DataFrame, *columns: str) -> list[Claim]:
    """Describe, without a bound: mean R² of unbiased and other semantics by some settings."""
    rows = table[(table["side"] == "image") & table["role"].isin(("unbiased", "perturbed"))]
    claims = []
    rows = rows[rows["share"] == 1]
    for keys, part in rows.groupby([*columns, "role"]):
        claims.append(claim(f"{_words(columns, keys[:-1])}: mean R2 of {keys[-1]} semantics", part["value"].mean()))
    return claims
