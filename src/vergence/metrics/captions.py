"""How well captions match references: BLEU, CIDEr, CIDEr-D and ROUGE-L, as the COCO caption evaluation has them.

Scores count n-grams of words. Words are those of the Penn Treebank, lower-cased, without punctuation: `tokenize`
follows the published tokenizer without Java, and of 4,088 titles, descriptions and names of drawings differs in three.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from math import exp, log, sqrt
from types import MappingProxyType

import numpy as np
import pandas as pd
from jaxtyping import Float

from vergence.checks import at_least, inside
from vergence.errors import ConfigError, ShapeError
from vergence.metrics.intervals import Interval

_ORDER = 4
_SIGMA = 6.0  # of lengths, in CIDEr-D
_BETA = 1.2  # how much recall counts in ROUGE-L
_SMALL, _TINY = 1e-9, 1e-15  # what the published BLEU adds, so that nothing is divided by 0

_HELD = 2**23  # counts of resamples at once

Grams = Counter[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class CaptionScore:
    """A score of captions, of the corpus and of each item.

    Args:
        corpus: BLEU of the pooled counts, which is no mean of the items; the mean of the others.
        items: Of each item, in the order given.
    """

    corpus: float
    items: Float[np.ndarray, " n"]
    _resampled: Callable[[Float[np.ndarray, "draws n"]], Float[np.ndarray, " draws"]] = field(repr=False)

    def __float__(self) -> float:
        return self.corpus

    def interval(
        self,
        *,
        generator: np.random.Generator,
        clusters: Sequence[Hashable] | None = None,
        n_resamples: int = 2000,
        level: float = 0.95,
    ) -> Interval:
        """Percentiles of the score over items drawn with replacement; what CIDEr weighs words by is kept.

        Args:
            generator: Draws the items.
            clusters: Which items belong together and are drawn together, such as drawings of one concept; each is its
                own if `None`.
            n_resamples: How often, at least 1.
            level: Between 0 and 1.

        Raises:
            ShapeError: If there is not one cluster for each item.
        """
        at_least("n_resamples", n_resamples, 1)
        inside("level", level, 0, 1)
        member = np.arange(len(self.items)) if clusters is None else pd.factorize(np.array(clusters, dtype=object))[0]
        if len(member) != len(self.items):
            raise ShapeError(f"each item needs its cluster; got {len(member)} clusters and {len(self.items)} items")
        n, scores = int(member.max()) + 1, []
        step = max(1, _HELD // len(member))
        for start in range(0, n_resamples, step):
            drawn = generator.multinomial(n, np.full(n, 1 / n), size=min(step, n_resamples - start))
            scores.append(self._resampled(drawn[:, member].astype(np.float64)))
        low, high = np.quantile(np.concatenate(scores), [(1 - level) / 2, (1 + level) / 2])
        return Interval(float(low), float(high))


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]], *, order: int = _ORDER) -> CaptionScore:
    r"""BLEU: the geometric mean of clipped n-gram precisions up to an order, times a penalty for brevity.

    $\exp(\min(0, 1 - r/c)) \prod_{k \le K} p_k^{1/K}$ with $c$ the words of all candidates and $r$ those of
    the references closest to each in length, the shorter one of two. Nothing is smoothed: without an n-gram that is
    right the score is almost 0.

    Source: [papineni2002]. An item's own score is that of a corpus of it alone.

    Args:
        candidates: A caption for each item.
        references: One caption or more for each item.
        order: $K$, the longest n-grams, at least 1.

    Returns:
        In [0, 1].

    Raises:
        ShapeError: If they do not pair, or there are none.
        ConfigError: If an item has no reference.

    Example:
        >>> score = bleu(["a red cup on a table"], [["a red cup on a table", "the cup is red"]])
        >>> round(score.corpus, 6)
        1.0
    """
    at_least("order", order, 1)
    said, truth = _words(candidates, references)
    right, guessed, lengths = (np.zeros((len(said), n)) for n in (order, order, 2))
    for row, (words, refs) in enumerate(zip(said, truth, strict=True)):
        most: Grams = Counter()
        for ref in refs:
            most |= _grams(ref, order)
        for gram, count in _grams(words, order).items():
            right[row, len(gram) - 1] += min(count, most[gram])
        guessed[row] = [max(0, len(words) - k) for k in range(order)]
        lengths[row] = len(words), min((abs(len(ref) - len(words)), len(ref)) for ref in refs)[1]
    pooled = np.concatenate([right, guessed, lengths], axis=1)

    def of(sums: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " rows"]:
        hits, tries, long, due = sums[:, :order], sums[:, order:-2], sums[:, -2], sums[:, -1]
        ratio = (long + _TINY) / (due + _SMALL)
        mean = np.exp(np.log((hits + _TINY) / (tries + _SMALL)).mean(axis=1))
        scores: Float[np.ndarray, " rows"] = mean * np.exp(np.minimum(0.0, 1 - 1 / ratio))
        return scores

    return CaptionScore(
        corpus=float(of(pooled.sum(axis=0, keepdims=True))[0]),
        items=of(pooled),
        _resampled=lambda counts: of(counts @ pooled),
    )


def cider(
    candidates: Sequence[str], references: Sequence[Sequence[str]], *, clipped: bool = True, scale: float = 10.0
) -> CaptionScore:
    r"""CIDEr: the cosine of n-gram counts weighed by rarity, a mean over orders 1 to 4 and over references.

    An n-gram weighs $\log n - \log \max(1, d)$ with $d$ the items of which a reference holds it. Clipped it is CIDEr-D,
    which COCO reports as CIDEr: a candidate's weight counts at most as much as the reference's, and each cosine is
    multiplied by $e^{-\delta^2 / 2\sigma^2}$ with $\sigma = 6$ and $\delta$ the difference of their lengths, counted in
    pairs of words as the published code does.

    Source: [vedantam2015].

    Args:
        candidates: A caption for each item.
        references: One caption or more for each item; they also tell which n-grams are rare, so at least two items.
        clipped: Whether to report CIDEr-D.
        scale: What the mean is multiplied by; 10 as published.

    Returns:
        In [0, `scale`].

    Raises:
        ShapeError: If they do not pair, or there are none.
        ConfigError: If an item has no reference.

    Example:
        >>> score = cider(["a red cup", "a blue ball"], [["a red cup"], ["the ball is blue"]])
        >>> [round(value, 3) for value in score.items.tolist()]
        [7.5, 1.423]
    """
    said, truth = _words(candidates, references)
    counted = [[_grams(ref, _ORDER) for ref in refs] for refs in truth]
    held = Counter(chain.from_iterable(set(chain.from_iterable(refs)) for refs in counted))
    whole = log(len(said))

    def weigh(grams: Grams) -> list[dict[tuple[str, ...], float]]:
        vectors: list[dict[tuple[str, ...], float]] = [{} for _ in range(_ORDER)]
        for gram, count in grams.items():
            vectors[len(gram) - 1][gram] = count * (whole - log(max(1, held[gram])))
        return vectors

    items = []
    for words, refs, lengths in zip(said, counted, truth, strict=True):
        own = weigh(_grams(words, _ORDER))
        cosines = [
            _cosine(of_own, of_ref, clipped=clipped) * (_length_penalty(words, ref) if clipped else 1.0)
            for grams, ref in zip(refs, lengths, strict=True)
            for of_own, of_ref in zip(own, weigh(grams), strict=True)
        ]
        items.append(scale * sum(cosines) / len(cosines))
    return _mean(items)


def rouge_l(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScore:
    r"""ROUGE-L: the F-score of the longest common subsequence of words, recall counting $\beta = 1.2$ as much.

    Source: [lin2004]; precision and recall are each the best over the references, as the COCO evaluation has it.

    Args:
        candidates: A caption for each item.
        references: One caption or more for each item.

    Returns:
        In [0, 1].

    Raises:
        ShapeError: If they do not pair, or there are none.
        ConfigError: If an item has no reference.

    Example:
        >>> round(rouge_l(["a cup red"], [["a red cup"]]).corpus, 4)
        0.6667
    """
    said, truth = _words(candidates, references)
    items = []
    for words, refs in zip(said, truth, strict=True):
        common = [_common(words, ref) for ref in refs]
        precision = max(common) / max(1, len(words))
        recall = max(length / max(1, len(ref)) for length, ref in zip(common, refs, strict=True))
        both = (1 + _BETA**2) * precision * recall
        items.append(both / (recall + _BETA**2 * precision) if both else 0.0)
    return _mean(items)


SCORES: Mapping[str, Callable[..., CaptionScore]] = MappingProxyType(
    {
        **{f"bleu_{order}": partial(bleu, order=order) for order in range(1, _ORDER + 1)},
        "cider": partial(cider, clipped=False),
        "cider_d": cider,
        "rouge_l": rouge_l,
    }
)
"""By name, what `caption_scores` reports; `cider_d` is what COCO reports as CIDEr."""


def caption_scores(
    candidates: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    generator: np.random.Generator,
    clusters: Sequence[Hashable] | None = None,
    n_resamples: int = 2000,
    level: float = 0.95,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every score of captions at once.

    Args:
        candidates: A caption for each item.
        references: One caption or more for each item; at least two items.
        generator: Draws items for the intervals.
        clusters: As for `CaptionScore.interval`.
        n_resamples: As there.
        level: As there.

    Returns:
        The scores of the corpus: score, value, low, high; and those of the items, a column for each.

    Raises:
        ShapeError: If they do not pair, or there are none.
        ConfigError: If an item has no reference.

    Example:
        >>> references = [["a red cup", "the cup"], ["a blue ball"]]
        >>> scores, items = caption_scores(["a red cup", "a ball"], references, generator=np.random.default_rng(0))
        >>> scores["score"].tolist()
        ['bleu_1', 'bleu_2', 'bleu_3', 'bleu_4', 'cider', 'cider_d', 'rouge_l']
        >>> items["rouge_l"].round(2).tolist()
        [1.0, 0.77]
    """
    found = {name: score(candidates, references) for name, score in SCORES.items()}
    rows = []
    for name, one in found.items():
        low, high = one.interval(generator=generator, clusters=clusters, n_resamples=n_resamples, level=level)
        rows.append({"score": name, "value": one.corpus, "low": low, "high": high})
    return pd.DataFrame(rows), pd.DataFrame({name: one.items for name, one in found.items()})


