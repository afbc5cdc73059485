"""Looks through a corpus before it is changed: what is mentioned, and a sample of captions to estimate and try out on.

The sample are the captions of the smallest numbers drawn for them, so that it does not depend on files or their order.
With labels they are captions of labelled images.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from vergence.corpus import BiasEstimate, estimate_misalignment
from vergence.corpus.lexicon import Lexicon
from vergence.corpus.matching import compiled, text_buffers
from vergence.curation.diff import Editor, Tally
from vergence.curation.labels import KeyedLabels, key_digests
from vergence.curation.splices import draws
from vergence.curation.textual import Batch

SAMPLE = 20_000


@dataclass(eq=False)
class Survey:
    """What a corpus mentions, and a sample of it.

    Args:
        lexicon: Groups are factors.
        labels: What images show.
        captions: How many there are.
        counts: By number of a concept, captions that mention it.
        labelled: Captions whose key has labels.
        remember: Whether to keep a digest of every caption, in their order, to find repeated ones.
        digests: These.
    """

    lexicon: Lexicon
    labels: KeyedLabels | None
    captions: int = 0
    counts: Counter[int] = field(default_factory=Counter)
    labelled: int = 0
    remember: bool = False
    digests: list[np.ndarray] = field(default_factory=list)
    _drawn: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    _texts: pa.Array = field(default_factory=lambda: pa.array([], pa.large_string()))
    _keys: pa.Array = field(default_factory=lambda: pa.array([], pa.large_string()))

    def see(self, batch: Batch) -> None:
        """Take a batch into account."""
        found = compiled(self.lexicon, "word").mentions(batch.captions)
        numbers = np.bincount(found.concepts)
        self.counts.update({k: int(numbers[k]) for k in np.flatnonzero(numbers).tolist()})
        self.captions += len(batch.captions)
        if self.remember:
            offsets, data = text_buffers(batch.captions)
            self.digests.append(draws(offsets, data, np.zeros(len(offsets), np.int64), data, 0))
        drawn = draws(*text_buffers(batch.captions), *text_buffers(batch.keys.fill_null("")), 0)
        wanted: np.ndarray = np.ones(len(drawn), dtype=np.bool_)
        if self.labels is not None:
            wanted = np.asarray((self.labels.of(batch.keys) >= 0).any(axis=1))
            self.labelled += int(wanted.sum())
        if len(self._drawn) >= SAMPLE:
            wanted = wanted & (drawn < self._drawn.max())
        rows = np.flatnonzero(wanted)
        if len(rows):
            self._keep(drawn[rows], batch.captions.take(pa.array(rows)), batch.keys.take(pa.array(rows)))

    def add(self, other: "Survey") -> None:
        """Add up."""
        self.captions += other.captions
        self.labelled += other.labelled
        self.counts.update(other.counts)
        self._keep(other._drawn, other._texts, other._keys)

    def mentioned(self) -> dict[tuple[str, str], int]:
        """By factor and value, captions that mention it."""
        names = [(group.name, concept.name) for group in self.lexicon.groups for concept in group.concepts]
        return {names[k]: times for k, times in sorted(self.counts.items())}

    def estimate(self) -> BiasEstimate | None:
        """Selection and perturbation of the sample; `None` without labels."""
        return self._estimate(self._texts)

    def tried(self, editor: Editor) -> tuple[Tally, BiasEstimate | None]:
        """What an editor does to the sample, and selection and perturbation after it."""
        tally = Tally()
        if not len(self._texts):
            return tally, None
        edited, asked = editor.edit(self._texts, self._keys)
        numbers = np.arange(1, len(self._texts) + 1)
        editor.rows(edited, asked, file="", numbers=numbers, keys=self._keys, raws={}, tally=tally)
        return tally, self._estimate(edited.captions)

    @property
    def sample(self) -> int:
        """How many captions it holds."""
        return len(self._texts)

    def _estimate(self, captions: pa.Array) -> BiasEstimate | None:
        if self.labels is None or not len(captions):
            return None
        labels = self.labels.named(self._keys, self.lexicon)
        clusters = np.unique(key_digests(self._keys), return_inverse=True)[1]
        return estimate_misalignment(captions, labels, self.lexicon, clusters=clusters.tolist())

    def _keep(self, drawn: np.ndarray, texts: pa.Array, keys: pa.Array) -> None:
        drawn = np.concatenate([self._drawn, drawn])
        texts, keys = pa.concat_arrays([self._texts, texts]), pa.concat_arrays([self._keys, keys])
        # Equal numbers are equal keys and captions, so that their order is of no account.
        order = np.argsort(drawn, kind="stable")[:SAMPLE]
        self._drawn, self._texts, self._keys = drawn[order], texts.take(pa.array(order)), keys.take(pa.array(order))


def repeated(digests: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each file which of its captions were there before, in it or in a file before it.

    Args:
        digests: Of the captions of each file, in their order.

    Example:
        >>> [one.tolist() for one in repeated([np.array([5, 7, 5]), np.array([7, 9])])]
        [[False, False, True], [True, False]]
    """
    everything = np.concatenate([np.empty(0, np.uint64), *digests])
    order = np.argsort(everything, kind="stable")
    again = np.zeros(len(order), dtype=np.bool_)
    again[order[1:]] = everything[order[1:]] == everything[order[:-1]]
    return np.split(again, np.cumsum([len(one) for one in digests])[:-1])


def refused_shares(tally: Tally, factors: Mapping[str, object]) -> dict[str, float]:
    """By factor, the share of captions that should have been edited and could not be."""
    found = {}
    for factor in factors:
        left = sum(times for (name, _), times in tally.refused.items() if name == factor)
        done = sum(times for (name, _), times in tally.edits.items() if name == factor)
        if left:
            found[factor] = left / (left + done)
    return found
