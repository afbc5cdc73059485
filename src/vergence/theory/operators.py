r"""Singular values of the operator E[· | text] of one factor: from a table, by quadrature, or from drawn pairs.

Functions of what is shown are taken to their expectations given what is said. The first singular value is 1, that of
constants, and left out everywhere. Source: Hirschfeld, Gebelein and Rényi's maximal correlation [renyi1959].
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from math import ceil, sqrt
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import eval_legendre
from scipy.stats import norm, rankdata

from vergence.errors import ConfigError, ShapeError

_REACH = 8.0  # standard deviations of what is shown
_STEP = 0.04
_FINEST = 0.016
_DEGREE = 5  # of the polynomials that read a continuous factor
_TAIL = 2.25  # where they level off: readings of a few extreme pairs would find correlations that are not there


def of_table(joint: Any) -> Float[np.ndarray, " directions"]:
    r"""Singular values of $p(\text{said}, \text{shown}) / \sqrt{p(\text{said})\,p(\text{shown})}$, but the first.

    Args:
        joint: Probabilities or counts, (said, shown), ≥ 0, of what is said (rows, "nothing" among them where texts
            pass over the factor) with what is shown (columns).

    Returns:
        In [0, 1], descending: min(said, shown) - 1 of them, rows and columns without mass not counted.

    Raises:
        ShapeError: If it is no table.
        ConfigError: If an entry is negative or not finite, or there is no mass.

    Example:
        >>> of_table([[3, 1], [1, 3]]).round(3)  # right in three quarters: redrawn with probability 1/2
        array([0.5])
    """
    mass = np.asarray(joint, dtype=float)
    if mass.ndim != 2:
        raise ShapeError(f"a table of said by shown has two dimensions; got {mass.ndim}")
    if not np.isfinite(mass).all() or (mass < 0).any() or mass.sum() <= 0:
        raise ConfigError("a table of said by shown holds probabilities or counts, >= 0 and not all 0")
    mass = mass[mass.sum(axis=1) > 0][:, mass.sum(axis=0) > 0]
    normalised = mass / np.sqrt(np.outer(mass.sum(axis=1), mass.sum(axis=0)))
    values: np.ndarray = np.linalg.svd(normalised, compute_uv=False)[1:]
    return values.clip(0, 1)


@lru_cache(maxsize=256)
def of_noise(chance: float, variance: float, order: int) -> tuple[float, ...]:
    r"""Singular values of $\tilde s = s + B\sqrt v\,\epsilon$ with $s, \epsilon \sim N(0, 1)$, $B \sim$ Bernoulli(p).

    Where noise is certain they are $(1 + v)^{-d/2}$, of the Hermite polynomials. Otherwise the operator is not compact:
    a text that is right with probability $w(t)$ shows the value itself, and $\sqrt{(1 - p) \max_t w(t)}$ is the end of
    a continuum, above which a few values stand alone.

    Args:
        chance: p, in (0, 1].
        variance: v, above 0.
        order: How many.

    Returns:
        The first so many, descending; all that lie in the continuum count as its upper end.
    """
    if chance == 1:
        return tuple((1 + variance) ** (-d / 2) for d in range(1, order + 1))
    step = min(_STEP, max(_FINEST, sqrt(variance) / 3))
    shown = np.linspace(-_REACH, _REACH, 2 * ceil(_REACH / step) + 1)
    step = shown[1] - shown[0]
    # What is said beyond what can be shown: panels of Gauss and Legendre's rule, which no kink in the step disturbs.
    nodes, weights = np.polynomial.legendre.leggauss(96)
    far = _REACH + sqrt(1 + variance) * _REACH * (nodes + 1) / 2
    far_step = sqrt(1 + variance) * _REACH * weights / 2
    said = np.concatenate([shown, far, -far])
    width = np.concatenate([np.full(len(shown), step), far_step, far_step])
    spread = sqrt(variance)
    joint = chance * step * norm.pdf(shown)[:, None] * norm.pdf((said - shown[:, None]) / spread) / spread * width
    joint[np.arange(len(shown)), np.arange(len(shown))] += (1 - chance) * step * norm.pdf(shown)
    joint = joint[:, joint.sum(axis=0) > 0]  # far out, densities underflow
    scaled = joint / np.sqrt(joint.sum(axis=1, keepdims=True)) / np.sqrt(joint.sum(axis=0))
    squares = np.linalg.eigvalsh(scaled @ scaled.T)[::-1][1 : order + 1]
    right = (1 - chance) / (1 - chance + chance / sqrt(1 + variance))  # that a text of 0 is right
    values = np.maximum(np.sqrt(squares.clip(0, 1)), sqrt((1 - chance) * right))
    return tuple(np.concatenate([values, np.full(order - len(values), values[-1])]).tolist())


def of_pairs(
    shown: Float[np.ndarray, "n factors"],
    said: Float[np.ndarray, "n factors"],
    values: Sequence[int | None],
    *,
    count: int,
) -> Float[np.ndarray, "3 count"]:
    """Canonical correlations between readings of factors in drawn pairs, found on one half and measured on the other.

    Readings are indicators of a discrete factor's values, and polynomials up to degree 5 of a continuous one's normal
    scores; of what is said also whether anything is. What other functions could read is missed: estimates are from
    below. Of several factors, products that involve each.

    Args:
        shown: Of each factor, what images show: numbers, or positions of values.
        said: What texts say, NaN where they are silent.
        values: How many values each factor has; `None` if it is continuous.
        count: How many correlations.

    Returns:
        Values, and the ends of their 95 % intervals, by the variance of a correlation of any two variables; in [0, 1],
        padded with 0.
    """
    image = _products([_readings(*side) for side in zip(shown.T, values, strict=True)])
    text = _products([_readings(*side) for side in zip(said.T, values, strict=True)])
    half = len(image) // 2
    measured = [
        _held_out(image[fit], text[fit], image[test], text[test])
        for fit, test in ((slice(half), slice(half, None)), (slice(half, None), slice(half)))
    ]
    least = min(one.shape[1] for one in measured)
    mean, variance = np.mean([one[:, :least] for one in measured], axis=0)
    order = np.argsort(mean)[::-1][:count]
    found = np.zeros((3, count))
    reach = 1.96 * np.sqrt(variance[order] / 2)
    found[:, : len(order)] = (mean[order] + np.outer([0, -1, 1], reach)).clip(0, 1)
    return found


def _readings(side: np.ndarray, values: int | None) -> np.ndarray:
    """Functions of one factor, with a constant in front."""
    silent = np.isnan(side)
    columns = [np.ones(len(side))]
    if silent.any():
        columns.append(silent.astype(float))
    if values is None:
        spoken = side[~silent]
        scores = norm.ppf((rankdata(spoken) - 0.5) / max(1, len(spoken))).clip(-_TAIL, _TAIL) / _TAIL
        for degree in range(1, _DEGREE + 1):
            column = np.zeros(len(side))
            column[~silent] = eval_legendre(degree, scores)
            columns.append(column)
    else:
        columns += [(side == value).astype(float) for value in range(values)]
    return np.stack(columns, axis=1)


def _products(readings: Sequence[np.ndarray]) -> np.ndarray:
    """Products of one function of each factor, none of which is constant."""
    wide = [one[:, 1:] - one[:, 1:].mean(axis=0) for one in readings]
    columns = [
        np.prod([one[:, place] for one, place in zip(wide, places, strict=True)], axis=0)
        for places in product(*(range(one.shape[1]) for one in wide))
    ]
    return np.stack(columns, axis=1)


def _held_out(image: np.ndarray, text: np.ndarray, image_test: np.ndarray, text_test: np.ndarray) -> np.ndarray:
    """Correlations of what is fitted, and their variances."""
    (x, x_test), (t, t_test) = (_whitened(image, image_test), _whitened(text, text_test))
    left, _, right = np.linalg.svd(x.T @ t, full_matrices=False)
    a, b = x_test @ left, t_test @ right.T
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norms = np.sqrt((a**2).mean(axis=0) * (b**2).mean(axis=0))
    known = norms > 0
    a, b = (
        a[:, known] / np.sqrt((a[:, known] ** 2).mean(axis=0)),
        b[:, known] / np.sqrt((b[:, known] ** 2).mean(axis=0)),
    )
    found = (a * b).mean(axis=0)
    return np.stack([found, ((a * b - found * (a**2 + b**2) / 2) ** 2).mean(axis=0) / len(a)])


def _whitened(fit: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = fit.mean(axis=0)
    squares, axes = np.linalg.eigh((fit - middle).T @ (fit - middle))
    kept = squares > 1e-9 * max(squares.max(initial=0), 1e-300)
    change = axes[:, kept] / np.sqrt(squares[kept])
    return (fit - middle) @ change, (test - middle) @ change
