"""How much of each factor passes from image to text, direction by direction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product
from math import comb, nan, prod, sqrt
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from vergence.channels import AdditiveNoise, Redraw
from vergence.checks import at_least, known_factors, probability
from vergence.errors import ConfigError, ShapeError
from vergence.factors import Factor, FactorSpace
from vergence.misalignment import Misalignment
from vergence.theory.operators import of_noise, of_pairs, of_table

Sampler = Callable[[int], tuple[Any, Any]]
"""Draws so many pairs: what images show and what texts say, (n, factors) each; NaN where a text is silent."""

COLUMNS = ("factors", "order", "strength", "multiplicity", "low", "high", "how")
_EQUAL = 1e-9  # strengths closer than this are equal
_MOST = 100_000  # rows


def spectrum(
    misalignment: Misalignment,
    space: FactorSpace,
    *,
    order: int = 1,
    frequencies: Mapping[str, Any] = MappingProxyType({}),
    mismatch: float = 0.0,
    sampler: Sampler | None = None,
    n_samples: int = 100_000,
) -> pd.DataFrame:
    r"""Strengths σ of the directions of the channel from image to text.

    A direction is a pair of readings, one of the image and one of the text, that are singular functions of
    E[· | text]; its strength is their correlation. "Nothing said" is one of the things said. For one factor:

    - mentioned with probability q and redrawn with probability ρ, uniformly among equally frequent values or from the
      factor's own distribution: $\sqrt q\,(1 - ρ)$;
    - any channel of a discrete factor, rates by value included: singular values of the said × shown table;
    - a continuous factor N(0, 1) under noise: by quadrature; its linear direction is at least $1/\sqrt{1 + p v}$.

    Factors and their channels being independent, products of directions have products of strengths. Of mismatched texts
    in a share r, all are (1 - r) times that.

    Args:
        misalignment: What the text says of each factor.
        space: All factors.
        order: Up to which total degree: 1 has the linear direction of each continuous factor and the k - 1 directions
            of one with k values; 2 adds quadratic directions and products of two, and so on. At least 1.
        frequencies: Of the values of discrete factors, by factor; equal where not given.
        mismatch: Share of texts that describe an independent other image, in [0, 1].
        sampler: Draws pairs from which everything is estimated instead, dependence, mismatch and all, such as
            `LatentModel.sampler(misalignment, generator=g)`.
        n_samples: How many pairs it draws, at least 1000.

    Returns:
        A row per direction, the strongest first: factors (names), order, strength in [0, 1] (NaN where the channel or
        rate is not stated), multiplicity (of equal ones), low and high (a 95 % interval where it was sampled; equal to
        the strength otherwise), how ("exact", "table", "quadrature", "sampled", "not stated"). A factor that is never
        mentioned has a row of strength 0; products that hold one have none.

    Raises:
        FactorError: If the misalignment does not fit the space, or frequencies are of an unknown factor.
        ShapeError: If frequencies are not one per value, or the sampler does not give a column per factor.
        ConfigError: If an option is out of range, or there would be more than 100,000 rows.

    Example:
        >>> from vergence import Factor
        >>> space = FactorSpace((Factor("size", ("small", "large")), Factor("hue", ("red", "green", "blue"))))
        >>> bias = Misalignment.of_rates({"size": 0.64, "hue": 1.0}, redraw={"hue": 0.5})
        >>> spectrum(bias, space, order=2)[["factors", "strength", "multiplicity"]].round(3).values.tolist()
        [[('size',), 0.8, 1], [('hue',), 0.5, 2], [('size', 'hue'), 0.4, 2]]
    """
    at_least("order", order, 1)
    probability("mismatch", mismatch)
    misalignment.check(space)
    known_factors(frequencies, space.names)
    counts = {name: _equal_or_given(space[name], frequencies.get(name)) for name in space}
    if sampler is not None:
        at_least("n_samples", n_samples, 1000)
        if mismatch:
            raise ConfigError("a sampler draws mismatched texts itself; pass mismatch to it, not to spectrum()")
        return as_table(list(_sampled(space, misalignment, order, sampler, n_samples)))
    single = {name: list(_directions(space, misalignment, name, order, counts[name])) for name in space}
    _refuse_too_many(single, order)
    rows = [{"factors": (name,), **row} for name, own in single.items() for row in own]
    rows += _products(single, order, misalignment)
    for row in rows:
        row["strength"] *= 1 - mismatch
        row["low"] = row["high"] = row["strength"]
    return as_table(rows)


def as_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of a spectrum as a table, the strongest first."""
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    ordered = table.sort_values(["strength", "order"], ascending=[False, True], kind="stable", na_position="last")
    return ordered.reset_index(drop=True)


def _equal_or_given(factor: Factor, given: Any) -> np.ndarray | None:
    k = len(factor.values or ())
    if given is None:
        return np.full(k, 1 / k) if k else None
    shares = np.asarray(given, dtype=float)
    if shares.shape != (k,):
        raise ShapeError(f"frequencies of factor {factor.name!r} must be one per value, {k}; got shape {shares.shape}")
    if not np.isfinite(shares).all() or (shares <= 0).any():
        raise ConfigError(f"frequencies of factor {factor.name!r} must all be above 0; got {shares.tolist()}")
    normalised: np.ndarray = shares / shares.sum()
    return normalised


