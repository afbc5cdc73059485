r"""How strongly captions speak of a factor: the spectrum of its said × shown table, estimated with intervals.

With J the joint distribution of what captions say of a factor ("nothing" among it) and what their images show, its
strengths σ are the singular values but the first of $J / \sqrt{p(\text{said})\, p(\text{shown})}$ [renyi1959].

Those of a sampled table are biased: upwards near 0, and away from one another where strengths are equal. Read in
captions that were held out, by directions found in the others, they err towards one another and downwards. The estimate
is the mean of both; its interval adds half their distance to the standard error, in quadrature. What is certain of the
mean of several neighbouring strengths bounds the largest of them from below and the smallest from above.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from scipy.stats import f as f_distribution
from scipy.stats import t

from vergence.corpus.rates import Items

_GROUPS = 400  # clusters are added up to so many, of which variances are counted
_CELLS = 10_000_000  # of all tables together
_FOLDS = 10
_TURNED = 3.0  # how much larger the variance is of directions that neighbours of equal strength turn about
_SEED = 0
_EXACT = 1e-9


@dataclass(frozen=True, eq=False)
class Tables:
    """Said × shown tables of a factor, by group of clusters.

    Args:
        groups: Captions by what they say (values, then nothing) and what their images show; what mentions several
            values is shared among them. With errors taken out, cells are no counts and can be negative.
        slopes: For each way in which error rates that were estimated may be off, of the lexicon or of a detector, how
            the sum of the tables moves with one standard error of it.
        clusters: How many independent clusters there are.
    """

    groups: Float64[np.ndarray, "groups said shown"]
    slopes: Float64[np.ndarray, "rates said shown"]
    clusters: int


def tables_of(items: Items, values: tuple[str, ...]) -> Tables:
    """Add up what captions say by what their images show, errors of lexicon and detector taken out.

    Args:
        items: One factor's labelled items.
        values: The factor's values.
    """
    k, clusters = len(values), int(items.clusters.max(initial=-1)) + 1
    n_groups = max(2, min(clusters, _GROUPS, _CELLS // (k * (k + 1))))
    groups, slopes = np.zeros((n_groups, k + 1, k)), []
    off = np.zeros((len(items.shifts), k + 1, k))
    for v, value in enumerate(values):
        rows = np.arange(len(items.shown)) if items.detected else np.flatnonzero(items.weights[:, v])
        found, where = items.found[rows], items.clusters[rows] % n_groups
        if items.error is None:
            said = found / np.maximum(found.sum(axis=1, keepdims=True), 1)
        else:
            recall, wrong = items.error.rates(value)
            said = (found - wrong) / (recall - wrong)
        said = np.column_stack([said, 1 - said.sum(axis=1)])
        if items.detected:
            off[:, :, v] = items.shifts[:, :, v] @ items.by_label(said)
        said = said * items.weights[rows, v, None]
        for s in range(k + 1):
            groups[:, s, v] = np.bincount(where, said[:, s], minlength=n_groups)
        for one, variance in enumerate(items.error.variances.get(value, ()) if items.error else ()):
            # (found − f) / (r − f) by r, and by f.
            moved = -groups[:, :k, v].sum(axis=0) + one * items.weights[rows, v].sum()
            slope = np.zeros((k + 1, k))
            slope[:, v] = np.append(moved, -moved.sum()) * (-1) ** one * variance**0.5 / (recall - wrong)
            slopes.append(slope)
    return Tables(groups, np.concatenate([off, *(slope[None] for slope in slopes)]), clusters)


def strengths(tables: Tables, *, level: float) -> Float64[np.ndarray, "directions 3"]:
    r"""Estimate the strengths of a factor's k − 1 directions, each with an interval.

    An interval is $\hat σ ± t \sqrt{f s^2 + d^2}$ with the standard error s over clusters of the correlation of the two
    readings, half the distance d of the strengths seen and held out, and the factor f of up to 4 where neighbouring
    strengths cannot be told apart, so that directions turn. ε = t²/(n + t²) is Wilson's share for the n clusters that a
    direction is read from, fewer where it speaks of a rare value: below, so much may be said at random (σ (1 - ε), and
    2ε/n is added to the variance); above, so much may be mentioned that is not (σ² + ε (1 - σ²)). Where a test at half
    of 1 - level cannot tell what is said from what is said independently of the image, every lower end is 0. A value
    that no image shows may be told by anything: its direction has all of [0, 1].

    Args:
        tables: From `tables_of`.
        level: Nominal coverage of each interval, in (0, 1).

    Returns:
        Strength, low and high by direction, the strongest first; each in [0, 1].
    """
    joint, n = tables.groups.sum(axis=0), tables.clusters
    shown = joint.sum(axis=0) / joint.sum()
    m = max(0, int((shown > 0).sum()) - 1)  # directions between values that are shown
    found = np.tile((0.0, 0.0, 1.0), (joint.shape[1] - 1, 1))
    if m == 0 or n < 2:
        return found
    seen, u, v = _directions(joint, m)
    exact = bool((seen > 1 - _EXACT).all())  # then nothing that is held out can speak against it
    held_out = seen if exact else _held_out(tables.groups, m)
    parts = _influence(tables, seen, u, v)
    z = float(t.ppf(0.5 + level / 2, len(tables.groups) - 1))
    leverage = _leverage(seen, v, shown)
    turns = _Turns(seen, (parts**2).sum(axis=0) ** 0.5)
    low, high = np.zeros(m), np.ones(m)
    for first in range(m):
        # Of the mean of the strengths from the first on, over one direction, two and so on.
        middle, apart = (_means((seen + sign * held_out) / 2, first) for sign in (1, -1))
        variance = turns.factor(first) * (_means(parts.T, first) ** 2).sum(axis=1) + apart**2
        read = n / np.maximum(1, (_means(leverage, first) ** 2) @ shown.clip(0))
        rare, told = z * z / (read + z * z), middle.clip(0, 1) ** 2
        low[first] = (middle * (1 - rare) - z * np.sqrt(variance + 2 * rare / read)).max()
        high[first:] = np.minimum(high[first:], np.sqrt(told + rare * (1 - told)) + z * np.sqrt(variance))
    if _independence(tables.groups) > (1 - level) / 2:
        low[:] = 0
    low = np.maximum.accumulate(low[::-1])[::-1].clip(0, 1)
    high = np.minimum.accumulate(high).clip(0, 1)
    middle = np.sort((seen + held_out) / 2)[::-1].clip(low, high)
    found[:m] = np.column_stack([np.where(middle > 1 - _EXACT, 1.0, middle), low, high])
    return found


def rows_of(factor: str, found: Float64[np.ndarray, "directions 3"]) -> pd.DataFrame:
    """Strengths as `vergence.theory.spectrum` has them: a row for each direction, for equal ones together.

    Returns:
        Columns factors, order, strength, multiplicity, low, high, how.
    """
    table = pd.DataFrame(found.round(9), columns=["strength", "low", "high"])
    table = table.groupby(["strength", "low", "high"], sort=False).size().rename("multiplicity").reset_index()
    return table.assign(factors=pd.Series([(factor,)] * len(table), dtype=object), order=1, how="table")[list(COLUMNS)]


COLUMNS = ("factors", "order", "strength", "multiplicity", "low", "high", "how")


def _directions(joint: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The m largest singular values of a table but the first, and what they read: functions of mean 0, variance 1."""
    joint = joint / joint.sum()
    margins = joint.sum(axis=1), joint.sum(axis=0)
    said, shown = map(_inverse_root, margins)
    u, values, vt = np.linalg.svd(said[:, None] * (joint - np.outer(*margins)) * shown, full_matrices=False)
    return values[:m].clip(0, 1), said[:, None] * u[:, :m], (vt[:m] * shown).T


