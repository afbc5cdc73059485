"""Scores before and after: one table whatever was scored, and what it says once so many scores are looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, nan
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from scipy.stats import norm, t
from torch import Tensor

from vergence.errors import CorpusError, ShapeError
from vergence.metrics import Interval, cluster_bootstrap
from vergence.metrics.arrays import codes
from vergence.metrics.differences import Limits, Paired, paired_scores, unpaired_difference
from vergence.metrics.identifiability import matthews_from_sums, matthews_terms, r2_from_sums, r2_terms
from vergence.probes.protocol import Answers

LEVEL = 0.95
HIGHER, LOWER = "higher", "lower"
BETTER, WORSE, OPEN = "better", "worse", "open"

NAMED = ("section", "group", "name", "metric")
"""Columns that tell the scores of a comparison apart."""

COLUMNS = (
    *NAMED, "better", "floor", "floor_is", "before", "before_low", "before_high", "after", "after_low", "after_high",
    "ceiling", "difference", "low", "high", "paired", "n", "differing", "judged",
)  # fmt: skip

_ANSWERED = {"matthews_corrcoef": matthews_from_sums, "r2_score": r2_from_sums}


@dataclass(frozen=True, eq=False)
class Compared:
    """Two sides of one kind.

    Args:
        rows: `COLUMNS`: a row for each score that both have.
        shared: By what it is of ("images", "scores"), how many both sides have, only the one, only the other.
        notes: What a reader must know, a line each.
    """

    rows: pd.DataFrame
    shared: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rows.empty:
            raise CorpusError("the two have no score in common; compare results of the same factors, concepts or items")


def paired_rows(
    found: Paired,
    names: Sequence[str],
    *,
    section: str,
    metric: str | Sequence[str],
    over: str,
    group: str = "",
    floor: Sequence[float] | float = nan,
    floor_is: str = "",
    ceiling: Sequence[float] | float = nan,
    judged: bool = True,
) -> pd.DataFrame:
    """Rows of scores whose answers pair: of what, and by what, all of which more is better."""
    columns = {
        f"{side}{end}": of_side.numpy()
        for side, limits in (("before", found.before), ("after", found.after))
        for end, of_side in zip(("", "_low", "_high"), limits, strict=True)
    }
    ends = dict(zip(("difference", "low", "high"), (one.numpy() for one in found.difference), strict=True))
    made = pd.DataFrame({"name": list(names), **columns, **ends, "differing": found.differing.numpy()})
    return made.assign(
        section=section,
        group=group,
        metric=metric,
        better=HIGHER,
        floor=floor,
        floor_is=floor_is,
        ceiling=ceiling,
        paired=over,
        n=found.clusters,
        judged=judged,
    )[list(COLUMNS)]


def unpaired_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of scores that come alone, with limits of their difference from those of each.

    Args:
        table: `NAMED`, better, and the six columns of before and after; what else of `COLUMNS` is known.
    """
    sides = [
        Limits(*(torch.tensor(table[f"{side}{end}"].to_numpy(dtype=float)) for end in ("", "_low", "_high")))
        for side in ("before", "after")
    ]
    value, low, high = unpaired_difference(*sides)
    made = table.assign(difference=value.numpy(), low=low.numpy(), high=high.numpy(), paired="", n=nan, differing=nan)
    for name, default in (("group", ""), ("floor", nan), ("floor_is", ""), ("ceiling", nan), ("judged", True)):
        if name not in made:
            made[name] = default
    return made[list(COLUMNS)]


def answers_rows(
    before: Answers,
    after: Answers,
    *,
    generator: torch.Generator,
    floor: float,
    floor_is: str,
    ceiling: float = nan,
    intervals: tuple[Interval, Interval] | None = None,
) -> pd.DataFrame:
    """The row of a factor that two probes answered for the same items.

    Args:
        before: Of the one.
        after: Of the other, of the same items in the same order.
        generator: Draws the resamples.
        floor: What is reached without what was learned.
        floor_is: What that is, in words.
        ceiling: What can be reached; NaN where it is not known.
        intervals: Of each score alone, where they are known already.

    Raises:
        ShapeError: If the answers are not of the same items.
    """
    if not torch.equal(before.truth, after.truth) or not torch.equal(before.clusters, after.clusters):
        raise ShapeError(f"answers for factor {before.factor.name!r} are not of the same items")
    if before.factor.is_continuous:
        terms = [r2_terms(before.truth.double(), one.predicted.double()) for one in (before, after)]
        jump, widest = 0.0, inf
    else:
        n_classes, (truth, *told) = codes(before.truth, before.predicted, after.predicted)
        terms = [matthews_terms(truth, one, n_classes) for one in told]
        shares = torch.bincount(truth).double() / len(truth)
        widest = 2.0
        jump = 1 / (len(truth) * max(1e-12, 1 - float((shares**2).sum())))
    name = before.score.__name__
    one, other = (of_side[:, None] for of_side in terms)
    found = paired_scores(one, other, _ANSWERED[name], before.clusters, jump=jump, widest=widest, generator=generator)
    own = intervals or tuple(
        cluster_bootstrap(side.score, side.truth, side.predicted, side.clusters, generator=generator)
        for side in (before, after)
    )
    row = paired_rows(
        found,
        [before.factor.name],
        section="factors",
        metric=name,
        over="clusters",
        floor=floor,
        floor_is=floor_is,
        ceiling=ceiling,
    )
    for side, (low, high) in zip(("before", "after"), own, strict=True):
        row[f"{side}_low"], row[f"{side}_high"] = low, high
    return row


