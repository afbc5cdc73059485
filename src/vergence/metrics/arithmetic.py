r"""Arithmetic on embeddings: image + text(target) − text(source), and which image lies nearest to that.

Where labels say which images show one concept with other values of a factor, the right answer is known: the same
concept with the target value, all other factors as they were. Choices here:

- every vector is brought to length 1 before it is added, so that one step means the same for every model;
- the source image is no answer: it is taken out of the gallery, and how often it would have been first is reported;
- only what can be answered is asked: a query needs an image that answers it. Others that show the same as the source
  stay in the gallery, as do images without a value;
- of an image of several vectors (a query transformer's) that one is moved which matches the source text best: only
  matched vectors are trained to lie where texts do; the gallery is then ranked as for retrieval, by the nearest vector
  of each image. `move="each"` moves every vector, and ranks by the mean cosine of vectors of one place.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vergence.checks import known_factors, non_negative, one_of
from vergence.errors import FactorError, ShapeError
from vergence.metrics.arrays import Array, guarded
from vergence.metrics.differences import paired_scores, share_of_sums
from vergence.metrics.intervals import share_interval
from vergence.metrics.retrieval import Ranks, count_above, nearest_of_queries, slack_of, unit_images
from vergence.metrics.scale import unit

METHODS = ("arithmetic", "text_only", "image_only", "chance")
"""What ranks the gallery: the sum; the target's text alone; the source image alone; nothing."""
OUTCOMES = ("exact", "unchanged", "strayed", "value_only", "neither")
"""What the first image is: the answer; the concept with the source value; the concept, changed otherwise; another
concept with the target value; another without."""
SCORES = ("recall@1", "recall@5", "reciprocal_rank")

Move = Literal["best", "each"]

