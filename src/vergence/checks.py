"""Checks of arguments: one line at each public entry, one wording of each complaint.

Tensors are taken by their methods alone, so that naming factors does not have to import torch.
"""

from collections.abc import Iterable
from math import isfinite
from typing import Any

from vergence.errors import ConfigError, FactorError, ShapeError, unknown


def positive(name: str, value: float) -> None:
    """Require a finite number above zero.

    Raises:
        ConfigError: Naming the argument and what it got.

    Example:
        >>> positive("temperature", 0.0)
        Traceback (most recent call last):
        vergence.errors.ConfigError: temperature must be a finite number > 0; got 0.0
    """
    if not (isfinite(value) and value > 0):
        raise ConfigError(f"{name} must be a finite number > 0; got {value!r}")


def non_negative(name: str, value: float) -> None:
    """Require a finite number that is zero or more.

    Raises:
        ConfigError: Naming the argument and what it got.
    """
    if not (isfinite(value) and value >= 0):
        raise ConfigError(f"{name} must be a finite number >= 0; got {value!r}")


def probability(name: str, value: float) -> None:
    """Require a number in [0, 1].

    Raises:
        ConfigError: Naming the argument and what it got.
    """
    if not 0 <= value <= 1:  # also refuses NaN
        raise ConfigError(f"{name} must be a probability in [0, 1]; got {value!r}")


def at_least(name: str, value: float, minimum: int, *, why: str = "") -> None:
    """Require a whole number of at least `minimum`; `why` says what needs it.

    Raises:
        ConfigError: Naming the argument, the bound, its reason and what it got.

    Example:
        >>> at_least("batch_size", 1, 2, why="InfoNCE needs a negative")
        Traceback (most recent call last):
        vergence.errors.ConfigError: batch_size must be >= 2 (InfoNCE needs a negative); got 1
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        reason = f" ({why})" if why else ""
        raise ConfigError(f"{name} must be >= {minimum}{reason}; got {value!r}")


def one_of(what: str, received: str, known: Iterable[str]) -> None:
    """Require a name from a known set.

    Raises:
        ConfigError: Listing the known names and the nearest one.
    """
    names = list(known)
    if received not in names:
        raise ConfigError(unknown(what, received, names))


def known_factors(received: Iterable[str], known: Iterable[str]) -> None:
    """Require every name to be one of the known factors.

    Raises:
        FactorError: For the first unknown one, listing the known names and the nearest.
    """
    names = list(known)
    for name in received:
        if name not in names:
            raise FactorError(unknown("factor", name, names))


def same_shape(**tensors: Any) -> None:
    """Require tensors or arrays, given by name, to have one shape.

    Raises:
        ShapeError: Naming each tensor and its shape.

    Example:
        >>> import torch
        >>> same_shape(z_image=torch.zeros(4, 2), z_text=torch.zeros(3, 2))
        Traceback (most recent call last):
        vergence.errors.ShapeError: shapes differ: z_image (4, 2), z_text (3, 2); each row must pair with one row
    """
    if len({tuple(tensor.shape) for tensor in tensors.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
        raise ShapeError(f"shapes differ: {shapes}; each row must pair with one row")


def finite(**tensors: Any) -> None:
    """Require tensors, given by name, to hold neither NaN nor infinity.

    Raises:
        ShapeError: Naming the tensor and how many of its entries are not finite.
    """
    for name, tensor in tensors.items():
        if not tensor.sum().isfinite():  # one pass settles nearly all cases; a sum of finite entries may overflow
            bad = int((~tensor.isfinite()).sum())
            if bad:
                raise ShapeError(f"{name} holds {bad} entries that are NaN or infinite, of {tensor.numel()}")
