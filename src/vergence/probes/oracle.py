"""What the unbiased block tells of every other factor, on the items that probes are scored on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vergence.checks import known_factors
from vergence.errors import FactorError
from vergence.factors import FactorSpace
from vergence.misalignment import Misalignment
from vergence.probes.protocol import Labelled, probe


def oracle_scores(fit: Labelled, test: Labelled, space: FactorSpace, misalignment: Misalignment) -> dict[str, float]:
    """Score the best linear predictor of each biased factor from the *true* values of the unbiased block.

    It is fitted on the same items and scored on the same new clusters as the probes, so that dependence among factors
    speaks in it, and nothing else.

    Args:
        fit: Items that probes are fitted on; their representations are not used.
        test: Items that probes are scored on.
        space: All factors; those of the block must be discrete.
        misalignment: Which of them form the block.

    Returns:
        Score by factor outside the block: 0 if the block says nothing of it.

    Raises:
        FactorError: If a factor of the block is continuous, or the misalignment names one that is not in the space or
            has no column.
    """
    misalignment.check(space)
    outside = [name for name in space if name not in misalignment.unbiased]
    if not outside:
        return {}
    block = space.subset(misalignment.unbiased)
    for half in (fit, test):
        known_factors(block, half.labels.columns)
    halves = [replace(half, z=_one_hot(half.labels, block)) for half in (fit, test)]
    # Only the scores are used, so any generator will do for their intervals.
    table = probe(halves[0], halves[1], space.subset(outside), generator=torch.Generator())
    return dict(zip(table.factor, table.score, strict=True))


def _one_hot(labels: pd.DataFrame, block: FactorSpace) -> Tensor:
    """One column for each value of each factor; a value that is not known has zeros."""
    columns = []
    for factor in block.factors:
        if factor.values is None:
            raise FactorError(f"an oracle needs discrete factors in the unbiased block; {factor.name!r} is continuous")
        columns += [labels[factor.name].eq(value) for value in factor.values]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float64))
