"""What theory says a probe will find, at a given output size, before anything is trained."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vergence.checks import at_least, known_factors
from vergence.errors import FactorError
from vergence.factors import FactorSpace
from vergence.misalignment import Misalignment
from vergence.probes.protocol import Labelled, probe

SIZE_DEPENDENT = "size-dependent"
"""Stands for a number where theory is silent: it depends on the output size in a way that no theorem states."""


def predict(
    space: FactorSpace, misalignment: Misalignment, *, encoding_size: int, oracle: Mapping[str, float]
) -> dict[str, float | str]:
    r"""Predict the score of every factor at an output size.

    With the block of unbiased factors $I_\theta \setminus I_\rho$ and $n$ outputs:

    - a factor of the block is kept wholly, 1, if $n \ge |I_\theta \setminus I_\rho|$: at equality by [cai2025] Thm 4.1,
      above it because a contrastive loss maximises a bound of the shared information ([almudevar2025], sufficiency).
      Below, at most $n$ of the block's dimensions are kept, and no theorem says which;
    - a factor outside the block scores what the block says of it, if $n \le |I_\theta \setminus I_\rho|$; at fewer
      outputs than the block that is an upper bound. Above, Thm 4.1 is silent, and spare outputs may hold what the text
      omits or gets wrong.

    Differs from the theorem's terms: a discrete factor counts as one dimension, as in the paper's experiments.

    Args:
        space: All factors.
        misalignment: What the text mentions and may get wrong.
        encoding_size: Output size of the encoders, >= 1.
        oracle: For each factor outside the block, the score of the best predictor from the block; see `oracle_scores`.

    Returns:
        For each factor a score, or `SIZE_DEPENDENT`. It is that of a population and of encoders without limits.

    Raises:
        ConfigError: If the output size is below 1.
        FactorError: If the misalignment names a factor that is not in the space, or the oracle lacks one.

    Example:
        >>> from vergence import Factor
        >>> space = FactorSpace((Factor("shape"), Factor("tone")))
        >>> bias = Misalignment({"shape"})
        >>> predict(space, bias, encoding_size=1, oracle={"tone": 0.0})
        {'shape': 1.0, 'tone': 0.0}
        >>> predict(space, bias, encoding_size=2, oracle={"tone": 0.0})
        {'shape': 1.0, 'tone': 'size-dependent'}
    """
    at_least("encoding_size", encoding_size, 1)
    misalignment.check(space)
    block = len(misalignment.unbiased)
    predicted: dict[str, float | str] = {}
    for name in space:
        if name in misalignment.unbiased:
            predicted[name] = 1.0 if encoding_size >= block else SIZE_DEPENDENT
        else:
            predicted[name] = _given(oracle, name) if encoding_size <= block else SIZE_DEPENDENT
    return predicted


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


def _given(oracle: Mapping[str, float], name: str) -> float:
    if name not in oracle:
        raise FactorError(f"the oracle lacks {name!r}, a factor outside the block; pass what oracle_scores returns")
    return oracle[name]


def _one_hot(labels: pd.DataFrame, block: FactorSpace) -> Tensor:
    """One column for each value of each factor; a value that is not known has zeros."""
    columns = []
    for factor in block.factors:
        if factor.values is None:
            raise FactorError(f"an oracle needs discrete factors in the unbiased block; {factor.name!r} is continuous")
        columns += [labels[factor.name].eq(value) for value in factor.values]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float64))
