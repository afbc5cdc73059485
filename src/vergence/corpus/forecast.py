"""What captions can teach: what follows from them alone, and what follows for a model of a given output size."""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from vergence.checks import at_least
from vergence.corpus.estimate import NOT_ASSESSABLE, BiasEstimate

CANNOT = "cannot be learned"
OPEN = "not determined"
LEARNED = "will be learned"
PARTLY = "will be learned in part"
MISSED = "will be missed"
IGNORED = "will be ignored"
THROUGH_OTHERS = "will be learned only as far as other factors tell it"

WHY: Mapping[str, str] = MappingProxyType(
    {
        CANNOT: "no caption mentions it, and no factor that depends on it",
        LEARNED: "captions mention it and get it right, and the output size is that of the unbiased block",
        PARTLY: "it is in the unbiased block, but the output size is smaller than the block",
        MISSED: "captions leave it out, and the output size leaves no room beyond the unbiased block",
        IGNORED: "captions get it wrong, and the output size leaves no room beyond the unbiased block",
        THROUGH_OTHERS: "captions leave it out or get it wrong, but it depends on a factor of the unbiased block",
    }
)


def forecast(
    estimate: BiasEstimate, *, encoding_size: int | None = None, threshold: float = 0.5, significance: float = 0.01
) -> pd.DataFrame:
    r"""Say for each factor what contrastive training on such captions will do with it.

    [cai2025] Thm 4.1 speaks of an output size equal to that of the unbiased block, here counted in factors. Without a
    size only what no training can extract is stated. Above the block's size theory is silent, and so is this.

    Args:
        estimate: From `estimate_misalignment`.
        encoding_size: The model's output size; statements are conditional on it.
        threshold: As in `BiasEstimate.to_misalignment`.
        significance: Two factors count as dependent if independence is rejected at this level.

    Returns:
        One row per factor: factor, statement, reason.

    Raises:
        ConfigError: If the size is below 1 or the threshold outside (0, 1].
        FactorError: If a size is given and the captions leave no unbiased factor.
    """
    rows = [
        {"factor": factor, "statement": NOT_ASSESSABLE, "reason": "no labels say what its images show"}
        for factor in estimate.not_assessable
    ]
    known = estimate.factors[estimate.factors["note"] != NOT_ASSESSABLE]
    dependents = _dependents(estimate, significance)
    if encoding_size is None:
        mentioned = set(known.loc[known["selection"] > 0, "factor"])
        for factor in known["factor"]:
            silent = factor not in mentioned and not dependents.get(factor, set()) & mentioned
            # A factor without labels may depend on this one: then nothing can be excluded.
            rows.append(_row(factor, CANNOT) if silent and not estimate.not_assessable else _open(factor, silent))
        return _ordered(rows, estimate)
    at_least("encoding_size", encoding_size, 1)
    bias = estimate.to_misalignment(threshold)
    block = bias.unbiased
    for factor in known["factor"]:
        related = dependents.get(factor, set()) & block
        if factor in block:
            exact = encoding_size == len(block)
            above = {"factor": factor, "statement": LEARNED, "reason": "captions mention it and get it right"}
            rows.append(above if encoding_size > len(block) else _row(factor, LEARNED if exact else PARTLY))
        elif encoding_size > len(block):
            reason = f"the output size {encoding_size} exceeds the unbiased block's {len(block)}: theory is silent"
            rows.append({"factor": factor, "statement": OPEN, "reason": reason})
        elif related:
            rows.append(_row(factor, THROUGH_OTHERS))
        else:
            rows.append(_row(factor, IGNORED if factor in bias.perturbed else MISSED))
    return _ordered(rows, estimate)


def _dependents(estimate: BiasEstimate, significance: float) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for a, b, p in estimate.dependence[["a", "b", "p_value"]].itertuples(index=False):
        if not p >= significance:  # an unknown p value counts as dependent
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
    return found


def _row(factor: str, statement: str) -> dict[str, str]:
    return {"factor": factor, "statement": statement, "reason": WHY[statement]}


def _open(factor: str, silent: bool) -> dict[str, str]:
    hidden = "no caption mentions it, but a factor without labels may tell it"
    reason = hidden if silent else "some captions mention it, or a factor that depends on it; name an output size"
    return {"factor": factor, "statement": OPEN, "reason": reason}


def _ordered(rows: list[dict[str, str]], estimate: BiasEstimate) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["factor", "statement", "reason"])
    return table.set_index("factor").loc[estimate.factors["factor"]].reset_index()