def _inverse_root(margin: np.ndarray) -> np.ndarray:
    return np.where(margin > 0, np.where(margin > 0, margin, 1) ** -0.5, 0)


def _independence(groups: np.ndarray) -> float:
    """The p-value of independence: the sum of squared strengths, against that of groups that have nothing in common."""
    joint = groups.sum(axis=0) / groups.sum()
    said, shown = joint.sum(axis=1), joint.sum(axis=0)
    apart = groups - said[:, None] * groups.sum(axis=1, keepdims=True) - groups.sum(axis=2, keepdims=True) * shown
    apart += np.outer(said, shown) * groups.sum(axis=(1, 2))[:, None, None]
    gram = (apart * _inverse_root(said)[:, None] * _inverse_root(shown)).reshape(len(groups), -1)
    gram = gram @ gram.T
    if not np.trace(gram) > 0:
        return 1.0
    freedom = float(np.trace(gram) ** 2 / (gram**2).sum())
    return float(f_distribution.sf(gram.sum() / np.trace(gram), freedom, len(groups) - 1))


def _held_out(groups: np.ndarray, m: int) -> np.ndarray:
    """Correlations of directions found in nine tenths of the clusters, in the last tenth."""
    fold = np.random.default_rng(_SEED).permutation(len(groups)) % _FOLDS
    joint, sums = groups.sum(axis=0), np.zeros((3, m))
    for one in np.unique(fold):
        test = groups[fold == one].sum(axis=0)
        if not (joint - test).sum() > 0:
            continue
        values, u, v = _directions(joint - test, m)
        u = u * (values > _EXACT)  # without strength it may be a constant
        sums += ((u * (test @ v)).sum(axis=0), test.sum(axis=1) @ u**2, test.sum(axis=0) @ v**2)
    told = (sums[1:] > _EXACT * joint.sum()).all(axis=0)
    return np.where(told, sums[0] / np.sqrt(np.where(told, sums[1] * sums[2], 1)), 0).clip(-1, 1)


