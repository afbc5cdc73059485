"""Labels as renderers take them: the place of each value among those of its factor."""

import numpy as np
import pandas as pd
from jaxtyping import Int

from vergence.checks import at_least, at_most
from vergence.errors import FactorError, unknown
from vergence.factors import Factor, FactorSpace

_MOST_SIDE = 2048


def places(labels: pd.DataFrame, space: FactorSpace) -> dict[str, Int[np.ndarray, " n"]]:
    """Look up the values of discrete factors.

    Args:
        labels: A column for each factor; whatever else it has is passed over.
        space: The factors.

    Returns:
        By factor, the position of each row's value among those of the factor, from 0.

    Raises:
        FactorError: If a column is missing, or a value is none of its factor's.

    Example:
        >>> space = FactorSpace((Factor("size", ("small", "large")),))
        >>> places(pd.DataFrame({"size": ["large", "small"]}), space)["size"].tolist()
        [1, 0]
    """
    for name in space:
        if name not in labels.columns:
            raise FactorError(
                f"labels lack factor {name!r}; they have: {', '.join(map(str, labels.columns)) or 'none'}"
            )
    return {factor.name: _places(labels[factor.name], factor) for factor in space.factors if factor.values}


def check_side(side: int) -> None:
    """Require a number of pixels that an image can have a side.

    Raises:
        ConfigError: If it is no whole number in [8, 2048].
    """
    at_least("side", side, 8, why="pixels of a side")
    at_most("side", side, _MOST_SIDE, why="pixels of a side")


def _places(column: pd.Series, factor: Factor) -> Int[np.ndarray, " n"]:
    found = pd.Index(factor.values or ()).get_indexer(pd.Index(column.astype(str)))
    if (found < 0).any():
        row = int((found < 0).argmax())
        raise FactorError(
            f"row {row}: {unknown(f'value of factor {factor.name!r}', column.iloc[row], factor.values or ())}"
        )
    return found.astype(np.int64)
