"""What captions can teach: what follows from them alone, and what follows for a model of a given output size."""

from collections.abc import Mapping
from math import ceil
from types import MappingProxyType
from typing import Any

import pandas as pd
from scipy.stats import t

from vergence.channels import Channel, Unstated
from vergence.checks import at_least
from vergence.corpus.channel import NOTHING
from vergence.corpus.estimate import MENTIONED_AT, NOT_ASSESSABLE, TOLERANCE, BiasEstimate, check_thresholds
from vergence.corpus.rates import NOT_DETERMINED as OPEN
from vergence.factors import Factor, FactorSpace
from vergence.misalignment import Misalignment
from vergence.theory import predict

CANNOT = "cannot be learned"
LEARNED = "will be learned"
PARTLY = "will be learned in part"
MISSED = "will be missed"
IGNORED = "will be ignored"
THROUGH_OTHERS = "will be learned only as far as other factors tell it"

WHY: Mapping[str, str] = MappingProxyType(
    {
        CANNOT: "no labelled caption mentions it, and none a factor that depends on it",
        LEARNED: "captions mention it and get it right, and the output size is that of the unbiased block",
        PARTLY: "it is in the unbiased block, but the output size is smaller than the block",
        MISSED: "captions leave it out, and the output size leaves no room beyond the unbiased block",
        IGNORED: "captions get it wrong, and the output size leaves no room beyond the unbiased block",
        THROUGH_OTHERS: "captions leave it out or get it wrong, but it depends on a factor of the unbiased block",
    }
)

WEAK = 0.3
"""What is learned of a factor counts as missed up to this share of the way from an untrained to a taught encoder.

Above the block's size that bounds a factor's strength: captions that mention it in 9 % of cases teach at most that.
"""

_UNEVEN = "the output size is smaller than the unbiased block, and captions mention some of its factors more often"


def forecast(
    estimate: BiasEstimate,
    *,
    encoding_size: int | None = None,
    mentioned_at: float = MENTIONED_AT,
    tolerance: float = TOLERANCE,
    significance: float = 0.01,
) -> pd.DataFrame:
    r"""Say for each factor what contrastive training on such captions will do with it.

    [cai2025] Thm 4.1 speaks of an output size equal to that of the unbiased block, here counted in factors with more
    than one value; `vergence.theory.predict` says what follows at others. Without a size only what no training can
    extract is stated. A factor is in the block if the whole interval of its selection is at `mentioned_at` or above and
    that of its ρ at the tolerance or below, and outside it if one of them is wholly on the other side; what follows
    only if it were the one or the other is "not determined".

    Args:
        estimate: From `estimate_misalignment`.
        encoding_size: The model's output size; statements are conditional on it.
        mentioned_at: A factor that captions mention at this rate or above is selected. In (0, 1].
        tolerance: A factor whose ρ is above this is perturbed. In [0, 1].
        significance: Two factors count as dependent if independence is rejected at this level.

    Returns:
        One row per factor: factor, statement, reason.

    Raises:
        ConfigError: If the size is below 1, or a threshold out of its range.
    """
    check_thresholds(mentioned_at, tolerance)
    rows = [
        {"factor": factor, "statement": NOT_ASSESSABLE, "reason": "no labels say what its images show"}
        for factor in estimate.not_assessable
    ]
    known = estimate.factors[estimate.factors["note"] != NOT_ASSESSABLE]
    dependents = _dependents(estimate, significance)
    if encoding_size is None:
        said = estimate.tables[estimate.tables["said"] != NOTHING].groupby("factor")["captions"].sum()
        mentioned = set(said.index[said > 0.5])  # whole numbers, but for rounding
        for factor in known["factor"]:
            silent = factor not in mentioned and not dependents.get(factor, set()) & mentioned
            # A factor without labels may depend on this one: then nothing can be excluded.
            rows.append(_row(factor, CANNOT) if silent and not estimate.not_assessable else _open(factor, silent))
        return _ordered(rows, estimate)
    at_least("encoding_size", encoding_size, 1)
    constant = known["values"] == 1
    rows += [_row(name, OPEN, "one value leaves nothing to tell apart") for name in known.loc[constant, "factor"]]
    known = known[~constant].set_index("factor")
    blocks = _blocks(known, mentioned_at, tolerance)
    undecided = {
        factor: _why_undecided(known.loc[factor], mentioned_at, tolerance, estimate.level)
        for factor in known.index
        if factor in blocks["most"] - blocks["least"]
    }
    for factor in known.index:
        # A statement is made if it is the same whether or not what the captions leave undecided is in the block.
        row, other = (
            _graded(
                known,
                factor,
                block,
                dependents=dependents.get(factor, set()),
                encoding_size=encoding_size,
                mentioned_at=mentioned_at,
            )
            for block in blocks.values()
        )
        if factor in undecided or row["statement"] != other["statement"]:
            others = f"whether the unbiased block holds {', '.join(undecided)} is not determined"
            row = _row(factor, OPEN, undecided.get(factor, others))
        rows.append(row)
    return _ordered(rows, estimate)


