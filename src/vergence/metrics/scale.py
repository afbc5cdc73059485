"""Scaling that neither overflows nor vanishes, whatever the size of the numbers."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor


def unit(z: Float[Tensor, "n dim"], *, dim: int = 1) -> Float[Tensor, "n dim"]:
    """Scale rows, or columns with `dim=0`, to length 1 at whatever scale they come; those of zeros stay zero.

    Example:
        >>> unit(torch.tensor([[3e-30, 4e-30], [0.0, 0.0], [0.0, -2e30]]))
        tensor([[ 0.6000,  0.8000],
                [ 0.0000,  0.0000],
                [ 0.0000, -1.0000]])
    """
    largest = z.abs().amax(dim, keepdim=True)
    scaled = z / largest.where(largest > 0, 1.0)  # squares of the entries themselves could overflow or vanish
    lengths = torch.linalg.vector_norm(scaled, dim=dim, keepdim=True)
    unit: Tensor = scaled / lengths.clamp(min=1.0)  # 1 or more, but for zeros
    return unit


def exponent(*sides: Tensor, by_column: bool = False) -> Integer[Tensor, "*columns"]:
    """The power of two that brings the largest entry below 1, so that no square or product of squares overflows.

    Scaling by it (`times_power_of_two`) is exact, so that a measure that does not depend on scale keeps every digit.
    """
    largest = [side.abs().amax(0) if by_column else side.abs().max() for side in sides]
    return -torch.frexp(torch.stack(largest).amax(0).double()).exponent


def rescaled(z: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
    """The same representation with its largest entry in [0.5, 1).

    Example:
        >>> rescaled(torch.tensor([[3e200, -1e200]], dtype=torch.float64)).abs().max() <= 1
        tensor(True)
    """
    return times_power_of_two(z, exponent(z))


def times_power_of_two(z: Tensor, power: Tensor) -> Tensor:
    """Multiply exactly; in two steps, since 2^1074 is no float64 although numbers that small are."""
    half = power.div(2, rounding_mode="floor")
    scaled: Tensor = z * torch.exp2(half.double()) * torch.exp2((power - half).double())
    return scaled