def _influence(tables: Tables, seen: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """What each group adds to each strength, to first order; one more row for each error rate."""
    total, n = tables.groups.sum(), len(tables.groups)
    moved = np.concatenate([tables.groups * (n / (n - 1)) ** 0.5, tables.slopes])
    both = np.einsum("gsj,sj->gj", moved @ v, u)
    margins = moved.sum(axis=2) @ u**2 + moved.sum(axis=1) @ v**2
    return np.asarray((both - seen * margins / 2) / total)


def _leverage(seen: np.ndarray, v: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """How much each value weighs in each direction; the same in directions of the very same strength."""
    squares = (v**2).T
    silent = seen < _EXACT  # among those may be constants; together with the others they are all but one function
    if silent.any():
        rest = np.where(shown > 0, 1 / np.where(shown > 0, shown, 1) - 1, 0) - squares[~silent].sum(axis=0)
        squares[silent] = rest.clip(0) / silent.sum()
    equal = np.cumsum(np.append(0, np.diff(seen) < -_EXACT))
    means = np.stack([np.bincount(equal, column) for column in squares.T], axis=1) / np.bincount(equal)[:, None]
    return np.asarray(means[equal])


def _means(values: np.ndarray, first: int) -> np.ndarray:
    """Means over the directions from the first on, of one, two and so on."""
    rest = values[first:].cumsum(axis=0)
    return np.asarray((rest.T / np.arange(1, len(rest) + 1)).T)


@dataclass(frozen=True, eq=False)
class _Turns:
    """By how much the variance of held-out directions is larger where neighbours are about as strong as they."""

    seen: np.ndarray
    error: np.ndarray

    def factor(self, first: int) -> np.ndarray:
        """For the directions from the first on, one, two and so on, taken together."""
        ends = np.concatenate([[np.inf], self.seen, [-self.seen[-1]]])  # the mirror image of the weakest repels it
        above = self._at(ends[first] - ends[first + 1], self.error[first])
        below = self._at(ends[first + 1 : -1] - ends[first + 2 :], self.error[first:])
        return np.asarray(np.maximum(above, below))

    @staticmethod
    def _at(gap: Any, error: Any) -> np.ndarray:
        return np.asarray(1 + _TURNED / (1 + (gap / np.maximum(2 * error, 1e-12)) ** 2))
