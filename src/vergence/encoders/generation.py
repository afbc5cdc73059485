"""Captions of images, word by word: the most probable next word, beams, or words drawn from the most probable ones.

All decoders go through a batch at once and compute each word once, from what is kept of the words before it. A caption
ends with its end, or is cut where the model's `max_length` is reached; padding, begin and unknown are never said.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vergence.checks import at_least, non_negative, positive
from vergence.encoders.captions import BEGIN, END
from vergence.encoders.qformer import Cache, Looked, QFormer
from vergence.encoders.text import UNKNOWN
from vergence.errors import ConfigError

_NEVER = (0, UNKNOWN, BEGIN)
_IMPOSSIBLE = -torch.inf
Captions = list[list[int]]


@torch.no_grad()
def greedy(
    model: QFormer, tokens: Float[Tensor, "batch tokens token_dim"] | Looked, *, max_length: int | None = None
) -> Captions:
    """Say the most probable next word each time; of equal ones the first.

    Args:
        model: In evaluation mode, unless dropout is wanted.
        tokens: Of the images.
        max_length: Words to say at most, >= 1; what the model has places for if `None`.

    Returns:
        Of each image its word numbers, without begin and end.

    Raises:
        ConfigError: If `max_length` is out of range.
    """
    return _said_one_by_one(model, tokens, lambda scores: scores.argmax(1), max_length)


@torch.no_grad()
def nucleus(
    model: QFormer,
    tokens: Float[Tensor, "batch tokens token_dim"] | Looked,
    *,
    p: float = 0.9,
    temperature: float = 1.0,
    generator: torch.Generator,
    max_length: int | None = None,
) -> Captions:
    """Draw each word from the fewest words that have at least the share p of the probability ([holtzman2020]).

    Args:
        model: In evaluation mode, unless dropout is wanted.
        tokens: Of the images.
        p: In (0, 1]; 1 draws from all words.
        temperature: What logits are divided by, > 0, before probabilities are taken.
        generator: Source of the draws.
        max_length: Words to say at most, >= 1; what the model has places for if `None`.

    Returns:
        Of each image its word numbers, without begin and end.

    Raises:
        ConfigError: If a setting is out of range.
    """
    positive("temperature", temperature)
    if not 0 < p <= 1:
        raise ConfigError(f"p must be a share in (0, 1]; got {p!r}")

    def draw(scores: Tensor) -> Tensor:
        probable, words = (scores / temperature).softmax(1).cpu().sort(dim=1, descending=True, stable=True)
        before = probable.cumsum(1) - probable
        chosen = torch.multinomial(probable.masked_fill(before >= p, 0), 1, generator=generator)
        return words.gather(1, chosen)[:, 0].to(scores.device)

    return _said_one_by_one(model, tokens, draw, max_length)


@torch.no_grad()
def beam(
    model: QFormer,
    tokens: Float[Tensor, "batch tokens token_dim"] | Looked,
    *,
    width: int = 5,
    length_penalty: float = 1.0,
    max_length: int | None = None,
) -> Captions:
    """Keep the most probable beginnings at each length, and take the best caption that any of them ended in.

    A caption of n words, its end counted if it is not cut, scores log p / n^length_penalty. As wide as there are
    beginnings, the search is exhaustive.

    Args:
        model: In evaluation mode, unless dropout is wanted.
        tokens: Of the images.
        width: Beginnings of each image to keep, >= 1; 1 is greedy, except that a caption that ended may be overtaken.
        length_penalty: Power of the length, >= 0; 0 compares probabilities, 1 those per word.
        max_length: Words to say at most, >= 1; what the model has places for if `None`.

    Returns:
        Of each image its word numbers, without begin and end.

    Raises:
        ConfigError: If a setting is out of range.
    """
    at_least("width", width, 1)
    non_negative("length_penalty", length_penalty)
    most = _most_words(model, max_length)
    cache = model.begin(tokens)
    batch = len(cache.layers[0][0])
    beams = _Beams.begin(batch, most, device=cache.layers[0][0].device)
    last = torch.full((batch,), BEGIN, device=beams.scores.device)
    for length in range(1, most + 1):
        scores = _log_probabilities(model.step(cache, last)) + beams.scores.flatten()[:, None]
        beams.end(scores[:, END].view(batch, -1), length, length_penalty)
        scores[:, END] = _IMPOSSIBLE
        rows = beams.go_on(scores.view(batch, -1), width, n_words=scores.shape[1], length=length)
        if length == most:
            beams.cut(length, length_penalty)
        elif beams.settled(most, length_penalty):
            break
        cache, last = cache.take(rows), beams.said[:, :, length - 1].flatten()
    return [words[:n].tolist() for words, n in zip(beams.best, beams.best_length.tolist(), strict=True)]


@dataclass
class _Beams:
    """Beginnings of a batch's captions, best first, and the best caption so far of each image."""

    said: Int[Tensor, "batch beams most"]
    scores: Float[Tensor, "batch beams"]  # log-probabilities
    best: Int[Tensor, "batch most"]
    best_score: Float[Tensor, " batch"]
    best_length: Int[Tensor, " batch"]

    @classmethod
    def begin(cls, batch: int, most: int, *, device: torch.device) -> "_Beams":
        """One empty beginning of each caption."""
        said = torch.zeros(batch, 1, most, dtype=torch.long, device=device)
        none = torch.full((batch,), _IMPOSSIBLE, dtype=torch.float64, device=device)
        return cls(said, none.new_zeros(batch, 1), said[:, 0].clone(), none, said.new_zeros(batch))

    def end(self, scores: Tensor, length: int, penalty: float) -> None:
        """Let every beginning end here, at a length that counts the end."""
        self._consider(scores / length**penalty, length - 1)

    def cut(self, length: int, penalty: float) -> None:
        """Let every beginning be a caption as it is."""
        self._consider(self.scores / length**penalty, length)

    def go_on(self, scores: Tensor, width: int, *, n_words: int, length: int) -> Tensor:
        """Keep the best of all continuations; return which row of the cache each goes on from."""
        batch, beams = self.scores.shape
        ordered, places = scores.sort(dim=1, descending=True, stable=True)
        self.scores, chosen = ordered[:, :width], places[:, :width]
        come_from = chosen // n_words
        self.said = self.said.gather(1, come_from[:, :, None].expand(-1, -1, self.said.shape[2])).clone()
        self.said[:, :, length - 1] = chosen % n_words
        return (come_from + torch.arange(batch, device=come_from.device)[:, None] * beams).flatten()

    def settled(self, most: int, penalty: float) -> bool:
        """Whether no beginning can still become better than the best caption: scores only fall, lengths only grow."""
        return bool((self.best_score >= self.scores[:, 0] / most**penalty).all())

    def _consider(self, scores: Tensor, length: int) -> None:
        score, which = scores.max(1)
        better = score > self.best_score
        words = self.said[torch.arange(len(which), device=which.device), which]
        self.best = torch.where(better[:, None], words, self.best)
        self.best_score = torch.where(better, score, self.best_score)
        self.best_length = torch.where(better, length, self.best_length)


