"""Which concepts each caption mentions, and where.

Definition: a form matches where neither neighbour is a word character (letter, mark, decimal digit, underscore),
compared code point by code point under simple case folding. So "cat's" and "cat-like" mention cat, "cats" and "concat"
do not. A variation selector is a mark: in "❤️" the heart's neighbour is a word character. White space of a form matches
any run of white space; soft hyphens and other `INVISIBLE` characters are as if they were not there, in forms and
captions. Excluded phrases and cues of negation match likewise. No form is inflected, excluded or negated unless the
lexicon asks.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from vergence.checks import one_of
from vergence.corpus.automaton import Automaton, compile_forms
from vergence.corpus.kernels import find_mentions, find_spans, to_points
from vergence.corpus.lexicon import Lexicon
from vergence.corpus.phrases import brief
from vergence.corpus.unicode import INVISIBLE, WHITE_SPACE
from vergence.errors import CorpusError

MATCHES = ("word", "substring")
_DETERMINERS = ("a", "an", "any", "the")
_LOW = 0xFFFFFFFF

Captions: TypeAlias = Sequence[str | None] | pa.Array | pa.ChunkedArray
Buffers = tuple[np.ndarray, np.ndarray]  # offsets, bytes


@dataclass(frozen=True, eq=False)
class Mentions:
    """Which concepts each caption of a batch mentions.

    Args:
        n_captions: How many captions there were, nulls included; a null mentions nothing.
        hits: One entry per caption and concept, caption << 32 | concept, in the order of the captions.
        negated: The same for concepts that a caption mentions only right after a negation cue; none is in `hits`.
    """

    n_captions: int
    hits: Int64[np.ndarray, " hits"]
    negated: Int64[np.ndarray, " negated"]

    @property
    def captions(self) -> Int64[np.ndarray, " hits"]:
        """The caption of each hit."""
        return self.hits >> 32

    @property
    def concepts(self) -> Int64[np.ndarray, " hits"]:
        """The concept of each hit."""
        return self.hits & _LOW

    def sets(self) -> list[frozenset[int]]:
        """For each caption the numbers of the concepts that it mentions."""
        found: list[set[int]] = [set() for _ in range(self.n_captions)]
        for caption, concept in zip(self.captions.tolist(), self.concepts.tolist(), strict=True):
            found[caption].add(concept)
        return list(map(frozenset, found))


class Matcher:
    """A lexicon compiled for matching; safe to use from several threads.

    [aho1975], algorithm 1; differs: on code points, folded, at word boundaries, as one table.

    Args:
        lexicon: What to look for.
        match: "word" for the definition above; "substring" to count forms inside words too, as the published script of
            the case study did ("tie" in "properties").

    Raises:
        ConfigError: If `match` is neither, or the lexicon is too large for one table.

    Example:
        >>> from vergence.corpus import Concept, Group, Lexicon
        >>> pets = Lexicon("pets", (Group("animal", (Concept("dog", ("dog", "puppy")), Concept("cat"))),))
        >>> matcher = Matcher(pets)
        >>> matcher.mentions(["A PUPPY and a cat", "dogma", None, "the cat's dog"]).sets()
        [frozenset({0, 1}), frozenset(), frozenset(), frozenset({0, 1})]
        >>> matcher.spans(["the cat's dog"])[["concept", "start", "end"]].values.tolist()
        [['cat', 4, 7], ['dog', 10, 13]]
    """

    def __init__(self, lexicon: Lexicon, *, match: str = "word") -> None:
        one_of("match", match, MATCHES)
        self.lexicon, self.match = lexicon, match
        self.n_concepts = len(lexicon.concepts)
        forms = [(form, k) for k, concept in enumerate(lexicon.concepts) for form in concept.surface_forms]
        exclusions = [(phrase, k) for k, concept in enumerate(lexicon.concepts) for phrase in concept.exclude]
        cues = [phrase for cue in lexicon.negation for phrase in (cue, *(f"{cue} {word}" for word in _DETERMINERS))]
        self._forms = [form for form, _ in forms]
        self._targets = [target for _, target in (*forms, *exclusions)]
        self._concepts = np.array(self._targets, dtype=np.int64)
        self._n_not_cues = len(self._targets)
        everything = [*self._forms, *(phrase for phrase, _ in exclusions), *cues]
        self._automaton = compile_forms(everything, whole_words=match == "word")
        # One more number marks captions that hold an excluded phrase or a cue and need a second look.
        care = len(everything) - len(forms)
        numbers = np.array([target for _, target in forms] + [self.n_concepts] * care, dtype=np.int32)
        self._final, self._outputs = _numbers_by_state(self._automaton, numbers)

    def mentions(self, captions: Captions) -> Mentions:
        """Find the concepts of each caption.

        Args:
            captions: Strings, or an Arrow array of strings or UTF-8 bytes; nulls mention nothing.

        Returns:
            The concepts of each caption, each once.

        Raises:
            CorpusError: If they are no text.
        """
        hits, negated, n_captions = [], [], 0
        for chunk in text_chunks(captions):
            found, denied = self._mentions(chunk)
            hits.append(found + (n_captions << 32))
            negated.append(denied + (n_captions << 32))
            n_captions += len(chunk)
        none = np.empty(0, dtype=np.int64)
        return Mentions(n_captions, np.concatenate([none, *hits]), np.concatenate([none, *negated]))

    def spans(self, captions: Captions) -> pd.DataFrame:
        """Every occurrence of every form of every concept, those that are excluded or negated too.

        Args:
            captions: As for `mentions`.

        Returns:
            A row per occurrence and concept: caption (its number), group, concept, form (as it is compared), start
            and end (code points from 0, so that `caption[start:end]` is the occurrence, with all of its white space).
        """
        names = [(group.name, concept.name) for group in self.lexicon.groups for concept in group.concepts]
        rows = []
        first = 0
        for chunk in text_chunks(captions):
            for caption, form, start, end in self._spans(chunk).tolist():
                if form < len(self._forms):
                    rows.append((first + caption, *names[self._targets[form]], self._forms[form], start, end))
            first += len(chunk)
        return pd.DataFrame(rows, columns=["caption", "group", "concept", "form", "start", "end"])

    def occurrences(self, captions: pa.Array) -> Int64[np.ndarray, "occurrences 4"]:
        """Every occurrence of every form, excluded phrase and cue of negation.

        Args:
            captions: Text or UTF-8 bytes, without nulls.

        Returns:
            Rows of caption, number of the form, first byte and the one after the last, sorted; bytes are those of
            `text_buffers`. Numbers below `n_forms` are forms of the concept in `targets`, those below `n_not_cues`
            phrases that it excludes, the rest cues.
        """
        a = self._automaton
        text = text_buffers(captions)
        found: np.ndarray = find_spans(a.table, a.classes, a.n_classes, a.final, a.outputs, a.lengths, *text)
        if (found[1:, 2] > found[:-1, 2]).all():
            return found
        return found[np.lexsort((found[:, 1], found[:, 3], found[:, 2], found[:, 0]))]

    @property
    def targets(self) -> Int64[np.ndarray, " numbers"]:
        """The concept of each form and excluded phrase."""
        return self._concepts

    @property
    def n_forms(self) -> int:
        """How many forms there are."""
        return len(self._forms)

    @property
    def n_not_cues(self) -> int:
        """How many forms and excluded phrases there are."""
        return self._n_not_cues

    def _mentions(self, chunk: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        a = self._automaton
        hits = find_mentions(
            a.table, a.classes, a.n_classes, self._final, self._outputs, self.n_concepts + 1, *text_buffers(chunk)
        )
        none = np.empty(0, dtype=np.int64)
        if self._n_not_cues == len(self._forms) == len(a.lengths):
            return hits, none  # nothing to exclude, nothing negates
        marks = (hits & _LOW) == self.n_concepts
        careful = hits[marks] >> 32
        hits = hits[~marks]
        second = np.isin(hits >> 32, careful)
        again = np.unique(hits[second] >> 32)
        if not len(again):
            return hits, none
        kept, negated = self._second_look(chunk, again)
        return np.sort(np.concatenate([hits[~second], kept])), negated

    def _second_look(self, chunk: pa.Array, captions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The concepts of the given captions with exclusions and negation weighed, and those only negated."""
        texts = chunk.take(pa.array(captions))
        kept, negated = [], []
        spans = self._spans(texts).tolist()
        for place, group in groupby(spans, key=lambda span: span[0]):
            text = bytes(texts[place].as_buffer()).decode(errors="replace")
            said, denied = self._weigh(text, [(form, start, end) for _, form, start, end in group])
            caption = int(captions[place]) << 32
            kept += [caption | concept for concept in sorted(said)]
            negated += [caption | concept for concept in sorted(denied - said)]
        return np.array(kept, dtype=np.int64), np.array(negated, dtype=np.int64)

    def _weigh(self, text: str, spans: Iterable[tuple[int, int, int]]) -> tuple[set[int], set[int]]:
        mentions: list[tuple[int, int, int]] = []
        excluded: list[tuple[int, int, int]] = []
        cue_ends: set[int] = set()
        for form, start, end in spans:
            if form < len(self._forms):
                mentions.append((self._targets[form], start, end))
            elif form < self._n_not_cues:
                excluded.append((self._targets[form], start, end))
            else:
                cue_ends.add(end)
        said: set[int] = set()
        denied: set[int] = set()
        for concept, start, end in mentions:
            if any(other == concept and a <= start and end <= b for other, a, b in excluded):
                continue
            before = text[:start].rstrip(WHITE_SPACE + INVISIBLE)
            apart = text[len(before) : start].strip(INVISIBLE)
            (denied if apart and len(before) in cue_ends else said).add(concept)
        return said, denied

    def _spans(self, chunk: pa.Array) -> np.ndarray:
        """Occurrences with their places in code points."""
        found = self.occurrences(chunk)
        to_points(found, *text_buffers(chunk))
        return found


