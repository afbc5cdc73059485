"""What `vergence train` is told: data, encoders, objective, settings; checked as a whole before any of it is made."""

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from vergence.checks import at_least, one_of
from vergence.data import POLICIES
from vergence.errors import ConfigError
from vergence.files import yaml_text
from vergence.losses import (
    LearnedScalar,
    LearnedTemperature,
    Objective,
    Ramp,
    WeightedTerm,
    align_max_entropy,
    alignment_penalty,
    info_nce,
    l2_info_nce,
    lp_info_nce,
    nt_xent,
    one_way_info_nce,
    sigmoid_loss,
)
from vergence.random import check_seed
from vergence.training.config import TrainConfig
from vergence.training.limits import fits_in_memory, within
from vergence.training.mapping import check_value
from vergence.training.start import StartConfig
from vergence.training.towers import EncoderConfig

LOSSES: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        fn.__name__: fn
        for fn in (
            info_nce,
            one_way_info_nce,
            nt_xent,
            l2_info_nce,
            lp_info_nce,
            sigmoid_loss,
            align_max_entropy,
            alignment_penalty,
        )
    }
)
"""Losses that a configuration can name."""

HELD_OUT = ("held_out_total", "held_out_recall_at_1")
"""Metrics that a run measures where pairs are held out."""

_MOST_THREADS = 8  # that are used without being asked for


def _learned_temperature(initial: float) -> LearnedTemperature:
    """A temperature that may be learned from where it is: pretrained models begin below what others are kept above."""
    return LearnedTemperature(initial, minimum=min(0.01, initial), maximum=max(10.0, initial))


