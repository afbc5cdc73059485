"""Latent variables as plain columns of numbers, for mixings and regressions."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vergence.factors import FactorSpace


def as_columns(
    record: Float[Tensor, "n factors"],
    space: FactorSpace,
    names: Iterable[str],
    *,
    graded: frozenset[str] = frozenset(),
) -> Float[Tensor, "n columns"]:
    """Write a record as numbers: a continuous factor is its value, a discrete one a one-hot code, absence zeros.

    Args:
        record: One column per factor of the space; NaN where nothing is said.
        space: All factors.
        names: Those to write, in this order.
        graded: Those of them that may be absent: a continuous one gets a second column, 1 where it is mentioned and 0
            where not, since its value 0 says something else.

    Returns:
        The columns, free of NaN.

    Raises:
        FactorError: If a name is unknown.

    Example:
        >>> from vergence import Factor
        >>> space = FactorSpace((Factor("hue"), Factor("size", ("small", "large"))))
        >>> record = torch.tensor([[0.5, 1.0], [torch.nan, torch.nan]])
        >>> as_columns(record, space, space.names, graded=frozenset({"hue"}))
        tensor([[0.5000, 1.0000, 0.0000, 1.0000],
                [0.0000, 0.0000, 0.0000, 0.0000]])
    """
    parts = []
    for name in names:
        factor = space[name]
        column = record[:, space.names.index(name)]
        said = ~column.isnan()
        values = column.nan_to_num()
        if factor.values is not None:
            parts.append(nn.functional.one_hot(values.long(), len(factor.values)).to(record.dtype) * said[:, None])
        else:
            parts.append(values[:, None])
            if name in graded:
                parts.append(said[:, None].to(record.dtype))
    return torch.cat(parts, dim=1) if parts else record[:, :0]


def n_columns(space: FactorSpace, names: Iterable[str], *, graded: frozenset[str] = frozenset()) -> int:
    """How many columns `as_columns` gives."""
    return sum(len(space[name].values or ()) or 1 + (name in graded) for name in names)
