"""A word-level vocabulary and an encoder over it."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vergence.checks import at_least
from vergence.errors import ConfigError

_WORD = re.compile(r"\w+(?:[-'’]\w+)*")  # "medium-dark" and "don't" are one word each
_SPECIAL = ("<pad>", "<unknown>")


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model knows, numbered; 0 pads and 1 stands for any other word.

    Args:
        words: All words in order, the two special ones first.

    Raises:
        ConfigError: If the special words are missing or a word comes twice.

    Example:
        >>> vocabulary = Vocabulary.of(["a red cube", "a ball"])
        >>> vocabulary.encode(["a green ball"]).tolist(), len(vocabulary)
        ([[2, 1, 3]], 6)
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.words[:2] != _SPECIAL or len(set(self.words)) != len(self.words):
            raise ConfigError(f"a vocabulary is unique words after {', '.join(_SPECIAL)}; got {self.words[:4]}")

    @classmethod
    def of(cls, captions: Iterable[str], *, min_count: int = 1) -> "Vocabulary":
        """Collect the words that come at least `min_count` times, most frequent first, then by spelling."""
        at_least("min_count", min_count, 1)
        counts = Counter(word for caption in _several(captions) for word in _words(caption))
        kept = [word for word, count in counts.items() if count >= min_count]
        return cls((*_SPECIAL, *sorted(kept, key=lambda word: (-counts[word], word))))

    def encode(self, captions: Iterable[str], *, length: int | None = None) -> Int[Tensor, "n length"]:
        """Number the words of captions, padded with 0.

        Args:
            captions: Texts; case and punctuation do not matter.
            length: Words to keep of each, >= 1; as many as the longest has if `None`.

        Raises:
            ConfigError: If one string is given for the captions, or the length is below 1.
        """
        if length is not None:
            at_least("length", length, 1)
        index = {word: number for number, word in enumerate(self.words)}
        rows = [[index.get(word, 1) for word in _words(caption)] for caption in _several(captions)]
        width = max((1, *map(len, rows))) if length is None else length
        tokens = torch.zeros(len(rows), width, dtype=torch.long)
        for row, numbers in zip(tokens, rows, strict=True):
            kept = numbers[: len(row)]
            row[: len(kept)] = torch.tensor(kept, dtype=torch.long)
        return tokens

    def __len__(self) -> int:
        return len(self.words)

    def to_json(self) -> str:
        """Return the words as a JSON list."""
        return json.dumps(self.words, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Read what `to_json` wrote."""
        return cls(tuple(json.loads(text)))


class BagOfWordsEncoder(nn.Module):
    """Mean of word embeddings, then a two-layer head: enough for captions that list what they mention.

    Args:
        vocabulary_size: How many words are numbered.
        dim: Output size, >= 1.
        width: Size of a word embedding.
        hidden: Width of the head.

    Raises:
        ConfigError: If a size is below 1, or the vocabulary holds no word beside the two special ones.

    Example:
        >>> BagOfWordsEncoder(10, 16)(torch.tensor([[2, 3, 0], [4, 0, 0]])).shape
        torch.Size([2, 16])
    """

    def __init__(self, vocabulary_size: int, dim: int, *, width: int = 128, hidden: int = 256) -> None:
        super().__init__()
        at_least("vocabulary_size", vocabulary_size, len(_SPECIAL) + 1, why="captions need words")
        for name, size in (("dim", dim), ("width", width), ("hidden", hidden)):
            at_least(name, size, 1)
        self.embedding = nn.EmbeddingBag(vocabulary_size, width, mode="mean", padding_idx=0)
        self.head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(self, text: Int[Tensor, "batch length"]) -> Float[Tensor, "batch dim"]:
        """Encode word numbers; a text of padding alone is the zero bag."""
        encoded: Tensor = self.head(self.embedding(text))
        return encoded


def _words(caption: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFC", caption.casefold()))


def _several(captions: Iterable[str]) -> Iterable[str]:
    if isinstance(captions, str):
        raise ConfigError(f"captions must be a list of texts; got the string {captions!r}. Write [{captions!r}]")
    return captions
