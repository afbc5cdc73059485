"""Edits captions: exactly those spans that a policy asks for, with what grammar ties to them, and nothing else.

What is a mention is what the audit counts as one. What cannot be edited safely stays as it was, with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int16, Int64, UInt8

from vergence.corpus.lexicon import Lexicon
from vergence.corpus.matching import compiled, text_buffers
from vergence.corpus.unicode import compared
from vergence.curation.around import find_runs, weigh
from vergence.curation.codes import ATTRIBUTE, KEEP, OMIT, SIGNATURE, THING, THINGS
from vergence.curation.layout import lay_out
from vergence.curation.mending import mend
from vergence.curation.phrases import make_phrases, nouns_of, refuse_saying
from vergence.curation.splices import points, splice
from vergence.curation.words import sign_kinds, word_classes
from vergence.errors import ConfigError

MOST_FACTORS = 60  # bits of one number

Change: TypeAlias = tuple[int, int, str, int, int]
"""An edit of a caption: first byte, byte after the last, new text, factors as bits; value, `OMIT` or `REWRITTEN`."""


@dataclass(frozen=True, eq=False)
class Edited:
    """Captions after their edits.

    Args:
        captions: Text, as many as there were.
        edits: A row for each edit, in order: caption, first byte, byte after the last (of the caption's own bytes),
            place of the new text among `texts`, factors as bits, the value that is to be said, `OMIT` or `REWRITTEN`.
        points: First and last place of each in code points.
        refused: Captions × factors: why nothing was edited where something was asked for; 0 elsewhere.
        offsets: Where the captions began in `data`.
        data: Their bytes before.
        texts: What edits put in.
        rewrites: Of captions that a model wrote anew, how many were accepted, and the others by why not.
    """

    captions: pa.Array
    edits: Int64[np.ndarray, "edits 6"]
    points: Int64[np.ndarray, "edits 2"]
    refused: UInt8[np.ndarray, "captions factors"]
    offsets: Int64[np.ndarray, " captions_and_one"]
    data: UInt8[np.ndarray, " bytes"]
    texts: Sequence[str] = ()
    rewrites: Mapping[str, int] = field(default_factory=dict)

    def before(self, row: int) -> str:
        """A caption as it was."""
        return bytes(self.data[self.offsets[row] : self.offsets[row + 1]]).decode()


def replaced(edited: Edited, own: Mapping[int, Sequence[Change]], refused: np.ndarray) -> Edited:
    """The same with other edits in some captions.

    Args:
        edited: As it is.
        own: By caption all of its edits, in order.
        refused: Captions × factors, reasons.
    """
    texts = list(edited.texts)
    known = {text: place for place, text in enumerate(texts)}
    rows = []
    for caption, changes in own.items():
        for first, last, text, factors, value in changes:
            if text not in known:
                known[text] = len(texts)
                texts.append(text)
            rows.append((caption, first, last, known[text], factors, value))
    kept = edited.edits[~np.isin(edited.edits[:, 0], list(own))]
    edits = np.concatenate([kept, np.array(rows, dtype=np.int64).reshape(-1, 6)])
    edits = np.ascontiguousarray(edits[np.argsort(edits[:, 0], kind="stable")])
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
    pool = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    return replace(
        edited, captions=_text(*splice(edits, edited.offsets, edited.data, ends, pool)), edits=edits,
        points=points(edits, edited.offsets, edited.data), refused=refused, texts=texts,
    )  # fmt: skip


class Rewriter:
    """Edits captions in the words of a lexicon.

    Args:
        lexicon: Groups are factors, concepts their values.
        templates: By factor, how a missing value is added: ", {value}" at the end, before a full stop, if not given.
        generic: By factor of nouns, the word that takes the place of what is omitted: {"animal": "animal"}.
        nouns: Factors whose values are nouns; those that the lexicon inflects as nouns are known to be.
        allow_empty: Whether a caption may lose all of its words.

    Raises:
        ConfigError: If a template or generic word does not fit, or there are more than 60 factors.

    Example:
        >>> from vergence.corpus import Concept, Group, Lexicon
        >>> hues = Group("hue", (Concept("red"), Concept("blue"), Concept("orange")))
        >>> rewriter = Rewriter(Lexicon("hues", (hues,)))
        >>> rewriter.omit(["an orange cup", "Red and blue balls.", "red", "no red cup"], ["hue"])
        ['a cup', 'Balls.', 'red', 'no red cup']
        >>> rewriter.tell(["a red cup", "a cup."], "hue", ["orange", "blue"])
        ['an orange cup', 'a cup, blue.']
    """

    def __init__(
        self,
        lexicon: Lexicon,
        *,
        templates: Mapping[str, str] = MappingProxyType({}),
        generic: Mapping[str, str] = MappingProxyType({}),
        nouns: Sequence[str] = (),
        allow_empty: bool = False,
    ) -> None:
        if len(lexicon.groups) > MOST_FACTORS:
            raise ConfigError(f"a lexicon of at most {MOST_FACTORS} groups can be edited; got {len(lexicon.groups)}")
        for factor, word in generic.items():
            refuse_saying(lexicon, factor, word)
        self.lexicon, self.allow_empty, self.generic = lexicon, allow_empty, dict(generic)
        self.names = [group.name for group in lexicon.groups]
        self.phrases = make_phrases(lexicon, templates=templates, generic=generic)
        self.matcher = compiled(lexicon, "word")
        self.templates = templates
        self._noun = np.array(nouns_of(lexicon, nouns), dtype=np.bool_)
        of_form = self._noun[self.matcher.targets[: self.matcher.n_forms]]
        plural = self.phrases.inflection == 1
        self._what_of = np.where(of_form, np.where(plural, THINGS, THING), ATTRIBUTE)
        self._factor_of = np.array(lexicon.group_of, dtype=np.int64)
        self._value_of = np.array([k for group in lexicon.groups for k in range(len(group.concepts))], dtype=np.int64)
        words: tuple[list[str], list[str]] = [], []
        for concept, noun in zip(lexicon.concepts, self._noun, strict=True):
            words[int(noun)].extend(compared(form).split(" ")[-1] for form in concept.surface_forms)
        self._digests, self._classes = word_classes(*words)
        self._kinds = sign_kinds()

    def edit(
        self,
        captions: pa.Array,
        ops: Int16[np.ndarray, "captions factors"],
        emptied: Bool[np.ndarray, " captions"] | None = None,
    ) -> Edited:
        """Edit captions.

        Args:
            captions: Text or UTF-8 bytes without nulls.
            ops: For each caption and factor `KEEP`, `OMIT`, or the place of the value that it is to say: mentions of
                others give way to it, and where there are none it is added.
            emptied: Captions that lose all of their words, whatever else is asked; such an edit is of no factor.
        """
        offsets, data = text_buffers(captions)
        gone = np.empty(0, dtype=np.int64) if emptied is None else np.flatnonzero(emptied)
        ops = ops.copy()
        ops[gone] = KEEP
        rows = np.flatnonzero((ops != KEEP).any(axis=1))
        refused = np.zeros(ops.shape, dtype=np.uint8)
        refused[rows], edits = self._edits(captions.take(pa.array(rows)), ops[rows])
        moved = offsets[rows] - np.concatenate([[0], np.cumsum(offsets[rows + 1] - offsets[rows])])[:-1]
        edits[:, 1:3] += moved[edits[:, 0], None]
        edits[:, 0] = rows[edits[:, 0]]
        if len(gone):
            whole = np.stack(
                [gone, offsets[gone], offsets[gone + 1], *np.zeros((2, len(gone)), int), 0 * gone + OMIT], 1
            )
            edits = np.concatenate([edits, whole])
            edits = np.ascontiguousarray(edits[np.argsort(edits[:, 0], kind="stable")])
        new_offsets, new_data = splice(edits, offsets, data, self.phrases.offsets, self.phrases.data)
        return Edited(
            captions=_text(new_offsets, new_data),
            edits=edits,
            points=points(edits, offsets, data),
            refused=refused,
            offsets=offsets,
            data=data,
            texts=self.phrases.texts,
        )

    def _edits(self, captions: pa.Array, ops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reasons and edits for captions all of which something is asked of."""
        offsets, data = text_buffers(captions)
        moved = offsets[0]
        spans, mentioned = self._spans(captions, ops, offsets, data)
        refused = np.zeros(ops.shape, dtype=np.uint8)
        runs = find_runs(
            spans, self.matcher.targets, self._factor_of, self._what_of, self._value_of, ops, offsets, data,
            self._kinds, self._digests, self._classes, refused,
        )  # fmt: skip
        signatures, which = np.unique(runs[:, SIGNATURE], return_inverse=True)
        mends = np.array([_mended(int(one)) for one in signatures], dtype=np.int64).reshape(-1, 3)[which]
        words = self.phrases
        edits = lay_out(
            runs, mends, refused, ops, mentioned, spans, offsets, data, self._kinds, words.inflection, words.said,
            words.added, words.first, words.letters, words.articles, words.offsets, words.data, self.allow_empty,
        )  # fmt: skip
        edits[:, 1:3] -= moved
        return refused, edits

    @property
    def adjectives(self) -> frozenset[int]:
        """Places of the factors that have no noun among their values, and no template of their own."""
        nouns = {int(self._factor_of[concept]) for concept in np.flatnonzero(self._noun)}
        return frozenset(k for k, name in enumerate(self.names) if k not in nouns and name not in self.templates)

    def omit(self, captions: Sequence[str], factors: Sequence[str]) -> list[str]:
        """Captions without any mention of some factors; those that cannot be mended stay as they are.

        Raises:
            ConfigError: If a factor is unknown.
        """
        ops = np.full((len(captions), len(self.names)), -1, dtype=np.int16)
        for factor in factors:
            place = self._place(factor)
            ops[:, place] = len(self.lexicon.groups[place].concepts) if factor in self.generic else OMIT
        edited = self.edit(pa.array(captions, type=pa.large_string()), self._spoken(captions, ops))
        return [str(text) for text in edited.captions.to_pylist()]

    def tell(self, captions: Sequence[str], factor: str, values: Sequence[str | None]) -> list[str]:
        """Captions that say a given value of a factor each, and no other; `None` leaves a caption alone.

        Raises:
            ConfigError: If factor or value is unknown.
        """
        place = self._place(factor)
        known = [concept.name for concept in self.lexicon.groups[place].concepts]
        ops = np.full((len(captions), len(self.names)), -1, dtype=np.int16)
        for row, value in enumerate(values):
            if value is not None and value not in known:
                raise ConfigError(f"unknown value {value!r} of factor {factor!r}; known: {', '.join(known)}")
            ops[row, place] = -1 if value is None else known.index(value)
        edited = self.edit(pa.array(captions, type=pa.large_string()), ops)
        return [str(text) for text in edited.captions.to_pylist()]

    def _place(self, factor: str) -> int:
        if factor not in self.names:
            raise ConfigError(f"unknown factor {factor!r}; known: {', '.join(self.names)}")
        return self.names.index(factor)

    def _spoken(self, captions: Sequence[str], ops: np.ndarray) -> np.ndarray:
        """A generic word takes the place of what is said; it is added nowhere."""
        found = self.matcher.mentions(list(captions))
        said = np.zeros(ops.shape, dtype=np.bool_)
        said[found.captions, self._factor_of[found.concepts]] = True
        return np.where(said, ops, np.int16(-1))

    def _spans(
        self, captions: pa.Array, ops: np.ndarray, offsets: np.ndarray, data: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Occurrences in captions that are to be edited, in bytes and weighed; and what is mentioned."""
        found = self.matcher.occurrences(captions)
        spans = np.zeros((len(found), 5), dtype=np.int64)
        spans[:, :4] = found
        matcher = self.matcher
        weigh(spans, matcher.targets, matcher.n_forms, matcher.n_not_cues, offsets, data, self._kinds)
        mentioned = np.zeros(ops.shape, dtype=np.bool_)
        told = spans[spans[:, 4] == 1]
        mentioned[told[:, 0], self._factor_of[matcher.targets[told[:, 1]]]] = True
        return spans, mentioned


def _mended(signature: int) -> tuple[int, int, int]:
    classes = [signature >> 5 * (5 - k) & 31 for k in range(6)]
    return mend(signature >> 30, (classes[0], classes[1], classes[2]), (classes[3], classes[4], classes[5]))


def _text(offsets: np.ndarray, data: np.ndarray) -> pa.Array:
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
