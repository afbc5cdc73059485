"""One training on captions of drawings of people, and what is read from it: the step that three studies share.

Everything random depends on the seed and the output size alone: trainings on different captions start from the same
image encoder, see the same batches and are probed on the same concepts. The floor is that encoder before any step, the
ceiling the same one taught by the labels themselves.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import at_least, non_negative, positive
from vergence.data import STYLE
from vergence.encoders import BagOfWordsEncoder, ConvEncoder, DualEncoder, Vocabulary
from vergence.errors import ConfigError
from vergence.metrics import matthews_corrcoef
from vergence.metrics.scale import unit
from vergence.probes import encode, probe
from vergence.probes.protocol import answer
from vergence.probes.robustness import leakage
from vergence.random import named
from vergence.studies.demo.spec import CEILING, FLOOR
from vergence.studies.demo.training import contrastive, fit
from vergence.studies.guidance.people import FACTORS, Captioned, Captions, People, captioned, people_of
from vergence.studies.study import Tell
from vergence.training import TrainConfig
from vergence.training.supervised import Labels, label_codes, supervised
from vergence.views import ViewPair

PROBE, ZERO_SHOT, PRECISION = "matthews", "zero-shot matthews", "precision at 10"
_NEAREST = 10


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How encoders are trained, whatever teaches them; chosen on seeds from 100 on, which no result reports.

    Args:
        side: Pixels of a side of the drawings.
        widths: Channels after each convolution of the image encoder.
        temperature: Of InfoNCE, above 0.
        shift: Pixels by which training images move at most.
        training: Settings of every training.
    """

    side: int = 32
    widths: tuple[int, ...] = (16, 32, 64, 128)
    temperature: float = 0.2
    shift: int = 2
    training: TrainConfig = field(default_factory=lambda: TrainConfig(epochs=30, batch_size=64))

    def __post_init__(self) -> None:
        positive("temperature", self.temperature)
        non_negative("shift", self.shift)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What teaches, to how many outputs, and from which seed.

    Args:
        name: Of the captions, or `FLOOR` or `CEILING`.
        captions: `None` where there are none.
        encoding_size: Output size, at least 1.
        bottleneck: β, weight of the alignment penalty, at least 0.
        seed: Of everything random.
        recipe: How it is trained.
        tied: How often tone and gender go together in training, as `people_of` has it.
    """

    name: str
    captions: Captions | None = None
    encoding_size: int
    bottleneck: float = 0.0
    seed: int
    recipe: Recipe = field(default_factory=Recipe)
    tied: float = 0.0

    def __post_init__(self) -> None:
        at_least("encoding_size", self.encoding_size, 1)
        non_negative("bottleneck", self.bottleneck)
        if (self.captions is None) != (self.name in (FLOOR, CEILING)):
            raise ConfigError(f"there are no captions for {FLOOR!r} and {CEILING!r} only; got {self.name!r}")

    @property
    def people(self) -> People:
        """The drawings and both halves."""
        return people_of(self.seed, self.recipe.side, self.tied)

    @property
    def captioned(self) -> Captioned | None:
        """The captions and the plan for them."""
        if self.captions is None:
            return None
        return captioned(self.captions, self.people, self.seed, self.encoding_size)


def key_of(lesson: Lesson) -> Mapping[str, Any]:
    """Everything that a result depends on; captions count by what they say, not by what they are called."""
    said = lesson.captioned
    return {
        "taught_by": lesson.name if said is None else said.digest,
        "encoding_size": lesson.encoding_size,
        "bottleneck": lesson.bottleneck,
        "seed": lesson.seed,
        "recipe": asdict(lesson.recipe),
        "tied": lesson.tied,
        "data": lesson.people.digest,
    }


@dataclass(frozen=True, eq=False)
class Taught:
    """What came of a lesson.

    Args:
        who: The drawings.
        encoder: Of images and texts.
        words: Of the captions; `None` without.
        z_image: Representations of all drawings, of length 1.
        lesson: What taught.
    """

    who: People
    encoder: DualEncoder
    words: Vocabulary | None
    z_image: Float[Tensor, "n dim"]
    lesson: Lesson


def teach(lesson: Lesson, *, folder: Path, tell: Tell) -> Taught:
    """Train an encoder, or leave it as it is.

    Args:
        lesson: What to train.
        folder: Holds checkpoints; a training that was stopped in it goes on.
        tell: Is told how many epochs are done.
    """
    recipe, size, seed, who = lesson.recipe, lesson.encoding_size, lesson.seed, lesson.people
    tell(0, recipe.training.epochs)
    said = lesson.captioned
    words = None if said is None else Vocabulary.of(said.texts[row] for row in who.train)
    with torch.random.fork_rng(devices=[]):  # torch's own stream is left as it was
        torch.manual_seed(named(seed, size, "weights").initial_seed())
        image = ConvEncoder(size, widths=recipe.widths)  # first, so that no captions change its weights
        text = BagOfWordsEncoder(len(words), size) if words else Labels()
        objective = contrastive(recipe.temperature, lesson.bottleneck) if words else supervised(size, who.space)
    texts = words.encode(said.texts) if words and said else label_codes(who.pairs.labels, who.space)
    views, encoder = ViewPair(image=who.pixels, text=texts), DualEncoder(image, text)
    if lesson.name != FLOOR:
        fit(
            encoder, views.take(who.train), objective, recipe.training,
            shift=recipe.shift, generator=named(seed, size, "training"), folder=folder, tell=tell,
        )  # fmt: skip
    return Taught(who, encoder, words, unit(encode(encoder, views).z_image), lesson)


def read(taught: Taught) -> list[dict[str, Any]]:
    """Read images of concepts that the encoder has not seen: rows of the table."""
    who, z_image, words = taught.who, taught.z_image, taught.words
    generator = named(taught.lesson.seed, taught.lesson.encoding_size, "intervals")
    rows = [*_scores(who, z_image, generator), *_leaks(who, z_image), *_by_group(who, z_image)]
    return rows if words is None else [*rows, *_asked(taught.encoder, words, who, z_image)]


def _scores(who: People, z: Float[Tensor, "n dim"], generator: torch.Generator) -> list[dict[str, Any]]:
    table = probe(*who.halves(z), who.space, generator=generator)
    return [
        {"side": "image", "factor": row["factor"], "metric": PROBE, "value": float(row["score"])}
        | {"low": float(row["low"]), "high": float(row["high"])}
        for _, row in table.iterrows()
    ]


def _leaks(who: People, z: Float[Tensor, "n dim"]) -> list[dict[str, Any]]:
    """What a probe tells of tone and gender, alone and beyond the other factors, in nats."""
    rows = []
    for name in ("skin_tone", "gender"):
        given = [who.space[other] for other in FACTORS if other != name]
        told = leakage(*who.halves(z), who.space[name], given=given)
        for metric, value in (("nats", told.nats), ("nats given the rest", told.nats_given)):
            rows.append({"side": "image", "factor": name, "metric": metric, "value": value})
    return rows


def _by_group(who: People, z: Float[Tensor, "n dim"]) -> list[dict[str, Any]]:
    """How often gender and subgroup are told of people of each tone, and subgroup of each gender."""
    fit, test = who.halves(z)
    rows = []
    for read, groups in (("gender", ("skin_tone",)), ("subgroup", ("skin_tone", "gender"))):
        found = answer(fit, test, who.space[read])
        right = (found.truth == found.predicted).double().numpy()
        for by in groups:
            for value in who.space[by].values or ():
                here = right[(test.labels[by] == value).to_numpy()]
                if len(here):
                    rows.append(
                        {"side": "image", "factor": read, "metric": f"accuracy, {value}", "value": float(here.mean())}
                    )
    return rows


def _asked(
    encoder: DualEncoder, words: Vocabulary, who: People, z_image: Float[Tensor, "n dim"]
) -> list[dict[str, Any]]:
    """What texts find among unseen drawings: each factor's value by its words, and drawings by gender and subgroup."""
    labels, z_image = who.pairs.labels.iloc[who.test].reset_index(drop=True), z_image[who.test]

    def embed(texts: list[str]) -> Tensor:
        view = ViewPair(image=who.pixels[: len(texts)], text=words.encode(texts))
        return encode(encoder, view).normalized().z_text

    rows = []
    for factor in who.space.factors:
        values = factor.values or ()
        told = (z_image @ embed([STYLE.word(factor.name, value) for value in values]).T).argmax(1)
        truth = torch.tensor([factor.index(value) for value in labels[factor.name]])
        score = float(matthews_corrcoef(truth, told))
        rows.append({"side": "both", "factor": factor.name, "metric": ZERO_SHOT, "value": score})
    kinds = labels.drop_duplicates(["gender", "subgroup"])
    found = []
    for gender, subgroup in zip(kinds["gender"], kinds["subgroup"], strict=True):
        (query,) = embed([f"{gender}, {subgroup}"])
        wanted = ((labels["gender"] == gender) & (labels["subgroup"] == subgroup)).to_numpy()
        best = (z_image @ query).topk(min(_NEAREST, len(labels))).indices.numpy()
        found.append(wanted[best].mean() / min(1.0, wanted.sum() / _NEAREST))
    rows.append({"side": "both", "factor": "gender, subgroup", "metric": PRECISION, "value": float(np.mean(found))})
    return rows
