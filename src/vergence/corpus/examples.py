"""Example captions of each concept: a uniform sample of the different ones that mention it, which merges exactly."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64, UInt64

from vergence.corpus.measures import keep_smallest

_SHOWN = 300  # code points of an example
_KEPT = 4 * (_SHOWN + 1)  # bytes that hold one more than are shown
_NONE = np.uint64(2**64 - 1)


@dataclass(eq=False)
class Examples:
    """For each concept the captions of the smallest priorities, a pseudo-random function of caption and concept.

    Args:
        n_concepts: How many concepts there are.
        size: Captions to keep for each, at least 1.
    """

    n_concepts: int
    size: int
    raw: list[list[bytes]] = field(init=False)
    priorities: UInt64[np.ndarray, "concepts kept"] = field(init=False)

    def __post_init__(self) -> None:
        self.raw = [[] for _ in range(self.n_concepts)]
        self.priorities = np.full((self.n_concepts, self.size), _NONE, dtype=np.uint64)

    def add(
        self, captions: pa.Array, hits: Int64[np.ndarray, " hits"], digest: UInt64[np.ndarray, " captions"]
    ) -> None:
        """Add captions with what they mention, as `Mentions.hits` holds it, and their digests."""
        owners = np.tile(-1 - np.arange(self.size), (self.n_concepts, 1))  # -1 - place: held already
        keep_smallest(hits, digest, _salts(self.n_concepts), self.priorities, owners)
        changed = np.flatnonzero((owners >= 0).any(axis=1))
        places = owners[changed]
        new = np.unique(places[places >= 0])
        taken = captions.take(pa.array(new)).cast(pa.large_binary())
        texts = dict(zip(new.tolist(), pc.binary_slice(taken, 0, _KEPT).to_pylist(), strict=True))
        self._rearrange(changed, places, lambda _, place: texts[place])

    def merge(self, other: "Examples") -> None:
        """Add what others were kept for; the order of merging changes nothing."""
        changed = np.flatnonzero(other.priorities[:, 0] < self.priorities[:, -1])
        both = np.concatenate([self.priorities[changed], other.priorities[changed]], axis=1)
        order = np.argsort(both, axis=1, kind="stable")  # of two that are equal, ours is first
        ordered = np.take_along_axis(both, order, axis=1)
        again = np.concatenate([np.zeros((len(both), 1), dtype=bool), ordered[:, 1:] == ordered[:, :-1]], axis=1)
        ordered[again] = _NONE
        last = np.argsort(ordered, axis=1, kind="stable")[:, : self.size]
        self.priorities[changed] = np.take_along_axis(ordered, last, axis=1)
        places = np.take_along_axis(order, last, axis=1)
        places = np.where(places < self.size, -1 - places, places - self.size)
        self._rearrange(changed, places, lambda concept, place: other.raw[concept][place])

    def _rearrange(self, changed: np.ndarray, places: np.ndarray, new: Callable[[int, int], bytes]) -> None:
        """Put the texts of the changed concepts in the order of their priorities, which have been set already."""
        kept = np.count_nonzero(self.priorities[changed] != _NONE, axis=1).tolist()
        for concept, row, n in zip(changed.tolist(), places.tolist(), kept, strict=True):
            held = self.raw[concept]
            self.raw[concept] = [new(concept, place) if place >= 0 else held[-1 - place] for place in row[:n]]

    def arrays(self) -> dict[str, np.ndarray]:
        """The priorities of the concepts that have an example."""
        present = np.flatnonzero(self.priorities[:, 0] != _NONE)
        return {"present": present, "priorities": self.priorities[present]}

    def restore(self, present: np.ndarray, priorities: np.ndarray, texts: dict[str, list[str]]) -> None:
        """The inverse of `arrays`, with the texts by the number of their concept."""
        self.priorities[present] = priorities
        for concept, kept in texts.items():
            self.raw[int(concept)] = [text.encode() for text in kept]

    def texts(self) -> list[list[str]]:
        """Per concept its examples, in a fixed order, longer ones cut off."""
        return [list(map(_shown, raw)) for raw in self.raw]


def _salts(n: int) -> UInt64[np.ndarray, " concepts"]:
    """A different number for each concept, so that examples of different concepts are chosen independently."""
    return np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)


def _shown(caption: bytes) -> str:
    text = caption.decode(errors="replace")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
