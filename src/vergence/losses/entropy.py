"""Alignment with maximum entropy: the objective that theory analyses, and the entropy that it needs."""

from collections.abc import Callable
from math import lgamma, log, pi

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import at_least, finite
from vergence.errors import ShapeError
from vergence.losses.door import guarded
from vergence.losses.pairs import check_scale, check_vectors, checked, widen
from vergence.losses.standardize import standardize


@guarded
def align_max_entropy(
    z_image: Float[Tensor, "batch dim"],
    z_text: Float[Tensor, "batch dim"],
    *,
    bound: Callable[[Tensor], Tensor] = standardize,
    neighbours: int = 3,
    block_size: int | None = None,
) -> Float[Tensor, ""]:
    r"""Bring each image and its text together while both modalities stay spread as far as their bound lets them.

    $$L = \mathrm{mean}_i \| z_i^x - z_i^t \| - \tfrac12 \big[ H(z^x) + H(z^t) \big]$$

    [cai2025] $L_\mathrm{SymAlignMaxEnt}$ of Thm 4.1, the limit of symmetric InfoNCE; differs: the entropies are
    estimated by `neighbour_entropy`, and `bound` stands for the theorem's map into $(0,1)^n$. It is not optional:
    outputs scaled by c would lower the loss by n log c without end.

    Args:
        z_image: Representations of the images, not yet bounded.
        z_text: Representations of the texts that they pair with, in the same order.
        bound: What bounds each modality: `standardize` (entropy is then largest for a normal distribution),
            `torch.sigmoid` (for the uniform one, as in the theorem), or a function of your own.
        neighbours: Which nearest neighbour the entropy is read from, >= 1.
        block_size: Rows whose distances are held at once; all of them if `None`.

    Returns:
        The loss in nats; any sign. The gradient with respect to one row is of order 1/batch, times batch^(1/dim) for
        the entropy, as neighbours come closer. Items on one point count as one rounding step apart, which is finite and
        has no gradient.

    Raises:
        ConfigError: If `neighbours` or `block_size` is below 1.
        ShapeError: If there are not more pairs than neighbours, shapes differ, or values are not finite.

    Example:
        >>> from vergence.random import generator
        >>> spread = torch.randn(512, 2, generator=generator(0))
        >>> bool(align_max_entropy(spread, spread) < align_max_entropy(spread, spread.flip(0)))
        True
    """
    check_scale(1.0, block_size)
    check_vectors(z_image, z_text)
    finite(z_image=z_image, z_text=z_text)  # a bound may hide infinity
    images, texts = bound(widen(z_image)), bound(widen(z_text))
    alignment = torch.linalg.vector_norm(images - texts, dim=1).mean()
    entropies = (neighbour_entropy(z, neighbours=neighbours, block_size=block_size) for z in (images, texts))
    return checked(alignment - sum(entropies) / 2, z_image=z_image, z_text=z_text)


@guarded
def neighbour_entropy(
    z: Float[Tensor, "batch dim"], *, neighbours: int = 3, block_size: int | None = None
) -> Float[Tensor, ""]:
    r"""Estimate differential entropy from how far each item's k-th neighbour is.

    $$\hat H = \psi(n) - \psi(k) + \log V_d + d\, \mathrm{mean}_i \log \rho_k(i)$$

    with $V_d$ the volume of the unit ball and $\rho_k(i)$ the distance from item i to its k-th nearest other one.

    [kozachenko1987], k = 1 there; differs: any k. Why this one: it is consistent for every continuous density and has
    no bandwidth, while the log-determinant of the covariance is blind to all but second moments (on a cube it is
    largest with all mass in the corners), and a kernel estimate depends on its width. Its gradient pushes each item
    from its neighbour, and costs O(batch * dim) beside the search. Larger k: less variance, more bias.

    Args:
        z: Samples; of a magnitude around 1, if some may coincide.
        neighbours: k, >= 1 and below the number of samples.
        block_size: Rows whose distances are held at once; all of them if `None`.

    Returns:
        The estimate in nats; it can be negative. Distances below the rounding step of the number format count as that.

    Raises:
        ConfigError: If `neighbours` is below 1.
        ShapeError: If there are not more samples than neighbours.

    Example:
        >>> from vergence.random import generator
        >>> round(neighbour_entropy(torch.rand(4096, 2, generator=generator(0)), neighbours=3).item(), 1)
        0.0
    """
    at_least("neighbours", neighbours, 1)
    n, dim = z.shape
    if n <= neighbours:
        raise ShapeError(f"batch must hold more items than neighbours = {neighbours}; got {n}")
    nearest = kth_neighbour(z.detach(), z.detach(), neighbours, block_size)
    return entropy_from(torch.linalg.vector_norm(z - z[nearest], dim=1), dim=dim, n=n, neighbours=neighbours)


def entropy_from(distances: Tensor, *, dim: int, n: int, neighbours: int) -> Tensor:
    """Estimate the entropy of n samples from the distances that some of them have to their k-th neighbours."""
    log_distance = distances.clamp_min(torch.finfo(distances.dtype).eps).log().mean()
    log_volume = dim / 2 * log(pi) - lgamma(dim / 2 + 1)
    return log_distance * dim + (log_volume + _digamma(n) - _digamma(neighbours))


def kth_neighbour(anchors: Tensor, z: Tensor, k: int, block_size: int | None) -> Tensor:
    """Find the k-th nearest other item of each of the first items of z, which are the anchors."""
    found = []
    for start in range(0, len(anchors), block_size or len(anchors)):
        rows = anchors[start : start + (block_size or len(anchors))]
        distances = torch.cdist(rows, z)
        distances.diagonal(start).fill_(torch.inf)
        found.append(distances.topk(k, largest=False).indices[:, -1])
    return torch.cat(found)


def _digamma(n: int) -> float:
    return torch.digamma(torch.tensor(n, dtype=torch.float64)).item()