_BLOCK = 2**22  # similarities held at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Arithmetic:
    """What came of every query.

    Args:
        queries: A row for each query and method: query (its number), factor, source and target (values), item (row of
            the source image), concept, relevant (images that answer it), method, rank (expected, from 1), `SCORES`,
            `OUTCOMES` (shares of the first image, which is several where they tie), first (a first image's row), and
            source_first (whether the source image would have been first).
        gallery: How many images each query is asked of.
    """

    queries: pd.DataFrame
    gallery: int

    def table(self, by: Sequence[str] = ("factor",), *, level: float = 0.95) -> pd.DataFrame:
        """Means over queries, with intervals for new concepts (`share_interval`).

        Args:
            by: Columns of `queries` whose values are told apart: ("factor", "source", "target") for each pair of
                values, none for all queries together.
            level: Nominal coverage.

        Returns:
            A row for each of them and each method: queries, concepts, `SCORES` each with _low and _high, median_rank,
            `OUTCOMES` each with _low and _high, source_first.
        """
        rows = []
        for keys, part in self.queries.groupby([*by, "method"], sort=False, dropna=False):
            clusters = torch.from_numpy(pd.factorize(part["concept"])[0].astype(np.int64))
            row = dict(zip([*by, "method"], keys, strict=True))
            row |= {"queries": len(part), "concepts": int(clusters.max()) + 1}
            for name in (*SCORES, *OUTCOMES):
                values = part[name].to_numpy(dtype=np.float64)
                low, high = share_interval(values.clip(0, 1), clusters, level=level)
                row |= {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
            rows.append(row | {"median_rank": part["rank"].median(), "source_first": part["source_first"].mean()})
        return pd.DataFrame(rows)

    def gains(
        self, by: Sequence[str] = ("factor",), *, generator: torch.Generator, n_resamples: int = 2000
    ) -> pd.DataFrame:
        """By how much arithmetic is above each baseline on the same queries, concepts drawn with replacement.

        Args:
            by: As for `table`.
            generator: Draws the concepts, on the CPU.
            n_resamples: How often, at least 100.

        Returns:
            A row for each and each baseline: over, score (of `SCORES`), gain, low and high.
        """
        rows = []
        for keys, part in self.queries.groupby(list(by), sort=False, dropna=False) if by else [((), self.queries)]:
            own, *others = (part[part["method"] == name].sort_values("query") for name in METHODS)
            clusters = torch.from_numpy(pd.factorize(own["concept"])[0].astype(np.int64))
            for name, other in zip(METHODS[1:], others, strict=True):
                found = paired_scores(
                    _terms(other), _terms(own), share_of_sums, clusters,
                    jump=1 / len(own), generator=generator, n_resamples=n_resamples,
                ).difference  # fmt: skip
                limits = zip(*(one.clamp(-1, 1).tolist() for one in found), strict=True)
                for score, (gain, low, high) in zip(SCORES, limits, strict=True):
                    row = dict(zip(by, keys, strict=True)) | {"over": name, "score": score}
                    rows.append(row | {"gain": gain, "low": low, "high": high})
        return pd.DataFrame(rows)


@guarded
def arithmetic(
    z_image: Float[Array, "n *queries dim"],
    z_text: Float[Array, "phrases dim"],
    phrases: Sequence[tuple[str, str]],
    labels: pd.DataFrame,
    concepts: Sequence[Hashable],
    *,
    step: float = 1.0,
    move: Move = "best",
) -> Arithmetic:
    r"""Ask each image for its concept with another value of a factor, by adding what texts of the two values differ in.

    The gallery is ranked by cosines with $z_i / |z_i| + \text{step} \, (z_t / |z_t| - z_s / |z_s|)$ for image $i$ with
    value $s$ and every other value $t$ with which the concept is there, all other columns of the labels being equal.
    Beside it stand the same ranking by $z_t$ alone, by $z_i$ alone, and by chance, which is a gallery in random order,
    in closed form. Ties count as in `retrieve`. Cost O(queries × n × dim), memory one block of queries.

    Source: [almudevar2025], who judge by eye; differs: the answer is known.

    Args:
        z_image: Of the gallery, one vector for each image or several.
        z_text: Of what is said of a value, such as "dark skin tone", alone or a mean over templates.
        phrases: The factor and value of each row of `z_text`, two values or more of each factor.
        labels: A row for each image and a column for each factor, missing where it has no value. Values are compared as
            text. What must not change beside the factor is in the other columns.
        concepts: What each image is a form of.
        step: Of what length the difference is; to be set beforehand, never by what is reported.
        move: Which vector of an image is moved, if it has several.

    Raises:
        ShapeError: If rows do not pair, widths differ, or an entry is NaN.
        FactorError: If a factor has no column or fewer than two values, a value comes twice, or there is no query.
        ConfigError: If the step is negative.

    Example:
        >>> labels = pd.DataFrame({"tone": ["light", "dark", "light", "dark"]})
        >>> thing, tone = torch.eye(4)[[0, 0, 1, 1]], torch.eye(4)[[2, 3, 2, 3]]
        >>> phrases = [("tone", "light"), ("tone", "dark")]
        >>> found = arithmetic(thing + tone, torch.eye(4)[2:], phrases, labels, ["cup", "cup", "hat", "hat"], step=0.7)
        >>> found.table()[["method", "queries", "recall@1", "source_first"]].round(2).values.tolist()[0]
        ['arithmetic', 4, 1.0, 0.0]
    """
    non_negative("step", step)
    one_of("move", move, ("best", "each"))
    if len(z_text) != len(phrases) or len(labels) != len(z_image) or len(concepts) != len(z_image):
        raise ShapeError(
            f"images, labels and concepts must be as many, texts and phrases too; got {len(z_image)} images, "
            f"{len(labels)} labels, {len(concepts)} concepts, {len(z_text)} texts and {len(phrases)} phrases"
        )
    images, texts = unit_images(z_image, z_text)
    asked = list(_asked(phrases, labels, concepts))
    if not asked:
        raise FactorError(
            "no image has a counterpart: the same concept, equal in all other columns, with another value of "
            f"{', '.join(dict.fromkeys(name for name, _ in phrases))}; look at concepts and labels"
        )
    parts, first = [], 0
    for one in asked:
        for some in one.blocks(max(1, _BLOCK // (len(images) * images.shape[1]))):
            masks = some.masks()
            for method in METHODS:
                scores = _scores(some, images, texts, method=method, step=step, move=move)
                parts.append(_answers(some, scores, masks, slack_of(images)).assign(method=method))
                parts[-1].insert(0, "query", first + np.arange(len(some.item)))
            first += len(some.item)
    queries = pd.concat(parts, ignore_index=True)
    queries["concept"] = [concepts[item] for item in queries["item"]]
    order = pd.Categorical(queries["method"], METHODS)
    queries = queries.iloc[np.lexsort((queries["query"], order.codes))].reset_index(drop=True)
    return Arithmetic(queries=queries, gallery=len(images) - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """Queries of one factor: the row of each source image, and the rows of `z_text` of its value and of the other."""

    factor: str
    values: tuple[str, ...]
    rows: Int64[np.ndarray, " values"]  # of z_text
    concept: Int64[np.ndarray, " n"]
    shown: Int64[np.ndarray, " n"]  # place among the values; -1 for none of them
    others: Int64[np.ndarray, " n"]  # equal where all other factors are
    item: Int64[np.ndarray, " asked"]
    target: Int64[np.ndarray, " asked"]

    def blocks(self, size: int) -> Iterator["_Asked"]:
        for start in range(0, len(self.item), size):
            some = slice(start, start + size)
            yield _Asked(**{**vars(self), "item": self.item[some], "target": self.target[some]})

    @property
    def source(self) -> Int64[np.ndarray, " asked"]:
        source: np.ndarray = self.shown[self.item]
        return source

    def masks(self) -> Bool[Tensor, "outcomes asked n"]:
        """Which images would be which of `OUTCOMES`."""
        same = self.concept[self.item, None] == self.concept
        there = self.target[:, None] == self.shown
        exact = same & there & (self.others[self.item, None] == self.others)
        unchanged = same & (self.source[:, None] == self.shown)
        strayed = same & ~exact & ~unchanged
        masks = torch.from_numpy(np.stack([exact, unchanged, strayed, ~same & there, ~same & ~there]))
        masks[:, torch.arange(len(self.item)), torch.from_numpy(self.item)] = False
        return masks


def _asked(phrases: Sequence[tuple[str, str]], labels: pd.DataFrame, concepts: Sequence[Hashable]) -> Iterator[_Asked]:
    """The queries of each factor that can be answered."""
    if twice := [phrase for phrase, count in Counter(phrases).items() if count > 1]:
        raise FactorError(f"each value needs one phrase; {twice[0][1]!r} of {twice[0][0]!r} has several")
    stated = labels.astype(object).where(labels.notna(), None).map(lambda one: None if one is None else str(one))
    concept = _numbered(concepts)
    for factor in dict.fromkeys(name for name, _ in phrases):
        known_factors([factor], map(str, labels.columns))
        rows = np.array([row for row, (name, _) in enumerate(phrases) if name == factor])
        values = tuple(str(phrases[row][1]) for row in rows)
        if len(values) < 2:
            raise FactorError(f"factor {factor!r} needs phrases of two values or more; got {', '.join(values)}")
        shown = np.array([values.index(one) if one in values else -1 for one in stated[factor]])
        others = _numbered(list(stated.drop(columns=factor).itertuples(index=False, name=None)))
        cells = Counter(zip(concept.tolist(), others.tolist(), shown.tolist(), strict=True))
        found = [
            (item, target)
            for item in np.flatnonzero(shown >= 0).tolist()
            for target in range(len(values))
            if target != shown[item] and cells[int(concept[item]), int(others[item]), target]
        ]
        if found:
            item, target = np.array(found).T
            yield _Asked(
                factor=factor, values=values, rows=rows, concept=concept, shown=shown, others=others,
                item=item, target=target,
            )  # fmt: skip


def _scores(
    asked: _Asked,
    images: Float[Tensor, "n vectors dim"],
    texts: Float[Tensor, "phrases dim"],
    *,
    method: str,
    step: float,
    move: Move,
) -> Float[Tensor, "asked n"]:
    item = torch.from_numpy(asked.item).to(images.device)
    source, target = (texts[torch.from_numpy(asked.rows[of])] for of in (asked.source, asked.target))
    if method == "chance":
        return images.new_zeros(len(item), len(images))
    if method == "text_only":
        return nearest_of_queries(target, images)
    own = images[item]
    moved = step * (target - source) if method == "arithmetic" else torch.zeros_like(target)
    if move == "each":
        summed = unit((own + moved[:, None]).reshape(-1, own.shape[2])).reshape(own.shape)
        return torch.einsum("aqd,nqd->an", summed, images) / own.shape[1]
    best = torch.einsum("aqd,ad->aq", own, source).argmax(1)
    return nearest_of_queries(unit(own[torch.arange(len(own)), best] + moved), images)


def _answers(
    asked: _Asked, scores: Float[Tensor, "asked n"], masks: Bool[Tensor, "outcomes asked n"], slack: float
) -> pd.DataFrame:
    """A row for each query."""
    each, item = torch.arange(len(scores)), torch.from_numpy(asked.item)
    scores = scores.cpu()
    of_source = scores[each, item]
    scores = scores.index_put((each, item), scores.new_tensor(-torch.inf))
    own = scores.where(masks[0], -torch.inf).amax(1, keepdim=True)
    better, tied = count_above(scores, own, slack, dim=1)
    ranks = Ranks(
        better=better,
        tied=tied,
        tied_relevant=(masks[0] & (scores >= own - slack) & (scores <= own + slack)).sum(1),
        gallery=scores.shape[1] - 1,
    )
    top = scores.amax(1, keepdim=True)
    first = scores >= top - slack
    several = first.sum(1)
    beaten, level = of_source > top[:, 0] + slack, (of_source - top[:, 0]).abs() <= slack
    names = np.array(asked.values, dtype=object)
    return pd.DataFrame(
        {
            "factor": asked.factor,
            "source": names[asked.source],
            "target": names[asked.target],
            "item": asked.item,
            "relevant": masks[0].sum(1).numpy(),
            "rank": ranks.expected_ranks().numpy(),
            "recall@1": ranks.hits(1).numpy(),
            "recall@5": ranks.hits(5).numpy(),
            "reciprocal_rank": ranks.reciprocal_ranks().numpy(),
            **{
                name: ((mask & first).sum(1) / several).double().numpy()
                for name, mask in zip(OUTCOMES, masks, strict=True)
            },
            "first": scores.argmax(1).numpy(),
            "source_first": torch.where(beaten, 1.0, level / (several + 1)).double().numpy(),
        }
    )


def _numbered(values: Sequence[Hashable]) -> Int64[np.ndarray, " n"]:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)


def _terms(rows: pd.DataFrame) -> Float[Tensor, "n scores 2"]:
    values = torch.tensor(rows[list(SCORES)].to_numpy(dtype=np.float64))
    return torch.stack([values, torch.ones_like(values)], dim=2)
