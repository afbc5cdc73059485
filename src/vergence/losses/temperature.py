"""Scalars that a loss learns beside the encoders."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vergence.checks import positive
from vergence.errors import ConfigError


class LearnedTemperature(nn.Module):
    r"""A temperature learned as its logarithm, within bounds.

    [radford2021] learns $\log 1/\tau$ and clips $1/\tau$ at 100; differs: bounds on both sides, and the *parameter* is
    brought back to them before each use in training, so that after any step, however large, it can move inwards again.

    Args:
        initial: Where $\tau$ starts.
        minimum: Lower bound, > 0.
        maximum: Upper bound, above the lower one.

    Raises:
        ConfigError: If the bounds are not ordered or do not hold the initial value.

    Example:
        >>> temperature = LearnedTemperature(0.07)
        >>> temperature.log_temperature.data.fill_(-1e9)
        tensor(-1.0000e+09)
        >>> round(temperature().item(), 4), round(temperature.log_temperature.exp().item(), 4)
        (0.01, 0.01)
    """

    def __init__(self, initial: float = 0.07, *, minimum: float = 0.01, maximum: float = 10.0) -> None:
        super().__init__()
        positive("minimum", minimum)
        positive("maximum", maximum)
        if not (minimum < maximum and minimum <= initial <= maximum):
            raise ConfigError(
                f"temperature must satisfy minimum <= initial <= maximum; got {minimum!r}, {initial!r}, {maximum!r}"
            )
        self.minimum, self.maximum = minimum, maximum
        self.log_temperature = nn.Parameter(torch.tensor(log(initial)))

    def forward(self) -> Float[Tensor, ""]:
        """Return the temperature; it carries the gradient to its logarithm."""
        bounds = log(self.minimum), log(self.maximum)
        if self.training:
            with torch.no_grad():
                self.log_temperature.clamp_(*bounds)
        return self.log_temperature.clamp(*bounds).exp()

    def extra_repr(self) -> str:
        """Show the bounds."""
        return f"minimum={self.minimum}, maximum={self.maximum}"


class LearnedScalar(nn.Module):
    """An unbounded learned scalar, such as the bias of `sigmoid_loss`.

    Example:
        >>> LearnedScalar(-10.0)().item()
        -10.0
    """

    def __init__(self, initial: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(initial)))

    def forward(self) -> Float[Tensor, ""]:
        """Return the scalar."""
        return self.value
