"""Rows of a large array, some at a time: what is mapped from a file takes no memory beyond those in hand."""

import mmap
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vergence.checks import finite

AT_ONCE = 16_384  # rows
_SCATTERED = 256  # rows here and there, around each of which the system may map megabytes of a file


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of an array, in an order of their own.

    Args:
        values: All rows.
        order: Which of them, in which order; all as they are if `None`.
        mapping: The file that they are mapped from, to let go of its pages after each reading.
        name: What to call them in messages.

    Example:
        >>> rows = Rows(values=torch.arange(6.0).reshape(3, 2), order=np.array([2, 0]), name="x")
        >>> rows[0:1], len(rows), rows.dim
        (tensor([[4., 5.]]), 2, 2)
    """

    values: Float[Tensor, "n dim"] | Float[np.ndarray, "n dim"]
    order: Integer[np.ndarray, "m"] | None = None
    mapping: mmap.mmap | None = None
    name: str

    def __len__(self) -> int:
        return len(self.values) if self.order is None else len(self.order)

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return int(self.values.shape[1])

    def __getitem__(self, rows: slice | Integer[Tensor, "m"]) -> Float[Tensor, "m dim"]:
        """Some rows, as a tensor on the device of all.

        Raises:
            ShapeError: If one holds NaN or infinity.
        """
        if isinstance(self.values, Tensor):
            taken = self.values[rows if self.order is None else torch.from_numpy(self.order)[rows]]
        else:
            which = rows if isinstance(rows, slice) else rows.numpy()
            taken = torch.from_numpy(self._read(which if self.order is None else self.order[which]))
        finite(**{self.name: taken})
        return taken

    def _read(self, which: slice | Integer[np.ndarray, "m"]) -> Float[np.ndarray, "m dim"]:
        if self.mapping is None:
            return np.ascontiguousarray(self.values[which])
        if isinstance(which, slice):
            taken = np.array(self.values[which])
            let_go(self.mapping)
            return taken
        pieces = []
        for start in range(0, len(which), _SCATTERED):
            pieces.append(self.values[which[start : start + _SCATTERED]])
            let_go(self.mapping)
        return np.concatenate(pieces)

    def slices(self) -> list[slice]:
        """All rows, some at a time."""
        return [slice(start, min(start + AT_ONCE, len(self))) for start in range(0, len(self), AT_ONCE)]


def let_go(mapping: mmap.mmap | None) -> None:
    """Let go of the pages of a mapped file that have been read, where the system can; they are read again on demand."""
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def equal_rows(rows: Rows) -> Integer[np.ndarray, "n"]:
    """Number the rows so that equal ones, bit by bit, have one number.

    Example:
        >>> equal_rows(Rows(values=torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]]), name="x")).tolist()
        [0, 1, 0]
    """
    seen: dict[int, int] = {}
    numbers = np.empty(len(rows), dtype=np.int64)
    for some in rows.slices():
        taken = rows[some].cpu().numpy()
        width, held = taken.shape[1] * taken.itemsize, memoryview(taken.tobytes())
        for place in range(len(taken)):  # of 2^20 different rows, two share a number of 64 bits once in 10^7 times
            value = hash(bytes(held[place * width : (place + 1) * width]))
            numbers[some.start + place] = seen.setdefault(value, len(seen))
    return numbers
