"""The largest settings, in one place: beyond them a mistake is nearer than a training, and memory or time would end."""

import os
from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from vergence.checks import at_least
from vergence.errors import ConfigError

MOST: Mapping[str, int] = MappingProxyType(
    {
        "epochs": 100_000,
        "batch_size": 1_000_000,
        "accumulation": 100_000,
        "chunk_size": 1_000_000,
        "patience": 100_000,
        "items": 1_000_000_000,
        "side": 4_096,
        "workers": 256,
        "memory": 1 << 24,
        "min_count": 1_000_000_000,
        "dim": 65_536,
        "features": 65_536,
        "rank": 65_536,
        "depth": 1_000,
        "n_blocks": 1_000,
        "blocks": 1_000,
    }
)
"""By name of the setting; any other whole number that shapes an encoder may be as large as `dim`."""

LONGEST = 100  # list of sizes
_COPIES = 4  # of each weight in training: itself, its gradient, two moments
_BYTES = 4  # of a number


def within(name: str, value: int, least: int, *, why: str = "") -> None:
    """Require a whole number between `least` and what `MOST` says.

    Raises:
        ConfigError: Naming the setting, the bound and what it got.

    Example:
        >>> within("dim", 99_999_999_999, 1)
        Traceback (most recent call last):
        vergence.errors.ConfigError: dim must be <= 65,536; got 99999999999
    """
    at_least(name, value, least, why=why)
    if value > MOST[name]:
        raise ConfigError(f"{name} must be <= {MOST[name]:,}; got {value!r}")


def not_too_large(name: str, value: object) -> None:
    """Require a setting of an encoder, or each size in a list of them, to be within what `MOST` says.

    Raises:
        ConfigError: Naming the setting, the bound and what it got.
    """
    sizes = value if isinstance(value, (list, tuple)) else [value]
    if len(sizes) > LONGEST:
        raise ConfigError(f"{name} must hold at most {LONGEST} sizes; got {len(sizes)}")
    most = MOST.get(name, MOST["dim"])
    for size in sizes:
        if isinstance(size, int) and size > most:
            raise ConfigError(f"{name} must be <= {most:,}; got {size!r}")


def fits_in_memory(needed: int, what: str) -> None:
    """Require something of so many bytes to fit into the memory of this machine.

    Args:
        needed: How many bytes.
        what: What needs them, with what makes it smaller.

    Raises:
        ConfigError: Saying how much is needed and how much there is.
    """
    there_is = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there_is:
        raise ConfigError(f"{what} needs {needed / 1e9:,.0f} GB of memory; this machine has {there_is / 1e9:,.0f} GB")


def training_fits_in_memory(encoder: nn.Module) -> None:
    """Require weights, gradients and moments of an encoder to fit into memory; it may be on the meta device.

    Raises:
        ConfigError: As `fits_in_memory` does.
    """
    n = sum(weight.numel() for weight in encoder.parameters())
    fits_in_memory(_COPIES * _BYTES * n, f"training an encoder of {n:,} weights (make its sizes smaller)")
