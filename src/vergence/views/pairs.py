"""Paired views, what encoders see of pairs: row i of the image and row i of the text show one item."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from vergence.errors import ShapeError
from vergence.pairs import Pairs


@runtime_checkable
class Views(Protocol):
    """Views of many items, of which some at a time are tensors."""

    def __len__(self) -> int: ...

    def take(self, rows: Sequence[int] | np.ndarray | Tensor, /) -> "ViewPair":
        """The views of these rows."""
        ...

    def batches(self, groups: Iterable[Sequence[int]], /) -> Iterator["ViewPair"]:
        """The views of each group of rows, in order."""
        ...


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

    def batches(self, groups: Iterable[Sequence[int]]) -> Iterator["ViewPair"]:
        """The views of each group of rows, in order."""
        return map(self.take, groups)


@dataclass(frozen=True, eq=False)
class LazyViews:
    """Views of pairs that are made when they are asked for: pixels of one size, and numbers of words.

    Args:
        pairs: What to look at.
        number: Makes one row of numbers, of one length, for each text.
        side: Pixels of a side to bring images to.
        workers: Threads that decode, >= 1; the views do not depend on their number.
    """

    pairs: Pairs
    number: Callable[[Sequence[str]], Tensor]
    side: int
    workers: int = 1

    def __len__(self) -> int:
        return len(self.pairs)

    def take(self, rows: Sequence[int] | np.ndarray | Tensor) -> ViewPair:
        """The views of these rows.

        Raises:
            CorpusError: If an image is damaged.
        """
        return next(self.batches([torch.as_tensor(rows).tolist()]))

    def batches(self, groups: Iterable[Sequence[int]]) -> Iterator[ViewPair]:
        """The views of each group of rows, decoded a little ahead.

        Raises:
            CorpusError: If an image is damaged.
        """
        for images, texts in self.pairs.batches(groups, side=self.side, workers=self.workers):
            yield ViewPair(image=images, text=self.number(texts))
