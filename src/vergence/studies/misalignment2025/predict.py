"""What theory says of a run of the numerical study, before it is trained."""

from itertools import product
from typing import Any

import pandas as pd

from vergence.factors import Factor, FactorSpace
from vergence.latent import oracle_r2
from vergence.studies.misalignment2025.measure import LABELS
from vergence.studies.misalignment2025.spec import SPACE, RunSpec
from vergence.studies.table import as_row
from vergence.theory import predict

Row = dict[str, Any]
_OPEN_TEXT = "predictions are of images: a single text tells of what it passes over or gets wrong only what it says"
_BESIDE = "what the same probe reads from the true block, measured beside it"
_ELSEWHERE = "expected is what the same probe reads from the true block, but theory bounds nothing out of domain"
_SPACES = {side: FactorSpace((*SPACE.factors, Factor(f"{side}_private"))) for side in ("image", "text")}


def predictions(spec: RunSpec) -> list[Row]:
    """Bounds for every variable, from both sides, at every number of outputs that the run passes through.

    What only one side has counts as one more factor that no text mentions.
    """
    misalignment = spec.misalignment
    # The oracle speaks of a block that every text mentions; where none does, nothing tells of the others.
    oracle = oracle_r2(spec.model(), misalignment) if spec.mention == 1 else {}
    sizes = {spec.n_wide, spec.n_outputs} if spec.milestones else {spec.n_outputs}
    rows = []
    for size, side in product(sorted(sizes), _SPACES):
        known = {**oracle, f"{side}_private": 0.0}
        said = predict(_SPACES[side], misalignment, encoding_size=size, oracle=known)
        for factor, prediction in said.items():
            given = as_row(prediction)
            if side == "text" and not _text_is_as_the_image(spec, factor, size):
                given = {"predicted_low": 0.0, "predicted_high": 1.0, "expected": None, "reason": _OPEN_TEXT}
            rows.append({"side": side, "factor": factor, "domain": "in", "outputs": size, **given})
    if spec.downstream:
        open_yet = {"predicted_low": None, "predicted_high": None, "expected": None}
        rows += [
            {"side": "image", "factor": factor, "domain": domain, "outputs": spec.n_outputs, **open_yet, "reason": why}
            for factor in (*LABELS, "y2 class")
            for domain, why in (("in", _BESIDE), ("out", _ELSEWHERE))
        ]
    return rows


def _text_is_as_the_image(spec: RunSpec, factor: str, size: int) -> bool:
    """Whether what is said of images holds of texts too: where every text tells all that is learned from it."""
    if spec.mention < 1 or spec.mismatch > 0:
        return False
    return size <= len(spec.misalignment.unbiased) or factor not in spec.misalignment.perturbed


def beside_the_block(table: pd.DataFrame) -> pd.DataFrame:
    """Predict labels from what the same probe reads from the true block: at its size, the representation is as good.

    Out of domain that is expected, but no bound: how a fitted function goes on where it was not fitted depends on more
    than what the representation holds.
    """
    labels = table["role"] == "label"
    inside = labels & (table["domain"] == "in") & (table["outputs"] == table["n_unbiased"])
    return table.assign(
        expected=table["expected"].where(~labels, table["ceiling"]),
        predicted_low=table["predicted_low"].where(~inside, table["ceiling"]),
        predicted_high=table["predicted_high"].where(~inside, table["ceiling"]),
    )
