"""Which encoders a configuration can name, with which settings, and how they are made of them."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from vergence.checks import one_of
from vergence.encoders import (
    MLP,
    BagOfWordsEncoder,
    ConvEncoder,
    FrozenFeatures,
    GridConvEncoder,
    PixelMLP,
    PixelResidualMLP,
    Preprocessing,
    ResidualMLP,
    ResNet,
    SentenceCNN,
    TextCNN,
    TextTransformer,
    TransformersImageEncoder,
    ViT,
    Vocabulary,
    load_preprocessing,
    load_weights,
    resnet18,
    resnet34,
    resnet_cifar,
)
from vergence.errors import ConfigError, VergenceError
from vergence.random import named
from vergence.training.limits import not_too_large, training_fits_in_memory, within
from vergence.training.mapping import check_value

IMAGE_ENCODERS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "conv": ConvEncoder,
        "grid_conv": GridConvEncoder,
        "mlp": PixelMLP,
        "residual_mlp": PixelResidualMLP,
        "resnet": ResNet,
        "resnet18": resnet18,
        "resnet34": resnet34,
        "resnet_cifar": resnet_cifar,
        "vit": ViT,
        "transformers": TransformersImageEncoder,
    }
)
"""Encoders of images that a configuration can name; "transformers" is a model in a local folder."""

TEXT_ENCODERS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {"bag_of_words": BagOfWordsEncoder, "sentence_cnn": SentenceCNN, "cnn": TextCNN, "transformer": TextTransformer}
)
"""Encoders of word numbers that a configuration can name."""

HEADS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {"linear": nn.Linear, "mlp": MLP, "residual_mlp": ResidualMLP}
)
"""What can be fitted to the features of a fixed backbone."""

_IMPLIED = frozenset({"side", "preprocessing", "fitted"})  # follow from other settings


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """What is fitted to the features of a fixed backbone.

    Args:
        kind: A name from `vergence.training.towers.HEADS`.
        settings: Keyword arguments of it, such as `{hidden: [256]}`.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    kind: str = "linear"
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("kind", self.kind, HEADS)
        _check_settings(self.kind, HEADS[self.kind], self.settings)

    def make(self, n_features: int, dim: int) -> nn.Module:
        """Make it."""
        return HEADS[self.kind](n_features, dim, **self.settings)


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """An image encoder: fitted from the start, from given weights on, or only a head on fixed features.

    Args:
        kind: A name from `vergence.training.towers.IMAGE_ENCODERS`.
        settings: Keyword arguments of it, such as `{stem: plain, hidden: 100}`.
        weights: Weights to start from: a local file or folder that `load_weights` reads; for "transformers", the
            model's folder. Nothing is downloaded.
        head: Fixes the encoder that the weights are of and fits this to its output; `None` fits the encoder itself.
        features: Output size of the encoder below a head, >= 1, as its weights have it; that of both towers if `None`.
            A model of "transformers" has its own.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    kind: str = "conv"
    settings: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    head: HeadConfig | None = None
    features: int | None = None

    def __post_init__(self) -> None:
        one_of("kind", self.kind, IMAGE_ENCODERS)
        _check_settings(self.kind, IMAGE_ENCODERS[self.kind], self.settings)
        if self.weights is None and (self.kind == "transformers" or self.head):
            what = "a head, whose backbone is fixed," if self.head else "kind transformers"
            raise ConfigError(f"weights must be a local file or folder for {what} to start from; got None")
        if self.features is not None:
            within("features", self.features, 1)
            if self.kind == "transformers" or not self.head:
                what = "kind transformers, which has its own" if self.kind == "transformers" else "no head"
                raise ConfigError(f"features must be null with {what}; got {self.features}")

    def make(
        self, dim: int, *, side: int, preprocessing: Preprocessing | None = None, folder: Path | None = None
    ) -> nn.Module:
        """Make it, as yet without the weights to start from.

        Args:
            dim: Output size.
            side: Pixels of a side of its images.
            preprocessing: What its weights were fitted to, where that is known.
            folder: The description of a model of "transformers", if its weights are kept elsewhere.
        """
        if self.kind == "transformers":
            source = Path(str(self.weights)) if folder is None else folder
            backbone: nn.Module = TransformersImageEncoder(source, fitted=folder is None)
            _check_side(self, getattr(backbone, "preprocessing", None), side=side)
            n_features = _output_size(backbone, side=side)
        else:
            n_features = (self.features or dim) if self.head else dim
            make = IMAGE_ENCODERS[self.kind]
            implied = {"side": side, **({"preprocessing": preprocessing} if preprocessing else {})}
            taken = {name: value for name, value in implied.items() if name in inspect.signature(make).parameters}
            backbone = make(n_features, **self.settings, **taken)
        if self.head:
            return FrozenFeatures(backbone, self.head.make(n_features, dim))
        if n_features != dim:
            raise ConfigError(f"dim must be {n_features}, what {self.weights} gives, or a head must be set; got {dim}")
        return backbone


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """A text encoder over the words of the training captions.

    Args:
        kind: A name from `vergence.training.towers.TEXT_ENCODERS`.
        settings: Keyword arguments of it, such as `{depth: 4}`. Captions are cut to the `max_length` of "transformer".

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    kind: str = "bag_of_words"
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("kind", self.kind, TEXT_ENCODERS)
        _check_settings(self.kind, TEXT_ENCODERS[self.kind], self.settings)

    def make(self, vocabulary_size: int, dim: int) -> nn.Module:
        """Make it."""
        return TEXT_ENCODERS[self.kind](vocabulary_size, dim, **self.settings)


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """An image encoder and a text encoder.

    Args:
        dim: Output size of both, >= 1.
        min_count: How often a word must come in training captions to be known, >= 1.
        image: The image encoder.
        text: The text encoder.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    dim: int = 16
    min_count: int = 1
    image: ImageConfig = field(default_factory=ImageConfig)
    text: TextConfig = field(default_factory=TextConfig)

    def __post_init__(self) -> None:
        within("dim", self.dim, 1)
        within("min_count", self.min_count, 1)

    def check(self, *, side: int) -> None:
        """Require encoders of these settings to exist, by making them without memory for weights; no file is read.

        Args:
            side: Pixels of a side of the images.

        Raises:
            ConfigError: Naming the tower, the setting, what it got and what is allowed.

        Example:
            >>> EncoderConfig(image=ImageConfig(kind="vit", settings={"patch": 5})).check(side=64)
            Traceback (most recent call last):
            vergence.errors.ConfigError: in encoder.image: side must be a multiple of patch; got side 64, patch 5
        """
        image, some_words = self.image, 3

        parts: dict[str, Callable[[], nn.Module]] = {"text": lambda: self.text.make(some_words, self.dim)}
        if image.kind != "transformers":
            parts["image"] = lambda: image.make(self.dim, side=side)
        elif head := image.head:
            parts["image"] = lambda: head.make(1, self.dim)
        for part, make in parts.items():
            try:
                with torch.device("meta"):
                    training_fits_in_memory(make())
            except VergenceError as error:
                raise ConfigError(f"in encoder.{part}: {error}") from error


def make_image_encoder(config: EncoderConfig, *, side: int, seed: int) -> nn.Module:
    """Make the image encoder, initialised from a stream of its own; torch's own stream is left as it was.

    Args:
        config: Which encoder.
        side: Pixels of a side of the images.
        seed: Seed of its weights, >= 0.

    Returns:
        The encoder, with the weights to start from where the configuration names a file.

    Raises:
        CorpusError: If weights are missing or broken.
        ConfigError: If weights are of another encoder, another size or another preprocessing.
        MissingExtraError: If a model needs `transformers` and it is not installed.

    Example:
        >>> make_image_encoder(EncoderConfig(dim=4), side=64, seed=0)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 4])
    """
    image = config.image
    weights = None if image.kind == "transformers" else image.weights
    takes_preprocessing = "preprocessing" in inspect.signature(IMAGE_ENCODERS[image.kind]).parameters
    stored = load_preprocessing(weights) if weights and takes_preprocessing else None
    _check_side(image, stored, side=side)
    with seeded(named(seed, "weights", "image")):
        encoder = image.make(config.dim, side=side, preprocessing=stored)
    if weights:
        load_weights(encoder.backbone if isinstance(encoder, FrozenFeatures) else encoder, weights)
    return encoder


def make_text_encoder(config: EncoderConfig, vocabulary: Vocabulary, *, seed: int) -> nn.Module:
    """Make the text encoder, initialised from a stream of its own; torch's own stream is left as it was.

    Args:
        config: Which encoder.
        vocabulary: What texts are numbered with.
        seed: Seed of its weights, >= 0.

    Raises:
        ConfigError: If the vocabulary holds no word.
    """
    with torch.device("meta"):
        training_fits_in_memory(config.text.make(len(vocabulary), config.dim))
    with seeded(named(seed, "weights", "text")):
        return config.text.make(len(vocabulary), config.dim)


@contextmanager
def seeded(stream: torch.Generator) -> Iterator[None]:
    """Draw weights from a stream of their own; torch's own stream is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream.initial_seed())
        yield


