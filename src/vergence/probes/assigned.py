"""Zero-shot scores as labels: of values that exclude each other the best, of others those that are there; or none."""

import numpy as np
from jaxtyping import Float, Float64, Int64

from vergence.checks import inside, probability
from vergence.errors import ShapeError

MARGIN = 0.1
"""The margin, as a difference of probabilities, below which an image gets no label, unless another is asked for."""
THRESHOLD = 0.5
"""The probability from which on something is there, unless another is asked for."""


def best_values(
    similarity: Float[np.ndarray, "n values"], *, scale: float, margin: float = MARGIN
) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Label each image with the value that is most probable: softmax of the model's scale times the cosines.

    Args:
        similarity: Cosines of images and texts of values, of which an image shows one.
        scale: Of the model's logits.
        margin: How much more probable the best must be than the second, in [0, 1).

    Returns:
        Places of values, -1 where the margin is less; and the margins, 1 for a single value.

    Raises:
        ShapeError: If a similarity is not finite.
        ConfigError: If the margin is outside [0, 1].

    Example:
        >>> labels, margins = best_values(np.array([[0.3, 0.2], [0.25, 0.25]]), scale=20.0)
        >>> labels.tolist(), margins.round(2).tolist()
        ([0, -1], [0.76, 0.0])
    """
    _check(similarity, margin)
    logits = scale * similarity.astype(np.float64)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    ordered = np.sort(p, axis=1)
    margins = ordered[:, -1] - (ordered[:, -2] if p.shape[1] > 1 else 0)
    return np.where(margins >= margin, p.argmax(axis=1), -1), margins


def present_values(
    similarity: Float[np.ndarray, "n values"],
    neutral: Float[np.ndarray, " n"],
    *,
    scale: float,
    bias: float,
    threshold: float = THRESHOLD,
    margin: float = MARGIN,
) -> tuple[Int64[np.ndarray, "n values"], Float64[np.ndarray, "n values"]]:
    """Say of each value whether an image shows it: the sigmoid of its logit, against a threshold.

    A model with a bias was trained to tell so; the logit of another one is its scale times by how much the cosine
    exceeds that of a text of none of the values in particular.

    Args:
        similarity: Cosines of images and texts of values, of which an image may show several.
        neutral: Cosines of the images and that text.
        scale: Of the model's logits.
        bias: Of the model's logits; 0 if it has none.
        threshold: The probability from which on a value is there, inside (0, 1).
        margin: How far from the threshold, twice, the probability must be for a label.

    Returns:
        1 where a value is there, 0 where it is not, -1 where the margin is less; and twice the distances.

    Raises:
        ShapeError: If a similarity is not finite.
        ConfigError: If the margin or the threshold is out of range.

    Example:
        >>> found, _ = present_values(np.array([[0.3, 0.1]]), np.array([0.2]), scale=20.0, bias=0.0)
        >>> found.tolist()
        [[1, 0]]
    """
    _check(similarity, margin)
    inside("threshold", threshold, 0, 1)
    logits = scale * similarity.astype(np.float64) + bias if bias else scale * (similarity - neutral[:, None])
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    margins = 2 * np.abs(p - threshold)
    return np.where(margins >= margin, (p >= threshold).astype(np.int64), -1), margins


def _check(similarity: np.ndarray, margin: float) -> None:
    probability("margin", margin)
    if not np.isfinite(similarity).all():
        raise ShapeError("similarity holds NaN or infinite numbers; look at the embeddings they come from")
