"""What captions can teach: what follows from them alone, and what follows for a model of a given output size."""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from vergence.checks import at_least
from vergence.corpus.estimate import NOT_ASSESSABLE, BiasEstimate
from vergence.errors import ConfigError

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
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold must be in (0, 1]; got {threshold!r}")
    wrong = frozenset(known.loc[(known["selection"] >= threshold) & (known["rho"] >= threshold), "factor"])
    blocks = _blocks(known, threshold)
    for factor in known["factor"]:
        # A statement is made if it is the same whether or not what the captions leave undecided is in the block.
        row, other = (
            _graded(factor, block, dependents.get(factor, set()), wrong, encoding_size) for block in blocks.values()
        )
        undecided = {"factor": factor, "statement": OPEN, "reason": _undecided(blocks, threshold)}
        rows.append(row if row["statement"] == other["statement"] else undecided)
    return _ordered(rows, estimate)


def _blocks(known: pd.DataFrame, threshold: float) -> dict[str, frozenset[str]]:
    """The smallest and the largest unbiased block that the intervals allow."""
    sure = (known["selection_low"] >= threshold) & (known["rho_high"] < threshold)
    possible = (known["selection_high"] >= threshold) & (known["rho_low"] < threshold)
    return {"least": frozenset(known.loc[sure, "factor"]), "most": frozenset(known.loc[possible, "factor"])}


def _undecided(blocks: Mapping[str, frozenset[str]], threshold: float) -> str:
    names = ", ".join(sorted(blocks["most"] - blocks["least"]))
    return f"at threshold {threshold:g} the intervals do not settle whether the unbiased block holds {names}"


def _graded(
    factor: str, block: frozenset[str], dependents: set[str], wrong: frozenset[str], encoding_size: int
) -> dict[str, str]:
    """The statement for one block."""
    if factor in block:
        if encoding_size > len(block):
            return {"factor": factor, "statement": LEARNED, "reason": "captions mention it and get it right"}
        return _row(factor, LEARNED if encoding_size == len(block) else PARTLY)
    if encoding_size > len(block):
        reason = f"the output size {encoding_size} exceeds the unbiased block's {len(block)}: theory is silent"
        return {"factor": factor, "statement": OPEN, "reason": reason}
    if dependents & block:
        return _row(factor, THROUGH_OTHERS)
    return _row(factor, IGNORED if factor in wrong else MISSED)


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
