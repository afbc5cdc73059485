"""A word-level vocabulary and encoders over it."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vergence.checks import at_least
from vergence.encoders.vit import ClassTokenTransformer
from vergence.errors import ConfigError, ShapeError
from vergence.files import parse_json

_WORD = re.compile(r"\w+(?:[-'’]\w+)*")  # "medium-dark" and "don't" are one word each
_SPECIAL = ("<pad>", "<unknown>")
UNKNOWN = 1
"""The number of every word that a vocabulary does not have."""
V = TypeVar("V", bound="Vocabulary")


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
    special: ClassVar[tuple[str, ...]] = _SPECIAL

    def __post_init__(self) -> None:
        n = len(self.special)
        if self.words[:n] != self.special or len(set(self.words)) != len(self.words):
            raise ConfigError(
                f"a vocabulary is unique words after {', '.join(self.special)}; got {self.words[: n + 2]}"
            )

    @staticmethod
    def split(caption: str) -> list[str]:
        """The words of a caption, in lower case and without punctuation."""
        return _WORD.findall(unicodedata.normalize("NFC", caption.casefold()))

    @classmethod
    def of(cls: type[V], captions: Iterable[str], *, min_count: int = 1) -> V:
        """Collect the words that come at least `min_count` times, most frequent first, then by spelling."""
        at_least("min_count", min_count, 1)
        counts = Counter(word for caption in _several(captions) for word in cls.split(caption))
        kept = [word for word, count in counts.items() if count >= min_count]
        return cls((*cls.special, *sorted(kept, key=lambda word: (-counts[word], word))))

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
        rows = [self.numbered(caption) for caption in _several(captions)]
        width = max((1, *map(len, rows))) if length is None else length
        tokens = torch.zeros(len(rows), width, dtype=torch.long)
        for row, numbers in zip(tokens, rows, strict=True):
            kept = numbers[: len(row)]
            row[: len(kept)] = torch.tensor(kept, dtype=torch.long)
        return tokens

    def numbered(self, caption: str) -> list[int]:
        """The numbers of a caption's words."""
        return [self._numbers.get(word, UNKNOWN) for word in self.split(caption)]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def longest(self, captions: Iterable[str]) -> int:
        """Words of the longest of some captions, at least 1: the length that keeps all of each."""
        return max(1, max((len(self.split(caption)) for caption in _several(captions)), default=1))

    def to_json(self) -> str:
        """Return the words as a JSON list."""
        return json.dumps(self.words, ensure_ascii=False)

    @classmethod
    def from_json(cls: type[V], text: str) -> V:
        """Read what `to_json` wrote.

        Raises:
            CorpusError: If it is not JSON.
            ConfigError: If it is no list of words.
        """
        words = parse_json(text, where="a vocabulary")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ConfigError("a vocabulary must be a JSON list of words")
        return cls(tuple(words))


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


