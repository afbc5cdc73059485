"""Checks of arguments: one line at each public entry, one wording of each complaint.

Tensors are taken by their methods alone, so that naming factors does not have to import torch.
"""

from collections.abc import Iterable
from math import isfinite
from numbers import Integral, Real
from sys import float_info
from typing import Any, TypeGuard

from vergence.errors import ConfigError, FactorError, ShapeError, unknown


def number(name: str, value: object) -> None:
    """Require a finite number.

    Raises:
        ConfigError: Naming the argument and what it got.
    """
    if not _is_number(value):
        raise ConfigError(f"{name} must be a finite number; got {_shown(value)}")


def positive(name: str, value: object) -> None:
    """Require a finite number above zero.

    Raises:
        ConfigError: Naming the argument and what it got.

    Example:
        >>> positive("temperature", 0.0)
        Traceback (most recent call last):
        vergence.errors.ConfigError: temperature must be a finite number > 0; got 0.0
    """
    if not (_is_number(value) and value > 0):
        raise ConfigError(f"{name} must be a finite number > 0; got {_shown(value)}")


def non_negative(name: str, value: object) -> None:
    """Require a finite number that is zero or more.

    Raises:
        ConfigError: Naming the argument and what it got.
    """
    if not (_is_number(value) and value >= 0):
        raise ConfigError(f"{name} must be a finite number >= 0; got {_shown(value)}")


def probability(name: str, value: object) -> None:
    """Require a number in [0, 1].

    Raises:
        ConfigError: Naming the argument and what it got.
    """
    if not (_is_number(value) and 0 <= value <= 1):
        raise ConfigError(f"{name} must be a probability in [0, 1]; got {_shown(value)}")


def at_least(name: str, value: object, minimum: int, *, why: str = "") -> None:
    """Require a whole number of at least `minimum`; `why` says what needs it.

    Raises:
        ConfigError: Naming the argument, the bound, its reason and what it got.

    Example:
        >>> at_least("batch_size", 1, 2, why="InfoNCE needs a negative")
        Traceback (most recent call last):
        vergence.errors.ConfigError: batch_size must be >= 2 (InfoNCE needs a negative); got 1
    """
    reason = f" ({why})" if why else ""
    if isinstance(value, bool) or not isinstance(value, int):
        remedy = f"; pass int({name})" if isinstance(value, Integral) and not isinstance(value, bool) else ""
        raise ConfigError(f"{name} must be a whole number >= {minimum}{reason}; got {_shown(value)}{remedy}")
    if value < minimum:
        raise ConfigError(f"{name} must be >= {minimum}{reason}; got {_shown(value)}")


def at_most(name: str, value: int, maximum: int, *, why: str = "") -> None:
    """Require a whole number of at most `maximum`; `why` says what limits it.

    Raises:
        ConfigError: Naming the argument, the bound, its reason and what it got.
    """
    if value > maximum:
        reason = f" ({why})" if why else ""
        raise ConfigError(f"{name} must be <= {maximum}{reason}; got {_shown(value)}")


def inside(name: str, value: object, low: float, high: float) -> None:
    """Require a number between two bounds that it may not reach.

    Raises:
        ConfigError: Naming the argument, the bounds and what it got.
    """
    if not (_is_number(value) and low < value < high):
        raise ConfigError(f"{name} must be inside ({low}, {high}); got {_shown(value)}")


def whole_below(name: str, value: object, bound: int, *, bound_shown: str = "") -> None:
    """Require a whole number of at least 0 and below a bound; `bound_shown` is how to write that.

    Raises:
        ConfigError: Naming the argument, the range and what it got.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < bound:
        raise ConfigError(f"{name} must be a whole number in [0, {bound_shown or bound}); got {_shown(value)}")


def one_of(what: str, received: object, known: Iterable[str]) -> None:
    """Require a name from a known set.

    Raises:
        ConfigError: Listing the known names and the nearest one.
    """
    names = list(known)
    if not isinstance(received, str) or received not in names:
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


def positive_definite(name: str, matrix: Any) -> None:
    """Require a NumPy array to be a symmetric, positive definite matrix.

    Raises:
        ShapeError: If it is not square, or holds NaN or infinity.
        ConfigError: If it is not symmetric, or not positive definite.
    """
    import numpy as np

    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"{name} must be a square matrix; got shape {tuple(matrix.shape)}")
    if bad := int((~np.isfinite(matrix)).sum()):
        raise ShapeError(f"{name} holds {bad} entries that are NaN or infinite, of {matrix.size}")
    exact = matrix.astype(np.float64)
    if not np.allclose(exact, exact.T, rtol=1e-5, atol=1e-8):
        raise ConfigError(f"{name} must be symmetric; entries differ by up to {abs(exact - exact.T).max():.3g}")
    try:
        np.linalg.cholesky(exact)
    except np.linalg.LinAlgError:
        raise ConfigError(
            f"{name} must be positive definite; its smallest eigenvalue is {np.linalg.eigvalsh(exact)[0]:.3g}. "
            "Add a multiple of the identity, or drop a variable that the others determine"
        ) from None


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number that a float can hold; a whole number may be too large for that."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return value.bit_length() < float_info.max_exp if isinstance(value, int) else isfinite(value)


def _shown(value: object) -> str:
    """A value as its type writes it, on one line and not without end; a whole number of 5,000 digits refuses to be."""
    if isinstance(value, int) and abs(value) >= 10**60:
        return f"a whole number of {len(f'{abs(value):x}') * 4} bits"
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:100]}…"
