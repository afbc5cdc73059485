"""Where the two modalities lie: the gap between them, closeness of pairs, spread, and dimensions in use."""

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import positive, same_shape
from vergence.errors import ShapeError
from vergence.metrics import hsic
from vergence.metrics.arrays import Array, as_float64, guarded
from vergence.metrics.folds import assign_folds
from vergence.metrics.linear import Logistic
from vergence.metrics.scale import exponent, rescaled, times_power_of_two, unit

_BLOCK = 2**22  # distances held at once: 32 MB


@dataclass(frozen=True, kw_only=True)
class ModalityGap:
    """How far apart the modalities lie, in three ways; each is described by the function of its name."""

    centroid_distance: float
    relative_gap: float
    linear_separability: float


@guarded
def modality_gap(z_image: Float[Array, "n dim"], z_text: Float[Array, "n dim"]) -> ModalityGap:
    """Measure the gap between modalities in all three ways; judge each by `exchange_null`.

    Source: [liang2022] for the distance of centroids.

    Args:
        z_image: Image representations.
        z_text: Text representations of the same items, in the same order and of the same width.

    Raises:
        ShapeError: If the shapes differ, there are fewer than 5 rows, or an entry is NaN or infinite.

    Example:
        >>> z_image, z_text = torch.randn(2, 200, 8, generator=torch.Generator().manual_seed(0))
        >>> gap = modality_gap(z_image, z_text + 9)
        >>> gap.linear_separability, gap.relative_gap > 2
        (1.0, True)
    """
    return ModalityGap(
        centroid_distance=centroid_distance(z_image, z_text),
        relative_gap=relative_gap(z_image, z_text),
        linear_separability=linear_separability(z_image, z_text),
    )


@guarded
def centroid_distance(z_image: Float[Array, "n dim"], z_text: Float[Array, "n dim"]) -> float:
    """Distance of the mean image representation from the mean text representation.

    Source: [liang2022], on representations of unit norm; differs: taken as given, not normalised here.

    Args:
        z_image: Image representations.
        z_text: Text representations of the same items, of the same width.

    Returns:
        In [0, inf), in units of the representation; at most 2 on the unit sphere.

    Raises:
        ShapeError: If the shapes differ, there is no row, or an entry is NaN or infinite.

    Example:
        >>> centroid_distance(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[1.0, 3.0], [1.0, 3.0]]))
        3.0
    """
    image, text = _both(z_image, z_text)
    power = exponent(image, text)
    image, text = (times_power_of_two(side, power) for side in (image, text))
    return float(times_power_of_two(torch.linalg.norm(hsic.origin(image) - hsic.origin(text)), -power))


@guarded
def relative_gap(z_image: Float[Array, "n dim"], z_text: Float[Array, "n dim"]) -> float:
    r"""Distance of the centroids in units of the spread around them, $\|\mu_x - \mu_t\| / \sqrt{(v_x + v_t)/2}$.

    $v$ is the mean squared distance of a modality's rows from its centroid. Unlike the plain distance it does not
    change when both representations are scaled.

    Args:
        z_image: Image representations.
        z_text: Text representations of the same items, of the same width.

    Returns:
        In [0, inf]; 0 if the centroids coincide, infinite if they differ and neither modality has any spread.

    Raises:
        ShapeError: If the shapes differ, there is no row, or an entry is NaN or infinite.

    Example:
        >>> relative_gap(torch.tensor([[0.0], [2.0]]), torch.tensor([[5.0], [7.0]]))
        5.0
    """
    image, text = _both(z_image, z_text)
    power = exponent(image, text)
    image, text = (times_power_of_two(side, power) for side in (image, text))
    distance = torch.linalg.norm(hsic.origin(image) - hsic.origin(text))
    spread = sum(((side - hsic.origin(side)) ** 2).sum(1).mean() for side in (image, text)) / 2
    return 0.0 if distance == 0 else float(distance / torch.as_tensor(spread).sqrt())