def tokenize(caption: str) -> list[str]:
    """Words of a caption as the COCO evaluation counts them: of the Penn Treebank, lower-cased, without punctuation.

    Example:
        >>> tokenize("A man's T-shirt isn't red, is it?")
        ['a', 'man', "'s", 't-shirt', 'is', "n't", 'red', 'is', 'it']
    """
    text = caption.translate(_SIGNS).lower()
    for entity, sign in _ENTITIES.items():
        text = text.replace(entity, sign)
    return [
        "".join(_BRACKETS.get(sign, sign) for sign in token)
        for token in (_apostrophe(match.group()) for match in _TOKEN.finditer(text))
        if token not in _DROPPED
    ]


_DROPPED = frozenset(["'", "''", '"', "`", "``", ".", "?", "!", ",", ":", ";", "-", "--", "..."])
_SIGNS = str.maketrans({"‘": "'", "“": '"', "”": '"', "–": "--", "—": "--", "…": "..."})
_ENTITIES = MappingProxyType({"&quot;": '"', "&apos;": "'", "&lt;": "<", "&gt;": ">", "&amp;": "&"})
_BRACKETS = MappingProxyType({"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"})
_ABBREVIATIONS = (
    "mr mrs ms dr prof st mt jr sr inc co ltd corp vs etc no gen col sgt capt lt rev hon gov sen rep ave blvd "
    "jan feb mar apr jun jul aug sep sept oct nov dec approx dept est fig messrs bros ph\\.d"
).replace(" ", "|")
_CLITIC = r"['’](?:s|m|d|re|ve|ll)(?![^\W_])"
_NOT = r"n['’]t(?![^\W_])"
_END = rf"(?={_NOT}|{_CLITIC}|[^\w\-.&/'’]|[-.&/'’](?![^\W_])|$)"
_TOKEN = re.compile(
    rf"""
      (?:(?:https?|ftp)://|www\.)[^\s"<>]*[^\s"<>.,;:!?)\]]     # addresses
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)*
    | </?[a-z!][^<>]*> | <!--.*?-->                             # tags
    | [:;]-?[()](?!\w)                                          # faces
    | can(?=not\b) | gon(?=na\b) | wan(?=na\b) | got(?=ta\b) | gim(?=me\b) | lem(?=me\b)
    | 't(?=is\b|was\b) | y'(?=all\b) | '\d\ds?\b | 'n'
    | {_CLITIC} | {_NOT}
    | (?:{_ABBREVIATIONS})\.(?![^\W_]) | (?:[^\W\d_]\.)+(?![^\W_])
    | \d+(?:[.,:/]\d+)+ | \.\d+ | \d+(?=')
    | [^\W_](?:\w|[-.&/'’](?=[^\W_]))*?{_END}                   # words
    | \.{{2,}} | -{{2,}} | [!?]+ | \S
    """,
    re.VERBOSE | re.DOTALL,
)


