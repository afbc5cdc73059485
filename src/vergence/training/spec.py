"""What `vergence train` is told: data, encoders, objective, settings; checked as a whole before any of it is made."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from types import MappingProxyType, UnionType
from typing import Any, TypeVar, get_args, get_origin

import torch
import yaml
from torch import Tensor

from vergence.checks import at_least, one_of
from vergence.data import POLICIES
from vergence.errors import ConfigError, VergenceError, unknown
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
from vergence.training.config import TrainConfig
from vergence.training.towers import EncoderConfig

T = TypeVar("T")

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

_LARGEST_SIDE = 4096
_LEARNED = MappingProxyType({"temperature": LearnedTemperature, "bias": LearnedScalar})
_UNSAID = frozenset({"negatives_image", "negatives_text", "bound"})  # settings that a configuration has no words for


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The pairs to train on.

    Args:
        parquet: A Parquet file with an image and a caption column; the embedded set if `None`.
        image_column: Column of WebP, PNG or JPEG files as bytes, or of their paths, relative to the Parquet file.
        caption_column: Column of texts.
        cluster_column: Column of that file, equal for rows that must not be both trained on and held out. Rows of one
            image, or of one identifier (`key`, `id` or `ids`), are kept together in any case.
        max_skipped: Largest share of the rows that may be left out since their image or caption is missing or cannot
            be read, in [0, 1); they are counted.
        strict: Whether to stop at the first such row instead.
        policy: How to caption the embedded set: a name from `vergence.data.POLICIES`.
        items: How many items of the embedded set or file to use, drawn at random, >= 2; all if `None`.
        side: Pixels of a side to which images are brought, in [8, 4096].
        shift: Pixels by which training images move at most, >= 0.
        validation: Share of the images (of the embedded set: concepts; of a cluster column: clusters) held out for
            metrics, in [0, 1).

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    parquet: str | None = None
    image_column: str = "image"
    caption_column: str = "caption"
    cluster_column: str | None = None
    max_skipped: float = 0.05
    strict: bool = False
    policy: str = "labels"
    items: int | None = None
    side: int = 64
    shift: int = 4
    validation: float = 0.1

    def __post_init__(self) -> None:
        one_of("policy", self.policy, POLICIES)
        at_least("side", self.side, 8)
        if self.side > _LARGEST_SIDE:
            raise ConfigError(f"side must be <= {_LARGEST_SIDE} pixels; got {self.side}")
        at_least("shift", self.shift, 0)
        if self.items is not None:
            at_least("items", self.items, 2)
        for name in ("validation", "max_skipped"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be a share in [0, 1); got {getattr(self, name)!r}")
        if self.cluster_column is not None and self.parquet is None:
            raise ConfigError("cluster_column is a column of data.parquet, which is not set; remove it or set both")


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
        for value in (value for name, value in self.settings.items() if name in ("temperature", "p")):
            if not isinstance(value, (int, float)):
                raise ConfigError(f"settings of {self.loss} must be numbers where it takes numbers; got {value!r}")
        z = torch.eye(64)
        try:
            self.make()(z, z)
        except TypeError as error:
            raise ConfigError(f"settings of {self.loss} have a wrong type ({error}); got {self.settings}") from error

    def make(self) -> WeightedTerm:
        """Make the term, with modules for what is learned."""
        parameters = inspect.signature(LOSSES[self.loss]).parameters
        settings: dict[str, Any] = dict(self.settings)
        for name in self.learn:
            settings[name] = _LEARNED[name](settings.get(name, parameters[name].default))
        return WeightedTerm(LOSSES[self.loss], self.weight, **settings)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a run of `vergence train` depends on.

    Args:
        seed: Seed of everything random, >= 0.
        device: "cpu", or "auto" for what is found.
        data: The pairs to train on.
        encoder: What to fit.
        objective: What to minimise: terms by name.
        train: How.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.

    Example:
        >>> from_mapping(RunConfig, {"train": {"epochs": 0}})
        Traceback (most recent call last):
        vergence.errors.ConfigError: in train: epochs must be >= 1; got 0
    """

    seed: int = 0
    device: str = "cpu"
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    objective: dict[str, TermConfig] = field(
        default_factory=lambda: {"contrast": TermConfig(loss="info_nce", settings={"temperature": 0.2})}
    )
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        at_least("seed", self.seed, 0)
        one_of("device", self.device, ("cpu", "auto"))
        self.encoder.check(side=self.data.side)
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
        return mapping

    def to_yaml(self) -> str:
        """Word the configuration so that `vergence train` reads the same one back."""
        return yaml.safe_dump(self.to_mapping(), sort_keys=False, allow_unicode=True)


def check_keys(cls: type, mapping: object, *, path: str = "") -> None:
    """Require every key of a nested mapping to be one that a configuration class has.

    Args:
        cls: The class.
        mapping: What a configuration file says.
        path: Where in the file that is.

    Raises:
        ConfigError: Naming the key, the known ones and the nearest; or what is there in the place of keys.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{path or 'a configuration'} must be keys with values; got {mapping!r}")
    known = {entry.name: entry.type for entry in fields(cls)}
    for key, value in mapping.items():
        if key not in known:
            raise ConfigError(unknown(f"key in {path}" if path else "key", key, known))
        here = f"{path}.{key}" if path else str(key)
        inner, of_each = _class_in(known[key])
        if of_each and isinstance(value, Mapping):
            for name, part in value.items():
                check_keys(of_each, part, path=f"{here}.{name}")
        elif inner and (isinstance(value, Mapping) or not _allowed_plain(known[key], value)):
            check_keys(inner, value, path=here)
        elif get_origin(known[key]) is dict and not isinstance(value, Mapping):
            raise ConfigError(f"{here} must be keys with values; got {value!r}")


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, path: str = "") -> T:
    """Make a configuration from nested mappings of values, each of its type already.

    Raises:
        ConfigError: As the classes do, saying in which part.
    """
    values: dict[str, Any] = {}
    for entry in fields(cls):  # type: ignore[arg-type]
        if entry.name not in mapping:
            continue
        value, here = mapping[entry.name], f"{path}.{entry.name}" if path else entry.name
        inner, of_each = _class_in(entry.type)
        if of_each:
            value = {
                name: part if isinstance(part, of_each) else from_mapping(of_each, part, path=f"{here}.{name}")
                for name, part in value.items()
            }
        elif inner and isinstance(value, Mapping):
            value = from_mapping(inner, value, path=here)
        elif isinstance(value, list):
            value = tuple(value)
        values[entry.name] = value
    try:
        return cls(**values)
    except VergenceError as error:
        raise ConfigError(f"in {path}: {error}" if path else str(error)) from error


def _class_in(annotation: Any) -> tuple[Any, Any]:
    """The configuration class that a field may hold, and the one that each value of its mapping holds."""
    if get_origin(annotation) is dict:
        of_each = get_args(annotation)[1]
        return None, of_each if is_dataclass(of_each) else None
    options = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return next((option for option in options if is_dataclass(option)), None), None


def _allowed_plain(annotation: Any, value: object) -> bool:
    """Whether a field that may hold a configuration class may hold this value, which is none, instead."""
    options = [option for option in get_args(annotation) if not is_dataclass(option)]
    return (value is None and type(None) in options) or (value is not None and options not in ([], [type(None)]))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return list(map(_plain, value)) if isinstance(value, (list, tuple)) else value
