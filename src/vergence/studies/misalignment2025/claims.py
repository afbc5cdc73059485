"""What the numerical studies claim, with bounds: all numbers come from the table alone.

Bounds are what theory says with a margin for probes and for a training that ends. Of a mean the margin is 0.05 and of a
single setting's mean 0.1; of one variable in one run 0.2. Where theory is silent no bound is stated, but for what a
study set out to show.
"""

import numpy as np
import pandas as pd

from vergence.studies.misalignment2025.cases import (
    OF_A_MEAN,
    OF_A_RUN,
    OF_A_SETTING,
    final_scores,
    mean_of,
    room_below,
    words,
    worst_of,
    worst_row,
    worst_setting,
)
from vergence.studies.misalignment2025.graded import TERMS, fit_recovery
from vergence.studies.misalignment2025.spec import HELD_OUT_MENTIONS, SPACE
from vergence.studies.study import Claim

_ABOVE_NOTHING = 0.001  # a gain or a slope that is more than none
_SEMANTICS = ("unbiased", "perturbed", "omitted")


def reaches_the_oracle(table: pd.DataFrame) -> list[Claim]:
    """Unbiased semantics recovered, all others as the oracle says, nothing of what is private; by dependence."""
    rows = final_scores(table)
    rows = rows[rows["predicted_low"].eq(rows["predicted_high"])]
    rows = rows.assign(apart=(rows["value"].clip(lower=0) - rows["expected"]).abs())
    claims = []
    for kind, dependent in (("independent", False), ("dependent", True)):
        if dependent and not table.empty and not table["dependent"].any():
            continue  # a study of independent semantics alone
        part = rows[rows["dependent"] == dependent]
        semantics = part[(part["side"] == "image") & part["role"].isin(_SEMANTICS)]
        unbiased = semantics[semantics["role"] == "unbiased"]
        r2, apart = f"{kind}: R² of unbiased semantics", f"{kind}: distance of semantics to the prediction"
        claims += [
            mean_of(f"{r2}, mean", unbiased["value"], at_least=0.92 if dependent else 0.95),
            worst_setting(f"{r2}, worst setting", unbiased, at_least=1 - OF_A_SETTING),
            worst_row(f"{r2}, worst variable of any run", unbiased, at_least=1 - OF_A_RUN),
            mean_of(f"{apart}, mean", semantics["apart"], at_most=0.08 if dependent else 0.03),
            worst_setting(f"{apart}, worst setting", semantics, at_most=OF_A_SETTING, column="apart"),
            worst_row(f"{apart}, worst variable of any run", semantics, at_most=OF_A_RUN, column="apart"),
        ]
        for side in ("image", "text"):
            private = part[(part["role"] == "private") & (part["side"] == side)]
            private = private.assign(value=private["value"].clip(lower=0))
            claims += [
                mean_of(f"{kind}: R² of {side}-private variables, mean", private["value"], at_most=0.02),
                worst_setting(f"{kind}: R² of {side}-private variables, worst setting", private, at_most=OF_A_SETTING),
            ]
    return claims


def comes_back_above_the_block(table: pd.DataFrame) -> list[Claim]:
    """Perturbed variables are absent at the size of the block and present above; says from which size on."""
    rows = final_scores(table)
    rows = rows[rows["side"] == "image"]
    at_block = rows["output_size"] == rows["n_unbiased"]
    above = rows["output_size"] > rows["n_unbiased"]
    unbiased, perturbed = rows["role"] == "unbiased", rows["role"] == "perturbed"
    claims = [
        worst_setting("R² of unbiased semantics at the block's size or above, worst setting",
                       rows[unbiased & (at_block | above)], at_least=1 - OF_A_SETTING),
        worst_setting("R² of perturbed semantics at the block's size, worst setting",
                       rows[perturbed & at_block], at_most=OF_A_SETTING),
        worst_row("R² of perturbed semantics at the block's size, worst variable of any run",
                   rows[perturbed & at_block], at_most=OF_A_RUN),
        worst_setting("R² of private variables at the block's size, worst setting",
                       rows[(rows["role"] == "private") & at_block], at_most=OF_A_SETTING),
        room_below(rows[unbiased & ~at_block & ~above]),
    ]  # fmt: skip
    largest = rows["output_size"].max()
    back = rows[perturbed & (rows["output_size"] == largest)]
    claims.append(worst_setting("R² of perturbed semantics at the largest number of outputs, worst setting",
                                 back, at_least=0.5))  # fmt: skip
    for probability, part in rows[perturbed].groupby("perturbation_probability"):
        by_size = part[part["output_size"] > part["n_unbiased"]].groupby("output_size")["value"].mean()
        found = by_size[by_size >= 0.5]
        what = f"probability {probability}: smallest size with mean R² of 0.5 of perturbed semantics"
        claims.append(Claim(statement=what, measured=float(found.index.min()) if len(found) else None))
    return claims