def _apostrophe(token: str) -> str:
    """A clitic with the plain sign; within a word the curly one stays, as published."""
    return token.replace("’", "'") if token.startswith(("’", "n’t")) else token


def _words(
    candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[list[str]], list[list[list[str]]]]:
    if isinstance(candidates, str) or any(isinstance(refs, str) for refs in references):
        raise ShapeError("candidates must be a list of captions, references a list of lists of captions")
    if len(candidates) != len(references) or not len(candidates):
        raise ShapeError(
            f"every candidate needs its references; got {len(candidates)} candidates, {len(references)} of references"
        )
    if empty := [row for row, refs in enumerate(references) if not len(refs)]:
        raise ConfigError(f"every item needs a reference; item {empty[0]} has none, of {len(empty)} such")
    return [tokenize(one) for one in candidates], [[tokenize(one) for one in refs] for refs in references]


def _grams(words: Sequence[str], order: int) -> Grams:
    return Counter(
        tuple(words[start : start + size]) for size in range(1, order + 1) for start in range(len(words) - size + 1)
    )


def _cosine(a: Mapping[tuple[str, ...], float], b: Mapping[tuple[str, ...], float], *, clipped: bool) -> float:
    norms = sqrt(sum(value**2 for value in a.values())) * sqrt(sum(value**2 for value in b.values()))
    if not norms:
        return 0.0
    return sum((min(value, b[gram]) if clipped else value) * b[gram] for gram, value in a.items() if gram in b) / norms


def _length_penalty(words: Sequence[str], reference: Sequence[str]) -> float:
    delta = max(0, len(words) - 1) - max(0, len(reference) - 1)
    return exp(-(delta**2) / (2 * _SIGMA**2))


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, row by row of the usual table."""
    row = [0] * (len(b) + 1)
    for one in a:
        left_above = 0
        for place, other in enumerate(b, 1):
            above = row[place]
            row[place] = left_above + 1 if one == other else max(above, row[place - 1])
            left_above = above
    return row[-1]


def _mean(items: Iterable[float]) -> CaptionScore:
    values = np.array(list(items))
    return CaptionScore(
        corpus=float(values.mean()), items=values, _resampled=lambda counts: counts @ values / counts.sum(axis=1)
    )
