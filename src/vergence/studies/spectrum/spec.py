"""What the study of the spectrum trains: one frozen record per run, from which everything random follows."""

from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from vergence.channels import AdditiveNoise, Channel, Redraw
from vergence.checks import at_least, non_negative, one_of, positive, probability
from vergence.errors import ConfigError
from vergence.factors import Factor, FactorSpace
from vergence.latent import Captioning, LatentModel, mlp_mixing
from vergence.latent.encoding import as_columns, n_columns
from vergence.latent.model import Latents
from vergence.misalignment import Misalignment
from vergence.random import named
from vergence.views.numeric import NumericMixings, render

OBJECTIVES = ("info_nce", "one_way", "nt_xent", "sigmoid", "variational")
CONSTRAINTS = ("free", "unit", "standardized")
TEMPERATURES = ("fixed", "learned")
CHANNELS = ("noise", "noise at times", "redraw", "omission", "omission and redraw")
"""By which the strength of a factor is set; noise is Gaussian, and "at times" in half of the texts."""
ENCODERS = ("linear", "deep")

_AT_TIMES = 0.5


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One training.

    Args:
        question: Which slice of the study it belongs to.
        seed: Of weights, mixings and pairs; at least 0.
        strengths: σ of each factor's linear direction, strongest first, in [0, 1], before pairs are mismatched.
        channel: What texts do to a factor to give it that strength.
        n_values: Of every factor; continuous if `None`.
        mismatch: Share of texts that describe another image.
        encoders: Linear maps of the latent variables' columns, or networks behind random mixings.
        objective: What is minimised.
        constraint: On the outputs: none, unit vectors, or each output of variance 1 over the batch.
        bottleneck: β, weight of the mean squared distance of the two sides; of the KL divergence if variational.
        temperature: τ of squared distances, above 0; of cosines it is half of that. Where it starts, if learned.
        temperature_is: Fixed or learned.
        batch_size: Pairs in a step.
        n_pairs: Pairs in all, drawn once; fresh ones for every step if `None`.
        output_size: Of the encoders.
        n_private: Variables that only the image, and as many that only the text has.

    Raises:
        ConfigError: If a setting is outside its range.
    """

    question: str
    seed: int
    strengths: tuple[float, ...]
    channel: str = "noise"
    n_values: int | None = None
    mismatch: float = 0.0
    encoders: str = "linear"
    objective: str = "info_nce"
    constraint: str = "free"
    bottleneck: float = 0.0
    temperature: float = 1.0
    temperature_is: str = "fixed"
    batch_size: int = 4096
    n_pairs: int | None = None
    output_size: int = 10
    n_private: int = 5

    def __post_init__(self) -> None:
        at_least("seed", self.seed, 0)
        for sigma in self.strengths:
            probability("strength", sigma)
        one_of("channel", self.channel, CHANNELS)
        if self.n_values is not None:
            at_least("n_values", self.n_values, 2)
            if self.channel.startswith("noise"):
                raise ConfigError("noise needs a continuous factor; use redraw or omission for n_values")
        probability("mismatch", self.mismatch)
        one_of("encoders", self.encoders, ENCODERS)
        one_of("objective", self.objective, OBJECTIVES)
        one_of("constraint", self.constraint, CONSTRAINTS)
        one_of("temperature_is", self.temperature_is, TEMPERATURES)
        non_negative("bottleneck", self.bottleneck)
        positive("temperature", self.temperature)
        at_least("batch_size", self.batch_size, 2, why="a contrastive loss needs a negative")
        if self.n_pairs is not None:
            at_least("n_pairs", self.n_pairs, 2)
        at_least("output_size", self.output_size, 1)
        at_least("n_private", self.n_private, 0)

    @property
    def name(self) -> str:
        """What differs from the default, and the seed; strengths in hundredths."""
        defaults = {field.name: field.default for field in fields(self)}
        said = [self.question]
        for key, default in defaults.items():
            value = getattr(self, key)
            if key in {"question", "seed"} or value == default:
                continue
            shown = "-".join(f"{round(1000 * sigma):d}" for sigma in value) if key == "strengths" else value
            said.append(f"{key}-{shown}")
        return "_".join([*said, f"seed-{self.seed}"]).replace(" ", "-")

    @cached_property
    def space(self) -> FactorSpace:
        """The factors: d1, d2, … in the order of the strengths."""
        values = None if self.n_values is None else tuple(f"v{i}" for i in range(1, self.n_values + 1))
        return FactorSpace(tuple(Factor(f"d{i}", values) for i in range(1, len(self.strengths) + 1)))

    @cached_property
    def misalignment(self) -> Misalignment:
        """What texts do to each factor."""
        mention: dict[str, float] = {}
        channels: dict[str, Channel] = {}
        for name, sigma in zip(self.space, self.strengths, strict=True):
            if sigma == 0:
                continue
            q, channel = said_with(sigma, self.channel)
            mention[name] = q
            if channel is not None:
                channels[name] = channel
        return Misalignment.of_rates(mention, channels=channels)

    @cached_property
    def model(self) -> LatentModel:
        """The latent variable model."""
        return LatentModel(
            self.space,
            n_image_private=self.n_private,
            n_text_private=self.n_private,
            captioning=Captioning(mismatch=self.mismatch),
        )

    @cached_property
    def mixings(self) -> NumericMixings:
        """Of the columns of both sides, for networks."""
        image = n_columns(self.space, self.space.names) + self.n_private
        selected = [name for name in self.space.names if name in self.misalignment.selected]
        text = n_columns(self.space, selected, graded=self.misalignment.graded) + self.n_private
        made = [mlp_mixing(n, generator=named(self.seed, side, n)) for side, n in (("image", image), ("text", text))]
        return NumericMixings(*made)

    def views(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw pairs as the encoders see them: columns for linear maps, mixed ones for networks."""
        return self.rendered(self.model.sample(n, self.misalignment, generator=generator))

    def rendered(self, latents: Latents) -> tuple[Tensor, Tensor]:
        """Images and texts of latent variables, as the encoders see them."""
        if self.encoders == "deep":
            views = render(latents, self.mixings)
            return views.image, views.text
        shown = as_columns(latents.semantics, self.space, self.space.names)
        said = as_columns(latents.text_semantics, self.space, latents.selected, graded=latents.graded)
        return torch.cat([shown, latents.image_private], 1), torch.cat([said, latents.text_private], 1)


def said_with(sigma: float, channel: str) -> tuple[float, Channel | None]:
    """Mention probability and channel that give a factor's linear direction a strength.

    √q for omission, 1 − ρ for a redraw, both equally for both, 1/√(1 + p v) for noise of variance v with probability p.

    Args:
        sigma: In (0, 1].
        channel: One of `CHANNELS`.

    Example:
        >>> q, _ = said_with(0.5, "omission")
        >>> q, said_with(0.6, "redraw")[1]
        (0.25, Redraw(probability=0.4))
    """
    if sigma == 1:
        return 1.0, None
    if channel == "omission":
        return sigma**2, None
    if channel == "omission and redraw":
        return sigma, Redraw(round(1 - sigma**0.5, 12))
    if channel == "redraw":
        return 1.0, Redraw(round(1 - sigma, 12))
    rate = _AT_TIMES if channel == "noise at times" else 1.0
    return 1.0, AdditiveNoise(rate, scale=((sigma**-2 - 1) / rate) ** 0.5)
