"""What every contrastive loss is made of: how alike all pairs of a batch are, summarised per row and per column.

The positive is kept apart from its negatives. With both in one log-sum-exp, a well-aligned pair would lose its
gradient, a difference of nearly equal numbers, to rounding.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vergence.checks import finite, one_of, positive, same_shape
from vergence.errors import ShapeError

Similarity = Callable[[Tensor, Tensor], Tensor]  # (n items, m items) -> (n, m)


class Contrast(NamedTuple):
    """A batch of pairs, seen from both modalities."""

    positives: Float[Tensor, " batch"]  # s_ii
    rows: Float[Tensor, " batch"]  # log sum_{j != i} exp s_ij
    columns: Float[Tensor, " batch"]  # log sum_{j != i} exp s_ji
    mean: Float[Tensor, ""]  # of all s_ij


def contrast(
    z_image: Tensor, z_text: Tensor, *, temperature: float | Tensor, similarity: str | Similarity = "cosine"
) -> Contrast:
    """Compare all images of a batch with all its texts; half-precision inputs are compared in float32.

    Args:
        z_image: Representations of the images, one row an item.
        z_text: Representations of the texts that they pair with, in the same order.
        temperature: What similarities are divided by.
        similarity: A name from `SIMILARITIES`, or a function from two batches to the matrix of their similarities.

    Raises:
        ConfigError: If the temperature is not above zero or the similarity is unknown.
        ShapeError: If there are fewer than two pairs, or shapes do not pair up.
    """
    check_temperature(temperature)
    z_image, z_text = widen(z_image), widen(z_text)
    if isinstance(similarity, str):
        one_of("similarity", similarity, SIMILARITIES)
        check_vectors(z_image, z_text, minimum=2)
        prepare = SIMILARITIES[similarity]
        a, b = prepare(z_image) / temperature, prepare(z_text)
        matrix = a @ b.T
    else:
        check_batch(z_image, z_text, minimum=2)
        matrix = similarity(z_image, z_text) / temperature
    itself = torch.eye(len(matrix), dtype=torch.bool, device=matrix.device)
    negatives = matrix.masked_fill(itself, -torch.inf)
    return Contrast(matrix.diagonal(), negatives.logsumexp(1), negatives.logsumexp(0), matrix.mean())


def unit(z: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
    """Scale every row to length 1. A zero row stays zero, and gets no gradient instead of an unbounded one."""
    length: Tensor = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    zero, overflow = length == 0, length == torch.inf
    length = length.masked_fill(zero, 1).masked_fill(overflow, torch.nan)  # to divide by infinity would give a zero row
    return (z / length).masked_fill(zero, 0)


SIMILARITIES: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType({"cosine": unit, "dot": lambda z: z})
"""What each named similarity does to both sides before their dot product."""


def widen(z: Tensor) -> Tensor:
    """Take half precision to float32; leave float32 and float64 as they are."""
    return z.float() if z.dtype in {torch.bfloat16, torch.float16} else z


def check_temperature(temperature: float | Tensor) -> None:
    """Require a temperature above zero; a learned one is kept there by its own bounds.

    Raises:
        ConfigError: If a number is not above zero.
    """
    if not isinstance(temperature, Tensor):
        positive("temperature", temperature)


def check_vectors(z_image: Tensor, z_text: Tensor, *, minimum: int = 1) -> None:
    """Require two batches of vectors of one shape.

    Raises:
        ShapeError: Saying what was received and what is needed.
    """
    same_shape(z_image=z_image, z_text=z_text)
    if z_image.ndim != 2:
        raise ShapeError(f"z_image and z_text must be (batch, dim); got {tuple(z_image.shape)}")
    check_batch(z_image, z_text, minimum=minimum)


def check_batch(z_image: Tensor, z_text: Tensor, *, minimum: int = 1) -> None:
    """Require as many images as texts, and enough of them.

    Raises:
        ShapeError: Saying what was received and what is needed.
    """
    if len(z_image) != len(z_text):
        raise ShapeError(f"each image must pair with one text; got {len(z_image)} images, {len(z_text)} texts")
    if len(z_image) < minimum:
        reason = " (a contrast needs a negative)" if minimum > 1 else ""
        raise ShapeError(f"batch must hold >= {minimum} pairs{reason}; got {len(z_image)}")


def checked(loss: Float[Tensor, ""], **inputs: Tensor) -> Float[Tensor, ""]:
    """Pass a finite loss on; otherwise say which input is to blame. Costs one scalar, not a pass over the inputs.

    Raises:
        ShapeError: If an input holds NaN or infinity, or similarities overflow.
    """
    if not loss.isfinite():
        finite(**inputs)
        raise ShapeError(
            f"the loss is {loss.item()} although every input is finite: entries as large as "
            f"{max(float(z.detach().abs().max()) for z in inputs.values()):.1e} overflow; normalise or standardise them"
        )
    return loss


def cross_entropy(positives: Tensor, negatives: Tensor) -> Tensor:
    """Return -log of the positive's share, -log(e^s / (e^s + sum e^n)), with the negatives given by log-sum-exp."""
    return -nn.functional.logsigmoid(positives - negatives)
