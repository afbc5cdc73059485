"""How much of a factor passes from image to text."""

from math import nan, sqrt

import numpy as np

from vergence.channels import AdditiveNoise, Redraw, Unstated
from vergence.factors import FactorSpace
from vergence.misalignment import Misalignment


def strength(space: FactorSpace, misalignment: Misalignment, name: str) -> float:
    r"""Correlation of the best reading of a factor in the image with the best reading of it in the text.

    Of the singular values of $p(\text{said}, \text{shown}) / \sqrt{p(\text{said})\, p(\text{shown})}$ the largest but
    the first, which is 1. "Nothing said" is one of the things said. Mentioned with probability q and
    redrawn uniformly with probability ρ, it is $\sqrt q\,(1 - ρ)$; a continuous factor of unit variance under noise of
    variance v with probability p has at least $1 / \sqrt{1 + p v}$ of it, by its linear reading. Values count as
    equally frequent. Source: maximal correlation [renyi1959].

    Args:
        space: All factors.
        misalignment: What the text says of them.
        name: Which factor.

    Returns:
        In [0, 1]; NaN where the misalignment does not state it: for a channel of its own kind, or a rate that is a
        function.

    Raises:
        FactorError: If the factor is unknown, or the misalignment does not fit the space.

    Example:
        >>> from vergence import Factor
        >>> space = FactorSpace((Factor("size", ("small", "large")),))
        >>> round(strength(space, Misalignment.of_rates({"size": 0.64}, redraw={"size": 0.5}), "size"), 6)
        0.4
    """
    factor = space[name]
    misalignment.check(space)
    if name not in misalignment.selected:
        return 0.0
    rate, channel = misalignment.mention[name], misalignment.channels.get(name)
    if channel is None and rate == 1.0:
        return 1.0
    if callable(rate) or isinstance(channel, Unstated):
        return nan
    if factor.values is not None:
        k = len(factor.values)
        said = np.eye(k) if channel is None else channel.table(factor)
        return nan if said is None else _largest(np.asarray(said), np.broadcast_to(rate, k))
    assert isinstance(rate, float)  # a continuous factor has no rates per value
    if channel is None:
        return sqrt(rate)
    if isinstance(channel, Redraw):
        return sqrt(rate) * (1 - channel.probability)
    if isinstance(channel, AdditiveNoise):
        place = space.names.index(name)
        variance = channel.scale**2 * (1.0 if channel.covariance is None else float(channel.covariance[place, place]))
        return sqrt(rate / (1 + channel.probability * variance))
    return nan


def _largest(said: np.ndarray, rate: np.ndarray) -> float:
    """Largest singular value but the first, of a channel (said by shown) whose every value is mentioned at a rate."""
    joint = np.vstack([said * rate, 1 - rate]) / said.shape[1]
    joint = joint[joint.sum(axis=1) > 0]
    normalised = joint / np.sqrt(np.outer(joint.sum(axis=1), joint.sum(axis=0)))
    values = np.linalg.svd(normalised, compute_uv=False)
    return float(np.clip(values[1], 0, 1)) if len(values) > 1 else 0.0