def omitting_what_shifts_helps(table: pd.DataFrame) -> list[Claim]:
    """Out of domain, leaving the shifted pair out beats keeping it; in domain, scores rise up to k = 5."""
    rows = table[table["factor"] == "y2 class"]
    score = rows.pivot_table(index="seed", columns=["domain", "selected"], values="value")
    gain = pd.Series(dtype=float)
    if {("out", 8), ("out", 10)} <= set(score.columns):
        gain = (score["out", 8] - score["out", 10]).dropna()
    low, high = paired_interval(gain.to_numpy())
    means = rows.groupby(["domain", "selected"])["value"].mean()
    inside = means["in"] if "in" in means else pd.Series(dtype=float)
    outside = means["out"] if "out" in means else pd.Series(dtype=float)
    rising = inside[inside.index <= 5].diff().dropna()
    claims = [
        Claim(statement="out of domain: mean gain from omitting the shifted pair (8 factors against 10)",
              measured=gain.mean()),
        Claim(statement="out of domain: lower end of that gain's 95 % interval, paired over seeds", measured=low,
              at_least=_ABOVE_NOTHING),
        Claim(statement="out of domain: upper end of it", measured=high),
        worst_of("out of domain: the gain in the worst seed", gain.rename_axis("seed"), at_least=None),
        worst_of("in domain: smallest rise from one factor more, up to the 5 that the label is made of", rising,
               at_least=_ABOVE_NOTHING),
    ]  # fmt: skip
    for k, apart in (inside - outside).items():
        claims.append(Claim(statement=f"{k} factors: in-domain minus out-of-domain score", measured=apart))
    return claims


def rises_with_the_block(table: pd.DataFrame) -> list[Claim]:
    """Labels are predicted as well as from the true block, better the more of their semantics are unbiased."""
    rows = table[(table["role"] == "label") & (table["domain"] == "in") & (table["metric"] == "r2")]
    rows = rows.assign(apart=(rows["value"] - rows["ceiling"]).abs())
    claims = []
    for kind, dependent in (("independent", False), ("dependent", True)):
        part = rows[rows["dependent"] == dependent]
        by_block = part.groupby(["n_unbiased", "factor"])["value"].mean().unstack().mean(axis=1)
        by_setting = part.groupby(["factor", "n_unbiased"])["apart"].mean()
        apart = f"{kind}: distance of label R² to that of the true block"
        claims += [
            mean_of(f"{apart}, mean", part["apart"], at_most=OF_A_MEAN),
            worst_of(f"{apart}, worst label and size of the block", by_setting, at_most=OF_A_SETTING),
            Claim(
                statement=f"{kind}: correlation of label R² with the size of the block",
                measured=_correlation(by_block),
                at_least=0.8,
            ),
        ]
    return claims


def follows_a_curve(table: pd.DataFrame) -> list[Claim]:
    """Recovery against mention, mismatch and size follows a fitted curve, also where it was not fitted."""
    rows = final_scores(table)
    rows = rows[rows["side"] == "image"]
    at_block = rows[(rows["mention"] == 1) & (rows["mismatch"] == 0) & (rows["output_size"] == rows["n_unbiased"])]
    told, private = (at_block[at_block["role"] == role] for role in ("unbiased", "private"))
    unbiased = rows[rows["role"] == "unbiased"]
    claims = [
        mean_of("always mentioned, as many outputs as factors: R², mean", told["value"], at_least=1 - OF_A_MEAN),
        worst_row(
            "always mentioned, as many outputs as factors: R², worst variable of any run", told, at_least=1 - OF_A_RUN
        ),
        mean_of(
            "always mentioned, as many outputs as factors: R² of what only the image has, mean",
            private["value"],
            at_most=OF_A_MEAN,
        ),
        room_below(unbiased[unbiased["output_size"] < unbiased["n_unbiased"]]),
    ]
    settings = ["run", "seed", "mention", "mismatch", "output_size", "n_unbiased"]
    measured = unbiased[unbiased["value"].notna()]
    runs = measured.groupby(settings)["value"].mean().reset_index()
    held_out = runs["mention"].isin(HELD_OUT_MENTIONS)
    slope = TERMS[1]
    if (~held_out).sum() > len(TERMS):
        curve = fit_recovery(runs[~held_out])
        for term, value, low, high in curve.intervals():
            claims += [
                Claim(statement=f"logit of R² {term}", measured=value),
                Claim(
                    statement=f"logit of R² {term}: lower end of the 95 % interval",
                    measured=low,
                    at_least=_ABOVE_NOTHING if term == slope else None,
                ),
                Claim(statement=f"logit of R² {term}: upper end of it", measured=high),
            ]
        claims.append(Claim(statement="standard deviation of a run about the curve", measured=curve.spread))
        fitted, half = curve.predict(runs[held_out])
        apart = (runs["value"][held_out] - fitted).abs()
        inside = (apart <= half).mean()
    else:
        low_end = f"logit of R² {slope}: lower end of the 95 % interval"
        claims.append(Claim(statement=low_end, measured=None, at_least=_ABOVE_NOTHING))
        apart, inside = pd.Series(dtype=float), np.nan
    claims += [
        mean_of("settings that were not fitted: mean distance of R² to the curve", apart, at_most=0.1),
        Claim(statement="settings that were not fitted: share within the 95 % interval", measured=inside, at_least=0.8),
    ]
    return claims + mean_by(table, "output_size", "mismatch", "mention")