@lru_cache(maxsize=8)
def compiled(lexicon: Lexicon, match: str) -> Matcher:
    """The matcher of a lexicon, compiled once in each process."""
    return Matcher(lexicon, match=match)


def text_chunks(captions: Captions, *, drop_nulls: bool = False) -> list[pa.Array]:
    """Captions as Arrow arrays of strings or bytes without nulls, which become empty unless they are dropped.

    Raises:
        CorpusError: If they are, or hold, something else than text.
    """
    array = captions if isinstance(captions, pa.Array | pa.ChunkedArray) else _array(captions)
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return [_plain(chunk.drop_null() if drop_nulls else chunk) for chunk in chunks]


def _array(captions: Any) -> pa.Array:
    """Python strings as an Arrow array; what pandas takes for missing is null."""
    others = (str, bytes, Mapping, Set, pa.Table, pa.RecordBatch)  # iterating over these gives no captions
    if isinstance(captions, others) or not isinstance(captions, Iterable) or getattr(captions, "ndim", 1) != 1:
        raise CorpusError(
            f"captions must be a list or an array of text; got {type(captions).__name__}: {brief(captions)}"
        )
    values = list(captions)
    try:
        return pa.array(values, type=pa.large_string(), from_pandas=True)
    except (pa.ArrowException, UnicodeEncodeError):
        place = next(place for place, value in enumerate(values) if not _is_text(value))
        raise CorpusError(
            f"caption {place} must be text or missing; got {type(values[place]).__name__}: {brief(values[place])}"
        ) from None


