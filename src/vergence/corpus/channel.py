"""The said × shown table of a factor, and whether a uniform redraw explains it.

A uniform redraw says the shown value, or with one probability for all of them another, each alike. It is tested: a swap
of neighbours, a default value or a value that is confused more often than others is no uniform redraw, and one number
does not describe it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64
from scipy.stats import f as f_distribution

NOTHING, SEVERAL = "(nothing)", "(several)"

DRAWS = 499
"""The most random relabellings of a test; no p-value below 1 / (DRAWS + 1) can be shown."""

_ENOUGH = 5  # relabellings that fit worse settle, at the level of 0.01, that a uniform redraw is not rejected
_MOST_CLUSTERS = 1000


def said_by_shown(
    found: Bool[np.ndarray, "n values"], weights: Float64[np.ndarray, "n values"], values: tuple[str, ...]
) -> pd.DataFrame:
    """Count what captions say by what their images show.

    Args:
        found: Which values each caption mentions.
        weights: How much of each image shows each value: one 1 in a row, or a detector's labels with its errors taken
            out, which can be negative.
        values: The factor's values.

    Returns:
        A row for each pair: shown, said (a value, "(nothing)" or "(several)"), captions.

    Example:
        >>> said = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], dtype=bool)
        >>> table = said_by_shown(said, np.eye(2)[[0, 0, 1, 1]], ("red", "blue"))
        >>> table.pivot(index="shown", columns="said", values="captions").loc["red", "blue"]
        np.float64(1.0)
    """
    k, mentions = len(values), found.sum(axis=1)
    said = np.where(mentions == 1, found.argmax(axis=1), np.where(mentions == 0, k, k + 1))
    counts = np.stack([np.bincount(said, weights=weights[:, v], minlength=k + 2) for v in range(k)])
    names = [*values, NOTHING, SEVERAL]
    return pd.DataFrame(
        {"shown": np.repeat(np.array(values, object), k + 2), "said": names * k, "captions": counts.ravel()}
    )


def redraw_p_value(
    found: Bool[np.ndarray, "n values"],
    shown: Int64[np.ndarray, " n"],
    clusters: Int64[np.ndarray, " n"],
    *,
    rng: np.random.Generator,
) -> float:
    """Test whether captions redraw what they say uniformly, where lexicon and labels are taken to be right.

    Pearson's statistic of the wrong mentions by shown and said value is compared with that of random relabellings under
    which a uniform redraw is invariant, whatever the dependence within clusters: which clusters of one size are
    wrong, and by one permutation for each cluster, which of the other values they say. That is exact where all
    captions of a cluster share the shown value, as captions of one image do; stopped early as in [besag1991].

    Args:
        found: Which values each caption mentions; the mass of one that mentions several others is shared among them.
        shown: The value that its image shows.
        clusters: Which captions belong together.
        rng: Draws the relabellings.

    Returns:
        The p-value, at least 1 / (DRAWS + 1); NaN if nothing can be tested: no wrong value, or none but wrong ones of
        two values.
    """
    speaks = found.any(axis=1)
    found, shown, clusters = found[speaks], shown[speaks], clusters[speaks]
    k = found.shape[1]
    others = found.copy()
    others[np.arange(len(shown)), shown] = False
    wrong = np.asarray(others.any(axis=1))
    if not wrong.any() or (k == 2 and wrong.all()):
        return float("nan")
    relabelled = _Relabelling.of(others, wrong, shown, clusters)
    mentioned = np.bincount(shown, minlength=k)
    share = float(wrong.mean())

    seen = mentioned > 0
    expected = share * mentioned[seen, None] / (k - 1) * np.ones(k)
    right = (1 - share) * mentioned[seen]

    def misfit(shown: np.ndarray, said: np.ndarray) -> float:
        cells = np.bincount(shown[relabelled.caption] * k + said, relabelled.mass, minlength=k * k).reshape(k, k)
        statistic = ((cells[seen] - expected) ** 2 / expected).sum() - expected[:, 0].sum()  # no cell on the diagonal
        if share < 1:
            statistic += ((mentioned - np.bincount(shown, minlength=k))[seen] - right) ** 2 @ (1 / right)
        return float(statistic)

    observed = misfit(relabelled.shown, relabelled.said) * (1 - 1e-9)
    worse = 0
    for draw in range(1, DRAWS + 1):
        worse += misfit(*relabelled.draw(rng, k)) >= observed
        if worse == _ENOUGH:
            return worse / draw
    return (worse + 1) / (DRAWS + 1)


@dataclass(frozen=True, eq=False)
class _Relabelling:
    """Wrong captions, sorted by their cluster's size, and the clusters of each size that they can be moved to."""

    shown: np.ndarray  # by wrong caption
    caption: np.ndarray  # by wrong mention, the place of its caption
    said: np.ndarray  # by wrong mention
    mass: np.ndarray
    strata: list[tuple[np.ndarray, np.ndarray, np.ndarray]]  # shown (clusters, size); clusters and places that err

    @classmethod
    def of(cls, others: np.ndarray, wrong: np.ndarray, shown: np.ndarray, clusters: np.ndarray) -> "_Relabelling":
        sizes = np.bincount(clusters)[clusters]
        order = np.lexsort((clusters, sizes))
        strata, erring = [], []
        for size in np.unique(sizes):
            rows = order[sizes[order] == size].reshape(-1, size)
            cluster, place = np.nonzero(wrong[rows])
            if len(cluster):
                strata.append((shown[rows], np.unique(cluster, return_inverse=True)[1], place))
                erring.append(rows[cluster, place])
        captions = np.concatenate(erring)
        caption, said = np.nonzero(others[captions])
        return cls(shown[captions], caption, said, 1 / others[captions].sum(axis=1)[caption], strata)

    def draw(self, rng: np.random.Generator, k: int) -> tuple[np.ndarray, np.ndarray]:
        """What the wrong captions' images show after a move, and what they say after a permutation of the values."""
        shown, names = [], []
        for slots, cluster, place in self.strata:
            n = cluster.max() + 1
            target = rng.choice(len(slots), n, replace=False)
            places = rng.random((n, slots.shape[1])).argsort(axis=1)
            shown.append(slots[target[cluster], places[cluster, place]])
            names.append(rng.random((n, k)).argsort(axis=1)[cluster])
        moved, permuted = np.concatenate(shown), np.concatenate(names)
        said = permuted[self.caption, self.said]
        # What would say the shown value says instead what the formerly shown one becomes, which is free.
        freed = permuted[np.arange(len(moved)), self.shown][self.caption]
        return moved, np.where(said == moved[self.caption], freed, said)