@guarded
def linear_separability(z_image: Float[Array, "n dim"], z_text: Float[Array, "n dim"]) -> float:
    """Accuracy with which a linear classifier tells the modality of held-out items, over five folds.

    An item's two representations are held out together.

    Args:
        z_image: Image representations.
        z_text: Text representations of the same items, of the same width.

    Returns:
        In [0, 1]; 1 if a plane parts the modalities, about 0.5 if they overlap entirely.

    Raises:
        ShapeError: If the shapes differ, there are fewer than 5 rows, or an entry is NaN or infinite.

    Example:
        >>> z_image, z_text = torch.randn(2, 200, 8, generator=torch.Generator().manual_seed(0))
        >>> linear_separability(z_image, z_text) < 0.6
        True
    """
    image, text = _both(z_image, z_text)
    item = torch.arange(len(image), device=image.device).repeat(2)
    z, modality = torch.cat([image, text]), (torch.arange(2 * len(image), device=image.device) >= len(image)).long()
    fold = assign_folds(item, 5)
    right = []
    for k in range(5):
        probe = Logistic(strengths=(1e-3,)).fit(z[fold != k], modality[fold != k])
        right.append(probe.predict(z[fold == k]) == modality[fold == k])
    return float(torch.cat(right).double().mean())


@guarded
def pair_distance(z_image: Float[Array, "n dim"], z_text: Float[Array, "n dim"], *, power: float = 2.0) -> float:
    r"""Mean distance of the two representations of an item on the unit sphere, $E\|\hat x - \hat t\|^\alpha$.

    Source: [wang2020], there called alignment.

    Args:
        z_image: Image representations; rows are scaled to unit norm, rows of zeros stay zero.
        z_text: Text representations of the same items, in the same order and of the same width.
        power: The exponent, above 0.

    Returns:
        In [0, 2^power]; 0 if pairs coincide. Lower is more aligned.

    Raises:
        ShapeError: If the shapes differ, there is no row, or an entry is NaN or infinite.
        ConfigError: If the power is not above 0.

    Example:
        >>> pair_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 5.0]]))
        2.0
    """
    positive("power", power)
    image, text = (unit(side) for side in _both(z_image, z_text))
    return float(((image - text) ** 2).sum(1).pow(power / 2).mean())


@guarded
def uniformity(z: Float[Array, "n dim"], *, t: float = 2.0) -> float:
    r"""How evenly representations cover the unit sphere, $\log E_{i \ne j} \exp(-t \|\hat z_i - \hat z_j\|^2)$.

    Source: [wang2020]. Cost $O(n^2 d)$, memory one block of rows.

    Args:
        z: Representations of one modality; rows are scaled to unit norm, rows of zeros stay zero.
        t: Sharpness of the potential, above 0.

    Returns:
        In nats, in [-4 t, 0]; 0 if all rows point the same way. Lower is more even.

    Raises:
        ShapeError: If there are fewer than 2 rows, or an entry is NaN or infinite.
        ConfigError: If `t` is not above 0.

    Example:
        >>> uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        -8.0
    """
    positive("t", t)
    (z,) = as_float64(z=z)
    n = _rows("z", z, 2)
    z = unit(z)
    norms = (z**2).sum(1)
    step = max(1, _BLOCK // n)
    sums = []
    for start in range(0, n, step):
        block = slice(start, start + step)
        exponents = torch.addmm(norms[block, None] + norms, z[block], z.T, alpha=-2.0).clamp_(min=0.0).mul_(-t)
        exponents.diagonal(start).fill_(-torch.inf)
        sums.append(exponents.flatten().logsumexp(0))
    return float(torch.stack(sums).logsumexp(0)) - log(n * (n - 1))


@guarded
def effective_rank(z: Float[Array, "n dim"]) -> float:
    r"""Number of dimensions in use: $\exp H(p)$, $p_i = \sigma_i / \sum_j \sigma_j$, of the centred representation.

    Source: [roy2007]; differs: centred, so that a common offset is not counted as a dimension.

    Args:
        z: Representations, one row per item.

    Returns:
        In [0, min(n - 1, dim)]: 1 if all variance lies along one direction, dim if it is the same along all; 0 if there
        is none.

    Raises:
        ShapeError: If there are fewer than 2 rows, or an entry is NaN or infinite.

    Example:
        >>> effective_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
        2.0
    """
    (z,) = as_float64(z=z)
    _rows("z", z, 2)
    values = torch.linalg.svdvals(rescaled(z - hsic.origin(z)))
    if values[0] == 0:
        return 0.0
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp())


def _both(z_image: Array, z_text: Array) -> tuple[Tensor, Tensor]:
    same_shape(z_image=z_image, z_text=z_text)
    image, text = as_float64(z_image=z_image, z_text=z_text)
    _rows("z_image and z_text", image, 1)
    return image, text


def _rows(name: str, z: Tensor, minimum: int) -> int:
    if len(z) < minimum:
        raise ShapeError(f"{name} must have at least {minimum} rows; got shape {tuple(z.shape)}")
    return len(z)