def _check_side(config: ImageConfig, preprocessing: Preprocessing | None, *, side: int) -> None:
    if preprocessing and preprocessing.side not in (None, side):
        raise ConfigError(f"data.side must be {preprocessing.side}, that of {config.weights}; got {side}")


def _output_size(encoder: nn.Module, *, side: int) -> int:
    with torch.no_grad():
        return int(encoder(torch.zeros(1, 3, side, side)).shape[1])


def setting_names(make: Callable[..., nn.Module]) -> list[str]:
    """Return which settings a configuration may have for what makes an encoder: its keyword arguments."""
    every = inspect.signature(make).parameters.items()
    return [name for name, entry in every if entry.kind == entry.KEYWORD_ONLY and name not in _IMPLIED]


def _check_settings(kind: str, make: Callable[..., nn.Module], settings: Mapping[str, Any]) -> None:
    """Require settings to be keyword arguments of what makes an encoder, each of the type that it is annotated with."""
    parameters = {name: inspect.signature(make).parameters[name] for name in setting_names(make)}
    for name, value in settings.items():
        one_of(f"setting of {kind}", name, parameters)
        check_value(parameters[name].annotation, value, f"setting {name} of {kind}")
        not_too_large(name, value)
    for name, entry in parameters.items():
        if entry.default is entry.empty and name not in settings:
            raise ConfigError(f"settings of {kind} must state {name}; got {dict(settings) or 'none'}")
