"""What the numerical study of [cai2025] trains: one frozen record per run, from which everything random follows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from types import MappingProxyType

import torch
from torch import Tensor

from vergence.channels import AdditiveNoise, Channel
from vergence.checks import at_least, non_negative, one_of, probability
from vergence.errors import ConfigError
from vergence.factors import Factor, FactorSpace
from vergence.latent import (
    Captioning,
    Dependence,
    Gaussian,
    HeavyTail,
    Independent,
    LatentModel,
    Mixing,
    Shift,
    Shifted,
    mlp_mixing,
    replacement,
    wishart,
)
from vergence.latent.encoding import n_columns
from vergence.latent.perturbation import Entries
from vergence.misalignment import Misalignment
from vergence.random import named, spawn
from vergence.studies.misalignment2025.batched import BatchedConfig
from vergence.studies.misalignment2025.published import PublishedConfig
from vergence.views.numeric import NumericMixings, render

SPACE = FactorSpace(tuple(Factor(f"s{i}") for i in range(1, 11)))
N_PRIVATE = 5
SHIFTING = ("s9", "s10")
VIOLATIONS = ("none", "not injective", "holes", "far noise")
HELD_OUT_MENTIONS = (0.1, 0.01)  # the curve of numeric-graded is fitted without them, and checked on them
OBJECTIVES = ("l2_info_nce", "info_nce", "align_max_entropy", "sigmoid_loss", "nt_xent")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One training.

    Args:
        seed: Of the model, its mixings, the weights and the pairs; at least 0.
        selected: How many factors the text mentions: the first so many, 1 to 10.
        perturbed: How many of the selected it may get wrong: the last so many, fewer than are selected.
        dependent: Whether covariances are drawn from a Wishart distribution instead of being the identity.
        output_size: Of the encoders, at least 1; that of the unbiased block if `None`.
        perturbation_probability: Per pair and perturbed factor.
        mention: Probability that a text mentions a selected factor.
        mismatch: Share of texts that describe another image.
        objective: What is minimised.
        bottleneck: Weight of the alignment penalty beside it.
        violation: Which assumption of the theorem is broken, if any.
        downstream: Whether to measure labels made of the semantics too, in and out of domain.
        milestones: At how many evenly spaced points before the end to measure as well, >= 0.

    Raises:
        ConfigError: If a setting is outside its range.
    """

    seed: int
    selected: int = 10
    perturbed: int = 0
    dependent: bool = False
    output_size: int | None = None
    perturbation_probability: float = 0.75
    mention: float = 1.0
    mismatch: float = 0.0
    objective: str = "l2_info_nce"
    bottleneck: float = 0.0
    violation: str = "none"
    downstream: bool = False
    milestones: int = 0

    def __post_init__(self) -> None:
        at_least("seed", self.seed, 0)
        at_least("selected", self.selected, 1)
        if self.output_size is not None:
            at_least("output_size", self.output_size, 1)
        at_least("perturbed", self.perturbed, 0)
        at_least("milestones", self.milestones, 0)
        if self.selected > len(SPACE) or self.perturbed >= self.selected:
            raise ConfigError(
                f"selected must be at most {len(SPACE)}, perturbed below it; got {self.selected} and {self.perturbed}"
            )
        for name in ("perturbation_probability", "mention", "mismatch"):
            probability(name, getattr(self, name))
        one_of("objective", self.objective, OBJECTIVES)
        one_of("violation", self.violation, VIOLATIONS)
        non_negative("bottleneck", self.bottleneck)

    @property
    def name(self) -> str:
        """A name for files: what differs from the default, and the seed."""
        return self._name(without={"milestones"})

    @property
    def pairs_name(self) -> str:
        """A name for streams of pairs: runs that differ only in what learns from them see the same ones."""
        return self._name(without={"milestones", "output_size", "objective", "bottleneck"})

    def _name(self, *, without: set[str]) -> str:
        defaults = {field.name: field.default for field in fields(self) if field.name not in {"seed", *without}}
        parts = [f"{key}-{getattr(self, key)}" for key, value in defaults.items() if getattr(self, key) != value]
        return "_".join([*parts, f"seed-{self.seed}"]).replace(" ", "-")

    @cached_property
    def misalignment(self) -> Misalignment:
        """How often the text mentions which factors, and how it gets some of them wrong."""
        selected = SPACE.names[: self.selected]
        noise: Channel = AdditiveNoise(self.perturbation_probability, covariance=self._covariances[1])
        if self.violation == "far noise":
            noise = _FarNoise(self.perturbation_probability)
        return Misalignment.of_rates(
            dict.fromkeys(selected, self.mention),
            channels=dict.fromkeys(selected[self.selected - self.perturbed :], noise),
        )

    @cached_property
    def _covariances(self) -> list[Tensor | None]:
        """Of the semantics, of the noise and of what only one side has; `None` for the identity."""
        if not self.dependent:
            return [None] * 4
        streams = spawn(named(self.seed, "model"), 4)
        return [wishart(n, generator=stream) for n, stream in zip((10, 10, 5, 5), streams, strict=True)]

    @property
    def n_outputs(self) -> int:
        """Output size of the encoders."""
        return len(self.misalignment.unbiased) if self.output_size is None else self.output_size

    @property
    def n_wide(self) -> int:
        """Output size in the first part of a training: room for every factor that the text mentions."""
        return max(self.n_outputs, self.selected)

    def model(self, *, shifted: bool = False) -> LatentModel:
        """The latent variable model; with `shifted`, in the other domain, where two factors have heavy tails."""
        semantics, _, image, text = self._covariances
        dependence: Dependence = Independent() if semantics is None else Gaussian(semantics)
        if self.violation == "holes":
            dependence = Shifted(dependence, {name: _Hole() for name in SPACE})
        if shifted:
            dependence = Shifted(dependence, {name: HeavyTail() for name in SHIFTING})
        return LatentModel(
            SPACE,
            dependence,
            n_image_private=N_PRIVATE,
            n_text_private=N_PRIVATE,
            captioning=Captioning(mismatch=self.mismatch),
            image_private_covariance=image,
            text_private_covariance=text,
        )

    def mixings(self) -> NumericMixings:
        """What turns latent variables into views; the image's is the same whatever the text does."""
        image = mlp_mixing(len(SPACE) + N_PRIVATE, generator=named(self.seed, "image mixing"))
        graded = frozenset(SPACE) if self.mention < 1 else frozenset[str]()
        width = n_columns(SPACE, self.misalignment.selected, graded=graded) + N_PRIVATE
        text = mlp_mixing(width, generator=named(self.seed, "text mixing", width))
        if self.violation == "not injective":
            return NumericMixings(_Folded(image), text)
        return NumericMixings(image, text)

    def pairs(self) -> Callable[[int, torch.Generator], tuple[Tensor, Tensor]]:
        """What draws pairs of views for training."""
        return partial(_views, self.model(), self.misalignment, self.mixings())


