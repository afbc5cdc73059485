"""Randomness is a generator that the caller passes. It is split, never reseeded, so that parts stay independent."""

import hashlib

import torch

from vergence.checks import at_least, whole_below

_SEED_BITS = 63


def check_seed(seed: object) -> None:
    """Require what can seed a generator.

    Raises:
        ConfigError: If the seed is no whole number in [0, 2^63).
    """
    whole_below("seed", seed, 2**_SEED_BITS, bound_shown=f"2^{_SEED_BITS}")


def generator(seed: int) -> torch.Generator:
    """Make a CPU generator from a seed; samples are drawn on the CPU and moved, so that devices agree.

    Args:
        seed: A whole number in [0, 2^63); PyTorch's generator uses the last 32 bits.

    Raises:
        ConfigError: If the seed is no whole number in that range.
    """
    check_seed(seed)
    return torch.Generator().manual_seed(seed)


def spawn(parent: torch.Generator, n: int) -> tuple[torch.Generator, ...]:
    """Split a generator into `n` independent children; the parent advances by `n` draws.

    Two calls on one parent give different children; the same parent state gives the same children. Children are told
    apart by 32 bits: of some 10,000 from one parent, two are the same with a chance of one in a hundred. Split once and
    draw on, rather than once for every batch.

    Args:
        parent: The generator to split.
        n: How many children, at least 1.

    Returns:
        The children, each on the CPU.

    Raises:
        ConfigError: If `n` is below 1.

    Example:
        >>> weights, batches = spawn(generator(0), 2)
        >>> bool(torch.rand((), generator=weights) != torch.rand((), generator=batches))
        True
    """
    at_least("n", n, 1)
    seeds = torch.randint(2**_SEED_BITS - 1, (n,), generator=parent, device=parent.device)
    return tuple(generator(seed) for seed in seeds.tolist())


def named(seed: int, *names: object) -> torch.Generator:
    """Make the generator that belongs to a named part of a seeded job.

    A job of many runs gives each its own stream by name, so that leaving one run out, or resuming in the middle,
    changes nothing in the others.

    Args:
        seed: The seed of the whole job, a whole number in [0, 2^63).
        names: What the part is called, from general to particular: `named(0, "omit", 32, "training")`.

    Example:
        >>> a, b = named(0, "omit", "training"), named(0, "faithful", "training")
        >>> a.initial_seed() != b.initial_seed(), a.initial_seed() == named(0, "omit", "training").initial_seed()
        (True, True)

    Raises:
        ConfigError: If the seed is no whole number in [0, 2^63).
    """
    check_seed(seed)
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return generator(int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS))
