"""What rules could not edit, written anew by a model, and kept where the audit finds what was asked for and no more."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from vergence.corpus.lexicon import Lexicon
from vergence.corpus.matching import Matcher
from vergence.curation.codes import EMPTIED, KEEP, NO_PLACE, REWRITTEN
from vergence.curation.rewrite import Change, Edited, replaced
from vergence.errors import ConfigError

Writer: TypeAlias = Callable[[Sequence[str]], Sequence[str]]
"""From prompts to what follows them."""

PROMPT = "Rewrite the image caption so that {wish}. Change nothing else.\nCaption: {caption}\nRewritten caption:"
ACCEPTED = "accepted"
_QUOTES = "\"'“”‘’` \t"


@dataclass(frozen=True, eq=False)
class Rewriting:
    """Asks a model for captions and takes those that are as they are to be.

    Args:
        writer: The model.
        lexicon: Groups are factors.
        matcher: Of the lexicon.
        prompt: Holds {wish} and {caption} once each.

    Raises:
        ConfigError: If the prompt does not.
    """

    writer: Writer
    lexicon: Lexicon
    matcher: Matcher
    prompt: str = PROMPT

    def __post_init__(self) -> None:
        if any(self.prompt.count(name) != 1 for name in ("{wish}", "{caption}")):
            raise ConfigError(f"the prompt must hold {{wish}} and {{caption}} once each; got {self.prompt!r:.80}")

    def rewrite(self, edited: Edited, ops: np.ndarray) -> Edited:
        """Captions in which nothing stays as it was for want of a rule, where the model has found words.

        Args:
            edited: By rules.
            ops: What was asked, captions × factors.
        """
        open_ = (edited.refused > 0) & (ops != KEEP) & ~np.isin(edited.refused, (EMPTIED, NO_PLACE))
        rows = np.flatnonzero(open_.any(axis=1))
        if not len(rows):
            return edited
        now = edited.captions.take(pa.array(rows)).to_pylist()
        asked = [{int(f): int(ops[row, f]) for f in np.flatnonzero(open_[row])} for row in rows.tolist()]
        said = self._said(now)
        prompts = [self._prompt(*given) for given in zip(now, asked, said, strict=True)]
        written = [_line(text) for text in self.writer(prompts)]
        found = self._said(written)
        own: dict[int, list[Change]] = {}
        refused, counts = edited.refused.copy(), Counter[str]()
        for n, row in enumerate(rows.tolist()):
            why = self._refusal((now[n], written[n]), (said[n], found[n]), asked[n])
            counts[why or ACCEPTED] += 1
            if not why:
                factors = sum(1 << f for f in asked[n])
                for bits in edited.edits[edited.edits[:, 0] == row, 4].tolist():
                    factors |= bits
                own[row] = [_difference(edited.before(row), written[n], int(edited.offsets[row]), factors)]
                refused[row, list(asked[n])] = 0
        return replace(replaced(edited, own, refused), rewrites=dict(counts))

    def _said(self, texts: Sequence[str]) -> list[tuple[frozenset[int], frozenset[int]]]:
        """For each text the concepts that it mentions, and those that it denies."""
        found = self.matcher.mentions(list(texts))
        denied: list[set[int]] = [set() for _ in texts]
        for hit in found.negated.tolist():
            denied[hit >> 32].add(hit & 0xFFFFFFFF)
        return [(said, frozenset(no)) for said, no in zip(found.sets(), denied, strict=True)]

    def _prompt(self, caption: str, asked: dict[int, int], said: tuple[frozenset[int], frozenset[int]]) -> str:
        wishes = []
        for factor, value in asked.items():
            group = self.lexicon.groups[factor]
            own = self._own(factor)
            if 0 <= value < len(group.concepts):
                wishes.append(f"it says that the {group.name} is {group.concepts[value].forms[0]}")
            else:
                names = ", ".join(self.lexicon.concepts[k].name for k in sorted(said[0] & own))
                wishes.append(f"it says nothing about the {group.name} ({names})")
        # One after the other, since a caption may hold braces.
        head, tail = self.prompt.split("{caption}")
        return "".join(part.replace("{wish}", " and ".join(wishes)) for part in (head, "\0", tail)).replace(
            "\0", caption
        )

    def _refusal(self, texts: tuple[str, str], said: Sequence[Any], asked: dict[int, int]) -> str:
        """Why what was written is not taken; empty if it is."""
        before, after = texts
        if not any(character.isalnum() for character in after):
            return "it holds no words"
        if len(after) > 2 * len(before) + 40:
            return "it is much longer than the caption"
        (had, denied), (has, denies) = said
        for factor, group in enumerate(self.lexicon.groups):
            own = self._own(factor)
            wanted, found = had & own, has & own
            if factor in asked:
                value = asked[factor]
                told = 0 <= value < len(group.concepts)
                wanted = frozenset({min(own) + value}) if told else frozenset()
                if found != wanted:
                    return "it does not say what it was to say" if told else "it still mentions what was to go"
            elif found != wanted:
                gone, come = wanted - found, found - wanted
                what = "changes" if gone and come else "drops" if gone else "adds"
                return f"it {what} a factor that was not asked for"
        if not denies <= denied:
            return "it denies what the caption does not deny"
        return ""

    def _own(self, factor: int) -> frozenset[int]:
        first = sum(len(group.concepts) for group in self.lexicon.groups[:factor])
        return frozenset(range(first, first + len(self.lexicon.groups[factor].concepts)))


def _line(text: str) -> str:
    """The first line that holds anything, without quotes around it."""
    line = next((line for line in text.splitlines() if line.strip()), "").strip()
    return line.strip(_QUOTES) if line[:1] in _QUOTES else line


def _difference(before: str, after: str, offset: int, factors: int) -> Change:
    """The one edit that turns a text into another."""
    most = min(len(before), len(after))
    first = next((n for n in range(most) if before[n] != after[n]), most)
    same = next((n for n in range(most - first) if before[-1 - n] != after[-1 - n]), most - first)
    start = offset + len(before[:first].encode())
    end = start + len(before[first : len(before) - same].encode())
    return start, end, after[first : len(after) - same], factors, REWRITTEN
