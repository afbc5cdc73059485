"""Checks of what is written in a lexicon: names, forms, phrases, and the lists that hold them."""

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any
from unicodedata import category

from vergence.corpus.unicode import INVISIBLE, WHITE_SPACE
from vergence.errors import ConfigError

_LONGEST = 4096  # code points of a phrase


def plain_text(what: str, value: Any) -> str:
    """A value that must be text without lone surrogates and control characters.

    Raises:
        ConfigError: Naming it and what it got.

    Example:
        >>> plain_text("a form", "dog")
        'dog'
        >>> plain_text("a form", 3)
        Traceback (most recent call last):
        vergence.errors.ConfigError: a form must be text; got the int 3
    """
    if not isinstance(value, str):
        raise ConfigError(f"{what} must be text; got the {_named(value)} {brief(value)}")
    for character in value:
        kind = category(character)
        if kind == "Cs" or (kind == "Cc" and character not in WHITE_SPACE):
            held = "lone surrogate" if kind == "Cs" else "control character"
            raise ConfigError(f"{what} holds a {held}, {character!r}; remove it; got {brief(value)}")
    return value


def phrase(what: str, value: Any) -> str:
    """Text that mentions something, without white space and invisible characters at its ends.

    Raises:
        ConfigError: If it is no such text, nothing is left of it, or it is longer than 4,096 code points.
    """
    stripped = plain_text(what, value).strip(WHITE_SPACE + INVISIBLE)
    if not stripped:
        raise ConfigError(f"{what} must not be empty; got {brief(value)}")
    if len(stripped) > _LONGEST:
        raise ConfigError(f"{what} may have {_LONGEST} characters; got {len(stripped)}: {brief(stripped)}")
    return stripped


def items(what: str, given: Any, kind: type = object) -> Iterator[Any]:
    """The items of what must be a list: a string would pass for a list of letters, a set for one in an order.

    Raises:
        ConfigError: If it is no list, or an item is of another kind.
    """
    if isinstance(given, str | bytes | Mapping | Set) or not isinstance(given, Iterable):
        raise ConfigError(f"{what} must be a list; got the {_named(given)} {brief(given)}")
    for item in given:
        if not isinstance(item, kind):
            raise ConfigError(f"{what} must be a list of {kind.__name__}; got the {_named(item)} {brief(item)}")
        yield item


def refuse_repeats(what: str, names: Iterable[str]) -> None:
    """Require names that are all different.

    Raises:
        ConfigError: Naming the first that comes again.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"each {what} must be unique; repeated: {name!r}")
        seen.add(name)


def _named(value: object) -> str:
    return {"str": "string", "dict": "mapping"}.get(type(value).__name__, type(value).__name__)


def brief(value: object) -> str:
    """How a message shows a value: in one line of bounded length."""
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 80 else shown[:79] + "…"