def _views(
    model: LatentModel, misalignment: Misalignment, mixings: NumericMixings, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    views = render(model.sample(n, misalignment, generator=generator), mixings)
    return views.image, views.text


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A run and how it is trained and probed: all that its numbers depend on.

    Args:
        run: What is trained.
        training: How: by our trainer, or by the published protocol, which has one objective.
        n_probe: Points to fit probes on, and as many to score them.
    """

    run: RunSpec
    training: BatchedConfig | PublishedConfig
    n_probe: int


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large a study is.

    Args:
        seeds: Trials of each setting.
        training: How runs are trained.
        n_probe: Points to fit probes on, and as many to score them.
        stride: Of a sweep, every so many-th setting is run.
    """

    seeds: int
    training: BatchedConfig | PublishedConfig
    n_probe: int
    stride: int = 1


SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "smoke": Scale(seeds=1, training=BatchedConfig(steps=40, wide_steps=20, batch_size=128), n_probe=512, stride=4),
        "cpu": Scale(seeds=3, training=BatchedConfig(), n_probe=4096),
        "paper": Scale(seeds=3, training=PublishedConfig(), n_probe=20_480),
    }
)


@dataclass(frozen=True)
class _Folded(Mixing):
    """A mixing that is not injective: it sees only the size of the first latent variable."""

    mixing: Mixing

    @property
    def dim(self) -> int:
        return self.mixing.dim

    def __call__(self, latents: Tensor) -> Tensor:
        return self.mixing(torch.cat([latents[:, :1].abs(), latents[:, 1:]], dim=1))

    def inverse(self, mixed: Tensor) -> Tensor:
        raise ConfigError("a folded mixing has no inverse: two latent vectors give one view")


class _Hole(Shift):
    """A shift that moves values away from 0, so that the density is 0 on (-1, 1)."""

    def __call__(self, values: Tensor, fresh: Callable[[], Tensor], *, generator: torch.Generator) -> Tensor:
        return values + values.sign()


@dataclass(frozen=True)
class _FarNoise(Channel):
    """Noise that never comes near the truth: it moves a value by 3 up or down, with a spread of 0.1."""

    probability: float

    @property
    def is_exact(self) -> bool:
        return self.probability == 0


@replacement.register
def _far(channel: _FarNoise, entries: Entries, *, generator: torch.Generator) -> Tensor:
    record = entries.record
    sign = torch.randint(2, record.shape, generator=generator).to(record.dtype) * 2 - 1
    return record + 3 * sign + torch.randn(record.shape, generator=generator) / 10
