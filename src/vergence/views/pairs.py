"""Paired views, held in memory: row i of the image and row i of the text show one item."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from vergence.errors import ShapeError


@dataclass(frozen=True, eq=False)
class ViewPair:
    """Image and text views of the same items, in the same order.

    Args:
        image: One row for each item: pixels, or the output of a mixing.
        text: One row for each item: token numbers, or the output of a mixing.

    Raises:
        ShapeError: If the numbers of rows differ.

    Example:
        >>> views = ViewPair(image=torch.zeros(3, 8), text=torch.zeros(3, 2))
        >>> len(views), len(views.take([0, 2]))
        (3, 2)
    """

    image: Shaped[Tensor, "n *image"]
    text: Shaped[Tensor, "m *text"]

    def __post_init__(self) -> None:
        if len(self.image) != len(self.text):
            raise ShapeError(f"views must pair row by row; got {len(self.image)} images and {len(self.text)} texts")

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: Sequence[int] | np.ndarray | Tensor) -> "ViewPair":
        """Select items by row number, in the given order, or by a Boolean mask."""
        index = torch.as_tensor(rows)
        if index.dtype != torch.bool:  # torch would take bytes for a mask and an empty list for floats
            index = index.long()
        return ViewPair(image=self.image[index], text=self.text[index])