def _said_one_by_one(
    model: QFormer,
    tokens: Tensor | Looked,
    choose: Callable[[Float[Tensor, "batch n_words"]], Int[Tensor, " batch"]],
    max_length: int | None,
) -> Captions:
    """Choose word after word until every caption has its end."""
    most = _most_words(model, max_length)
    cache: Cache = model.begin(tokens)
    batch, device = len(cache.layers[0][0]), cache.layers[0][0].device
    last, open_ = torch.full((batch,), BEGIN, device=device), torch.ones(batch, dtype=torch.bool, device=device)
    columns = []
    for _ in range(most):
        last = torch.where(open_, choose(_log_probabilities(model.step(cache, last))), END)
        columns.append(last)
        open_ = open_ & (last != END)
        if not open_.any():
            break
    rows = torch.stack(columns, dim=1).tolist()
    return [row[: row.index(END)] if END in row else row for row in rows]


def _log_probabilities(logits: Float[Tensor, "batch n_words"]) -> Float[Tensor, "batch n_words"]:
    """Of the next word, among those that can be said; sums of them are kept in double precision."""
    logits = logits.double()
    logits[:, list(_NEVER)] = _IMPOSSIBLE
    return logits.log_softmax(1)


def _most_words(model: QFormer, max_length: int | None) -> int:
    """Words that may be said: the model has a place for the begin, and one for each word that another follows."""
    if max_length is None:
        return model.max_length - 1
    at_least("max_length", max_length, 1)
    if max_length > model.max_length - 1:
        raise ConfigError(f"max_length must be <= {model.max_length - 1}, what the model can say; got {max_length}")
    return max_length