def _is_text(value: Any) -> bool:
    try:
        pa.array([value], type=pa.large_string(), from_pandas=True)
    except (pa.ArrowException, UnicodeEncodeError):  # no string, or one that holds a lone surrogate
        return False
    return True


def _plain(array: Any) -> pa.Array:
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if kind in (pa.string_view(), pa.binary_view()):
        array = array.cast(pa.large_binary() if kind == pa.binary_view() else pa.large_string())
    elif pa.types.is_null(kind):
        array = array.cast(pa.string())
    elif kind not in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        raise CorpusError(f"captions must be text; got an array of {kind}")
    return pc.fill_null(array, b"" if "binary" in str(array.type) else "") if array.null_count else array


def text_buffers(array: pa.Array) -> Buffers:
    """The offsets, as int64, and the bytes of an array of strings or bytes; the bytes are not copied.

    One type whatever Arrow's, and read-only, so that every loop is compiled once.
    """
    _, offsets, data = array.buffers()
    width = np.int64 if array.type in (pa.large_string(), pa.large_binary()) else np.int32
    view = np.zeros(1, dtype=np.int64)
    if offsets is not None and offsets.size:
        view = np.frombuffer(offsets, dtype=width)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    content = np.frombuffer(data, dtype=np.uint8) if data is not None else np.empty(0, dtype=np.uint8)
    content.flags.writeable = False
    return view, content


def _numbers_by_state(automaton: Automaton, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per state the numbers that its forms stand for, each once."""
    starts = automaton.final
    by_state = [
        np.unique(numbers[automaton.outputs[a:b]])
        for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    ]
    final = np.concatenate([[0], np.cumsum([len(found) for found in by_state])]).astype(np.int32)
    return final, np.concatenate([np.empty(0, np.int32), *by_state]).astype(np.int32)
