"""What every measure accepts: tensors on any device or NumPy arrays, of any float width, without NaN."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from vergence.checks import finite
from vergence.errors import ShapeError

if TYPE_CHECKING:
    Array: TypeAlias = Tensor | np.ndarray[Any, Any]
else:  # beartype takes the bare class only
    Array = Tensor | np.ndarray


def as_float64(**arrays: Array) -> tuple[Tensor, ...]:
    """Turn arrays, given by name, into float64 tensors on the device they are on, and refuse NaN and infinity.

    Float64 because sums over a million rows in float32 lose the digits that the measures are read for.

    Raises:
        ShapeError: Naming the array that holds NaN or infinity.
    """
    tensors = {name: torch.as_tensor(array).detach().to(torch.float64) for name, array in arrays.items()}
    finite(**tensors)
    return tuple(tensors.values())


def same_rows(**arrays: Array) -> int:
    """Require arrays, given by name, to have one number of rows, at least one, and return it.

    Raises:
        ShapeError: Naming each array and its shape.
    """
    rows = {array.shape[0] for array in arrays.values()}
    if len(rows) > 1 or 0 in rows:
        shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
        raise ShapeError(f"rows must pair one to one, and there must be some; got {shapes}")
    return rows.pop()


def codes(labels: Array, *others: Array) -> tuple[int, tuple[Tensor, ...]]:
    """Number the distinct values found in one or several label arrays from 0.

    Returns:
        How many distinct values there are, and the arrays with each value replaced by its number.
    """
    tensors = [torch.as_tensor(array) for array in (labels, *others)]
    values, numbered = torch.unique(torch.cat(tensors), return_inverse=True)
    return len(values), numbered.split([len(tensor) for tensor in tensors])
