"""Objectives of the study, at a temperature of squared distances; on unit vectors that of cosines is half of it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vergence.losses import DiagonalGaussian, alignment_penalty, nt_xent, one_way_info_nce, sigmoid_loss
from vergence.losses import variational_bottleneck as divergence
from vergence.studies.misalignment2025.stacked import batched_l2_info_nce, standardize_batches
from vergence.studies.spectrum.spec import RunSpec

COLDEST, WARMEST = 0.02, 20.0
"""Bounds of a learned temperature: without them nothing stops it where only its ratio to the scale matters."""


class Extras:
    """What an objective learns beside the encoders: a temperature, a bias.

    Args:
        spec: Says which of them are learned, and where the temperature starts.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.log_temperature = torch.tensor(spec.temperature).log()
        self.bias = torch.tensor(-torch.tensor(float(spec.batch_size)).log().item())
        self.learned: list[Tensor] = []
        if spec.temperature_is == "learned":
            self.learned.append(self.log_temperature)
        if spec.objective == "sigmoid":
            self.learned.append(self.bias)
        for parameter in self.learned:
            parameter.requires_grad_()

    @property
    def temperature(self) -> Tensor:
        """τ, within its bounds."""
        return self.log_temperature.exp()

    def keep_within_bounds(self) -> None:
        """Bring a learned temperature back."""
        with torch.no_grad():
            low, high = torch.tensor([COLDEST, WARMEST]).log()
            self.log_temperature.clamp_(low, high)


def constrained(z: Float[Tensor, "batch dim"], constraint: str) -> Float[Tensor, "batch dim"]:
    """Outputs under a constraint: free, of unit norm, or each of variance 1 over the batch."""
    if constraint == "unit":
        return nn.functional.normalize(z, dim=1)
    return standardize_batches(z[None])[0] if constraint == "standardized" else z


def loss_of(
    spec: RunSpec,
    outputs: tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]],
    extras: Extras,
    *,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """The loss of a batch, bottleneck included.

    Args:
        spec: Names objective, constraint and bottleneck.
        outputs: Of both encoders, before the constraint.
        extras: What is learned beside them.
        generator: Draws the noise of variational encoders.
    """
    image, text = (constrained(z, spec.constraint) for z in outputs)
    if spec.objective == "variational":
        sides = [DiagonalGaussian(z, torch.zeros_like(z)) for z in (image, text)]
        image, text = (side.sample(generator=generator) for side in sides)
        penalty = (divergence(*sides) + divergence(*sides[::-1])) / 2 if spec.bottleneck else image.new_zeros(())
    else:
        penalty = alignment_penalty(image, text) if spec.bottleneck else image.new_zeros(())
    return _LOSSES[spec.objective, spec.constraint == "unit"](image, text, extras) + spec.bottleneck * penalty


def _info_nce(image: Tensor, text: Tensor, extras: Extras) -> Tensor:
    """At the temperature 1 of scaled outputs, so that it has a gradient."""
    shrink = extras.temperature.rsqrt()
    return batched_l2_info_nce((image * shrink)[None], (text * shrink)[None])[0]


def _distances(image: Tensor, text: Tensor) -> Tensor:
    """Minus squared distances."""
    return 2 * image @ text.T - image.square().sum(1, keepdim=True) - text.square().sum(1)


def _one_way(image: Tensor, text: Tensor, extras: Extras) -> Tensor:
    return one_way_info_nce(image, text, temperature=extras.temperature, similarity=_distances)


def _nt_xent(image: Tensor, text: Tensor, extras: Extras) -> Tensor:
    return nt_xent(image, text, temperature=extras.temperature / 2)


def _sigmoid_of_distances(image: Tensor, text: Tensor, extras: Extras) -> Tensor:
    logits = _distances(image, text) / extras.temperature + extras.bias
    partners = logits.diagonal()
    return (nn.functional.softplus(logits).sum() - partners.sum()) / len(image)


def _sigmoid_of_cosines(image: Tensor, text: Tensor, extras: Extras) -> Tensor:
    return sigmoid_loss(image, text, temperature=extras.temperature / 2, bias=extras.bias - 2 / extras.temperature)


_LOSSES: Mapping[tuple[str, bool], Callable[[Tensor, Tensor, Extras], Tensor]] = MappingProxyType(
    {
        ("info_nce", False): _info_nce,
        ("info_nce", True): _info_nce,
        ("variational", False): _info_nce,
        ("one_way", False): _one_way,
        ("nt_xent", True): _nt_xent,
        ("sigmoid", False): _sigmoid_of_distances,
        ("sigmoid", True): _sigmoid_of_cosines,
    }
)
