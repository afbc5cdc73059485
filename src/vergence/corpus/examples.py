"""Example captions of each concept: a uniform sample of the different ones that mention it, which merges exactly."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from jaxtyping import Int64, UInt64

from vergence.corpus.measures import keep_smallest

_SHOWN = 300  # code points of an example
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
    texts: list[list[str]] = field(init=False)
    priorities: UInt64[np.ndarray, "concepts kept"] = field(init=False)

    def __post_init__(self) -> None:
        self.texts = [[] for _ in range(self.n_concepts)]
        self.priorities = np.full((self.n_concepts, self.size), _NONE, dtype=np.uint64)

    def add(
        self, captions: pa.Array, hits: Int64[np.ndarray, " hits"], digest: UInt64[np.ndarray, " captions"]
    ) -> None:
        """Add captions with what they mention, as `Mentions.hits` holds it, and their digests."""
        owners = np.tile(-1 - np.arange(self.size), (self.n_concepts, 1))  # -1 - place: held already
        keep_smallest(hits, digest, _salts(self.n_concepts), self.priorities, owners)
        new = np.unique(owners[owners >= 0])
        taken = captions.take(pa.array(new)).cast(pa.large_binary()).to_pylist()
        texts = dict(zip(new.tolist(), map(_shown, taken), strict=True))
        kept = np.count_nonzero(self.priorities != _NONE, axis=1).tolist()
        for concept, places in enumerate(owners.tolist()):
            if max(places) >= 0:
                held = self.texts[concept]
                self.texts[concept] = [texts[p] if p >= 0 else held[-1 - p] for p in places[: kept[concept]]]

    def merge(self, other: "Examples") -> None:
        """Add what others were kept for; the order of merging changes nothing."""
        ours, theirs = self.priorities.tolist(), other.priorities.tolist()
        for concept in np.flatnonzero(other.priorities[:, 0] < self.priorities[:, -1]).tolist():
            known = dict(zip(ours[concept], self.texts[concept], strict=False))
            known |= dict(zip(theirs[concept], other.texts[concept], strict=False))
            kept = sorted(known)[: self.size]
            self.texts[concept] = [known[priority] for priority in kept]
            ours[concept][: len(kept)] = kept
        self.priorities = np.array(ours, dtype=np.uint64).reshape(self.priorities.shape)

    def arrays(self) -> dict[str, np.ndarray]:
        """The priorities of the concepts that have an example."""
        present = np.flatnonzero(self.priorities[:, 0] != _NONE)
        return {"present": present, "priorities": self.priorities[present]}

    def restore(self, present: np.ndarray, priorities: np.ndarray, texts: dict[str, list[str]]) -> None:
        """The inverse of `arrays`, with the texts by the number of their concept."""
        self.priorities[present] = priorities
        for concept, kept in texts.items():
            self.texts[int(concept)] = kept


def _salts(n: int) -> UInt64[np.ndarray, " concepts"]:
    """A different number for each concept, so that examples of different concepts are chosen independently."""
    return np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)


def _shown(caption: bytes) -> str:
    text = caption.decode(errors="replace")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