_LEARNED: Mapping[str, Callable[[float], torch.nn.Module]] = MappingProxyType(
    {"temperature": _learned_temperature, "bias": LearnedScalar}
)
_UNSAID = frozenset({"negatives_image", "negatives_text", "bound"})  # settings that a configuration has no words for


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The pairs to train on.

    Args:
        source: A file, folder or glob of images with captions, in any layout of `vergence.data.LAYOUTS`: tables of
            paths, COCO annotations, tar shards, Parquet, folders; the embedded set if `None`.
        parquet: The earlier name of `source`.
        image_column: Column of WebP, PNG or JPEG files as bytes, or of their paths; in tar shards a field. Found by its
            name if `None`: image, file_name, filepath, path and the like.
        caption_column: Column of texts, or of lists of them; in tar shards a field, or a key of its JSON. Found by its
            name if `None`: caption, text, title and the like.
        key_column: Column of what each image is called; `key`, `id` or `ids` if `None`, else the image's path.
        cluster_column: Column, equal for rows that must not be both trained on and held out. Rows of one image, or of
            one key, are kept together in any case.
        images: Folder that paths of images are relative to; that of the file which holds them if `None`.
        max_skipped: Largest share of the rows that may be left out since their image or caption is missing or cannot
            be read, in [0, 1); they are counted.
        strict: Whether to stop at the first such row instead.
        policy: How to caption the embedded set: a name from `vergence.data.POLICIES`.
        items: How many items of the embedded set or file to use, drawn at random, >= 2; all if `None`.
        side: Pixels of a side to which images are brought, in [8, 4096]; a model to start from has its own.
        shift: Pixels by which training images move at most, >= 0.
        workers: Threads that decode images, >= 1; as many as there are cores if `None`. Results do not depend on it.
        memory: Mebibytes of decoded images that may be held, >= 0: a set that fits is decoded once, of any other each
            batch when it is needed. Results do not depend on it.
        validation: Share of the images (of the embedded set: concepts; of a cluster column: clusters) held out for
            metrics, in [0, 1).

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    source: str | None = None
    parquet: str | None = None
    image_column: str | None = None
    caption_column: str | None = None
    key_column: str | None = None
    cluster_column: str | None = None
    images: str | None = None
    max_skipped: float = 0.05
    strict: bool = False
    policy: str = "labels"
    items: int | None = None
    side: int = 64
    shift: int = 4
    workers: int | None = None
    memory: int = 128
    validation: float = 0.1

    def __post_init__(self) -> None:
        one_of("policy", self.policy, POLICIES)
        within("side", self.side, 8)
        at_least("shift", self.shift, 0)
        if self.shift >= self.side:
            raise ConfigError(f"shift must be below side, {self.side}; got {self.shift}")
        if self.items is not None:
            within("items", self.items, 2)
        for name in ("validation", "max_skipped"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be a share in [0, 1); got {getattr(self, name)!r}")
        if self.workers is not None:
            within("workers", self.workers, 1)
        within("memory", self.memory, 0)
        if self.source is not None and self.parquet is not None:
            raise ConfigError("parquet is the earlier name of source; keep data.source and remove data.parquet")
        for name in ("image_column", "caption_column", "key_column", "cluster_column", "images"):
            if getattr(self, name) is not None and self.place is None:
                raise ConfigError(f"{name} is of data.source, which is not set; remove it or set both")

    @property
    def place(self) -> str | None:
        """The source, by whichever name it was given."""
        return self.parquet if self.source is None else self.source

    @property
    def threads(self) -> int:
        """Threads that decode images."""
        return self.workers or min(os.cpu_count() or 1, _MOST_THREADS)


@dataclass(frozen=True, kw_only=True)
class TermConfig:
    """One term of the objective.

    Args:
        loss: A name from `vergence.training.LOSSES`.
        weight: A number >= 0, or a ramp: `{first: 0, last: 1, start: 0, stop: 1}`.
        settings: Keyword arguments of the loss, such as `{temperature: 0.2}`.
        learn: Which settings to learn, from the value in `settings`: temperature, bias.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    loss: str
    weight: float | Ramp = 1.0
    settings: dict[str, int | float | str | None] = field(default_factory=dict)
    learn: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        one_of("loss", self.loss, LOSSES)
        parameters = inspect.signature(LOSSES[self.loss]).parameters
        known = [name for name, entry in parameters.items() if entry.kind == entry.KEYWORD_ONLY]
        for name in self.settings:
            one_of(f"setting of {self.loss}", name, [name for name in known if name not in _UNSAID])
        for name in self.learn:
            one_of(f"setting of {self.loss} that can be learned", name, [name for name in known if name in _LEARNED])
        for name, value in self.settings.items():
            check_value(parameters[name].annotation, value, f"setting {name} of {self.loss}")
        z = torch.eye(64)
        self.make()(z, z)  # what else a loss requires of its settings

    def make(self) -> WeightedTerm:
        """Make the term, with modules for what is learned."""
        parameters = inspect.signature(LOSSES[self.loss]).parameters
        settings: dict[str, Any] = dict(self.settings)
        for name in self.learn:
            settings[name] = _LEARNED[name](settings.get(name, parameters[name].default))
        return WeightedTerm(LOSSES[self.loss], self.weight, **settings)


def default_objective() -> dict[str, TermConfig]:
    """What is minimised where nothing else is said."""
    return {"contrast": TermConfig(loss="info_nce", settings={"temperature": 0.2})}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a run of `vergence train` depends on.

    Args:
        seed: Seed of everything random, >= 0.
        device: "cpu", or "auto" for what is found.
        data: The pairs to train on.
        encoder: What to fit.
        start: A pretrained or trained model to start from, in place of `encoder`; images get the side that is its own.
            `None` starts at random.
        objective: What to minimise: terms by name. Of a model with a logit scale to start from, its own loss is the
            default: of a model with a logit bias `sigmoid_loss`, else `info_nce`, learned from its scale and bias on.
        train: How.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.

    Example:
        >>> from vergence.training.mapping import from_mapping
        >>> from_mapping(RunConfig, {"train": {"epochs": 0}})
        Traceback (most recent call last):
        vergence.errors.ConfigError: in train: epochs must be >= 1; got 0
    """

    seed: int = 0
    device: str = "cpu"
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    start: StartConfig | None = None
    objective: dict[str, TermConfig] = field(default_factory=default_objective)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        check_seed(self.seed)
        one_of("device", self.device, ("cpu", "auto"))
        if self.start is None:
            self.encoder.check(side=self.data.side)
        else:
            _check_start(self)
        _check_pixels(self)
        self.make_objective()
        for name in HELD_OUT:
            if name in self.objective:
                raise ConfigError(f"a term must not be called {name!r}, which is a metric; choose another name")
        if self.train.early_stop:
            metrics = ("total", *self.objective, *(HELD_OUT if self.data.validation else ()))
            one_of("metric in train.early_stop", self.train.early_stop.metric, metrics)

    def make_objective(self) -> Objective:
        """Make the objective, with what it learns."""
        return Objective({name: term.make() for name, term in self.objective.items()})

    def to_mapping(self) -> dict[str, Any]:
        """Return the configuration as nested mappings, which `from_mapping` reads back."""
        mapping: dict[str, Any] = _plain(asdict(self))
        if self.start is not None:
            del mapping["encoder"]  # which it takes the place of
        return mapping

    def identity(self) -> dict[str, Any]:
        """Return what results depend on: all but threads and memory."""
        mapping = self.to_mapping()
        for name in ("workers", "memory"):
            del mapping["data"][name]
        if self.start is None:  # as runs have it that are older than these settings
            del mapping["start"]
        else:
            del mapping["start"]["model"]  # wherever it lies: its weights say which it is
        return mapping

    def to_yaml(self) -> str:
        """Word the configuration so that `vergence train` reads the same one back."""
        return yaml_text(self.to_mapping())


def _check_start(config: "RunConfig") -> None:
    """Require the other settings to be such as a model to start from can be trained with."""
    if config.encoder != EncoderConfig():
        raise ConfigError("encoder must be left out with start, whose model has encoders of its own")
    for name, allowed in (("optimizer", ("adamw", "sgd")), ("parallel", ("ddp",))):
        if getattr(config.train, name) not in allowed:
            raise ConfigError(
                f"train.{name} must be {' or '.join(allowed)} with start; got {getattr(config.train, name)!r}"
            )


def _check_pixels(config: "RunConfig") -> None:
    """Require the images of a batch to fit into memory: three batches that are decoded, and one that is encoded."""
    n, side = config.train.batch_size, config.data.side
    at_once = min(n, config.train.chunk_size or n)
    needed = (3 * n + 4 * at_once) * 3 * side**2
    fits_in_memory(needed, f"decoding batches of {n:,} images of side {side} (make side or batch_size smaller)")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return list(map(_plain, value)) if isinstance(value, (list, tuple)) else value
