"""What a captioner is trained by: query transformer, objective, settings; checked before any of it is made."""

from dataclasses import dataclass, field, fields
from typing import Any

from vergence.checks import non_negative, one_of, positive, probability
from vergence.encoders.qformer import QFormer
from vergence.errors import ConfigError
from vergence.losses import (
    LearnedTemperature,
    Objective,
    OutputTerm,
    Ramp,
    WeightedTerm,
    captioning_loss,
    matching_loss,
    query_contrast,
    query_penalty,
    variational_query_penalty,
)
from vergence.training.config import TrainConfig
from vergence.training.limits import not_too_large, within

FORMS = ("cosine", "variational")
"""Forms of the bottleneck."""
_TERMS = ("contrast", "matching", "captioning", "bottleneck")
_OF_THE_LOOP = ("epochs", "batch_size", "learning_rate", "weight_decay", "warmup", "max_grad_norm", "optimizer")


@dataclass(frozen=True, kw_only=True)
class QueryConfig:
    """A query transformer: see `QFormer`.

    Args:
        dim: Size of a query and of a word; a multiple of the number of heads.
        layers: Layers, >= 1.
        heads: Attention heads, >= 1.
        queries: Learned queries, >= 1.
        encoding_size: Size of what images and texts are compared by, >= 1.
        max_length: Words that a text may have, its begin and end among them, >= 3; longer captions are cut.
        dropout: In [0, 1).
        cross_every: Queries attend to image tokens in the first layer and every so many, >= 1.
        expansion: How many times wider than `dim` the hidden layer of a feed-forward network is, >= 1.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    dim: int = 128
    layers: int = 2
    heads: int = 4
    queries: int = 8
    encoding_size: int = 64
    max_length: int = 24
    dropout: float = 0.0
    cross_every: int = 1
    expansion: int = 4

    def __post_init__(self) -> None:
        for name, value in self.settings().items():
            not_too_large(name, value)

    def settings(self) -> dict[str, Any]:
        """By name, as `QFormer` takes them."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def make(self, *, token_dim: int, n_words: int, stochastic: bool) -> QFormer:
        """Make it, from torch's own stream."""
        return QFormer(token_dim=token_dim, n_words=n_words, stochastic=stochastic, **self.settings())


@dataclass(frozen=True, kw_only=True)
class CaptionObjective:
    """What a captioner minimises: the sum of four terms, [almudevar2025] after [li2023].

    A term of weight 0 is left out, and what only it needs is not computed; the bottleneck is reported wherever images
    and texts are compared.

    Args:
        contrast: Weight of `query_contrast`: a number >= 0, or a ramp, `{first: 0, last: 1, start: 0, stop: 1}`.
        matching: Weight of `matching_loss`, on pairs and as many hard negatives of each modality.
        captioning: Weight of `captioning_loss`.
        bottleneck: Weight of the bottleneck, the paper's β.
        form: Of the bottleneck: "cosine" for `query_penalty`; "variational" for `variational_query_penalty`, which
            makes what is compared normal distributions, of which training sees samples.
        temperature: Of the contrast and of hard negatives, > 0.
        learned: Whether the temperature is learned from there.
        label_smoothing: Of the contrast, in [0, 1].
        word_smoothing: Of captioning, in [0, 1].

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.

    Example:
        >>> list(CaptionObjective(bottleneck=0.1).make().terms)
        ['contrast', 'captioning', 'bottleneck']
        >>> CaptionObjective(contrast=0, captioning=0)
        Traceback (most recent call last):
        vergence.errors.ConfigError: contrast, matching, captioning or bottleneck must be above 0; got 0 for all
    """

    contrast: float | Ramp = 1.0
    matching: float | Ramp = 0.0
    captioning: float | Ramp = 1.0
    bottleneck: float | Ramp = 0.0
    form: str = "cosine"
    temperature: float = 0.07
    learned: bool = True
    label_smoothing: float = 0.1
    word_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for name in _TERMS:
            if not isinstance(getattr(self, name), Ramp):
                non_negative(name, getattr(self, name))
        one_of("form", self.form, FORMS)
        positive("temperature", self.temperature)
        for name in ("label_smoothing", "word_smoothing"):
            probability(name, getattr(self, name))
        if all(getattr(self, name) == 0 for name in _TERMS):
            raise ConfigError(f"{', '.join(_TERMS[:-1])} or {_TERMS[-1]} must be above 0; got 0 for all")

    @property
    def compares(self) -> bool:
        """Whether images and texts are compared."""
        return self.contrast != 0 or self.matching != 0 or self.bottleneck != 0

    @property
    def stochastic(self) -> bool:
        """Whether what is compared are distributions."""
        return self.form == "variational" and self.compares

    def make(self) -> Objective:
        """Make the objective, with what it learns; its terms read what `vergence.training.captioner` computes."""
        pair = {"z_image": "z_image", "z_text": "z_text"}
        terms: dict[str, WeightedTerm] = {}
        if self.contrast != 0:
            bounds = {"minimum": min(0.01, self.temperature), "maximum": max(10.0, self.temperature)}
            temperature = LearnedTemperature(self.temperature, **bounds) if self.learned else self.temperature
            terms["contrast"] = OutputTerm(
                query_contrast,
                self.contrast,
                reads={**pair, "same": "same"},
                temperature=temperature,
                label_smoothing=self.label_smoothing,
            )
        if self.matching != 0:
            terms["matching"] = OutputTerm(
                matching_loss, self.matching, reads={"logits": "match", "targets": "belongs"}
            )
        if self.captioning != 0:
            terms["captioning"] = OutputTerm(
                captioning_loss,
                self.captioning,
                reads={"logits": "next_words", "ids": "ids"},
                label_smoothing=self.word_smoothing,
            )
        if self.stochastic:
            reads = {"z_image": "posterior_image", "z_text": "posterior_text"}
            terms["bottleneck"] = OutputTerm(variational_query_penalty, self.bottleneck, reads=reads)
        elif self.compares:
            terms["bottleneck"] = OutputTerm(query_penalty, self.bottleneck, reads=pair)
        return Objective(terms)


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig:
    """Everything about a captioner but its images and captions.

    Args:
        model: The query transformer.
        objective: What to minimise.
        train: How: epochs, batch size, learning rate, weight decay, warm-up, clipping, optimiser.
        min_count: How often a word must come in the training captions to be known, >= 1.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    model: QueryConfig = field(default_factory=QueryConfig)
    objective: CaptionObjective = field(default_factory=CaptionObjective)
    train: TrainConfig = field(default_factory=TrainConfig)
    min_count: int = 1

    def __post_init__(self) -> None:
        within("min_count", self.min_count, 1)
        default = TrainConfig()
        for entry in fields(TrainConfig):
            if entry.name not in _OF_THE_LOOP and getattr(self.train, entry.name) != getattr(default, entry.name):
                known = ", ".join(_OF_THE_LOOP)
                raise ConfigError(f"train.{entry.name} must be left out for a captioner; it takes {known}")
