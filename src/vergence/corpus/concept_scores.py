"""What captions say rightly of each factor, which n-gram scores hide: precision and recall by a lexicon.

Captions are matched as an audit matches them. What of a factor's values captions say by what images show, and what a
model would learn from such captions, is in `estimate_misalignment` of the same captions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64

from vergence.corpus.lexicon import Lexicon
from vergence.corpus.matching import Captions, compiled
from vergence.corpus.rows import caption_array, cluster_codes, label_codes
from vergence.errors import FactorError, ShapeError
from vergence.metrics.intervals import share_interval

SHARES = ("mentioned", "precision", "recall", "wrong")


@dataclass(frozen=True, eq=False)
class ConceptScores:
    """How often captions say what images show.

    Args:
        factors: A row for each labelled factor: factor, images (with a value), clusters, mentioned (share of captions
            that say a value), precision (share of the values said that are right), recall (share of captions that say
            the right one) and wrong (share that say another), each with _low and _high; chance_precision and
            chance_recall, of the same captions dealt to the images at random; unasked (share of captions that say a
            value of an image that has none).
        values: The same for each value: factor, value, images (that show it), said (captions of labelled images that
            say it), precision and recall with limits and chance. NaN, with limits 0 and 1, of nothing.
    """

    factors: pd.DataFrame
    values: pd.DataFrame


def concept_scores(
    captions: Captions | Iterable[Any],
    labels: pd.DataFrame,
    lexicon: Lexicon,
    *,
    clusters: Iterable[Any] | None = None,
    match: str = "word",
    level: float = 0.95,
) -> ConceptScores:
    r"""Score what captions say of each factor.

    Over captions whose image has a value of the factor: precision is $P(\text{right} \mid \text{a value is said})$,
    counted by value said, recall $P(\text{the value shown is said})$. Intervals are for new clusters
    (`share_interval`). If captions were dealt to images at random, value $v$ would be right in $P(v \text{ said})
    P(v \text{ shown})$ of them, and that is the chance.

    Args:
        captions: One for each row of the labels; a missing one says nothing.
        labels: A column for each factor, named as the lexicon's group, holding names of its concepts; missing where the
            image shows no one value. Other columns are left alone.
        lexicon: Groups are factors, concepts their values.
        clusters: Which rows belong together, such as drawings of one concept; each is its own if `None`.
        match: "word" or "substring".
        level: Nominal coverage of the intervals.

    Raises:
        ShapeError: If captions, labels and clusters are not as many.
        FactorError: If no group of the lexicon is labelled, or a label is no concept of its group.

    Example:
        >>> from vergence import Factor, FactorSpace
        >>> from vergence.corpus import lexicon_from_factors
        >>> lexicon = lexicon_from_factors(FactorSpace((Factor("hue", ("red", "blue")),)))
        >>> labels = pd.DataFrame({"hue": ["red", "red", "blue", "blue"]})
        >>> found = concept_scores(["a red cup", "a cup", "a red hat", "a blue hat"], labels, lexicon)
        >>> found.factors[["mentioned", "precision", "recall", "wrong", "chance_recall"]].round(2).values.tolist()
        [[0.75, 0.67, 0.5, 0.25, 0.38]]
    """
    texts = caption_array(captions)
    members = np.arange(len(labels)) if clusters is None else cluster_codes(clusters)
    if not len(texts) == len(labels) == len(members):
        raise ShapeError(
            f"each caption needs one row of labels and one cluster; got {len(texts)} captions, {len(labels)} rows and "
            f"{len(members)} clusters"
        )
    mentions = compiled(lexicon, match).mentions(texts)
    found = np.zeros((len(labels), len(lexicon.concepts)), dtype=bool)
    found[mentions.captions, mentions.concepts] = True
    factors, values, first = [], [], 0
    for group in lexicon.groups:
        kinds = tuple(concept.name for concept in group.concepts)
        columns = slice(first, first + len(kinds))
        first = columns.stop
        if group.name not in labels:
            continue
        shown = label_codes(group.name, labels, kinds)
        known = shown >= 0
        if not known.any():
            continue
        one = _Factor(found[known, columns], shown[known], members[known], level)
        unasked = found[~known, columns].any(axis=1)
        factors.append(
            {"factor": group.name, **one.scores(), "unasked": float(unasked.mean()) if len(unasked) else np.nan}
        )
        values += [{"factor": group.name, "value": kind, **one.of_value(v)} for v, kind in enumerate(kinds)]
    if not factors:
        raise FactorError(
            f"no group of the lexicon is labelled; groups: {', '.join(group.name for group in lexicon.groups)}; "
            f"columns: {', '.join(map(str, labels.columns))}"
        )
    return ConceptScores(pd.DataFrame(factors), pd.DataFrame(values))


@dataclass(frozen=True, eq=False)
class _Factor:
    """What captions say and images show of one factor."""

    said: Bool[np.ndarray, "n values"]
    shown: Int64[np.ndarray, " n"]
    clusters: Int64[np.ndarray, " n"]
    level: float

    def scores(self) -> dict[str, Any]:
        truth = np.eye(self.said.shape[1], dtype=bool)[self.shown]
        right = self.said & truth
        caption, _ = np.nonzero(self.said)
        chance = self.said.mean(axis=0) @ truth.mean(axis=0)
        said = self.said.sum() / len(self.said)
        return {
            "images": len(self.shown),
            "clusters": len(np.unique(self.clusters)),
            **self._share("mentioned", self.said.any(axis=1)),
            **self._share("precision", right[self.said], caption),
            **self._share("recall", right.any(axis=1)),
            **self._share("wrong", (self.said & ~truth).any(axis=1)),
            "chance_precision": float(chance / said) if said else np.nan,
            "chance_recall": float(chance),
        }

    def of_value(self, value: int) -> dict[str, Any]:
        said, shown = self.said[:, value], self.shown == value
        return {
            "images": int(shown.sum()),
            "said": int(said.sum()),
            **self._share("precision", shown[said], np.flatnonzero(said)),
            **self._share("recall", said[shown], np.flatnonzero(shown)),
            "chance_precision": float(shown.mean()),
            "chance_recall": float(said.mean()),
        }

    def _share(
        self, name: str, held: Bool[np.ndarray, " m"], rows: Int64[np.ndarray, " m"] | None = None
    ) -> dict[str, float]:
        if not len(held):
            return {name: np.nan, f"{name}_low": 0.0, f"{name}_high": 1.0}
        values: Float[np.ndarray, " m"] = held.astype(np.float64)
        members = self.clusters if rows is None else self.clusters[rows]
        low, high = share_interval(torch.from_numpy(values), torch.from_numpy(members), level=self.level)
        return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
