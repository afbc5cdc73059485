r"""Which images a person is asked about, so that a detector's error rates become known: how many, and of which strata.

Images are divided by label, and within a label by how sure the detector is. An image is the more worth an answer the
larger its stratum $N_h$, the less sure the detector, and the rarer the label, since each label's rates are wanted:
answers are given out one by one to the stratum of largest $s_h \sqrt{N_h} / \sqrt{m (m + 1)}$, m being how many it
has, which is the best allocation in whole numbers for these weights [wright2012], and for every n begins as for n - 1.
"""

import heapq
from collections.abc import Sequence
from math import sqrt

import numpy as np
from jaxtyping import Float, Int64
from scipy.stats import norm

from vergence.checks import at_least, inside
from vergence.errors import ConfigError

UNSURE = (0.5, 0.35, 0.25)
"""Standard deviations of an error that are planned for, from the third of a label's images with the least margin on."""

_LEAST = 2
_LEVEL = 0.95


def strata_of(labels: Int64[np.ndarray, " n"], margins: Float[np.ndarray, " n"] | None) -> Int64[np.ndarray, " n"]:
    """Number the strata: three times the label, plus the third of its margins, the smallest first; equal ones together.

    Args:
        labels: Of each image, >= 0; negative where it has none, and then neither a stratum (-1).
        margins: How sure the detector is; all strata are first thirds if it does not say.

    Example:
        >>> strata_of(np.array([0, 0, 0, 1, -1]), np.array([0.1, 0.9, 0.5, 0.2, 0.0])).tolist()
        [0, 2, 1, 3, -1]
    """
    found = np.where(labels >= 0, len(UNSURE) * labels, -1)
    if margins is None:
        return found
    for label in np.unique(labels[labels >= 0]):
        own = labels == label
        rank = (margins[own][:, None] > np.sort(margins[own])[None]).mean(axis=1)
        found[own] += np.floor(len(UNSURE) * rank).astype(np.int64).clip(max=len(UNSURE) - 1)
    return found


def allocate(images: Sequence[int], n: int) -> list[int]:
    """How many of each stratum are asked about: at least two, or all that it has.

    Args:
        images: How many each stratum has; their numbers are those of `strata_of`.
        n: How many answers there are to be; more if two of each are more, all if there are fewer.

    Example:
        >>> allocate([100, 100, 100, 10, 0, 0], 60)
        [24, 17, 12, 7, 0, 0]
    """
    given = [min(_LEAST, there) for there in images]
    queue = [(-_worth(h, there, m), h) for h, (there, m) in enumerate(zip(images, given, strict=True)) if m < there]
    heapq.heapify(queue)
    for _ in range(min(n, sum(images)) - sum(given)):
        _, h = heapq.heappop(queue)
        given[h] += 1
        if given[h] < images[h]:
            heapq.heappush(queue, (-_worth(h, images[h], given[h]), h))
    return given


def _worth(stratum: int, images: int, asked: int) -> float:
    return UNSURE[stratum % len(UNSURE)] * sqrt(images) / sqrt(asked * (asked + 1)) if asked else float("inf")


def planned_width(images: Sequence[int], asked: Sequence[int]) -> float:
    r"""How wide the interval of the share of wrong labels will be at most.

    $2 z \sqrt{\sum_h W_h^2 \tfrac14 (1/n_h - 1/N_h)}$ with $W_h = N_h / N$: as if half of each stratum were wrong.

    Args:
        images: How many each stratum has.
        asked: How many answers there are about each.
    """
    total = sum(images)
    if not total:
        return 0.0
    pairs = [(there, m) for there, m in zip(images, asked, strict=True) if there]
    if any(m == 0 for _, m in pairs):
        return 1.0
    variance = sum((there / total) ** 2 * 0.25 * (1 / m - 1 / there) for there, m in pairs)
    return min(1.0, 2 * float(norm.ppf(0.5 + _LEVEL / 2)) * sqrt(variance))


def answers_needed(images: Sequence[int], width: float) -> int:
    """The fewest answers whose `planned_width` is at most this.

    Raises:
        ConfigError: If the width is not inside (0, 1).

    Example:
        >>> answers_needed([100_000], 0.1), answers_needed([500], 0.1)
        (383, 218)
    """
    inside("width", width, 0, 1)
    low, high = 0, sum(images)
    while low < high:
        middle = (low + high) // 2
        if planned_width(images, allocate(images, middle)) <= width:
            high = middle
        else:
            low = middle + 1
    return max(low, sum(allocate(images, 0)))


def draw(strata: Int64[np.ndarray, " n"], n: int, *, generator: np.random.Generator) -> Int64[np.ndarray, " asked"]:
    """Which images to ask about: of each stratum as many as are allocated, at random, and in random order.

    Whoever stops after some of them has answered about a random part. A larger sample from the same generator holds the
    smaller one.

    Args:
        strata: From `strata_of`; negative ones are not asked about.
        n: How many, >= 1.
        generator: Draws.

    Raises:
        ConfigError: If `n` is not positive, or no image has a stratum.
    """
    at_least("ask", n, 1)
    if not (strata >= 0).any():
        raise ConfigError("no image has a label, so there is nothing to ask about")
    order = generator.permutation(len(strata))
    images = np.bincount(strata[strata >= 0], minlength=len(UNSURE))
    asked = allocate(images.tolist(), n)
    chosen = [order[strata[order] == h][:m] for h, m in enumerate(asked) if m]
    place = np.empty(len(strata), dtype=np.int64)
    place[order] = np.arange(len(strata))
    found = np.concatenate(chosen)
    return np.asarray(found[np.argsort(generator.permutation(len(strata))[found], kind="stable")])
