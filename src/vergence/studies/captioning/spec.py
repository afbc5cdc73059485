"""What the studies of captioning train: captions, weights of the objective, sizes; all of it decided before any run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vergence.checks import at_least
from vergence.misalignment import Misalignment
from vergence.training.captioner_spec import CaptionerConfig, CaptionObjective, QueryConfig
from vergence.training.config import TrainConfig

FACTORS = ("skin_tone", "gender", "group", "subgroup")
"""What captions of drawings may state."""

ALWAYS = tuple((name, 1.0) for name in FACTORS)
DRAWINGS = "drawings"
"""The embedded set; any other name of images is a folder of COCO's."""
CONV = "conv"
"""A small convolutional network with random weights: for a quick run without a pretrained encoder."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images of a run, as tokens of a frozen encoder.

    Args:
        name: `DRAWINGS`, or COCO's folder.
        encoder: `CONV`, or the folder of a pretrained model.
        cache: Folder of cached tokens.
        concepts: How many base concepts of the drawings to use; all if `None`.
        digest: Of the tokens, once they are there.
    """

    name: str = DRAWINGS
    encoder: str = CONV
    cache: str | None = None
    concepts: int | None = None
    digest: str = ""

    def key(self) -> dict[str, Any]:
        """What results depend on: not where files lie."""
        name = self.name if self.name == DRAWINGS else "coco"
        return {"name": name, "concepts": self.concepts, "tokens": self.digest or self.encoder}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How captioners are trained and measured.

    Args:
        model: The query transformer, but for its encoding size.
        train: Epochs, batch size, learning rate.
        min_count: How often a word must come in training captions to be known.
        decoded: Test images that are captioned, at most.
        held_out: Share of the training concepts that is never trained on nor reported, for development.
    """

    model: QueryConfig
    train: TrainConfig
    min_count: int = 8
    decoded: int = 300
    held_out: float = 0.1

    def __post_init__(self) -> None:
        at_least("decoded", self.decoded, 2)


@dataclass(frozen=True, kw_only=True)
class CaptionRun:
    """One captioner: what its training captions state, what it minimises, how large it is.

    Args:
        images: Which images.
        seed: Of everything random, the split among it.
        mention: By factor, how often training captions state it.
        redraw: By factor, how often they then state a value drawn uniformly.
        contrast: Weight of the contrastive loss.
        matching: Weight of image-text matching.
        bottleneck: β.
        encoding_size: Of what images and texts are compared by.
        budget: How it is trained and measured.
    """

    images: Images = field(default_factory=Images)
    seed: int
    mention: tuple[tuple[str, float], ...] = ALWAYS
    redraw: tuple[tuple[str, float], ...] = ()
    contrast: float = 1.0
    matching: float = 0.0
    bottleneck: float = 0.0
    encoding_size: int = 32
    budget: Budget

    @property
    def misalignment(self) -> Misalignment:
        """What training captions omit and get wrong."""
        return Misalignment.of_rates(dict(self.mention), redraw=dict(self.redraw))

    @property
    def config(self) -> CaptionerConfig:
        """As training takes it; the temperature is learned from .07."""
        return CaptionerConfig(
            model=replace(self.budget.model, encoding_size=self.encoding_size),
            objective=CaptionObjective(
                contrast=self.contrast, matching=self.matching, bottleneck=self.bottleneck, temperature=0.07
            ),
            train=self.budget.train,
            min_count=self.budget.min_count,
        )

    def key(self) -> Mapping[str, Any]:
        """Everything that its result depends on, as JSON can say it."""
        return {**asdict(self), "images": self.images.key()}

    @property
    def captions(self) -> str:
        """What training captions do, in words: `faithful`, or each factor that they do not always state rightly."""
        mention, redraw = dict(self.mention), dict(self.redraw)
        said = []
        for name in FACTORS:
            rate, wrong = mention.get(name, 0.0), redraw.get(name, 0.0)
            parts = ["never"] if not rate else [f"{rate:.0%}"] if rate < 1 else []
            parts += [f"redrawn {wrong:.0%}"] if wrong else []
            said += [f"{name.replace('_', ' ')} {' '.join(parts)}"] if parts else []
        return ", ".join(said) or "faithful"

    @property
    def label(self) -> str:
        """A name that no other run of one scale has."""
        parts = [self.captions.replace(", ", "_").replace(" ", "-").replace("%", "")]
        parts += [f"beta-{self.bottleneck:g}"] if self.bottleneck else []
        parts += [f"matching-{self.matching:g}"] if self.matching else []
        parts += ["no-contrast"] if not self.contrast else []
        return "_".join([*parts, str(self.encoding_size), f"seed-{self.seed}"])


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large a study is.

    Args:
        name: What the command line calls it.
        budget: Of each run.
        seeds: Trials of each setting; β = 0 and .1 without matching have `paired`.
        paired: See `seeds`.
        encoding_size: Where the study does not compare several.
        concepts: Base concepts of the drawings; all if `None`.
        pretrained: Whether images come as tokens of a pretrained encoder, which the user names.
    """

    name: str
    budget: Budget
    seeds: int = 3
    paired: int = 8
    encoding_size: int = 32
    concepts: int | None = None
    pretrained: bool = True


SMOKE = Scale(
    name="smoke",
    budget=Budget(
        model=QueryConfig(dim=16, layers=2, heads=2, queries=2, expansion=2, max_length=26),
        train=TrainConfig(epochs=1, batch_size=32, learning_rate=5e-3),
        min_count=4,
        decoded=24,
    ),
    seeds=1,
    paired=1,
    encoding_size=8,
    concepts=120,
    pretrained=False,
)
CPU = Scale(
    name="cpu",
    budget=Budget(
        model=QueryConfig(dim=64, layers=2, heads=2, queries=4, expansion=2, max_length=26),
        train=TrainConfig(epochs=12, batch_size=32, learning_rate=4e-3),
    ),
)
PAPER = Scale(
    name="paper",
    budget=Budget(
        model=QueryConfig(dim=768, layers=12, heads=12, queries=32, max_length=32),
        train=TrainConfig(epochs=54, batch_size=128, learning_rate=1e-4, warmup=0.02, weight_decay=0.0),
        min_count=5,
        decoded=5000,
    ),
    encoding_size=256,
)
"""[almudevar2025]: 32 queries of BERT-base's size, 256 outputs, Adam at 1e-4, 1,000 steps of warm-up, 50,000 in all."""
