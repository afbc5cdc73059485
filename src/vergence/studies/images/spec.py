"""What the image studies train: one frozen record per run, from which everything random follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from vergence.checks import at_least, non_negative, one_of, positive
from vergence.misalignment import Misalignment
from vergence.scenes import Scenes, scenes

CAPTIONS, CODES, LABELS, NOTHING = "captions", "codes", "labels", "nothing"
TEACHERS = (CAPTIONS, CODES, LABELS, NOTHING)
OBJECTIVES = ("nt_xent", "info_nce", "one_way")
IMAGE_ENCODERS = (
    *("conv", "grid", "grid2", "grid4", "grid5"),
    *("resnet18", "resnet20", "resnet32", "resnet56", "vit", "mlp"),
)
LEAST = "both/least"
USUAL = ("image/linear", "image/mlp", "text/linear", "text/mlp", LEAST)
READINGS = (*USUAL, "image/share", "text/share")
TRAIN, FIT, TEST = 2 / 3, 1 / 6, 1 / 6
"""Shares of the images: to train on, to fit probes on, to score them on."""


@dataclass(frozen=True, kw_only=True)
class SetSpec:
    """Which images.

    Args:
        name: One of `vergence.scenes.SCENES`.
        n_images: How many, at least 12.
        side: Pixels of a side, at least 8.
        coarse: Factors of which only so many values, evenly spaced, are drawn: (name, number).
        file: The official file or folder to take them from; made anew if `None`.
        digest: Of what it holds.
    """

    name: str
    n_images: int
    side: int = 32
    coarse: tuple[tuple[str, int], ...] = ()
    file: str | None = None
    digest: str = ""

    def __post_init__(self) -> None:
        at_least("n_images", self.n_images, 12)
        at_least("side", self.side, 8)

    @property
    def scenes(self) -> Scenes:
        """The set, with fewer values where that was asked for."""
        return scenes(self.name).coarse(dict(self.coarse))


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long and how fast a run is trained.

    Args:
        epochs: Passes over the training images, at least 1.
        batch_size: Pairs in a step, at least 2.
        learning_rate: Highest rate of AdamW, above 0.
    """

    epochs: int = 12
    batch_size: int = 128
    learning_rate: float = 4e-3

    def __post_init__(self) -> None:
        at_least("epochs", self.epochs, 1)
        at_least("batch_size", self.batch_size, 2, why="a contrastive loss needs a negative")
        positive("learning_rate", self.learning_rate)


@dataclass(frozen=True, kw_only=True)
class ImageRun:
    """One training.

    Args:
        data: Which images.
        seed: Of weights, order and captions, at least 0.
        taught_by: "captions" in words, "codes" of factors, the "labels" themselves, or "nothing".
        mention: How often texts speak of a factor: (name, probability); of the others they never do.
        redraw: How often they then say a value drawn uniformly: (name, probability).
        encoding_size: Outputs of both encoders, at least 1.
        objective: "nt_xent", symmetric "info_nce" or "one_way" (image to text); all of cosines.
        temperature: What cosines are divided by, above 0; where it starts, if learned.
        learned: Whether the temperature is learned.
        bottleneck: β, the weight of the mean squared distance of paired unit vectors, at least 0.
        image_encoder: Architecture of the image's encoder.
        budget: How it is trained.
        readings: What is read of every factor: a side and "linear" or "mlp" for a probe, or "share" of the variance;
            and of both the least loss.

    Raises:
        ConfigError: If a setting is outside its range.
    """

    data: SetSpec
    seed: int
    taught_by: str
    encoding_size: int
    mention: tuple[tuple[str, float], ...] = ()
    redraw: tuple[tuple[str, float], ...] = ()
    objective: str = "nt_xent"
    temperature: float = 1.0
    learned: bool = False
    bottleneck: float = 0.0
    image_encoder: str = "conv"
    budget: Budget = field(default_factory=Budget)
    readings: tuple[str, ...] = USUAL

    def __post_init__(self) -> None:
        at_least("seed", self.seed, 0)
        one_of("taught_by", self.taught_by, TEACHERS)
        one_of("objective", self.objective, OBJECTIVES)
        one_of("image_encoder", self.image_encoder, IMAGE_ENCODERS)
        at_least("encoding_size", self.encoding_size, 1)
        positive("temperature", self.temperature)
        non_negative("bottleneck", self.bottleneck)
        for reading in self.readings:
            one_of("reading", reading, READINGS)

    @property
    def misalignment(self) -> Misalignment:
        """What the texts do."""
        return Misalignment.of_rates(dict(self.mention), redraw=dict(self.redraw))

    @property
    def contrastive(self) -> bool:
        """Whether texts teach it."""
        return self.taught_by in (CAPTIONS, CODES)


def role(run: ImageRun, factor: str) -> str:
    """What a factor is to the texts of a run."""
    bias = run.misalignment
    if factor not in run.data.scenes.captioned:
        return "private"
    if factor in bias.perturbed:
        return "perturbed"
    if factor in bias.graded:
        return "at times"
    return "unbiased" if factor in bias.selected else "omitted"


def always(*names: str) -> tuple[tuple[str, float], ...]:
    """Factors of which texts always speak."""
    return tuple((name, 1.0) for name in names)


def ends(run: ImageRun) -> Mapping[str, ImageRun]:
    """The runs between which a run's scores are read: the same encoder untrained, and trained with the labels."""
    shared = ("data", "seed", "image_encoder", "budget", "readings")
    rest = {name: getattr(run, name) for name in shared}
    size = max(run.encoding_size, CEILING_SIZE)
    return MappingProxyType(
        {
            NOTHING: ImageRun(taught_by=NOTHING, encoding_size=run.encoding_size, **rest),
            LABELS: ImageRun(taught_by=LABELS, encoding_size=size, **rest),
        }
    )


CEILING_SIZE = 32
"""Outputs of the encoder that labels train: what images show is not to be limited by them."""