def corrected_p_value(
    cells: Callable[[int], Float64[np.ndarray, "n values"]],
    mentioned: Float64[np.ndarray, "n values"],
    clusters: Int64[np.ndarray, " n"],
    *,
    rates_known: bool,
    moved: Float64[np.ndarray, "ways values values"] | None = None,
    moved_mentions: Float64[np.ndarray, "ways values"] | None = None,
) -> float:
    """Test the same where errors of lexicon or detector are taken out: cells are weighted sums, not counts.

    The sum of squared standardised residuals, with variances over clusters, against the F distribution that has its
    first two moments [rao1984].

    Args:
        cells: For the number of a shown value, what each caption adds to its cells.
        mentioned: What each caption adds to the mentions by shown value.
        clusters: Which captions belong together.
        rates_known: Whether the lexicon's rates are exact; where they are not, only the evenness of the wrong values is
            tested, since an error in the rates shifts all of them alike.
        moved: By how much the sums of the cells move with each independent way in which a detector's rates may be off.
        moved_mentions: The same of the mentions; both or neither.

    Returns:
        The p-value; NaN if nothing can be tested.
    """
    groups = np.unique(clusters, return_inverse=True)[1] % _MOST_CLUSTERS
    n, k = int(groups.max(initial=-1)) + 1, mentioned.shape[1]

    def summed(rows: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(groups, column, minlength=n) for column in rows.T], axis=1)

    if n < 2 or k < (2 if rates_known else 3):
        return float("nan")
    said = summed(mentioned)
    clear = [v for v in range(k) if said[:, v].sum() > 4 * n**0.5 * said[:, v].std()]
    if not clear:
        return float("nan")
    wrong = np.stack([np.delete(summed(cells(v)), v, axis=1) for v in clear], axis=1)  # (clusters, shown, said)
    said = said[:, clear]
    mentions, share = said.sum(axis=0), wrong.sum() / said.sum()

    def scores_of(wrong: np.ndarray, said: np.ndarray) -> np.ndarray:
        total = wrong.sum(axis=2)
        if rates_known:
            apart = (total - share * said).sum(axis=1, keepdims=True) * mentions / mentions.sum()
            total = share * said + apart
        return np.asarray((wrong - total[:, :, None] / (k - 1)).reshape(len(wrong), len(clear) * (k - 1)))

    scores = scores_of(wrong, said)
    centred = scores - scores.mean(axis=0)
    if moved is not None and moved_mentions is not None:
        ways = np.stack([np.delete(moved[:, v], v, axis=1) for v in clear], axis=1)
        off = scores_of(ways, moved_mentions[:, clear]) * ((n - 1) / n) ** 0.5
        centred = np.concatenate([centred, off])
    # One variance for the cells of a shown value: that of a cell in which nobody happens to err would be far too small.
    by_shown = n / (n - 1) * (centred**2).sum(axis=0).reshape(-1, k - 1).mean(axis=1)
    by_shown = np.maximum(by_shown, share * mentions / (k - 1))  # counted right, they would be Poisson's
    variance = np.repeat(by_shown, k - 1)
    told = variance > 1e-12 * variance.max(initial=0)
    if not centred[:, told].any():
        return float("nan")
    gram = centred[:, told] / variance[told] ** 0.5
    gram = gram.T @ gram if gram.shape[1] < len(gram) else gram @ gram.T  # alike in what is made of them
    freedom = float(np.trace(gram) ** 2 / (gram**2).sum())
    mean_square = float((scores.sum(axis=0)[told] ** 2 / variance[told]).mean())
    return float(f_distribution.sf(mean_square, freedom, n - 1))
