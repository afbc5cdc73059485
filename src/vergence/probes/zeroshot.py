"""Zero-shot awareness: which concepts of a group an image is told to show by the text that is nearest to it [cai2025].

Images have one concept of a group or several. Predicted is the nearest concept, or as many of the nearest as the image
has; so in a group where every image has one, this is the classification of the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float64, Int

from vergence.checks import at_least
from vergence.errors import ShapeError

SCORES = ("precision", "recall", "f1", "average_precision")
_LEVEL = 0.95
_HELD = 8_000_000  # weights of resamples at once


@dataclass(frozen=True)
class Awareness:
    """What a model sees of the concepts of one group.

    Args:
        concepts: A row for each concept: concept, support (images that show it), predicted (images that are told to),
            chance_f1 and chance_average_precision (of guessing), and `SCORES`, each with _low and _high; NaN without
            support.
        macro: Means over concepts with images: macro_f1, mean_per_class_recall, mean_average_precision, each with _low
            and _high; acc1 and acc5; chance_macro_f1.
        confusion: Images by concept shown (rows) and told (columns), as shares of an image where it has several.
        told: Which concepts each image is told to show.
    """

    concepts: pd.DataFrame
    macro: dict[str, float]
    confusion: pd.DataFrame
    told: Bool[np.ndarray, "n concepts"]


def zero_shot(
    similarity: Float[np.ndarray, "n concepts"],
    shown: Bool[np.ndarray, "n_shown concepts"],
    names: Sequence[str],
    *,
    clusters: Int[np.ndarray, " n_clusters"] | None = None,
    generator: np.random.Generator,
    n_resamples: int = 1000,
) -> Awareness:
    """Score the concepts of one group.

    Precision, recall and F1 are those of scikit-learn with `zero_division=0`, the average precision its
    `average_precision_score` of the similarity. Intervals are 95 % percentiles over resampled clusters.

    Args:
        similarity: Of images and texts of concepts.
        shown: Which concepts each image has; at least one.
        names: Of the concepts.
        clusters: Which images belong together; each is its own if `None`.
        generator: Draws the resamples.
        n_resamples: How many, >= 100.

    Raises:
        ShapeError: If shapes differ, an image has no concept, or a similarity is not finite.
        ConfigError: If there are fewer than 100 resamples.

    Example:
        >>> similarity = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
        >>> shown = np.array([[True, False], [False, True], [False, True]])
        >>> found = zero_shot(similarity, shown, ["cat", "dog"], generator=np.random.default_rng(0))
        >>> round(found.macro["macro_f1"], 3), float(found.confusion.loc["dog", "cat"])
        (0.667, 1.0)
    """
    at_least("n_resamples", n_resamples, 100)
    if similarity.shape != shown.shape or similarity.shape[1] != len(names):
        raise ShapeError(
            f"similarity, shown and names must agree; got {similarity.shape}, {shown.shape} and {len(names)} names"
        )
    if not np.isfinite(similarity).all():
        raise ShapeError("similarity holds NaN or infinite numbers; look at the embeddings they come from")
    if not shown.any(1).all():
        raise ShapeError(f"image {int(shown.any(1).argmin())} shows no concept of the group; leave it out")
    told = _nearest(similarity, shown.sum(1))
    own = np.arange(len(shown)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    if len(own) != len(shown):
        raise ShapeError(f"clusters must be as many as images; got {len(own)} and {len(shown)}")
    ones = np.ones((1, len(shown)))
    found, resampled = _scores(similarity, shown, told, ones), _resampled(
        similarity, shown, told, own, generator=generator, n=n_resamples
    )  # fmt: skip
    support = shown.sum(0)
    known = support > 0
    table = pd.DataFrame({"concept": list(names), "support": support, "predicted": told.sum(0)})
    guessed = shown.sum(1).mean() / shown.shape[1]
    prevalence = support / len(shown)
    table["chance_f1"] = np.where(known, 2 * prevalence * guessed / np.maximum(prevalence + guessed, 1e-12), np.nan)
    table["chance_average_precision"] = np.where(known, prevalence, np.nan)
    for name in SCORES:
        table[name] = np.where(known, found[name][0], np.nan)
        low, high = _ends(resampled[name])
        table[f"{name}_low"], table[f"{name}_high"] = np.where(known, low, np.nan), np.where(known, high, np.nan)
    macro = {"chance_macro_f1": float(table["chance_f1"].mean()), "acc1": _accuracy(similarity, shown, 1)}
    macro["acc5"] = _accuracy(similarity, shown, 5)
    for name, of in (("macro_f1", "f1"), ("mean_per_class_recall", "recall"), ("mean_average_precision", SCORES[3])):
        low, high = _ends(resampled[of][:, known].mean(1))
        macro |= {name: float(found[of][0, known].mean()), f"{name}_low": float(low), f"{name}_high": float(high)}
    shares = shown / shown.sum(1, keepdims=True)
    confusion = pd.DataFrame(shares.T @ told, index=list(names), columns=list(names))
    return Awareness(table, macro, confusion, told)


def _nearest(similarity: Float[np.ndarray, "n c"], many: Int[np.ndarray, " n"]) -> Bool[np.ndarray, "n c"]:
    """As many of the nearest concepts of each image as it has; of two that are as near, the first."""
    order = np.argsort(-similarity, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(similarity.shape[1])[None], axis=1)
    return rank < many[:, None]


def _accuracy(similarity: Float[np.ndarray, "n c"], shown: Bool[np.ndarray, "n c"], k: int) -> float:
    top = _nearest(similarity, np.full(len(shown), min(k, shown.shape[1])))
    return float((top & shown).any(1).mean())


def _scores(
    similarity: Float[np.ndarray, "n c"],
    shown: Bool[np.ndarray, "n c"],
    told: Bool[np.ndarray, "n c"],
    weights: Float[np.ndarray, "b n"],
) -> dict[str, Float64[np.ndarray, "b c"]]:
    """Every score of every concept, for each row of weights of the images; 0 where nothing is divided by nothing."""
    right, claimed, there = (weights @ part.astype(np.float64) for part in (shown & told, told, shown))
    average = np.stack([_average_precision(similarity[:, c], shown[:, c], weights) for c in range(shown.shape[1])], 1)
    return {
        "precision": _share(right, claimed),
        "recall": _share(right, there),
        "f1": _share(2 * right, claimed + there),
        "average_precision": average,
    }


def _average_precision(
    score: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"], weights: Float[np.ndarray, "b n"]
) -> Float64[np.ndarray, " b"]:
    """The sum of precisions at each threshold, weighted by the recall it adds; equal scores share a threshold."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    sorted_weights = weights[:, order]
    right = np.cumsum(sorted_weights * positive[order], axis=1)[:, last]
    taken = np.cumsum(sorted_weights, axis=1)[:, last]
    gained = np.diff(right, axis=1, prepend=0.0)
    return _share((gained * _share(right, taken)).sum(1), right[:, -1])


def _share(part: Float[np.ndarray, "..."], whole: Float[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    found: np.ndarray = np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)
    return found


def _resampled(
    similarity: Float[np.ndarray, "n c"],
    shown: Bool[np.ndarray, "n c"],
    told: Bool[np.ndarray, "n c"],
    clusters: Int[np.ndarray, " n"],
    *,
    generator: np.random.Generator,
    n: int,
) -> dict[str, Float64[np.ndarray, "b c"]]:
    n_clusters = int(clusters.max()) + 1
    parts: dict[str, list[np.ndarray]] = {name: [] for name in SCORES}
    step = max(1, _HELD // len(shown))
    for start in range(0, n, step):
        drawn = generator.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=min(step, n - start))
        for name, values in _scores(similarity, shown, told, drawn[:, clusters].astype(np.float64)).items():
            parts[name].append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def _ends(values: Float64[np.ndarray, "b *c"]) -> tuple[Any, Any]:
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    return low, high
