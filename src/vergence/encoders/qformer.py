"""The querying transformer of BLIP-2: learned queries that read tokens of a frozen image encoder, and a text with them.

One stack of layers does four things, told apart by who may attend to whom ([li2023] Fig. 2, Section 3.1):

- contrast: queries see queries, words see words (unimodal mask), so that neither modality knows the other;
- matching: queries and words all see each other (bidirectional mask);
- captioning: queries see queries, a word sees all queries and the words before it (multimodal causal mask).

Queries see no word in contrast and captioning: their states are computed once for both, and kept for generation.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from vergence.checks import at_least, inside
from vergence.encoders.captions import N_SPECIAL
from vergence.errors import ConfigError, ShapeError

Heads = tuple[Tensor, Tensor]  # keys and values, each (batch, heads, places, dim / heads)
_SPREAD = 0.02  # of initial embeddings, as BERT's


class Looked(NamedTuple):
    """What queries have read of a batch of images.

    Args:
        memory: Of each layer with cross-attention, keys and values of the image tokens; `None` of another layer.
        layers: Of each layer, keys and values of the queries in self-attention.
        states: What the queries end as, (batch, queries, dim).
    """

    memory: tuple[Heads | None, ...]
    layers: tuple[Heads, ...]
    states: Float[Tensor, "batch queries dim"]

    def take(self, rows: Int[Tensor, " rows"]) -> "Looked":
        """The same of some images, in that order; one may come again."""
        memory = tuple(None if kept is None else _rows(kept, rows) for kept in self.memory)
        return Looked(memory, tuple(_rows(kept, rows) for kept in self.layers), self.states[rows])


@dataclass
class Cache:
    """Keys and values of all that the next word may attend to, layer by layer: queries first, then words so far.

    Args:
        layers: Keys and values.
        length: Words so far.
    """

    layers: list[Heads]
    length: int = field(default=0)

    def take(self, rows: Int[Tensor, " rows"]) -> "Cache":
        """The same of some texts, in that order; one may come again, as beams do."""
        return Cache([_rows(kept, rows) for kept in self.layers], self.length)


class QFormer(nn.Module):
    """Learned queries with cross-attention to image tokens, in one stack of layers with text ([li2023]).

    Self-attention is shared by queries and words; only queries attend to image tokens; each has a feed-forward network
    of its own. Differs: small and from random weights, so layers normalise first instead of last; image tokens are
    brought to the width of the stack once, not in each layer; one begin token for contrast and captioning, which their
    masks tell apart; one logit for matching instead of two; word embeddings also give the words' logits, as BERT's.

    Args:
        token_dim: Size of an image token, >= 1.
        n_words: How many words are numbered, those of `CaptionVocabulary` with its special ones.
        dim: Size of a query and of a word; a multiple of the number of heads.
        layers: Layers, >= 2: words see what queries have read of the image in the layer before.
        heads: Attention heads, >= 1.
        queries: Learned queries, >= 1.
        encoding_size: Size of what images and texts are compared by, >= 1.
        max_length: Words that a text may have, its begin and end among them, >= 3.
        dropout: Share of what attention and feed-forward networks add that is dropped in training, in [0, 1).
        cross_every: Queries attend to image tokens in the first layer and every so many, >= 1; [li2023] have 2.
        expansion: How many times wider than `dim` the hidden layer of a feed-forward network is, >= 1.
        stochastic: Whether `encode_image` and `encode_text` give means and raw log-variances, for
            `DiagonalGaussian.from_output`, of twice `encoding_size`; `image` and `text` give the means alone.

    Raises:
        ConfigError: If a size is out of range, or the number of heads does not divide `dim`.

    Example:
        >>> model = QFormer(token_dim=6, n_words=9, dim=8, heads=2, queries=3, encoding_size=5)
        >>> tokens, ids = torch.zeros(2, 4, 6), torch.tensor([[2, 5, 3], [2, 3, 0]])
        >>> model.image(tokens).shape, model.text(ids).shape
        (torch.Size([2, 3, 5]), torch.Size([2, 5]))
        >>> model.match(tokens, ids).shape, model.predict(tokens, ids).shape
        (torch.Size([2]), torch.Size([2, 3, 9]))
    """

    def __init__(
        self,
        *,
        token_dim: int,
        n_words: int,
        dim: int = 128,
        layers: int = 2,
        heads: int = 4,
        queries: int = 8,
        encoding_size: int = 64,
        max_length: int = 24,
        dropout: float = 0.0,
        cross_every: int = 1,
        expansion: int = 4,
        stochastic: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"token_dim": token_dim, "dim": dim, "layers": layers, "heads": heads, "queries": queries}
        sizes |= {"encoding_size": encoding_size, "cross_every": cross_every, "expansion": expansion}
        for name, size in sizes.items():
            at_least(name, size, 1)
        at_least("layers", layers, 2, why="words see what queries read in the layer before")
        at_least("n_words", n_words, N_SPECIAL + 1, why="captions need a word beside the special ones")
        at_least("max_length", max_length, 3, why="a caption is a begin, words and an end")
        if dropout != 0:
            inside("dropout", dropout, 0, 1)
        if dim % heads:
            raise ConfigError(f"dim must be a multiple of heads; got dim {dim}, heads {heads}")
        self.settings: dict[str, float] = {**sizes, "n_words": n_words, "max_length": max_length}
        self.settings |= {"dropout": dropout, "stochastic": stochastic}
        self.token_dim, self.max_length, self.encoding_size = token_dim, max_length, encoding_size
        self.queries = nn.Parameter(torch.randn(1, queries, dim) * _SPREAD)
        self.bridge = nn.Sequential(nn.LayerNorm(token_dim), nn.Linear(token_dim, dim), nn.LayerNorm(dim))
        self.words = nn.Embedding(n_words, dim)
        self.places = nn.Parameter(torch.randn(max_length, dim) * _SPREAD)
        nn.init.normal_(self.words.weight, std=_SPREAD)
        self.layers = nn.ModuleList(
            _Layer(dim, heads, cross=number % cross_every == 0, expansion=expansion, dropout=dropout)
            for number in range(layers)
        )
        self.query_norm, self.text_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        outputs = encoding_size * (2 if stochastic else 1)
        self.image_head, self.text_head = nn.Linear(dim, outputs), nn.Linear(dim, outputs)
        self.match_head = nn.Linear(dim, 1)
        self.word_bias = nn.Parameter(torch.zeros(n_words))

    def look(self, tokens: Float[Tensor, "batch tokens token_dim"]) -> Looked:
        """Let the queries read image tokens; every other method takes what this gives in the place of tokens.

        Raises:
            ShapeError: If there is no token, or it is of another size than `token_dim`.
        """
        if tokens.ndim != 3 or tokens.shape[1] == 0 or tokens.shape[2] != self.token_dim:
            raise ShapeError(f"tokens must be (batch, tokens, {self.token_dim}); got {tuple(tokens.shape)}")
        seen = self.bridge(tokens.to(self.word_bias.dtype))
        x: Tensor = self.queries
        memory, kept = [], []
        for layer in self._stack():
            memory.append(layer.remember(seen))
            query, own = layer.ask(x), layer.tell(x)
            x = layer.widened(layer.informed(x + layer.attended(query, own), memory[-1]), layer.query_mlp)
            kept.append(_of_batch(own, len(tokens)))
        return Looked(tuple(memory), tuple(kept), self.query_norm(x.expand(len(tokens), -1, -1)))

    def encode_image(
        self, tokens: Float[Tensor, "batch tokens token_dim"] | Looked
    ) -> Float[Tensor, "batch queries outputs"]:
        """Each query's output: its place; of a stochastic model, means and then raw log-variances."""
        encoded: Tensor = self.image_head(self._looked(tokens).states)
        return encoded

    def encode_text(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch outputs"]:
        """A text's output, from the state of its begin token, which sees all words and no image: see `encode_image`.

        Raises:
            ShapeError: If a text has a word beyond `max_length`.
        """
        words = _Words(self._fitting(ids))
        x, mask = self._embedded(words), words.shown[:, None, None]
        *stack, last = self._stack()
        for layer in stack:
            x = layer.widened(
                x + words.packed(layer.attended(layer.ask(x, words), layer.tell(x, words), mask)), layer.text_mlp
            )
        begun = x[words.first]  # of the last layer, no other word's state is of use
        query, told = last.ask(begun[:, None]), last.tell(x, words)
        states = last.widened(begun + last.attended(query, told, mask)[:, 0], last.text_mlp)
        encoded: Tensor = self.text_head(self.text_norm(states))
        return encoded

    def image(self, tokens: Float[Tensor, "batch tokens token_dim"] | Looked) -> Float[Tensor, "batch queries size"]:
        """What images are compared by, one place for each query; not normalised."""
        return self.encode_image(tokens)[..., : self.encoding_size]

    def text(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch size"]:
        """What texts are compared by; not normalised."""
        return self.encode_text(ids)[..., : self.encoding_size]

    def match(
        self, tokens: Float[Tensor, "batch tokens token_dim"] | Looked, ids: Int[Tensor, "batch length"]
    ) -> Float[Tensor, " batch"]:
        """Logit that each image and text belong together: a mean over queries, which see words and are seen."""
        words, looked = _Words(self._fitting(ids)), self._looked(tokens)
        mask = F.pad(words.shown, (self.queries.shape[1], 0), value=True)[:, None, None]
        queries: Tensor = self.queries
        x, stack = self._embedded(words), self._stack()
        for layer, memory in zip(stack, looked.memory, strict=True):
            every = _joined(_of_batch(layer.tell(queries), len(ids)), layer.tell(x, words))
            if layer is not stack[-1]:  # of which no word's state is of use
                added = words.packed(layer.attended(layer.ask(x, words), every, mask))
                x = layer.widened(x + added, layer.text_mlp)
            asked = layer.ask(queries).expand(len(ids), -1, -1, -1)
            queries = queries + layer.attended(asked, every, mask)
            queries = layer.widened(layer.informed(queries, memory), layer.query_mlp)
        logits: Tensor = self.match_head(self.query_norm(queries))
        return logits.mean((1, 2))

    def predict(
        self, tokens: Float[Tensor, "batch tokens token_dim"] | Looked, ids: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length n_words"]:
        """Logits of the word after each place, from the image and the words up to there.

        Raises:
            ShapeError: If a text has a word beyond `max_length`.
        """
        words, looked = _Words(self._fitting(ids)), self._looked(tokens)
        earlier = words.shown.new_ones(words.length, words.length).tril()
        mask = F.pad(earlier, (self.queries.shape[1], 0), value=True)
        x = self._embedded(words)
        for layer, kept in zip(self._stack(), looked.layers, strict=True):
            before = _joined(kept, layer.tell(x, words))
            x = layer.widened(x + words.packed(layer.attended(layer.ask(x, words), before, mask)), layer.text_mlp)
        return words.spread(self._next_words(x))

    def begin(self, tokens: Float[Tensor, "batch tokens token_dim"] | Looked) -> Cache:
        """Keep what the words to come may attend to of images."""
        return Cache(list(self._looked(tokens).layers))

    def step(self, cache: Cache, ids_of_last: Int[Tensor, " batch"]) -> Float[Tensor, "batch n_words"]:
        """Add the last word of each text to a cache; return logits of the next: as `predict` on all words so far.

        Raises:
            ShapeError: If the texts have `max_length` words already.
        """
        if cache.length >= self.max_length:
            raise ShapeError(f"texts may have {self.max_length} words; got one more. Stop at max_length")
        x = (self.words(ids_of_last) + self.places[cache.length])[:, None]
        for number, layer in enumerate(self._stack()):
            cache.layers[number] = kept = _joined(cache.layers[number], layer.tell(x))
            x = layer.widened(x + layer.attended(layer.ask(x), kept), layer.text_mlp)
        cache.length += 1
        return self._next_words(x)[:, 0]

    def _embedded(self, words: "_Words") -> Tensor:
        embedded: Tensor = self.words(words.packed(words.ids)) + self.places[words.place]
        return embedded

    def _next_words(self, states: Tensor) -> Tensor:
        return F.linear(self.text_norm(states), self.words.weight, self.word_bias)

    def _looked(self, tokens: Tensor | Looked) -> Looked:
        return tokens if isinstance(tokens, Looked) else self.look(tokens)

    def _fitting(self, ids: Tensor) -> Tensor:
        if bool(ids[:, self.max_length :].any()):
            raise ShapeError(
                f"texts may have {self.max_length} words, begin and end among them; got {ids.shape[1]} places. "
                f"Cut them: vocabulary.encode(captions, length={self.max_length})"
            )
        return ids[:, : self.max_length]

    def _stack(self) -> list["_Layer"]:
        return list(self.layers)  # type: ignore[arg-type]


class _Words:
    """A batch of texts without its padding: what a layer does to each word by itself it does to the packed rows."""

    def __init__(self, ids: Int[Tensor, "batch length"]) -> None:
        self.ids, self.length = ids, ids.shape[1]
        self.shown = ids != 0
        self.shown[:, 0] = True  # of a text of padding alone, its first place
        self.rows = self.shown.flatten().nonzero()[:, 0]
        self.place = self.rows % self.length
        self.first = (self.place == 0).nonzero()[:, 0]

    def packed(self, x: Shaped[Tensor, "batch length *size"]) -> Shaped[Tensor, "words *size"]:
        """Rows of the words that are there."""
        return x.flatten(0, 1).index_select(0, self.rows)

    def spread(self, x: Float[Tensor, "words size"]) -> Float[Tensor, "batch length size"]:
        """Rows back in their places, zeros in the others."""
        spread = x.new_zeros(self.ids.numel(), x.shape[1]).index_copy(0, self.rows, x)
        return spread.view(*self.ids.shape, -1)


class _Layer(nn.Module):
    """Self-attention of queries and words, cross-attention of queries, a feed-forward network for each of the two."""

    def __init__(self, dim: int, heads: int, *, cross: bool, expansion: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.asks, self.tells, self.out = _attention_layers(dim)
        self.cross = cross
        if cross:
            self.cross_norm, self.cross_asks, self.cross_tells, self.cross_out = _attention_layers(dim)
        self.query_mlp, self.text_mlp = (
            nn.Sequential(
                nn.LayerNorm(dim), nn.Linear(dim, expansion * dim), nn.GELU(), nn.Linear(expansion * dim, dim)
            )
            for _ in range(2)
        )
        self.dropout = nn.Dropout(dropout)

    def ask(self, x: Tensor, words: _Words | None = None) -> Tensor:
        """What asks in self-attention, (batch, heads, places, dim / heads); of words, where they stand."""
        (asked,) = self._split(_spread(self.asks(self.norm(x)), words), 1)
        return asked

    def tell(self, x: Tensor, words: _Words | None = None) -> Heads:
        """Keys and values of self-attention, likewise."""
        keys, values = self._split(_spread(self.tells(self.norm(x)), words), 2)
        return keys, values

    def attended(self, query: Tensor, told: Heads, mask: Tensor | None = None) -> Tensor:
        """What self-attention adds."""
        added: Tensor = self.dropout(self.out(_attention(query, told, mask)))
        return added

    def remember(self, seen: Tensor) -> Heads | None:
        """Keys and values of image tokens, if this layer looks at them."""
        if not self.cross:
            return None
        keys, values = self._split(self.cross_tells(seen), 2)
        return keys, values

    def informed(self, x: Tensor, memory: Heads | None) -> Tensor:
        """Queries, with what they read of image tokens."""
        if memory is None:
            return x
        (asked,) = self._split(self.cross_asks(self.cross_norm(x)), 1)
        read: Tensor = self.dropout(self.cross_out(_attention(asked.expand(len(memory[0]), -1, -1, -1), memory)))
        return x + read

    def widened(self, x: Tensor, mlp: nn.Module) -> Tensor:
        """With what a feed-forward network adds."""
        added: Tensor = self.dropout(mlp(x))
        return x + added

    def _split(self, x: Tensor, parts: int) -> list[Tensor]:
        """Apart by what they are for and by head."""
        batch, places, _ = x.shape
        return list(x.view(batch, places, parts, self.heads, -1).permute(2, 0, 3, 1, 4))


def _attention_layers(dim: int) -> tuple[nn.Module, ...]:
    """Norm before, what asks, keys and values, what comes out."""
    return nn.LayerNorm(dim), nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)


def _attention(asked: Tensor, told: Heads, mask: Tensor | None = None) -> Tensor:
    """Scaled dot products over heads, which are put side by side again."""
    found = F.scaled_dot_product_attention(asked, *told, attn_mask=mask)
    return found.transpose(1, 2).flatten(2)


def _spread(x: Tensor, words: _Words | None) -> Tensor:
    return x if words is None else words.spread(x)


def _of_batch(told: Heads, batch: int) -> Heads:
    """The same for every item, where it is the same: queries that have seen no image yet."""
    return told[0].expand(batch, -1, -1, -1), told[1].expand(batch, -1, -1, -1)


def _joined(first: Heads, then: Heads) -> Heads:
    return torch.cat([first[0], then[0]], dim=2), torch.cat([first[1], then[1]], dim=2)


def _rows(kept: Heads, rows: Tensor) -> Heads:
    return kept[0][rows], kept[1][rows]
