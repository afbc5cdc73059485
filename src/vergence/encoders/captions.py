"""The words of captions that are written as well as read: numbered with a begin and an end, and put together again."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor

from vergence.checks import at_least
from vergence.encoders.text import Vocabulary

_TOKEN = re.compile(r"\w+(?:[-'’.]\w+)*|[^\w\s]")  # "medium-dark", "don't" and "3.5" are one word each; so is a comma
_BEFORE = frozenset(".,;:!?)]}%…")  # what follows a word without a space
_AFTER = frozenset("([{#@$")  # what a word follows without a space
BEGIN, END = 2, 3
"""The numbers that a caption begins and ends with."""
N_SPECIAL = 4
"""How many numbers are no words: padding, unknown, begin, end."""


@dataclass(frozen=True)
class CaptionVocabulary(Vocabulary):
    """The words and marks of captions, numbered; 0 pads, 1 is any other word, 2 begins a caption and 3 ends it.

    Args:
        words: All words in order, the four special ones first.

    Raises:
        ConfigError: If the special words are missing or a word comes twice.

    Example:
        >>> vocabulary = CaptionVocabulary.of(["A red cube, a ball."])
        >>> ids = vocabulary.encode(["a ball, a cube."])
        >>> ids.tolist(), vocabulary.decode(ids)
        ([[2, 4, 7, 5, 4, 8, 6, 3]], ['a ball, a cube.'])
    """

    special: ClassVar[tuple[str, ...]] = ("<pad>", "<unknown>", "<begin>", "<end>")

    @staticmethod
    def split(caption: str) -> list[str]:
        """The words and marks of a caption, in lower case."""
        return _TOKEN.findall(unicodedata.normalize("NFC", caption.casefold()))

    def encode(self, captions: Iterable[str], *, length: int | None = None) -> Int[Tensor, "n length"]:
        """Number captions, each with its begin and its end, padded with 0.

        Args:
            captions: Texts; case does not matter.
            length: Numbers to keep of each, >= 2; as many as the longest has if `None`. What is cut has no end.

        Raises:
            ConfigError: If one string is given for the captions, or the length is below 2.
        """
        if length is not None:
            at_least("length", length, 2, why="a caption begins and goes on")
        return super().encode(captions, length=length)

    def numbered(self, caption: str) -> list[int]:
        """The numbers of a caption, begin and end among them."""
        return [BEGIN, *super().numbered(caption), END]

    def longest(self, captions: Iterable[str]) -> int:
        """Numbers of the longest of some captions, begin and end among them: the length that keeps all of each."""
        return super().longest(captions) + 2

    def decode(self, ids: Int[Tensor, "n length"] | Iterable[Sequence[int]]) -> list[str]:
        """Word captions: up to their end, without padding and begin, marks where they belong.

        Args:
            ids: Numbers of each caption, as `encode` or a decoder gives them.
        """
        rows = ids.tolist() if isinstance(ids, Tensor) else ids
        return [_joined([self.words[number] for number in _said(row)]) for row in rows]


def _said(row: Sequence[int]) -> list[int]:
    """What stands before the end."""
    said = list(row)
    said = said[: said.index(END)] if END in said else said
    return [number for number in said if number not in (0, BEGIN)]


def _joined(words: Sequence[str]) -> str:
    text = ""
    for word in words:
        glued = not text or word in _BEFORE or text[-1] in _AFTER
        text += word if glued else f" {word}"
    return text
