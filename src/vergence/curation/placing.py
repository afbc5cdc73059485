"""Puts a missing value into its phrase, before the head noun, where a tagger says what the words are: "a red cup".

What cannot be placed so that the audit finds the same as with the value at the end stays at the end.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from vergence.corpus.matching import Matcher
from vergence.curation.layout import wants_an
from vergence.curation.phrases import Phrases
from vergence.curation.rewrite import Change, Edited, replaced

Tag: TypeAlias = tuple[int, int, str]
Tagger: TypeAlias = Callable[[Sequence[str]], Sequence[Sequence[Tag]]]
"""From captions to their words: first character, the one after the last, and the universal part of speech."""

_ARTICLE = re.compile(r"(?<![^\s(\[\"“])(an?)\s+$", re.IGNORECASE)
_APART = frozenset('(["“')
_NOUNS = ("NOUN", "PROPN")


@dataclass(frozen=True, eq=False)
class Placer:
    """Moves values that were added to the end of captions to where they belong.

    Args:
        tagger: Says which words are nouns.
        phrases: The words of values.
        matcher: Of the lexicon.
        factors: Places of the factors whose values go before a noun.
    """

    tagger: Tagger
    phrases: Phrases
    matcher: Matcher
    factors: frozenset[int]

    def place(self, edited: Edited) -> Edited:
        """The same captions with values in their phrases, where there is a place for them."""
        edits = edited.edits
        added = (edits[:, 1] == edits[:, 2]) & np.isin(edits[:, 3], self.phrases.added) & (edits[:, 5] >= 0)
        movable = np.isin(edits[:, 4], [1 << factor for factor in self.factors])
        rows = np.unique(edits[added & movable, 0])
        if not len(rows):
            return edited
        texts = [edited.before(row) for row in rows.tolist()]
        own: dict[int, list[Change]] = {}
        for row, text, tags in zip(rows.tolist(), texts, self.tagger(texts), strict=True):
            mine = edits[:, 0] == row
            inserted, others = edits[mine & added & movable], edits[mine & ~(added & movable)]
            if changes := self._changes(text, tags, inserted, int(edited.offsets[row])):
                first, last = changes[0][0], changes[-1][1]
                if ((others[:, 1] > last) | (others[:, 2] < first)).all():
                    beside = [(int(a), int(b), edited.texts[t], int(f), int(v)) for _, a, b, t, f, v in others]
                    own[row] = sorted([*changes, *beside], key=lambda change: change[:2])
        tried = replaced(edited, own, edited.refused)
        kept = self._alike(edited, tried, list(own))
        return replaced(edited, {row: own[row] for row in kept}, edited.refused)

    def _changes(self, text: str, tags: Sequence[Tag], inserted: np.ndarray, offset: int) -> list[Change]:
        """The edits that say values before the head of the first noun phrase; none if there is no place for them."""
        noun = first_noun(text, tags)
        if noun is None:
            return []
        start = offset + len(text[:noun].encode())
        word = text[noun:].split(maxsplit=1)[0]
        loud = len(word) > 1 and word.isupper()
        begins = not text[:noun].strip() and word[:1].isupper() and not loud
        case = 2 if loud else 1 if word[:1].isupper() else 0
        changes: list[Change] = []
        for n, (_, _, _, factors, value) in enumerate(edit[1:] for edit in inserted.tolist()):
            base = int(self.phrases.said[self.phrases.first[int(factors).bit_length() - 1] + value, 0])
            if base < 0:
                return []
            variant = 0 if begins and n else case
            if not n:
                changes += self._article(text[:noun], word, base, (offset, factors, value))
            changes.append((start, start, f"{self.phrases.texts[base + variant]} ", factors, value))
        if begins:
            first = word[0]
            changes.append((start, start + len(first.encode()), first.lower(), changes[-1][3], changes[-1][4]))
        return changes

    def _article(self, before: str, word: str, base: int, at: tuple[int, int, int]) -> list[Change]:
        """The article before it, if it now sounds otherwise."""
        found = _ARTICLE.search(before)
        if found is None:
            return []
        article, lower = found[1], found[1].islower()
        noun = np.frombuffer(word.encode(), dtype=np.uint8)
        had = int(wants_an(noun, 0, len(noun), lower))
        ends = self.phrases.offsets
        wants = int(wants_an(self.phrases.data, ends[base], ends[base + 1], lower))
        is_an = int(len(article) == 2)
        if wants < 0 or wants == is_an or had not in {-1, is_an}:
            return []
        new = ("an" if lower else "AN" if word.isupper() and len(word) > 1 else "An") if wants else article[:1]
        offset, factors, value = at
        first = offset + len(before[: found.start(1)].encode())
        return [(first, first + len(article), new, factors, value)]

    def _alike(self, edited: Edited, tried: Edited, rows: list[int]) -> list[int]:
        """The captions in which the audit finds what it finds with values at the end."""
        if not rows:
            return []
        sides = [self.matcher.mentions(one.captions.take(rows)) for one in (edited, tried)]
        denied = [set(one.negated.tolist()) for one in sides]
        unlike = {int(hit) >> 32 for hit in denied[0] ^ denied[1]}
        pairs = zip(sides[0].sets(), sides[1].sets(), strict=True)
        return [
            row for place, (row, (a, b)) in enumerate(zip(rows, pairs, strict=True)) if a == b and place not in unlike
        ]


def first_noun(text: str, tags: Sequence[Tag]) -> int | None:
    """Where the first noun begins, with the nouns that stand before it; `None` if there is none to put words before.

    Example:
        >>> text = "on a small coffee cup"
        >>> first_noun(text, [(0, 2, "ADP"), (3, 4, "DET"), (5, 10, "ADJ"), (11, 17, "NOUN"), (18, 21, "NOUN")])
        11
    """
    for n, (start, _, tag) in enumerate(tags):
        if tag not in _NOUNS:
            continue
        last = n
        while (
            last + 1 < len(tags) and tags[last + 1][2] in _NOUNS and not text[tags[last][1] : tags[last + 1][0]].strip()
        ):
            last += 1
        if tags[last][2] != "NOUN":
            continue
        before = text[:start]
        return start if not before or before[-1].isspace() or before[-1] in _APART else None
    return None