def reaches_it_how_fast(table: pd.DataFrame) -> list[Claim]:
    """InfoNCE ends at the block; of each objective, where it ends and after which share of the training it is near.

    Before the outputs are as many as they are to be, that does not count.
    """
    settings = ["objective", "perturbed", "output_size", "bottleneck"]
    rows = table[table["side"] == "image"]
    final = final_scores(rows)
    of_theorem = final[
        (final["objective"] == "l2_info_nce")
        & (final["bottleneck"] == 0)
        & (final["output_size"] == final["n_unbiased"])
    ]
    unbiased, perturbed = (of_theorem[of_theorem["role"] == role] for role in ("unbiased", "perturbed"))
    claims = [
        mean_of(
            "InfoNCE at the block's size: R² of unbiased semantics, mean", unbiased["value"], at_least=1 - OF_A_MEAN
        ),
        worst_setting(
            "InfoNCE at the block's size: R² of unbiased semantics, worst setting", unbiased, at_least=1 - OF_A_SETTING
        ),
        mean_of("InfoNCE at the block's size: R² of perturbed semantics, mean", perturbed["value"], at_most=OF_A_MEAN),
        worst_setting(
            "InfoNCE at the block's size: R² of perturbed semantics, worst setting", perturbed, at_most=OF_A_SETTING
        ),
        *mean_by(table, *settings),
    ]
    counting = rows[(rows["role"] == "unbiased") & (rows["outputs"] == rows["output_size"])]
    for keys, part in counting.groupby(settings):
        by_share = part.groupby("share")["value"].mean()
        there = by_share.index[by_share >= 0.9]
        what = f"{words(settings, keys)}: share of the training until R² 0.9"
        claims.append(Claim(statement=what, measured=float(there.min()) if len(there) else None))
    return claims


def breaks_where_it_has_to(table: pd.DataFrame) -> list[Claim]:
    """With all assumptions the theorem holds; what a mixing hides is lost, and nothing else; the rest is described."""
    rows = final_scores(table)
    rows = rows[rows["side"] == "image"]
    unbiased, perturbed = (rows[rows["role"] == role] for role in ("unbiased", "perturbed"))
    hidden = SPACE.names[0]
    claims = []
    for violation, lost in (("none", ""), ("not injective", hidden)):
        seen = unbiased[(unbiased["violation"] == violation) & (unbiased["factor"] != lost)]
        wrong = perturbed[perturbed["violation"] == violation]
        title = "assumptions hold" if violation == "none" else "the image hides the sign of one"
        claims += [
            worst_setting(f"{title}: R² of unbiased semantics{' but for it' if lost else ''}, worst setting", seen,
                           at_least=1 - OF_A_SETTING),
            worst_setting(f"{title}: R² of perturbed semantics, worst setting", wrong, at_most=OF_A_SETTING),
        ]  # fmt: skip
    lost_rows = unbiased[(unbiased["violation"] == "not injective") & (unbiased["factor"] == hidden)]
    claims.append(worst_row("the image hides the sign of one: its R²", lost_rows, at_most=OF_A_MEAN))
    return claims + mean_by(table, "violation", "selected", "perturbed")


def mean_by(table: pd.DataFrame, *columns: str) -> list[Claim]:
    """Describe, without a bound: mean R² of unbiased and perturbed semantics by some settings."""
    rows = final_scores(table)
    rows = rows[(rows["side"] == "image") & rows["role"].isin(("unbiased", "perturbed"))]
    return [
        Claim(statement=f"{words(columns, keys[:-1])}: mean R² of {keys[-1]} semantics", measured=part["value"].mean())
        for keys, part in rows.groupby([*columns, "role"])
    ]


def paired_interval(gains: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean of paired differences by Student's t; (nan, nan) for fewer than two."""
    from scipy.stats import t

    if len(gains) < 2:
        return float("nan"), float("nan")
    half = t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    return float(gains.mean() - half), float(gains.mean() + half)


def _correlation(by_block: pd.Series) -> float | None:
    if len(by_block) < 3 or by_block.std() < 1e-9:
        return None
    return float(np.corrcoef(by_block.index.astype(float), by_block)[0, 1])
