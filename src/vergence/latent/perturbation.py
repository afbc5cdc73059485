"""Getting factors wrong: a channel acts on the record alone; the image and effects keep the truth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import singledispatch

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.channels import AdditiveNoise, Channel, LabelSwap, Redraw, Table, stated
from vergence.errors import FactorError, ShapeError
from vergence.factors import FactorSpace
from vergence.latent.dependence import correlated_normal
from vergence.random import spawn

Draw = Callable[[], Tensor]  # an independent draw of the same columns as the record


@dataclass(frozen=True, eq=False)
class Entries:
    """Part of a record: the factors that one kind of channel replaces.

    Args:
        record: The true values, a column for each factor.
        space: All factors.
        names: Those of the columns.
        fresh: Draws an independent record of the same factors.
    """

    record: Float[Tensor, "n perturbed"]
    space: FactorSpace
    names: tuple[str, ...]
    fresh: Draw


def perturb(
    record: Float[Tensor, "n perturbed"],
    space: FactorSpace,
    channels: Mapping[str, Channel],
    fresh: Draw,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "n perturbed"]:
    r"""Get some entries of a record wrong; the others stay bit for bit.

    Source: [cai2025] Sec. 3: per pair, a random subset $A \subseteq I_\rho$ is redrawn from a density that is positive
    around the truth; everything else that is selected is copied exactly.

    Args:
        record: The true values of the perturbed factors.
        space: All factors.
        channels: Of the perturbed factors, in the order of the columns. Those of one kind, which differ in their
            probability at most, are drawn together.
        fresh: Draws an independent record of the same factors.
        generator: Source of randomness.

    Returns:
        The record with each entry replaced with its factor's probability, independently.
    """
    names = tuple(channels)
    known = [stated(channels[name], space[name]) for name in names]
    groups: dict[object, list[int]] = {}
    for column, channel in enumerate(known):
        groups.setdefault(_kind(channel), []).append(column)
    streams = (generator,) if len(groups) == 1 else spawn(generator, len(groups))
    written = record.clone()
    for columns, stream in zip(groups.values(), streams, strict=True):
        part, own = [known[column] for column in columns], tuple(names[column] for column in columns)

        def fresh_part(columns: list[int] = columns) -> Tensor:
            return fresh()[:, columns]

        choice, value = spawn(stream, 2)
        rates = record.new_tensor([getattr(channel, "probability", 1.0) for channel in part])
        wrong = torch.rand((len(record), len(columns)), generator=choice) < rates
        entries = Entries(record[:, columns], space, own, fresh_part)
        replaced = replacement(part[0], entries, generator=value)
        written[:, columns] = torch.where(wrong, replaced, record[:, columns])
    return written


def check_channels(space: FactorSpace, channels: Mapping[str, Channel]) -> None:
    """Require that each channel can be drawn from, for its factor.

    Raises:
        FactorError: If one does not fit its factor.
        ShapeError: If a covariance of noise is not over the whole space.
    """
    for name, channel in channels.items():
        known = stated(channel, space[name])
        known.check(space[name])
        covariance = getattr(known, "covariance", None)
        if covariance is not None and len(covariance) != len(space):
            raise ShapeError(
                f"covariance of the noise is {covariance.shape}, but the space has {len(space)} factors; "
                "give one row and column per factor"
            )


@singledispatch
def replacement(channel: Channel, entries: Entries, *, generator: torch.Generator) -> Float[Tensor, "n perturbed"]:
    """What a channel says of the named factors where it replaces them; one of your own is drawn from once registered.

    Raises:
        FactorError: If it is not known how to draw from the channel.
    """
    raise FactorError(f"it is not known how to draw from {channel!r}; register it with vergence.latent.replacement")


@replacement.register
def _noise(channel: AdditiveNoise, entries: Entries, *, generator: torch.Generator) -> Tensor:
    if channel.covariance is None:
        noise = torch.randn(entries.record.shape, generator=generator)
    else:
        columns = [entries.space.names.index(name) for name in entries.names]
        covariance = torch.tensor(channel.covariance)[columns][:, columns]
        noise = correlated_normal(len(entries.record), covariance, generator=generator)
    return entries.record + channel.scale * noise


@replacement.register
def _redraw(channel: Redraw, entries: Entries, *, generator: torch.Generator) -> Tensor:
    drawn = (
        entries.fresh() if any(entries.space[name].is_continuous for name in entries.names) else entries.record.clone()
    )
    for column, name in enumerate(entries.names):
        values = entries.space[name].values
        if values is not None:
            drawn[:, column] = torch.randint(len(values), (len(entries.record),), generator=generator).to(
                entries.record.dtype
            )
    return drawn


@replacement.register
def _swap(channel: LabelSwap, entries: Entries, *, generator: torch.Generator) -> Tensor:
    swapped = entries.record.clone()
    for column, name in enumerate(entries.names):
        count = len(entries.space[name].values or ())
        step = torch.randint(1, count, (len(entries.record),), generator=generator).to(entries.record.dtype)
        swapped[:, column] = (entries.record[:, column] + step) % count
    return swapped


@replacement.register
def _said(channel: Table, entries: Entries, *, generator: torch.Generator) -> Tensor:
    said = entries.record.clone()
    for column, name in enumerate(entries.names):
        cumulated = torch.tensor(channel.table(entries.space[name]), dtype=torch.float64).cumsum(dim=0)[:-1]
        shown = entries.record[:, column].long()
        draws = torch.rand(len(entries.record), generator=generator, dtype=torch.float64)
        said[:, column] = (draws >= cumulated[:, shown]).sum(dim=0).to(entries.record.dtype)
    return said


def _kind(channel: Channel) -> object:
    """Equal for channels that differ in their probability at most."""
    if isinstance(channel, AdditiveNoise):
        return AdditiveNoise, channel.scale, id(channel.covariance)
    return replace(channel, probability=1.0) if hasattr(channel, "probability") else channel  # type: ignore[type-var]
