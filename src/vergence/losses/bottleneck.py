"""Terms that remove what only one modality holds: information bottlenecks, before their weight."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor

from vergence.checks import one_of
from vergence.losses.pairs import check_vectors, checked, unit, widen


def alignment_penalty(
    z_image: Float[Tensor, "batch dim"], z_text: Float[Tensor, "batch dim"], *, distance: str = "squared"
) -> Float[Tensor, ""]:
    r"""Pull each image and its text together: the deterministic form of the bottleneck.

    $$\mathrm{mean}_i \| \mu_i^x - \mu_i^t \|^2 \quad\text{or}\quad \mathrm{mean}_i\, (1 - \cos(\mu_i^x, \mu_i^t))$$

    [almudevar2025], the regulariser; differs: nothing. For spherical Gaussians of equal, fixed variance $\sigma^2$ the
    squared form is $2\sigma^2$ times the KL divergence that bounds the conditional information $I(Z_x; X \mid T)$; for
    outputs without noise, as here, it is a surrogate of that bound, not a bound. On unit vectors it is twice the cosine
    form.

    Args:
        z_image: Representations of the images.
        z_text: Representations of the texts that they pair with, in the same order.
        distance: "squared" (Euclidean) or "cosine".

    Returns:
        A mean over the batch, >= 0: in squared units of the representation, or in [0, 2] for "cosine". A zero vector
        has cosine 0 with everything and no gradient. The gradient with respect to one row is of order 1/batch.

    Raises:
        ConfigError: If the distance is unknown.
        ShapeError: If shapes differ, the batch is empty or values are not finite.

    Example:
        >>> import torch
        >>> z = torch.eye(2)
        >>> alignment_penalty(z, -z).item(), alignment_penalty(z, -z, distance="cosine").item()
        (4.0, 2.0)
    """
    one_of("distance", distance, DISTANCES)
    check_vectors(z_image, z_text)
    loss = DISTANCES[distance](widen(z_image), widen(z_text)).mean()
    return checked(loss, z_image=z_image, z_text=z_text)


DISTANCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "squared": lambda a, b: (a - b).square().sum(-1),
        "cosine": lambda a, b: 1 - (unit(a) * unit(b)).sum(-1),
    }
)
"""Distances of paired rows."""
