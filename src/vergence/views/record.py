"""What a text says of each item, factor by factor: the one place between what is shown and how it is worded.

A record is a table with a column for each factor that is mentioned and `None` where nothing is said. It comes from the
labels of images (`text_record`) or from sampled latents (`latent_record`), and becomes a caption (`render_captions`);
numeric views render the same latents.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vergence.channels import Channel, Redraw, Unstated, stated
from vergence.checks import known_factors
from vergence.errors import FactorError
from vergence.factors import Factor, FactorSpace
from vergence.latent.captioning import rates_of
from vergence.latent.model import Latents
from vergence.misalignment import Misalignment


def text_record(
    labels: pd.DataFrame,
    space: FactorSpace,
    misalignment: Misalignment,
    *,
    generator: torch.Generator,
    ranges: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> pd.DataFrame:
    r"""What a text records of the true values: omitted factors are gone, some are passed over, some are wrong.

    Source: [cai2025], $\tilde s_{I_\theta}$. Each factor goes through its channel and is mentioned at its rate,
    independently for each item and factor. A value that is not stated stays so. The draws of one factor do not depend
    on what happens to the others.

    Args:
        labels: True values by factor, `None` where not stated.
        space: All factors; those that are perturbed or mentioned at times must be discrete or have a range.
        misalignment: What the text says of them.
        generator: Draws wrong values and omissions.
        ranges: By continuous factor, from where to where it is redrawn uniformly; a redraw is the one thing that can
            happen to it, at probability 0.9 if the channel is not stated.

    Returns:
        The mentioned columns, in the order of the space.

    Raises:
        FactorError: If a factor is not in the space, has no column, does not fit its channel, or is continuous, without
            a range and not always said exactly.

    Example:
        >>> from vergence import Factor
        >>> space = FactorSpace((Factor("shape", ("cube", "ball")), Factor("tone", ("dark", "light"))))
        >>> labels = pd.DataFrame({"shape": ["cube", "ball"], "tone": ["dark", None]})
        >>> text_record(labels, space, Misalignment({"shape"}), generator=torch.Generator())["shape"].tolist()
        ['cube', 'ball']
    """
    misalignment.check(space)
    known_factors(sorted(misalignment.selected), labels.columns)
    record = labels[[name for name in space if name in misalignment.selected]].copy()
    draws = _draws(len(labels), space, generator)
    for name in map(str, record.columns):
        if name in misalignment.channels or misalignment.mention[name] != 1.0:
            places = _said(labels[name], space[name], misalignment, draws[name], ranges.get(name))
            named = np.array([*(space[name].values or ()), None], dtype=object)
            kind = record[name].dtype  # a categorical column may lack the value that is drawn
            column = pd.Series(places if space[name].is_continuous else named[places], index=record.index)
            record[name] = column.astype(object if isinstance(kind, pd.CategoricalDtype) else kind)
    return record


def text_places(
    labels: pd.DataFrame,
    space: FactorSpace,
    misalignment: Misalignment,
    *,
    generator: torch.Generator,
    ranges: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> dict[str, Shaped[np.ndarray, " n"]]:
    """What `text_record` records, with the same draws, as numbers, which are faster to put into words.

    Returns:
        By mentioned factor, in the order of the space: places of values, -1 where nothing is said; of a continuous
        factor its values, NaN where nothing is said.

    Raises:
        FactorError: As `text_record` does; also if a value of a mentioned factor is unknown.
    """
    misalignment.check(space)
    known_factors(sorted(misalignment.selected), labels.columns)
    draws = _draws(len(labels), space, generator)
    return {
        name: _said(labels[name], space[name], misalignment, draws[name], ranges.get(name))
        for name in space
        if name in misalignment.selected
    }


def factor_places(column: pd.Series, factor: Factor) -> Shaped[np.ndarray, " n"]:
    """Places of the values of a discrete factor, -1 where none is stated; of a continuous one its values, or NaN.

    Raises:
        FactorError: If a value is unknown.
    """
    if factor.values is None:
        values: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        return values
    given = column.to_numpy(dtype=object)
    places: np.ndarray = pd.Index(factor.values, dtype=object).get_indexer(pd.Index(given, dtype=object))
    for row in np.flatnonzero(places < 0):
        if not pd.isna(given[row]):
            factor.index(given[row])
    return places.astype(np.int64)


class _Draws(NamedTuple):
    """What chance decides of one factor: three numbers for each item."""

    wrong: torch.Tensor  # in [0, 1)
    value: np.ndarray  # a value chosen uniformly: its place, or for a continuous factor a number in [0, 1)
    omitted: torch.Tensor  # in [0, 1)


def _draws(n: int, space: FactorSpace, generator: torch.Generator) -> dict[str, _Draws]:
    """Every factor draws, so that the draws of one do not depend on the others; omissions after what is said."""

    def value(factor: Factor) -> np.ndarray:
        if factor.values is None:  # as many draws of the generator as for a discrete factor
            return torch.rand(n, generator=generator).numpy()
        return torch.randint(len(factor.values), (n,), generator=generator).numpy()

    drawn = {name: (torch.rand(n, generator=generator), value(factor)) for name, factor in space.items()}
    return {name: _Draws(*drawn[name], torch.rand(n, generator=generator)) for name in space}


def _said(
    column: pd.Series, factor: Factor, misalignment: Misalignment, draws: _Draws, within: tuple[float, float] | None
) -> Shaped[np.ndarray, " n"]:
    """What is said of one factor, as places or values; -1 or NaN where nothing is."""
    name, rate = factor.name, misalignment.mention[factor.name]
    channel = misalignment.channels.get(name)
    shown = factor_places(column, factor)
    if factor.is_continuous and within is None and (channel is not None or rate != 1.0):
        raise FactorError(
            f"only a discrete factor can be redrawn from its values or left out at times; {name!r} is continuous"
        )
    silent = np.isnan(shown) if factor.is_continuous else shown < 0
    said = shown
    if channel is not None:
        said = _redrawn(channel, name, shown, draws, within) if within else _wrong(channel, factor, shown, draws)
    if rate != 1.0:
        spoken = draws.omitted < rates_of(rate, torch.from_numpy(shown).to(torch.get_default_dtype()), name)
        silent = silent | ~spoken.numpy()
    return np.where(silent, np.nan if factor.is_continuous else -1, said)


def _redrawn(
    channel: Channel, name: str, shown: np.ndarray, draws: _Draws, within: tuple[float, float]
) -> Float[np.ndarray, " n"]:
    """Values of a continuous factor, some of which were redrawn uniformly from its range."""
    channel = Redraw() if isinstance(channel, Unstated) else channel
    if not isinstance(channel, Redraw):
        low, high = within
        raise FactorError(f"captions of {name!r}, in [{low:g}, {high:g}], can be redrawn only; got {channel!r}")
    anew = within[0] + (within[1] - within[0]) * draws.value.astype(np.float64)
    return np.where(draws.wrong.numpy() < channel.probability, anew, shown)


def _wrong(channel: Channel, factor: Factor, shown: np.ndarray, draws: _Draws) -> np.ndarray:
    """Places of what is said, by place of what is shown; from a uniform number and a value chosen uniformly."""
    channel = stated(channel, factor)
    if isinstance(channel, Redraw):
        return np.where(draws.wrong.numpy() < channel.probability, draws.value, shown)
    channel.check(factor)
    table = channel.table(factor)
    if table is None:
        raise FactorError(f"captions of factor {factor.name!r} cannot be drawn from {channel!r}; give a table")
    limits = np.asarray(table).cumsum(axis=0)[:-1, shown]
    return np.asarray((draws.wrong.double().numpy() >= limits).sum(axis=0))


def latent_record(latents: Latents) -> pd.DataFrame:
    """What the texts of sampled pairs say, so that latents become captions.

    What is mentioned, perturbed and left out was drawn with the pairs: nothing is drawn here.

    Args:
        latents: The pairs, as `LatentModel.sample` gives them.

    Returns:
        A column for each factor that a text may speak of, in the order of the space: names of values for a discrete
        factor, numbers for a continuous one, `None` where nothing is said.

    Example:
        >>> from vergence.latent import LatentModel
        >>> from vergence.random import generator
        >>> from vergence.views import CaptionStyle, render_captions
        >>> space = FactorSpace((Factor("shape", ("cube", "ball")), Factor("tone", ("dark", "light"))))
        >>> latents = LatentModel(space).sample(3, Misalignment({"shape"}), generator=generator(0))
        >>> record = latent_record(latents)
        >>> list(record.columns), len(render_captions(record, CaptionStyle(), generator=generator(1)))
        (['shape'], 3)
    """
    columns = [latents.space.names.index(name) for name in latents.selected]
    said = latents.text_semantics[:, columns]
    return _named(said, latents.space.subset(latents.selected) if latents.selected else None)


def latent_labels(latents: Latents) -> pd.DataFrame:
    """What is the case in sampled pairs: the labels of their images, a column for each factor.

    Args:
        latents: The pairs, as `LatentModel.sample` gives them.

    Returns:
        Names of values for a discrete factor, numbers for a continuous one.
    """
    return _named(latents.semantics, latents.space)


def _named(values: Float[Tensor, "n factors"], space: FactorSpace | None) -> pd.DataFrame:
    """Positions of values as their names; `None` for NaN."""
    factors = space.factors if space else ()
    columns = {}
    for factor, column in zip(factors, values.T.tolist(), strict=True):
        names = factor.values
        columns[factor.name] = [
            None if value != value else value if names is None else names[int(value)]  # noqa: PLR0124 - NaN
            for value in column
        ]
    return pd.DataFrame(columns, index=range(len(values)), dtype=object)
