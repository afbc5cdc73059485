"""What a measure of alignment would be by chance: its values over shuffled pairings."""

from collections.abc import Callable
from functools import partial
from math import inf, isfinite
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vergence.checks import at_least, same_shape
from vergence.errors import ConfigError
from vergence.metrics.arrays import Array, guarded, same_rows
from vergence.metrics.neighbours import cknna, find_neighbours, mutual_knn, shared_alignment, shared_neighbours


class Null(NamedTuple):
    """A measured value beside its distribution by chance.

    Attributes:
        observed: The value as measured.
        mean: Mean over the shuffles: what the measure gives with nothing to find.
        std: Their standard deviation.
        p_value: Two-sided: twice the share of shuffles (the observed value counted among them) that lie at least as far
            out on the same side, at most 1.
        least_p_value: What no p-value of so many shuffles can be below: 2 / (shuffles + 1).

    Where a shuffle is infinite, so is the mean; and the spread, unless all are the same.
    """

    observed: float
    mean: float
    std: float
    p_value: float
    least_p_value: float


@guarded
def permutation_null(
    metric: Callable[..., float],
    x: Shaped[Array, "n *x_shape"],
    y: Shaped[Array, "n *y_shape"],
    *,
    generator: torch.Generator,
    n_shuffles: int = 200,
    **options: Any,
) -> Null:
    """Compare a measure of two representations with its values when rows of one are shuffled against the other.

    The null is that the two say nothing about each other, each keeping its own distribution. Time is `n_shuffles` times
    that of the metric, but for `mutual_knn` and `cknna`, whose neighbours are found once.

    Args:
        metric: A function of two representations that returns a number, such as `cka`.
        x: One representation, one row per item.
        y: The other, of the same items in the same order.
        generator: Draws the shuffles, on the CPU.
        n_shuffles: How many, at least 2.
        options: Passed on to the metric: `k=5`, `unbiased=True`.

    Raises:
        ShapeError: If rows do not pair, or what the metric raises.
        ConfigError: If there are fewer than two shuffles, or the metric gives NaN or several numbers.

    Example:
        >>> from vergence.metrics import cka
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(30, 20, generator=g)
        >>> null = permutation_null(cka, x, x + torch.randn(30, 20, generator=g), generator=g)
        >>> null.observed > null.mean > 0.2, null.p_value < 0.02
        (True, True)
    """
    at_least("n_shuffles", n_shuffles, 2)
    n = same_rows(x=x, y=y)
    orders = (torch.randperm(n, generator=generator) for _ in range(n_shuffles))
    if metric in _OF_NEIGHBOURS:
        of_x, of_y = find_neighbours(x, y, **{"k": 10, **options})
        shared = _OF_NEIGHBOURS[metric]
        device = of_x.items.device
        return _compare(shared(of_x, of_y), [shared(of_x, of_y.reordered(order.to(device))) for order in orders])
    measure = partial(metric, **options)
    y = torch.as_tensor(y)
    return _compare(measure(x, y), [measure(x, y[order.to(y.device)]) for order in orders])


@guarded
def exchange_null(
    metric: Callable[..., float],
    z_image: Float[Array, "n dim"],
    z_text: Float[Array, "n dim"],
    *,
    generator: torch.Generator,
    n_shuffles: int = 200,
    **options: Any,
) -> Null:
    """Compare a measure of the gap between modalities with its values when random pairs trade places.

    The null is that image and text representations of an item are exchangeable: no gap. Shuffling the pairing, as
    `permutation_null` does, would leave most measures of the gap unchanged.

    Args:
        metric: A function of image and text representations that returns a number, such as `centroid_distance`.
        z_image: Image representations.
        z_text: Text representations of the same items, in the same order and of the same width.
        generator: Draws which pairs trade places, on the CPU.
        n_shuffles: How many times, at least 2.
        options: Passed on to the metric.

    Raises:
        ShapeError: If the shapes differ, or what the metric raises.
        ConfigError: If there are fewer than two shuffles, or the metric gives NaN or several numbers.

    Example:
        >>> from vergence.metrics import centroid_distance
        >>> g = torch.Generator().manual_seed(0)
        >>> z_image, z_text = torch.randn(2, 50, 8, generator=g)
        >>> exchange_null(centroid_distance, z_image, z_text + 1, generator=g).p_value < 0.02
        True
    """
    at_least("n_shuffles", n_shuffles, 2)
    same_shape(z_image=z_image, z_text=z_text)
    z_image, z_text = torch.as_tensor(z_image), torch.as_tensor(z_text)

    def exchanged() -> float:
        swap = (torch.rand(len(z_image), 1, generator=generator) < 0.5).to(z_image.device)
        return metric(torch.where(swap, z_text, z_image), torch.where(swap, z_image, z_text), **options)

    return _compare(metric(z_image, z_text, **options), [exchanged() for _ in range(n_shuffles)])


def _compare(observed: float, shuffled: list[float]) -> Null:
    values = torch.stack([_number(value) for value in (*shuffled, observed)])
    slack = 1e-12 * values[values.isfinite()].abs().amax() if bool(values.isfinite().any()) else 0.0
    near = values - observed if isfinite(observed) else values.sub(observed).nan_to_num(0.0)  # infinite ones are equal
    above, below = (near >= -slack).double().mean(), (near <= slack).double().mean()  # equal but for rounding
    chance: Tensor = values[:-1]
    constant = bool((chance == chance[0]).all())
    std = float(chance.std()) if bool(chance.isfinite().all()) else 0.0 if constant else inf
    p_value = min(1.0, 2 * float(torch.minimum(above, below)))
    return Null(float(observed), float(chance.mean()), std, p_value, 2 / len(values))


def _number(value: Any) -> Float[Tensor, ""]:
    number = torch.as_tensor(value, dtype=torch.float64).cpu()
    if number.numel() != 1 or bool(number.isnan()):
        found = "NaN" if number.numel() == 1 else f"shape {tuple(number.shape)}"
        raise ConfigError(f"a measure that is compared with chance must give one number; got {found}")
    return number.reshape(())


_OF_NEIGHBOURS = MappingProxyType({mutual_knn: shared_neighbours, cknna: shared_alignment})
