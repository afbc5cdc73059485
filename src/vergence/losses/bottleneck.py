"""Terms that remove what only one modality holds: information bottlenecks, before their weight."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vergence.checks import one_of, positive, same_shape
from vergence.errors import ShapeError
from vergence.losses.door import guarded
from vergence.losses.pairs import check_vectors, checked, unit, widen


@dataclass(frozen=True)
class DiagonalGaussian:
    """A batch of normal distributions with independent dimensions: what a stochastic encoder says of each item.

    Of a model of queries, one distribution for each query of each item.

    Args:
        mean: Means.
        log_variance: Logarithms of the variances.

    Example:
        >>> z = DiagonalGaussian.from_output(torch.zeros(4, 6))
        >>> z.mean.shape, z.log_variance.shape, z.sample().shape
        (torch.Size([4, 3]), torch.Size([4, 3]), torch.Size([4, 3]))
    """

    mean: Float[Tensor, "batch *queries dim"]
    log_variance: Float[Tensor, "batch *queries dim"]

    @classmethod
    def from_output(
        cls, output: Float[Tensor, "batch *queries twice_dim"], *, bound: float = 1.0
    ) -> "DiagonalGaussian":
        r"""Read an encoder's output as means and, squashed to (-bound, bound), log-variances.

        [almudevar2025] squash by tanh; differs: $b \tanh(x / b)$ for any bound b.

        Args:
            output: Means in the first half of the columns, raw log-variances in the second.
            bound: How far log-variances may be from 0, > 0.

        Raises:
            ConfigError: If the bound is not above zero.
            ShapeError: If the columns cannot be halved.
        """
        positive("bound", bound)
        if output.shape[-1] % 2:
            raise ShapeError(f"output must have an even number of columns, means and variances; got {output.shape[-1]}")
        mean, raw = output.chunk(2, dim=-1)
        return cls(mean, bound * torch.tanh(raw / bound))

    def sample(self, *, generator: torch.Generator | None = None) -> Float[Tensor, "batch *queries dim"]:
        """Draw one sample per item, differentiable in means and variances; drawn on the CPU, then moved."""
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + noise.to(self.mean.device) * (self.log_variance / 2).exp()

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, rows: Bool[Tensor, " batch"] | slice) -> "DiagonalGaussian":
        return DiagonalGaussian(self.mean[rows], self.log_variance[rows])


@guarded
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


@guarded
def variational_bottleneck(z_image: DiagonalGaussian, z_text: DiagonalGaussian) -> Float[Tensor, ""]:
    r"""Penalise what the image's representation says beyond what the text's does.

    $$\mathrm{mean}_i\, \mathrm{KL}\big(p(z | x_i) \,\|\, p(z | t_i)\big), \qquad
      \mathrm{KL} = \tfrac12 \sum_d \Big[ \frac{\sigma_x^2 + (\mu_x - \mu_t)^2}{\sigma_t^2} - 1
      - \log \frac{\sigma_x^2}{\sigma_t^2} \Big]$$

    [almudevar2025], the variational form; differs: nothing. Its expectation is an upper bound of the *conditional*
    information $I(Z_x; X | T)$, what is specific to the image, in nats; it does **not** bound the total $I(Z_x; X)$. A
    representation that copies only what both share has KL 0 and still holds all of that. Swap the arguments for the
    text's side.

    Args:
        z_image: Distributions given the images.
        z_text: Distributions given the texts that they pair with, in the same order.

    Returns:
        A mean over the batch, >= 0, in nats. The gradient with respect to one row is of order 1/batch.

    Raises:
        ShapeError: If shapes differ, the batch is empty or values are not finite.

    Example:
        >>> one, two = torch.zeros(4, 3), torch.ones(4, 3)
        >>> variational_bottleneck(DiagonalGaussian(one, one), DiagonalGaussian(two, one)).item()
        1.5
    """
    parts = {
        "mean_image": z_image.mean,
        "log_variance_image": z_image.log_variance,
        "mean_text": z_text.mean,
        "log_variance_text": z_text.log_variance,
    }
    same_shape(**parts)
    check_vectors(z_image.mean, z_text.mean)
    mean_image, log_image, mean_text, log_text = (widen(part) for part in parts.values())
    ratio = log_image - log_text
    divergence = torch.expm1(ratio) - ratio + (mean_image - mean_text).square() * torch.exp(-log_text)
    return checked(divergence.sum(1).mean() / 2, **parts)
