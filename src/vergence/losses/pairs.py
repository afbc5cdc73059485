"""What every contrastive loss is made of: how alike all pairs of a batch are, summarised per row and per column.

The positive is kept apart from its negatives. With both in one log-sum-exp, a well-aligned pair would lose its
gradient, a difference of nearly equal numbers, to rounding.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vergence.checks import at_least, finite, one_of, positive, same_shape
from vergence.errors import ShapeError
from vergence.losses.blockwise import pair_logsumexp

Similarity = Callable[[Tensor, Tensor], Tensor]  # (n items, m items) -> (n, m)


class Contrast(NamedTuple):
    """A batch of pairs, seen from both modalities."""

    positives: Tensor  # s_ii
    rows: Tensor  # log sum_{j != i} exp s_ij
    columns: Tensor  # log sum_{j != i} exp s_ji
    mean: Tensor  # of all s_ij, a scalar


def contrast(
    z_image: Tensor,
    z_text: Tensor,
    *,
    temperature: float | Tensor,
    similarity: str | Similarity = "cosine",
    block_size: int | None = None,
) -> Contrast:
    """Compare all images of a batch with all its texts; half-precision inputs are compared in float32.

    Args:
        z_image: Representations of the images, one row an item.
        z_text: Representations of the texts that they pair with, in the same order.
        temperature: What similarities are divided by.
        similarity: A name from `SIMILARITIES`, or a function from two batches to the matrix of their similarities.
        block_size: Images that are compared at once; all of them if `None`.

    Raises:
        ConfigError: If the temperature is not above zero, the similarity is unknown or a block is empty.
        ShapeError: If there are fewer than two pairs, or shapes do not pair up.
    """
    check_scale(temperature, block_size)
    z_image, z_text = widen(z_image), widen(z_text)
    if callable(similarity):
        check_batch(z_image, z_text, minimum=2)
        return summarize(lambda a, b: similarity(a, b) / temperature, z_image, z_text, block_size=block_size)
    one_of("similarity", similarity, SIMILARITIES)
    check_vectors(z_image, z_text, minimum=2)
    prepare = SIMILARITIES[similarity]
    return summarize_products(prepare(z_image) / temperature, prepare(z_text), block_size=block_size)


def summarize_products(a: Tensor, b: Tensor, *, block_size: int | None) -> Contrast:
    """Summarise the matrix a @ b.T of paired rows."""
    if block_size is None:
        return summarize(lambda a, b: a @ b.T, a, b, block_size=None)
    rows, columns = pair_logsumexp(a, b, paired=True, block_size=block_size)
    return Contrast((a * b).sum(-1), rows, columns, a.mean(0) @ b.mean(0))


def summarize(similarity: Similarity, a: Tensor, b: Tensor, *, block_size: int | None) -> Contrast:
    """Summarise a matrix of similarities, whatever the function; of blocks, the backward pass keeps nothing."""

    def block(a_rows: Tensor, b: Tensor, start: int) -> tuple[Tensor, ...]:
        matrix = similarity(a_rows, b)
        # A view of the diagonal would keep its block alive.
        positives = matrix.diagonal(start).clone()
        # The lowest number, not -inf: a column of a block may hold nothing else, and its gradient must not be NaN.
        index = torch.arange(len(b), device=b.device)
        itself = index[start : start + len(a_rows), None] == index
        negatives = matrix.masked_fill(itself, torch.finfo(matrix.dtype).min)
        return positives, negatives.logsumexp(1), negatives.logsumexp(0), matrix.mean(1)

    if block_size is None:
        positives, rows, columns, means = block(a, b, 0)
        return Contrast(positives, rows, columns, means.mean())
    starts = range(0, len(a), block_size)
    parts = [checkpoint(block, a[i : i + block_size], b, i, use_reentrant=False) for i in starts]
    of_blocks = list(zip(*parts, strict=True))
    positives, rows, means = (torch.cat(of_blocks[k]) for k in (0, 1, 3))
    return Contrast(positives, rows, torch.stack(of_blocks[2]).logsumexp(0), means.mean())


def summarize_strangers(similarity: Similarity | None, a: Tensor, b: Tensor, *, block_size: int | None) -> Tensor:
    """Return the log-sum-exp of each row of similarities, or of a @ b.T, where no two items are partners."""
    if similarity is None and block_size is not None:
        return pair_logsumexp(a, b, paired=False, block_size=block_size)[0]

    def block(a_rows: Tensor, b: Tensor) -> Tensor:
        return (a_rows @ b.T if similarity is None else similarity(a_rows, b)).logsumexp(1)

    if block_size is None:
        return block(a, b)
    return torch.cat([checkpoint(block, rows, b, use_reentrant=False) for rows in torch.split(a, block_size)])


def off_diagonal_logsumexp(a: Tensor, b: Tensor, block_size: int | None) -> Tensor:
    """Return log sum_{j != i} e^(a_i . b_j) of each row."""
    if block_size is None:
        return summarize(lambda a, b: a @ b.T, a, b, block_size=None).rows
    return pair_logsumexp(a, b, paired=True, block_size=block_size)[0]


def unit(z: Tensor) -> Tensor:
    """Scale every row to length 1, at whatever scale it comes.

    A row of zeros, or one so short that its square is no number, becomes zero, and gets no gradient instead of an
    unbounded one.
    """
    largest, numbers = z.detach().abs().amax(-1, keepdim=True), torch.finfo(z.dtype)
    zero = largest < (numbers.tiny * numbers.eps) ** 0.5
    scaled = z / largest.masked_fill(zero, 1)  # squares of the entries themselves could overflow or vanish
    length: Tensor = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    return (scaled / length.masked_fill(zero, 1)).masked_fill(zero, 0)


SIMILARITIES: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType({"cosine": unit, "dot": lambda z: z})
"""What each named similarity does to both sides before their dot product."""


def widen(z: Tensor) -> Tensor:
    """Take half precision to float32; leave float32 and float64 as they are."""
    return z.float() if z.dtype in {torch.bfloat16, torch.float16} else z


def check_scale(temperature: float | Tensor, block_size: int | None) -> None:
    """Require a temperature above zero (a learned one is kept there by its own bounds) and blocks that hold a row.

    Raises:
        ConfigError: Naming the argument and what it got.
    """
    if not isinstance(temperature, Tensor):
        positive("temperature", temperature)
    if block_size is not None:
        at_least("block_size", block_size, 1)


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


def checked(loss: Tensor, **inputs: Tensor) -> Tensor:
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