def seeds_rows(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Means over trainings that pair, with Student's interval for the mean difference of further ones.

    Args:
        tables: `COLUMNS`, one for each seed; scores that not all have are left out.

    Returns:
        The same columns; paired is "seeds".
    """
    n = len(tables)
    long = pd.concat(tables, ignore_index=True)
    parts = long.groupby(list(NAMED), sort=False, dropna=False)
    first = parts.first()
    numbers = ["floor", "before", "after", "ceiling", "difference"]
    mean = parts[numbers].mean()
    known = parts["difference"].count() == n
    made = first.assign(**{name: mean[name] for name in numbers})
    reach = t.ppf((1 + LEVEL) / 2, n - 1)
    for value, low, high in (
        ("difference", "low", "high"),
        *((s, f"{s}_low", f"{s}_high") for s in ("before", "after")),
    ):
        half = reach * parts[value].std() / np.sqrt(n)
        made[low], made[high] = made[value] - half, made[value] + half
    made = made.assign(paired="seeds", n=n, differing=nan)
    kept: pd.DataFrame = made[known].reset_index()
    return kept[list(COLUMNS)]


def judged(rows: pd.DataFrame) -> pd.DataFrame:
    """Say of each score what its interval says, and what remains when all are looked at together.

    Returns:
        With columns verdict ("better", "worse", or "open" where the interval holds 0 or there is none), p (two-sided,
        from the distance of the interval's nearer end, by Student's t over what is paired) and p_holm, which allows for
        all judged scores of the table [holm1979].

    Example:
        >>> row = {"section": "groups", "name": "animal", "metric": "share", "better": "higher"}
        >>> sides = {"before": 0.5, "before_low": 0.45, "before_high": 0.55}
        >>> after = {"after": 0.3, "after_low": 0.26, "after_high": 0.35}
        >>> judged(unpaired_rows(pd.DataFrame([row | sides | after])))["verdict"].tolist()
        ['worse']
    """
    change, low, high = (rows[name].to_numpy(dtype=float) for name in ("difference", "low", "high"))
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = np.where(change > 0, change - low, high - change)
        free = rows["n"].to_numpy(dtype=float) - 1
        quantile = np.where(free > 0, t.ppf((1 + LEVEL) / 2, np.where(free > 0, free, 1)), norm.ppf((1 + LEVEL) / 2))
        times = np.abs(change) / reach * quantile
        p = 2 * np.where(free > 0, t.sf(times, np.where(free > 0, free, 1)), norm.sf(times))
    p = np.where(change == 0, 1.0, np.where(reach == 0, 0.0, p))
    p[~np.isfinite(low) | ~np.isfinite(high)] = nan
    up = np.where(rows["better"] == LOWER, -1, 1) * np.sign(change)
    apart = np.isfinite(p) & (rows["better"] != "").to_numpy() & ((low > 0) | (high < 0))
    verdict = np.where(apart, np.where(up > 0, BETTER, WORSE), OPEN)
    taken = rows["judged"].to_numpy(dtype=bool) & np.isfinite(p)
    return rows.assign(verdict=verdict, p=p, p_holm=_holm(np.where(taken, p, nan)))


def fallen(table: pd.DataFrame, by: float) -> pd.DataFrame:
    """Scores of a `judged` table that are worse by more than so much, and not by chance among so many (5 %)."""
    down = np.where(table["better"] == LOWER, 1, -1) * table["difference"].to_numpy(dtype=float)
    found: pd.DataFrame = table[(down > by) & (table["verdict"] == WORSE) & (table["p_holm"] < 1 - LEVEL)]
    return found


def sure(table: pd.DataFrame, verdict: Literal["better", "worse"]) -> pd.DataFrame:
    """Judged scores that differ so beyond what chance gives among so many, the largest difference first."""
    found = table[(table["verdict"] == verdict) & (table["p_holm"] < 1 - LEVEL)]
    return found.iloc[np.argsort(-found["difference"].abs().to_numpy(), kind="stable")]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as strict JSON has them: what is no finite number is `None`, whole numbers are whole."""
    return [{str(key): _plain(str(key), value) for key, value in row.items()} for row in table.to_dict("records")]


def f1_of_sums(sums: Float[Tensor, "*batch scores 3"]) -> Float[Tensor, "*batch scores"]:
    """F1 of sums of right, told and shown; 0 where nothing is told or shown."""
    right, told, shown = sums.unbind(-1)
    return 2 * right / (told + shown).clamp(min=1e-300)


def mean_f1_of_sums(sums: Float[Tensor, "*batch 1 terms"]) -> Float[Tensor, "*batch 1"]:
    """The mean of F1 over concepts whose sums stand one after the other."""
    return f1_of_sums(sums.reshape(*sums.shape[:-1], -1, 3)).mean(-1)


def share_told(sums: Float[Tensor, "*batch scores 3"], of: Literal[1, 2]) -> Float[Tensor, "*batch scores"]:
    """Precision (of 1, what is told) or recall (of 2, what is shown); 0 of nothing."""
    return sums[..., 0] / sums[..., of].clamp(min=1e-300)


def told_terms(
    shown: Bool[np.ndarray, "n concepts"], told: Bool[np.ndarray, "n concepts"]
) -> Float[Tensor, "n concepts 3"]:
    """What each image adds to the sums of right, told and shown of every concept."""
    return torch.from_numpy(np.stack([shown & told, told, shown], axis=-1).astype(np.float64))


def _holm(p: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Adjusted p-values over those that are known; NaN stays."""
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    found = np.full(len(p), nan)
    found[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(order) - np.arange(len(order)))))
    return found


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if not isfinite(value) else int(value) if name in ("n", "differing") else value
    return value
