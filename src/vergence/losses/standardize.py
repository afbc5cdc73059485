"""Outputs of mean 0 and variance 1: objectives that scale could lower without end need them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vergence.checks import at_least, positive, probability
from vergence.errors import ShapeError
from vergence.losses.door import guarded
from vergence.losses.processes import process_count, sum_over_processes


@guarded
def standardize(z: Float[Tensor, "batch dim"], *, eps: float = 1e-5) -> Float[Tensor, "batch dim"]:
    r"""Give every dimension mean 0 and variance 1 over the batch, without learned scale or shift.

    $(z - \mathrm{mean}) / \sqrt{\mathrm{var} + \varepsilon}$ with the variance that divides by the batch size.

    Args:
        z: Representations, at least two rows.
        eps: Keeps a constant dimension finite (it becomes 0), in squared units of `z`, > 0.

    Returns:
        The standardised representations; float32 for half-precision input.

    Raises:
        ConfigError: If `eps` is not above zero.
        ShapeError: If there are fewer than two rows.

    Example:
        >>> standardize(torch.tensor([[0.0, 5.0], [4.0, 5.0]])).round()
        tensor([[-1.,  0.], [ 1.,  0.]])
    """
    positive("eps", eps)
    mean, variance = _statistics(z)
    return (z - mean) / (variance + eps).sqrt()


class Standardize(nn.Module):
    """Standardise with the batch's statistics in training, and with running ones in evaluation.

    Where several processes train together, the batch is all of theirs: each must call the layer, and equally often.

    Args:
        dim: Size of the representation.
        momentum: Share of each new batch in the running statistics, in [0, 1].
        eps: As in `standardize`.

    Raises:
        ConfigError: If an argument is outside its range.

    Example:
        >>> layer = Standardize(2)
        >>> z = torch.randn(8, 2)
        >>> torch.equal(layer(z), standardize(z)), torch.equal(layer.eval()(z), standardize(z))
        (True, False)
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, dim: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        at_least("dim", dim, 1)
        probability("momentum", momentum)
        positive("eps", eps)
        self.momentum, self.eps = momentum, eps
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))

    @guarded
    def forward(self, z: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Standardise, and in training move the running statistics towards the batch's."""
        if not self.training:
            return (z - self.mean) / (self.variance + self.eps).sqrt()
        n, mean, variance = _global_statistics(z)
        with torch.no_grad():
            unbiased = variance * (n / (n - 1))  # what the population's variance is, by this batch
            self.mean.lerp_(mean.to(self.mean), self.momentum)
            self.variance.lerp_(unbiased.to(self.variance), self.momentum)
        return (z - mean) / (variance + self.eps).sqrt()

    def extra_repr(self) -> str:
        """Show what the layer was made with."""
        return f"{len(self.mean)}, momentum={self.momentum}, eps={self.eps}"


def _statistics(z: Tensor) -> tuple[Tensor, Tensor]:
    if len(z) < 2:
        raise ShapeError(f"batch must hold >= 2 rows (one row has no variance); got {len(z)}")
    z = z if z.dtype == torch.float64 else z.float()
    mean = z.mean(0)
    return mean, (z - mean).square().mean(0)


def _global_statistics(z: Tensor) -> tuple[int, Tensor, Tensor]:
    """Count, mean and variance over the rows of all processes."""
    if process_count() == 1:
        return len(z), *_statistics(z)
    z = z if z.dtype == torch.float64 else z.float()
    n = int(sum_over_processes(torch.tensor(len(z), device=z.device)))
    if n < 2:
        raise ShapeError(f"batch must hold >= 2 rows (one row has no variance); got {n} on all processes")
    mean = sum_over_processes(z.sum(0)) / n
    return n, mean, sum_over_processes((z - mean).square().sum(0)) / n