def _directions(
    space: FactorSpace, misalignment: Misalignment, name: str, order: int, frequencies: np.ndarray | None
) -> Iterator[dict[str, Any]]:
    """Those of one factor."""
    factor, rate, channel = space[name], misalignment.mention.get(name, 0.0), misalignment.channels.get(name)
    if frequencies is not None:
        k = len(frequencies)
        said = np.eye(k) if channel is None else channel.table(factor)
        if callable(rate) or said is None:
            yield {"order": 1, "strength": nan, "multiplicity": k - 1, "how": "not stated"}
            return
        how = "exact" if channel is None and isinstance(rate, float) else "table"
        rates = np.broadcast_to(rate, k)
        values = of_table(np.vstack([np.asarray(said) * rates, 1 - rates]) * frequencies)
        values = np.concatenate([values, np.zeros(k - 1 - len(values))])[: k - 1]
        while len(values):
            equal = values > values[0] - _EQUAL
            yield {"order": 1, "strength": float(values[0]), "multiplicity": int(equal.sum()), "how": how}
            values = values[~equal]
        return
    strengths, how = _continuous(space, name, rate, channel, order)
    last = order if strengths[0] > 0 else 1  # a factor of which nothing is said is one row
    yield from (
        {"order": degree, "strength": strengths[degree - 1], "multiplicity": 1, "how": how}
        for degree in range(1, last + 1)
    )


def _continuous(space: FactorSpace, name: str, rate: Any, channel: Any, order: int) -> tuple[Sequence[float], str]:
    if callable(rate) or not (channel is None or isinstance(channel, Redraw | AdditiveNoise)):
        return [nan] * order, "not stated"
    if isinstance(channel, AdditiveNoise) and rate > 0:
        place = space.names.index(name)
        variance = channel.scale**2 * (1.0 if channel.covariance is None else float(channel.covariance[place, place]))
        return [sqrt(rate) * one for one in of_noise(channel.probability, variance, order)], "quadrature"
    passes = 1 - channel.probability if isinstance(channel, Redraw) else 1.0
    return [sqrt(rate) * passes] * order, "exact"


def _products(
    single: Mapping[str, Sequence[Mapping[str, Any]]], order: int, misalignment: Misalignment
) -> Iterator[dict[str, Any]]:
    """Products of directions of two factors and more, whose channels are independent."""
    heard = {name: [row for row in own if row["strength"] != 0] for name, own in single.items()}
    names = [name for name, own in heard.items() if own]
    for size in range(2, order + 1):
        for chosen in combinations(names, size):
            stated = not _dependent([misalignment.channels.get(name) for name in chosen], single, chosen)
            for rows in product(*(heard[name] for name in chosen)):
                degree = sum(row["order"] for row in rows)
                if degree <= order:
                    yield {
                        "factors": chosen,
                        "order": degree,
                        "strength": prod(row["strength"] for row in rows) if stated else nan,
                        "multiplicity": prod(row["multiplicity"] for row in rows),
                        "how": _weakest(row["how"] for row in rows) if stated else "not stated",
                    }


def _dependent(channels: Sequence[Any], single: Mapping[str, Any], chosen: Sequence[str]) -> bool:
    """Whether two of them share the covariance of their noise, and it joins them."""
    names = list(single)
    noisy = [
        (names.index(name), one.covariance)
        for name, one in zip(chosen, channels, strict=True)
        if isinstance(one, AdditiveNoise) and one.covariance is not None
    ]
    return any(a is b and a[i, j] != 0 for (i, a), (j, b) in combinations(noisy, 2))


def _weakest(hows: Any) -> str:
    known = ("exact", "table", "quadrature", "not stated")
    return known[max(map(known.index, hows))]


def _refuse_too_many(single: Mapping[str, Sequence[Any]], order: int) -> None:
    widest = max((len(own) for own in single.values()), default=0)
    rows = sum(comb(len(single), size) * widest**size for size in range(1, order + 1))
    if rows > _MOST and order > 1:
        raise ConfigError(f"a spectrum up to order {order} would have about {rows:,} rows; the most are {_MOST:,}")


def _sampled(
    space: FactorSpace, misalignment: Misalignment, order: int, sampler: Sampler, n: int
) -> Iterator[dict[str, Any]]:
    """Every factor, and products up to the order, from drawn pairs."""
    shown, said = (np.asarray(side, dtype=float) for side in sampler(n))
    if not shown.shape == said.shape == (n, len(space)):
        raise ShapeError(
            f"a sampler gives what is shown and said, each ({n}, {len(space)}), a column per factor; got {shown.shape} "
            f"and {said.shape}"
        )
    for size in range(1, order + 1):
        for chosen in combinations(space.names, size):
            if not set(chosen) <= misalignment.selected:
                if size == 1:
                    k = len(space[chosen[0]].values or (None, None))
                    nothing = {"strength": 0.0, "low": 0.0, "high": 0.0, "how": "exact"}
                    yield {"factors": chosen, "order": 1, "multiplicity": k - 1, **nothing}
                continue
            places = [space.names.index(name) for name in chosen]
            values = [None if (own := space[name].values) is None else len(own) for name in chosen]
            degrees = _degrees(values, order)
            found = of_pairs(shown[:, places], said[:, places], values, count=len(degrees))
            for degree, (strength, low, high) in zip(degrees, found.T, strict=True):
                ends = {"strength": float(strength), "low": float(low), "high": float(high)}
                yield {"factors": chosen, "order": degree, "multiplicity": 1, "how": "sampled", **ends}


def _degrees(values: Sequence[int | None], order: int) -> list[int]:
    """Total degrees, ascending, of the products of one direction of each factor."""
    own = [list(range(1, order + 1)) if k is None else [1] * (k - 1) for k in values]
    return sorted(total for degrees in product(*own) if (total := sum(degrees)) <= order)
