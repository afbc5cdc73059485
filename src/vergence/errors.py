"""What can go wrong, by whose hand it is put right.

Every error that a user can cause derives from `VergenceError`; the command line turns it into one line and exit code 2.
A message says what was wrong, what was received, what is allowed, and what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class VergenceError(Exception):
    """Base of all errors that a user can cause and a message can help to put right."""


class ConfigError(VergenceError, ValueError):
    """A setting or an argument is outside its allowed range."""


class OutputError(ConfigError):
    """A result cannot be written where it was to go."""


class FactorError(VergenceError, ValueError):
    """A factor, or a value of one, is unknown, duplicated or contradictory."""


class ShapeError(VergenceError, ValueError):
    """Tensors do not have the shapes that an operation needs."""


class CorpusError(VergenceError):
    """A data file is missing, broken or not of the expected form."""


class MissingExtraError(VergenceError, ImportError):
    """A feature needs a package that only an optional extra installs."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(package, extra)  # as they came, so that the error can pass between processes

    def __str__(self) -> str:
        package, extra = self.args
        return f"this needs the package {package!r}; install it with: pip install 'vergence[{extra}]'"


def unknown(what: str, received: object, known: Iterable[str]) -> str:
    """Word the message for a name that is not in a known set, with the nearest known name.

    Args:
        what: What kind of thing was named, in the singular: "factor", "policy".
        received: The name as the user gave it.
        known: The names that would have been accepted, in the order in which to list them.

    Returns:
        One line: what, received, allowed, and the nearest match where there is one.

    Example:
        >>> unknown("factor", "colour", ["shape", "color"])
        "unknown factor 'colour'; known: shape, color. Did you mean 'color'?"
    """
    names = list(known)
    nearest = get_close_matches(str(received), names, n=1, cutoff=0.6)
    hint = f". Did you mean {nearest[0]!r}?" if nearest else ""
    return f"unknown {what} {received!r}; known: {', '.join(names) or 'none'}{hint}"


def first_line(error: Exception) -> str:
    r"""What a library says of a mistake, short enough for one line of ours; its kind where it says nothing.

    Example:
        >>> first_line(ValueError("no header\nat byte 7")), first_line(KeyError())
        ('no header', 'KeyError')
    """
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
