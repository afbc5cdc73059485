"""Provenance: every edit is a row that says where it was, what stood there, what stands there now, and how to go back.

A span is counted in characters (code points) of the *original* caption. Within a caption edits are in order and apart,
so that the original follows from the changed caption and its rows alone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from vergence.corpus.matching import text_buffers
from vergence.curation.actions import Action, Asked, Asker
from vergence.curation.codes import KEEP, REWRITTEN
from vergence.curation.labels import KeyedLabels
from vergence.curation.mending import REASONS
from vergence.curation.placing import Placer
from vergence.curation.rewrite import Edited, Rewriter
from vergence.curation.splices import draws, gather
from vergence.curation.writing import Rewriting

_WORD = pa.dictionary(pa.int32(), pa.string())
EDITS = pa.schema(
    {
        "file": _WORD,
        "row": pa.int64(),
        "key": pa.large_string(),
        "factor": _WORD,
        "operator": _WORD,
        "start": pa.int32(),
        "end": pa.int32(),
        "old": pa.large_string(),
        "new": pa.large_string(),
        "seed": pa.int64(),
        "raw": pa.large_binary(),
    }
)
"""`edits.parquet`: file and row (from 1, as the audit counts them) of the caption and its key; factors that were edited
and by which operator; first character of the span and the one after its last; what stood there and what does now; the
seed of the draws; and, where the bytes of the file do not follow from that, the original bytes of the field."""

_SAMPLES = 40  # captions that are kept for each operator and file


@dataclass
class Tally:
    """What was done in a file, or in several.

    Args:
        counts: rows, captions, edited (captions), edits, and what was left alone: null, unusable.
        before: By factor and value, captions that mentioned it.
        after: By factor and value, captions that do now.
        edits: By factor and operator, how many captions.
        refused: By factor and reason, how many captions.
        unlabelled: By factor, captions that lacked a label.
        rewrites: Captions that a model wrote anew: how many were accepted, and the others by why not.
        samples: By operator, captions before and after.
    """

    counts: Counter[str] = field(default_factory=Counter)
    before: Counter[tuple[str, str]] = field(default_factory=Counter)
    after: Counter[tuple[str, str]] = field(default_factory=Counter)
    edits: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    unlabelled: Counter[str] = field(default_factory=Counter)
    rewrites: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Add up."""
        for name in ("counts", "before", "after", "edits", "refused", "unlabelled", "rewrites"):
            getattr(self, name).update(getattr(other, name))
        for operator, found in other.samples.items():
            self.samples.setdefault(operator, []).extend(found)
            del self.samples[operator][_SAMPLES:]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "counts": dict(sorted(self.counts.items())),
            **{
                name: [[*key, times] for key, times in sorted(getattr(self, name).items())]
                for name in ("before", "after", "edits", "refused")
            },
            "unlabelled": dict(sorted(self.unlabelled.items())),
            "rewrites": dict(sorted(self.rewrites.items())),
            "samples": {operator: list(map(list, found)) for operator, found in sorted(self.samples.items())},
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Tally":
        """The inverse of `to_dict`."""
        pairs = {
            name: Counter({(a, b): times for a, b, times in given[name]})
            for name in ("before", "after", "edits", "refused")
        }
        samples = {operator: [(old, new) for old, new in found] for operator, found in given["samples"].items()}
        single = [Counter(given.get(name, {})) for name in ("counts", "unlabelled", "rewrites")]
        return cls(single[0], **pairs, unlabelled=single[1], rewrites=single[2], samples=samples)