def _blocks(known: pd.DataFrame, mentioned_at: float, tolerance: float) -> dict[str, frozenset[str]]:
    """The smallest and the largest unbiased block that the intervals allow."""
    sure = (known["selection_low"] >= mentioned_at) & (known["rho_high"] <= tolerance)
    possible = (known["selection_high"] >= mentioned_at) & (known["rho_low"] <= tolerance)
    return {"least": frozenset(known.index[sure]), "most": frozenset(known.index[possible])}


def _why_undecided(row: Any, mentioned_at: float, tolerance: float, level: float) -> str:
    """What keeps a factor from being in the unbiased block or outside it."""
    if row["selection_low"] < mentioned_at:
        return (
            f"captions mention it at a rate between {row['selection_low']:.3g} and {row['selection_high']:.3g}, which "
            f"may be below or above {mentioned_at:g}"
        )
    if row["rho_low"] == 0 and row["rho_high"] == 1 and row["note"]:
        return str(row["note"]).removeprefix(f"{OPEN}: ")
    between = (
        f"its ρ is between {row['rho_low']:.3g} and {row['rho_high']:.3g}, which may be below or above {tolerance:g}"
    )
    if tolerance == 0:
        return between
    needed = ceil(images_needed(int(row["values"]), tolerance, level) / max(row["selection"], mentioned_at))
    return (
        f"{between}; about {needed:,} independent labelled images whose captions say no wrong value would settle it, "
        f"and there are {row['clusters']:,}"
    )


def images_needed(values: int, tolerance: float = TOLERANCE, level: float = 0.95) -> int:
    """How many independent mentions, none wrong, put the upper end of the interval of ρ at the tolerance.

    Args:
        values: How many values the factor has, at least 2.
        tolerance: The largest ρ that counts as none, in (0, 1).
        level: Nominal coverage of the interval, in (0, 1).

    Returns:
        The number of images whose captions mention the factor.

    Example:
        >>> images_needed(2), images_needed(5)
        (383, 239)
    """
    wrong = tolerance * (1 - 1 / values)
    needed, before = 2, 0
    while needed != before:
        before, needed = needed, ceil(t.ppf(0.5 + level / 2, needed - 1) ** 2 * (1 - wrong) / wrong)
    return needed


def _graded(
    known: pd.DataFrame,
    factor: str,
    block: frozenset[str],
    *,
    dependents: set[str],
    encoding_size: int,
    mentioned_at: float,
) -> dict[str, str]:
    """The statement for one block."""
    predicted = predict(*_assumed(known, factor, block), encoding_size=encoding_size)[factor]
    if factor in block:
        if encoding_size > len(block):
            return _row(factor, LEARNED, "captions mention it and get it right")
        rates = known.loc[sorted(block)]
        if encoding_size < len(block) and rates["selection_low"].max() > rates["selection_high"].min():
            return _row(factor, OPEN, f"{_UNEVEN}: which are kept, theory does not say")
        return _row(factor, LEARNED if encoding_size == len(block) else PARTLY)
    if predicted.high > WEAK:
        return _row(factor, OPEN, predicted.reason)
    # Outside every block that the intervals allow, and so surely not selected or surely perturbed.
    statement = MISSED if known["selection_high"][factor] < mentioned_at else IGNORED
    if dependents & block:
        return _row(factor, THROUGH_OTHERS)
    return _row(factor, statement, "" if encoding_size <= len(block) else predicted.reason)


def _assumed(known: pd.DataFrame, factor: str, block: frozenset[str]) -> tuple[FactorSpace, Misalignment]:
    """What captions say if the block is exact: of the factor as much as its intervals allow, of others as little."""
    space = FactorSpace(tuple(Factor(str(name), tuple(map(str, range(k)))) for name, k in known["values"].items()))
    mention, redraw = dict.fromkeys(block, 1.0), {}
    channels: dict[str, Channel] = {}
    for name in set(space) - block:
        most = name == factor
        ends = ("selection_high", "rho_low") if most else ("selection_low", "rho_high")
        rate, rho = (float(known[end].to_dict()[name]) for end in ends)
        mention[name] = rate
        if rate == 1 and rho == 0:  # as good as exact, and yet not in the block
            channels[name] = Unstated()
        else:
            redraw[name] = rho
    return space, Misalignment.of_rates(mention, redraw=redraw, channels=channels)


def _dependents(estimate: BiasEstimate, significance: float) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for a, b, p in estimate.dependence[["a", "b", "p_value"]].itertuples(index=False):
        if not p >= significance:  # an unknown p value counts as dependent
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
    return found


def _row(factor: str, statement: str, reason: str = "") -> dict[str, str]:
    return {"factor": factor, "statement": statement, "reason": reason or WHY[statement]}


def _open(factor: str, silent: bool) -> dict[str, str]:
    hidden = "no labelled caption mentions it, but a factor without labels may tell it"
    reason = hidden if silent else "some captions mention it, or a factor that depends on it; name an output size"
    return _row(factor, OPEN, reason)


def _ordered(rows: list[dict[str, str]], estimate: BiasEstimate) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["factor", "statement", "reason"])
    return table.set_index("factor").loc[estimate.factors["factor"]].reset_index()