class TextCNN(nn.Module):
    """A small 2-D convolutional network over the picture of one-hot word numbers, (length, vocabulary).

    [cai2025], image–text experiments; differs: strides go over the vocabulary only, and every layer's padding is set to
    zero, so that how far a batch is padded changes nothing; the maximum over words replaces flattening.
    The picture takes batch × length × vocabulary numbers: meant for vocabularies of tens or hundreds of words.

    Args:
        vocabulary_size: How many words are numbered.
        dim: Output size, >= 1.
        widths: Channels after each convolution, each >= 1; each convolution also sees one word further to both sides.

    Raises:
        ConfigError: If a size is below 1, or the vocabulary holds no word beside the two special ones.

    Example:
        >>> TextCNN(10, 16)(torch.tensor([[2, 3, 0], [4, 0, 0]])).shape
        torch.Size([2, 16])
    """

    def __init__(self, vocabulary_size: int, dim: int, *, widths: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        at_least("vocabulary_size", vocabulary_size, len(_SPECIAL) + 1, why="captions need words")
        at_least("dim", dim, 1)
        at_least("widths", min(widths, default=0), 1)
        self.vocabulary_size = vocabulary_size
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(c_in, c_out, 3, stride=(1, 2), padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
            )
            for c_in, c_out in pairwise((1, *widths))
        )
        n_columns = -(-vocabulary_size // 2 ** len(widths))  # each layer halves, rounding up
        self.head = nn.Linear(widths[-1] * n_columns, dim)

    def forward(self, text: Int[Tensor, "batch length"]) -> Float[Tensor, "batch dim"]:
        """Encode word numbers; a text of padding alone is the zero picture."""
        seen = (text != 0)[:, None, :, None]
        x = nn.functional.one_hot(text, self.vocabulary_size)[:, None].to(self.head.weight.dtype) * seen
        for layer in self.layers:
            x = layer(x) * seen
        encoded: Tensor = self.head(x.amax(2).flatten(1))  # after a ReLU, zeros of the padding never win
        return encoded


class SentenceCNN(nn.Module):
    """Word embeddings, a convolution over neighbouring words, the maximum over places; a two-layer head ([kim2014]).

    It tells "a red cube on a green floor" from "a green cube on a red floor", as a bag of words does not, and has no
    attention to pay for. Differs from the paper: one width of window, and no dropout.

    Args:
        vocabulary_size: How many words are numbered.
        dim: Output size, >= 1.
        width: Size of a word embedding, >= 1.
        hidden: Channels of the convolution, and width of the head, >= 1.
        window: Words that the convolution sees at once, odd, >= 1.

    Raises:
        ConfigError: If a size is below 1, the window is even, or the vocabulary holds no word beside the two special
            ones.

    Example:
        >>> SentenceCNN(10, 16)(torch.tensor([[2, 3, 0], [4, 0, 0]])).shape
        torch.Size([2, 16])
    """

    def __init__(self, vocabulary_size: int, dim: int, *, width: int = 32, hidden: int = 64, window: int = 5) -> None:
        super().__init__()
        at_least("vocabulary_size", vocabulary_size, len(_SPECIAL) + 1, why="captions need words")
        for name, size in (("dim", dim), ("width", width), ("hidden", hidden), ("window", window)):
            at_least(name, size, 1)
        if window % 2 == 0:
            raise ConfigError(f"window must be odd, so that it has a middle; got {window}")
        self.embedding = nn.Embedding(vocabulary_size, width, padding_idx=0)
        self.neighbours = nn.Conv1d(width, hidden, window, padding=window // 2)
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(self, text: Int[Tensor, "batch length"]) -> Float[Tensor, "batch dim"]:
        """Encode word numbers; a text of padding alone is what the head makes of zeros."""
        seen = (text != 0)[:, None]
        phrases = torch.relu(self.neighbours(self.embedding(text).transpose(1, 2))) * seen
        encoded: Tensor = self.head(phrases.amax(2))  # after a ReLU, zeros of the padding never win
        return encoded


class TextTransformer(nn.Module):
    """Word and place embeddings, pre-norm attention layers over words, and a class token's state ([vaswani2017]).

    Args:
        vocabulary_size: How many words are numbered.
        dim: Output size, >= 1.
        max_length: Words that a text may have, >= 1; padding beyond does not count.
        depth: Layers, >= 1.
        width: Size of a token; a multiple of the number of heads.
        heads: Attention heads, >= 1.

    Raises:
        ConfigError: If a size is below 1, the number of heads does not divide the width, or the vocabulary holds no
            word beside the two special ones.

    Example:
        >>> TextTransformer(10, 16)(torch.tensor([[2, 3, 0], [4, 0, 0]])).shape
        torch.Size([2, 16])
    """

    def __init__(
        self, vocabulary_size: int, dim: int, *, max_length: int = 64, depth: int = 2, width: int = 128, heads: int = 4
    ) -> None:
        super().__init__()
        at_least("vocabulary_size", vocabulary_size, len(_SPECIAL) + 1, why="captions need words")
        at_least("dim", dim, 1)
        at_least("max_length", max_length, 1)
        self.max_length = max_length
        self.trunk = ClassTokenTransformer(max_length, depth=depth, width=width, heads=heads)
        self.embedding = nn.Embedding(vocabulary_size, width, padding_idx=0)
        self.head = nn.Linear(width, dim)

    def forward(self, text: Int[Tensor, "batch length"]) -> Float[Tensor, "batch dim"]:
        """Encode word numbers; a text of padding alone is what the class token says of itself.

        Raises:
            ShapeError: If a text has a word beyond `max_length`.
        """
        if bool(text[:, self.max_length :].any()):
            raise ShapeError(
                f"texts may have {self.max_length} words; got {text.shape[1]} places. "
                f"Cut them: vocabulary.encode(captions, length={self.max_length})"
            )
        text = text[:, : self.max_length]
        encoded: Tensor = self.head(self.trunk(self.embedding(text), hidden=text == 0))
        return encoded


def _several(captions: Iterable[str]) -> Iterable[str]:
    if isinstance(captions, str):
        raise ConfigError(f"captions must be a list of texts; got the string {captions!r}. Write [{captions!r}]")
    return captions
