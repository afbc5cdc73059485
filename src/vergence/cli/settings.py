"""Settings of a configuration on the command line: an option for each, over those of a file.

A configuration is read here and not by the command line's parser, which would take the text '3' for a number.
"""

import argparse
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args

from jsonargparse import ArgumentParser, Namespace

from vergence.errors import ConfigError, CorpusError

_MOST = 1 << 20  # bytes of a configuration


def declare_settings(parser: ArgumentParser, cls: type) -> None:
    """Declare every setting of a configuration class, and the file that holds them."""
    parser.add_argument("config", metavar="CONFIG.yaml", nargs="?", help="settings; options override it")
    for path, entry, said in _settings(cls):
        default = "" if callable(entry.default) or not _is_plain(entry.default) else f" (default: {entry.default})"
        parser.add_argument(
            f"--{path}", dest="overrides", action=_Setting, metavar="VALUE", help=(said + default).replace("%", "%%")
        )


def given_settings(options: Namespace, cls: type) -> dict[str, Any]:
    """What file and options say, as `from_mapping` takes it.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """
    settings = _read(options.config, cls) if options.config is not None else {}
    for path, text in options.get("overrides") or ():
        _override(settings, path, text, cls)
    return settings


class _Setting(argparse.Action):
    """Gather settings as they were typed."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        namespace.overrides = [*(namespace.get("overrides") or ()), (str(option_string)[2:], values)]


def _settings(cls: type, path: str = "") -> Iterator[tuple[str, Any, str]]:
    """Path, field and description of every setting that an option can give."""
    said = _described(cls)
    for entry in fields(cls):
        here = f"{path}{entry.name}"
        if not is_dataclass(entry.type):
            yield here, entry, said.get(entry.name, "")
        for inner in (part for part in _options(entry.type) if is_dataclass(part)):
            yield from _settings(inner, f"{here}.")  # type: ignore[arg-type]


def _described(cls: type) -> dict[str, str]:
    """What the docstring of a configuration class says about each setting."""
    arguments = (inspect.getdoc(cls) or "").partition("Args:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    (\w+): (.+?)(?=^    \w|\Z)", arguments, re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in entries}


def _options(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)


def _is_plain(value: object) -> bool:
    return isinstance(value, (int, float, str))


def _read(path: str, cls: type) -> dict[str, Any]:
    from vergence.files import parse_yaml, read_text
    from vergence.training.mapping import check_keys

    try:
        content = parse_yaml(read_text(path, limit=_MOST), where=path)
    except CorpusError as error:
        raise ConfigError(f"cannot read the configuration: {error}") from error
    try:
        check_keys(cls, {} if content is None else content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return content or {}


def _override(settings: dict[str, Any], path: str, text: str, cls: type) -> None:
    """Put what an option says in its place, in a configuration that is otherwise as its file says."""
    from vergence.files import parse_yaml
    from vergence.training.mapping import check_value

    annotation = next(entry.type for name, entry, _ in _settings(cls) if name == path)
    is_text = str in _options(annotation) and not (text == "null" and type(None) in _options(annotation))
    value = text if is_text else parse_yaml(text, where=f"--{path}")
    check_value(annotation, value, f"--{path}")
    *above, last = path.split(".")
    for name in above:
        if not isinstance(settings.get(name), dict):
            settings[name] = {}
        settings = settings[name]
    settings[last] = value
