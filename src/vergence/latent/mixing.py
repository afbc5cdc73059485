"""Mixings: invertible functions from latent variables to what an encoder sees, with known inverse and conditioning."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import at_least, finite, positive
from vergence.errors import ConfigError, ShapeError

_KEPT = 0.001  # share of the draws that are conditioned well enough to be used
_CHUNK = 2_000_000  # entries drawn at once


class Mixing(ABC):
    """An invertible function of a vector."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of inputs and of outputs."""

    @abstractmethod
    def __call__(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Mix."""

    @abstractmethod
    def inverse(self, mixed: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Undo the mixing, to about 1e-6 in float64."""

    def _fits(self, vectors: Tensor) -> None:
        if vectors.shape[-1] != self.dim:
            raise ShapeError(f"this mixing takes vectors of {self.dim} numbers; got shape {tuple(vectors.shape)}")


@dataclass(frozen=True, eq=False)
class LayeredMixing(Mixing):
    """Square linear layers with a leaky ReLU between them.

    Args:
        weights: One matrix per layer, each invertible; a row vector is multiplied from the left.
        slope: Of the leaky ReLU where its input is negative; above 0.

    Raises:
        ConfigError: If the slope is not above 0, or a matrix is singular as far as the precision of its type can tell.
        ShapeError: If the matrices are not square, or hold NaN, infinity or no floating-point numbers.
    """

    weights: Float[Tensor, "layers dim other"]
    slope: float = 0.2

    def __post_init__(self) -> None:
        positive("slope", self.slope)
        shape = tuple(self.weights.shape)
        if len(shape) != 3 or not shape[0] or shape[1] != shape[2]:
            raise ShapeError(f"weights must be a stack of square matrices (layers, dim, dim); got shape {shape}")
        if not self.weights.is_floating_point():
            raise ShapeError(
                f"weights must hold floating-point numbers; got {self.weights.dtype}; pass weights.double()"
            )
        finite(weights=self.weights)
        values = torch.linalg.svdvals(self.weights.double())
        ratio = float((values[:, -1] / values[:, 0].clamp_min(torch.finfo(values.dtype).tiny)).min())
        least = shape[1] * torch.finfo(self.weights.dtype).eps  # of its entries' rounding: no more is known of them
        if ratio <= least:
            raise ConfigError(
                f"weights must be invertible; a layer's smallest singular value is {ratio:.1e} of its largest, and has "
                f"to be more than {least:.1e} to be told from 0 in {self.weights.dtype}"
            )

    @property
    def dim(self) -> int:
        """Number of inputs and of outputs."""
        return self.weights.shape[1]

    def __call__(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Mix."""
        self._fits(latents)
        first, *others = self.weights.to(latents.dtype)
        mixed: Tensor = latents @ first
        for weight in others:
            mixed = torch.nn.functional.leaky_relu(mixed, self.slope) @ weight
        return mixed

    def inverse(self, mixed: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Undo the mixing: solve each layer, last first, and steepen where the ReLU leaked."""
        self._fits(mixed)
        *others, last = self.weights.to(mixed.dtype)
        latents: Tensor = torch.linalg.solve(last, mixed, left=False)
        for weight in reversed(others):
            latents = torch.linalg.solve(weight, torch.where(latents < 0, latents / self.slope, latents), left=False)
        return latents


@dataclass(frozen=True, eq=False)
class CouplingMixing(Mixing):
    """A flow: rotations, and between them one half of the vector scaled and moved by smooth functions of the other.

    It is infinitely smooth, as a diffeomorphism should be and a leaky ReLU is not.

    Args:
        rotations: One orthogonal matrix per layer.
        hidden: Weights from the first half of the vector to hidden units, per layer.
        output: Weights from hidden units to log-scale and shift of the second half, per layer.
    """

    rotations: Float[Tensor, "layers dim dim"]
    hidden: Float[Tensor, "layers first units"]
    output: Float[Tensor, "layers units second2"]

    @property
    def dim(self) -> int:
        """Number of inputs and of outputs."""
        return self.rotations.shape[1]

    def __call__(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Mix."""
        self._fits(latents)
        mixed = latents
        for layer, rotation in enumerate(self.rotations.to(latents.dtype)):
            first, second = self._halves(mixed @ rotation)
            log_scale, shift = self._affine(layer, first)
            mixed = torch.cat([first, second * log_scale.exp() + shift], dim=-1)
        return mixed

    def inverse(self, mixed: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Undo the mixing."""
        self._fits(mixed)
        latents = mixed
        for layer in reversed(range(len(self.rotations))):
            first, second = self._halves(latents)
            log_scale, shift = self._affine(layer, first)
            halves = torch.cat([first, (second - shift) * (-log_scale).exp()], dim=-1)
            latents = halves @ self.rotations[layer].to(mixed.dtype).T
        return latents

    def _halves(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        split = self.hidden.shape[1]
        return vector[..., :split], vector[..., split:]

    def _affine(self, layer: int, first: Tensor) -> tuple[Tensor, Tensor]:
        hidden, output = self.hidden[layer].to(first.dtype), self.output[layer].to(first.dtype)
        log_scale, shift = (torch.tanh(first @ hidden) @ output).chunk(2, dim=-1)
        return torch.tanh(log_scale) / 2, shift


def mlp_mixing(
    dim: int, *, generator: torch.Generator, n_layers: int = 3, slope: float = 0.2, n_draws: int = 25_000
) -> LayeredMixing:
    r"""Draw the invertible MLP of the paper, well conditioned.

    Source: [cai2025], numerical simulation: weights $U(-1, 1)$ with columns of norm 1, redrawn until the condition
    number is below the 0.1 % quantile of 25,000 draws. Differs: that quantile is taken once, of matrices drawn and
    measured together, and the layers are picked among those that lie below it. A matrix so picked has the distribution
    of one redrawn until it does, without the redrawing.

    Args:
        dim: Number of inputs and of outputs, at least 1.
        generator: Source of randomness.
        n_layers: At least 1.
        slope: Of the leaky ReLU, above 0.
        n_draws: Matrices to pick from. The time grows with `n_draws · dim³`; for hundreds of variables take fewer, or
            `orthogonal_mixing`.

    Returns:
        The mixing, with weights in float64; it computes in the type of its input.

    Raises:
        ConfigError: If an argument is out of range.

    Example:
        >>> from vergence.random import generator
        >>> mixing = mlp_mixing(4, generator=generator(0), n_draws=2_000)
        >>> points = torch.randn(8, 4, dtype=torch.float64, generator=generator(1))
        >>> torch.allclose(mixing.inverse(mixing(points)), points)
        True
    """
    at_least("dim", dim, 1)
    at_least("n_layers", n_layers, 1)
    at_least("n_draws", n_draws, n_layers, why="each layer is one of the draws")
    n_kept = max(n_layers, ceil(_KEPT * n_draws))
    kept, numbers = torch.empty(0, dim, dim, dtype=torch.float64), torch.empty(0, dtype=torch.float64)
    chunk = max(1, _CHUNK // dim**2)
    for start in range(0, n_draws, chunk):
        size = (min(chunk, n_draws - start), dim, dim)
        drawn = torch.rand(size, dtype=torch.float64, generator=generator) * 2 - 1
        drawn = drawn / torch.linalg.vector_norm(drawn, dim=1, keepdim=True)
        kept, numbers = torch.cat([kept, drawn]), torch.cat([numbers, _gram_condition(drawn)])
        numbers, best = numbers.topk(min(n_kept, len(numbers)), largest=False)
        kept = kept[best]
    chosen = torch.randperm(len(kept), generator=generator)[:n_layers]
    return LayeredMixing(kept[chosen], slope)


def orthogonal_mixing(dim: int, *, generator: torch.Generator, n_layers: int = 3, slope: float = 0.2) -> LayeredMixing:
    r"""Draw an MLP with orthogonal layers.

    Only the leaky ReLU distorts: the condition number is at most $\text{slope}^{-(\text{layers} - 1)}$.

    Args:
        dim: Number of inputs and of outputs, at least 1.
        generator: Source of randomness.
        n_layers: At least 1.
        slope: Of the leaky ReLU, above 0.

    Raises:
        ConfigError: If an argument is out of range.
    """
    at_least("dim", dim, 1)
    at_least("n_layers", n_layers, 1)
    return LayeredMixing(_rotations(n_layers, dim, generator=generator), slope)


def flow_mixing(dim: int, *, generator: torch.Generator, n_layers: int = 4, n_units: int = 16) -> CouplingMixing:
    """Draw a smooth mixing of rotations and affine couplings.

    Args:
        dim: Number of inputs and of outputs, at least 2.
        generator: Source of randomness.
        n_layers: At least 1; every entry is transformed only with two or more.
        n_units: Hidden units of each coupling, at least 1.

    Raises:
        ConfigError: If an argument is out of range.
    """
    at_least("dim", dim, 2, why="one half moves the other")
    at_least("n_layers", n_layers, 1)
    at_least("n_units", n_units, 1)
    first, second = dim // 2, dim - dim // 2
    hidden = torch.randn(n_layers, first, n_units, dtype=torch.float64, generator=generator) / first**0.5
    output = torch.randn(n_layers, n_units, 2 * second, dtype=torch.float64, generator=generator) / n_units**0.5
    return CouplingMixing(_rotations(n_layers, dim, generator=generator), hidden, output)


def condition_numbers(mixing: Callable[[Tensor], Tensor], points: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
    r"""Measure how unevenly a mixing stretches space: $\sigma_{\max}/\sigma_{\min}$ of its Jacobian at each point.

    Args:
        mixing: The function, row by row.
        points: Where to measure; in float64 if the numbers may be large.

    Returns:
        One number per point, at least 1; 1 for a rotation.
    """

    def of_one(point: Tensor) -> Tensor:
        return mixing(point[None])[0]

    values: Tensor = torch.linalg.svdvals(torch.func.vmap(torch.func.jacrev(of_one))(points))
    return values[:, 0] / values[:, -1]


def _gram_condition(matrices: Tensor) -> Tensor:
    # Eigenvalues of the Gram matrix take half the time of singular values and are exact enough to rank small numbers.
    values: Tensor = torch.linalg.eigvalsh(matrices.mT @ matrices)
    return (values[:, -1] / values[:, 0].clamp_min(torch.finfo(values.dtype).tiny)).sqrt()


def _rotations(count: int, dim: int, *, generator: torch.Generator) -> Tensor:
    q, r = torch.linalg.qr(torch.randn(count, dim, dim, dtype=torch.float64, generator=generator))
    rotations: Tensor = q * torch.diagonal(r, dim1=1, dim2=2).sign()[:, None, :]  # with the signs, uniform (Haar)
    return rotations
