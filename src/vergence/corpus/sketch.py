"""How many different captions there are, from a sketch of fixed size that merges exactly."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt64

_SIZE = 1 << 14
_ENOUGH = 3 * _SIZE // 2  # of many digests the smallest that are sorted; all are, if too few of these are different


@dataclass
class DistinctSketch:
    """The smallest digests seen: below the sketch's size an exact count, above it an estimate.

    [baryossef2002], first algorithm, k minimum values; differs: 64-bit digests, so that the spacing of the k-th
    smallest is the only error, about 1/√k (0.8 %). Merging is the union, so order and division of the captions change
    nothing.

    Example:
        >>> sketch = DistinctSketch()
        >>> sketch.add(np.array([7, 7, 9], dtype=np.uint64))
        >>> sketch.count()
        2.0
    """

    smallest: UInt64[np.ndarray, " kept"] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    def add(self, digests: UInt64[np.ndarray, " n"]) -> None:
        """Add digests, which must be spread evenly over 64 bits."""
        if len(self.smallest) == _SIZE:
            digests = digests[digests < self.smallest[-1]]
        if not len(digests):
            return
        found = np.empty(0, dtype=np.uint64)
        if len(self.smallest) + len(digests) > 2 * _SIZE:
            both = np.concatenate([self.smallest, digests])
            found = _different(np.sort(np.partition(both, _ENOUGH)[:_ENOUGH]))
        if len(found) < _SIZE:  # two runs in order: a stable sort merges them
            found = _different(np.sort(np.concatenate([self.smallest, np.sort(digests)]), kind="stable"))
        self.smallest = found[:_SIZE]

    def merge(self, other: "DistinctSketch") -> None:
        """Add what another sketch has seen."""
        self.add(other.smallest)

    def count(self) -> float:
        """The number of different digests added, estimated if it is the sketch's size or more."""
        if len(self.smallest) < _SIZE:
            return float(len(self.smallest))
        return (_SIZE - 1) / (float(self.smallest[-1]) / 2.0**64)


def _different(ordered: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " different"]:
    """Digests in order, each once; faster than np.unique, which hashes."""
    different: np.ndarray = ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]
    return different
