"""The ceiling: an encoder trained on the labels themselves, as well as these images and this encoder allow."""

from math import nan

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vergence.checks import known_factors
from vergence.errors import FactorError
from vergence.factors import Factor, FactorSpace
from vergence.losses import Objective, WeightedTerm


class LabelHeads(nn.Module):
    """One linear head for each factor: scores of its values, or one number for a continuous factor.

    Args:
        dim: Size of the representation.
        space: The factors.
    """

    def __init__(self, dim: int, space: FactorSpace) -> None:
        super().__init__()
        self.discrete = tuple(factor.values is not None for factor in space.factors)
        self.heads = nn.ModuleList(nn.Linear(dim, len(factor.values or ("number",))) for factor in space.factors)

    def forward(self) -> tuple[tuple[bool, Tensor, Tensor], ...]:
        """For each factor whether it is discrete, its weights (values, dim) and its intercepts (values,)."""
        weights = ((head.weight, head.bias) for head in self.heads)
        return tuple((discrete, *head) for discrete, head in zip(self.discrete, weights, strict=True))


class Labels(nn.Module):
    """Stands in for a text encoder: hands label codes on as they are."""

    def forward(self, codes: Float[Tensor, "batch factors"]) -> Float[Tensor, "batch factors"]:
        """Return what it is given."""
        return codes


def label_codes(labels: pd.DataFrame, space: FactorSpace) -> Float[Tensor, "n factors"]:
    """Labels as numbers: places of discrete values, standardised continuous ones, NaN where a label is not known.

    Args:
        labels: One column for each factor.
        space: The factors.

    Raises:
        FactorError: If a factor has no column, or a label is no value of its factor.

    Example:
        >>> space = FactorSpace((Factor("side", ("left", "right")),))
        >>> label_codes(pd.DataFrame({"side": ["right", None]}), space)
        tensor([[1.],
                [nan]])
    """
    known_factors(space.names, labels.columns)
    columns = [_numbered(labels[factor.name], factor) for factor in space.factors]
    return torch.tensor(np.stack(columns, axis=1), dtype=torch.float32)


def label_loss(
    z: Float[Tensor, "batch dim"],
    codes: Float[Tensor, "batch factors"],
    *,
    heads: tuple[tuple[bool, Tensor, Tensor], ...],
) -> Float[Tensor, ""]:
    r"""Cross-entropy of each factor's label given $z$, in nats, summed over factors; squared error for continuous ones.

    Each factor's is a mean over the items whose label is known; a factor that no item of the batch has adds nothing.

    Args:
        z: Representations of the images.
        codes: From `label_codes`.
        heads: From `LabelHeads`.
    """
    total = z.new_zeros(())
    for column, (discrete, weight, bias) in zip(codes.T, heads, strict=True):
        known = ~column.isnan()
        if known.any():
            scores, target = F.linear(z[known], weight, bias), column[known]
            total = total + (F.cross_entropy(scores, target.long()) if discrete else F.mse_loss(scores[:, 0], target))
    return total


def supervised(dim: int, space: FactorSpace) -> Objective:
    """What to minimise with `DualEncoder(image, Labels())` on pairs of images and `label_codes`.

    Args:
        dim: Size of the representation.
        space: The factors.

    Returns:
        An objective that also learns the heads; they are drawn from torch's own stream.
    """
    return Objective({"labels": WeightedTerm(label_loss, heads=LabelHeads(dim, space))})


def _numbered(column: "pd.Series", factor: Factor) -> np.ndarray:
    if factor.values is not None:
        return np.array([nan if pd.isna(value) else factor.index(value) for value in column], dtype=np.float64)
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.isnan(numbers) & column.notna().to_numpy()
    if wrong.any():
        first = column.iloc[int(wrong.argmax())]
        raise FactorError(f"factor {factor.name!r} is continuous: its labels must be numbers; got {first!r}")
    spread = float(np.nanstd(numbers)) if np.isfinite(numbers).any() else 1.0
    standardised: np.ndarray = (numbers - np.nanmean(numbers)) / (spread or 1.0)
    return standardised