@dataclass(frozen=True, eq=False)
class Editor:
    """Edits batches of captions as actions ask, and says what it did.

    Args:
        rewriter: Puts in and takes out.
        actions: What is asked of each factor.
        labels: What images show, by key; `None` without.
        seed: Of all draws.
        placer: Moves what was added into its phrase; `None` without a tagger.
        rewriting: Asks a model for what no rule can do; `None` without one.
    """

    rewriter: Rewriter
    actions: Sequence[Action]
    labels: KeyedLabels | None
    seed: int
    placer: Placer | None = None
    rewriting: Rewriting | None = None
    _asker: Asker = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_asker", Asker(self.rewriter.lexicon, self.actions, self.rewriter.matcher))

    def edit(self, captions: pa.Array, keys: pa.Array, repeated: np.ndarray | None = None) -> tuple[Edited, Asked]:
        """Edit a batch.

        Args:
            captions: Text without nulls.
            keys: Text; what numbers are drawn by, beside the caption itself, and labels are found by.
            repeated: Captions that were there before, and go.
        """
        n_factors = len(self.rewriter.names)
        labels = self.labels.of(keys) if self.labels else np.full((len(captions), n_factors), -1, dtype=np.int16)
        asked = self._asker.ask(captions, self.drawn(captions, keys), labels)
        edited = self.rewriter.edit(captions, asked.ops, repeated)
        if self.placer is not None:
            edited = self.placer.place(edited)
        if self.rewriting is not None:
            kept = asked.ops.copy()
            kept[[] if repeated is None else repeated] = KEEP
            edited = self.rewriting.rewrite(edited, kept)
        return edited, asked

    def drawn(self, captions: pa.Array, keys: pa.Array) -> np.ndarray:
        """64 random bits for each caption: of seed, key and text, whatever file and row it is in."""
        return np.asarray(draws(*text_buffers(captions), *text_buffers(keys.fill_null("")), self.seed))

    def rows(
        self, edited: Edited, asked: Asked, *, file: str, numbers: np.ndarray, keys: pa.Array,
        raws: Mapping[int, bytes], tally: Tally,
    ) -> pa.Table:  # fmt: skip
        """The rows of `edits.parquet` for a batch; counts them too.

        Args:
            edited: From `edit`.
            asked: From `edit`.
            file: The file's name.
            numbers: The row of each caption in it.
            keys: Of the captions.
            raws: By place in the batch, original bytes that do not follow from the edits.
            tally: Is added to.
        """
        edits = edited.edits
        operators, operator_of = self._operators(edited)
        names, factor_of = self._named(edits[:, 4])
        rows = pa.array(edits[:, 0])
        old = gather(*(edits[:, place] for place in (1, 2)), edited.data)
        raw: list[bytes | None] = [None] * len(edits)
        if raws:
            firsts = np.flatnonzero(np.append(True, edits[1:, 0] != edits[:-1, 0])[: len(edits)])
            for place in firsts[np.isin(edits[firsts, 0], list(raws))].tolist():
                raw[place] = raws[int(edits[place, 0])]
        self._count(edited, asked, (operators, operator_of), tally)
        columns = [
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(edits), np.int32)), pa.array([file])),
            pa.array(numbers[edits[:, 0]]),
            keys.take(rows),
            pa.DictionaryArray.from_arrays(pa.array(factor_of.astype(np.int32)), pa.array(names, pa.string())),
            pa.DictionaryArray.from_arrays(pa.array(operator_of.astype(np.int32)), pa.array(operators, pa.string())),
            pa.array(edited.points[:, 0].astype(np.int32)),
            pa.array(edited.points[:, 1].astype(np.int32)),
            pa.Array.from_buffers(pa.large_string(), len(edits), [None, *map(pa.py_buffer, old)]),
            pa.array(edited.texts, pa.large_string()).take(pa.array(edits[:, 3])),
            pa.array(np.full(len(edits), self.seed)),
            pa.array(raw, pa.large_binary()),
        ]
        return pa.Table.from_arrays(columns, schema=EDITS)

    def _named(self, factors: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Names for sets of factors, which are bits."""
        known, place = np.unique(factors, return_inverse=True)
        names = self.rewriter.names
        return [", ".join(name for k, name in enumerate(names) if int(bits) >> k & 1) for bits in known], place

    def _operators(self, edited: Edited) -> tuple[list[str], np.ndarray]:
        """What each edit does: by its factor's action; of those that tell, whether anything was said before."""
        kinds = {action.factor: action.kinds for action in self.actions}
        listed = ["omit", "insert", "correct", "perturb", "balance", "deduplicate", "rewrite"]
        edits = edited.edits
        added = edits[:, 1] == edits[:, 2]
        place = np.where(edits[:, 4] == 0, listed.index("deduplicate"), 0)
        for k, name in enumerate(self.rewriter.names):
            own = edits[:, 4] >> k & 1 == 1
            given = kinds.get(name, ())
            if "perturb" in given or "balance" in given:
                place[own] = listed.index(given[0])
            elif "omit" not in given:
                # What stands beside an addition, such as its article, is of it.
                place[own] = np.where(np.isin(edits[own, 0], edits[own & added, 0]), 1, 2)
        place[edits[:, 5] == REWRITTEN] = listed.index("rewrite")
        return listed, place

    def _count(self, edited: Edited, asked: Asked, operators: tuple[list[str], np.ndarray], tally: Tally) -> None:
        edits, names = edited.edits, self.rewriter.names
        listed, place = operators
        n_captions = len(edited.captions)
        known = [(group.name, concept.name) for group in self.rewriter.lexicon.groups for concept in group.concepts]
        after = np.bincount(self.rewriter.matcher.mentions(edited.captions).concepts, minlength=len(known))
        for counts, found in ((tally.before, asked.found), (tally.after, after)):
            counts.update({known[k]: int(found[k]) for k in np.flatnonzero(found).tolist()})
        tally.counts.update(captions=n_captions, edited=_different(edits[:, 0]), edits=len(edits))
        for k, name in enumerate(names):
            own = edits[:, 4] >> k & 1 == 1
            for operator in np.flatnonzero(np.bincount(place[own])).tolist():
                tally.edits[name, listed[operator]] += _different(edits[own & (place == operator), 0])
            reasons = np.bincount(np.maximum(edited.refused[:, k], asked.refused[:, k]))
            for reason in np.flatnonzero(reasons[1:]).tolist():
                tally.refused[name, REASONS[reason + 1]] += int(reasons[reason + 1])
            if asked.unlabelled[k]:
                tally.unlabelled[name] += int(asked.unlabelled[k])
        tally.rewrites.update(edited.rewrites)
        if repeated := int((edits[:, 4] == 0).sum()):
            tally.edits["captions", "deduplicate"] += repeated
        for operator in np.flatnonzero(np.bincount(place)).tolist():
            held = tally.samples.setdefault(listed[operator], [])
            if len(held) < _SAMPLES:
                first = edits[np.flatnonzero(place == operator)[: 8 * _SAMPLES], 0].tolist()
                for row in list(dict.fromkeys(first))[: _SAMPLES - len(held)]:
                    before = bytes(edited.data[edited.offsets[row] : edited.offsets[row + 1]]).decode()
                    held.append((before, edited.captions[row].as_py()))


def _different(rows: np.ndarray) -> int:
    """How many different rows there are; equal ones stand together."""
    return int((rows[1:] != rows[:-1]).sum()) + min(1, len(rows))


def turned_back(after: str, edits: Iterable[tuple[int, int, str, str]]) -> str:
    """The original of a caption.

    Args:
        after: The caption as it is now.
        edits: In order: start and end in the original, what stood there, what stands there now.

    Example:
        >>> turned_back("an apple", [(0, 1, "a", "an"), (2, 6, "red ", "")])
        'a red apple'
    """
    pieces, reached, moved = [], 0, 0
    for start, end, old, new in edits:
        place = start + moved
        pieces += [after[reached:place], old]
        reached = place + len(new)
        moved += len(new) - (end - start)
    return "".join([*pieces, after[reached:]])


__all__ = ["EDITS", "Editor", "Tally", "turned_back"]
