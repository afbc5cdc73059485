"""From nested mappings to configurations: every key and the type of every value is checked, and none is converted."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import MappingProxyType, NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

from vergence.errors import ConfigError, VergenceError, unknown

T = TypeVar("T")

_WORDED: Mapping[Any, str] = MappingProxyType(
    {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        Sequence[int]: "a list of whole numbers",
        NoneType: "null",
    }
)
_SHOWN = 60  # characters of a value in a message


def check_keys(cls: type, mapping: object, *, path: str = "") -> None:
    """Require every key of a nested mapping to be one that a class has, and every value to be of its type.

    Args:
        cls: The class.
        mapping: What a configuration file says.
        path: Where in the file that is.

    Raises:
        ConfigError: Naming the key, the known ones and the nearest; or what is there in the place of a value.

    Example:
        >>> from vergence.training import TrainConfig
        >>> check_keys(TrainConfig, {"epochs": "3"}, path="train")
        Traceback (most recent call last):
        vergence.errors.ConfigError: train.epochs must be a whole number; got '3': leave out the quotes
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{path or 'a configuration'} must be keys with values; got {_shown(mapping)}")
    known = {entry.name: entry.type for entry in fields(cls)}
    for key, value in mapping.items():
        if key not in known:
            raise ConfigError(unknown(f"key in {path}" if path else "key", key, known))
        check_value(known[key], value, f"{path}.{key}" if path else str(key))


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, path: str = "") -> T:
    """Make a configuration from nested mappings of values, each of its type already.

    Raises:
        ConfigError: As `check_keys` does, and as the classes do, saying in which part.
    """
    check_keys(cls, mapping, path=path)
    values: dict[str, Any] = {}
    for entry in fields(cls):  # type: ignore[arg-type]
        if entry.name not in mapping:
            continue
        value, here = mapping[entry.name], f"{path}.{entry.name}" if path else entry.name
        inner, of_each = _class_in(entry.type)
        if of_each:
            value = {name: _made(of_each, part, f"{here}.{name}") for name, part in value.items()}
        elif inner and isinstance(value, Mapping):
            value = from_mapping(inner, value, path=here)
        elif isinstance(value, list):
            value = tuple(value)
        values[entry.name] = value
    try:
        return cls(**values)
    except VergenceError as error:
        raise ConfigError(f"in {path}: {error}" if path else str(error)) from error


def check_value(annotation: Any, value: object, path: str) -> None:
    """Require a value of the type that an annotation states; nothing is converted.

    Args:
        annotation: A type, a union of types, a configuration class, or a list or mapping of such.
        value: Plain, as a configuration file gives it, or an object of a configuration class.
        path: What to call it in messages.

    Raises:
        ConfigError: Saying what is allowed and what was received.
    """
    if annotation is Any:
        return
    options = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    configuration = next((option for option in options if is_dataclass(option)), None)
    kind = get_origin(annotation)
    if configuration is not None and (isinstance(value, Mapping) or not any(_is(value, one) for one in options)):
        check_keys(configuration, value, path=path)  # type: ignore[arg-type]
    elif kind is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path} must be keys with values; got {_shown(value)}")
        for name, part in value.items():
            check_value(str, name, f"each key of {path}")
            check_value(get_args(annotation)[1], part, f"{path}.{name}")
    elif kind is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{path} must be a list; got {_shown(value)}")
        for part in value:
            check_value(get_args(annotation)[0], part, f"each of {path}")
    elif configuration is None and not any(_is(value, option) for option in options):
        said = [option for option in options if option in _WORDED and not (option is int and float in options)]
        allowed = " or ".join(_WORDED[option] for option in said)
        raise ConfigError(f"{path} must be {allowed}; got {_shown(value)}{_hint(value, options)}")


def _made(cls: type[T], value: Any, path: str) -> T:
    return value if isinstance(value, cls) else from_mapping(cls, value, path=path)


def _class_in(annotation: Any) -> tuple[Any, Any]:
    """The configuration class that a field may hold, and the one that each value of its mapping holds."""
    if get_origin(annotation) is dict:
        of_each = get_args(annotation)[1]
        return None, of_each if is_dataclass(of_each) else None
    options = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return next((option for option in options if is_dataclass(option)), None), None


def _is(value: object, option: Any) -> bool:
    if option == Sequence[int]:
        return isinstance(value, (list, tuple)) and all(_is(part, int) for part in value)
    if option is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if option is str:
        return isinstance(value, str) and not re.search("[\0\ud800-\udfff]", value)
    return isinstance(option, type) and isinstance(value, option)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _hint(value: object, options: Sequence[Any]) -> str:
    """How a text that looks like what was wanted becomes it."""
    number = isinstance(value, str) and re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?", value)
    truth = isinstance(value, str) and value in ("true", "false", "null")
    return ": leave out the quotes" if truth or (number and {int, float} & {*options}) else ""
