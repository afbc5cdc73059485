"""The noun that theory and practice share: the channel from what an image shows to what its text says, by factor."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from vergence.channels import Channel, Redraw, Unstated, as_channel
from vergence.checks import known_factors, probability
from vergence.errors import ConfigError, FactorError, unknown
from vergence.factors import FactorSpace

Mention = float | tuple[float, ...] | Callable[[Any], Any]
"""Probability that a text speaks of a factor: a number; one per value shown; or a function of values (n,) → (n,)."""


class Misalignment:
    r"""Selection and perturbation bias of a text modality: how often it speaks of each factor, and what it says then.

    With all semantics $\mathcal I$, the text mentions $I_\theta \subseteq \mathcal I$, not empty, and may get
    $I_\rho \subset I_\theta$ wrong, properly. [cai2025] Thm 4.1: a contrastive model whose output size is
    $|I_\theta| - |I_\rho|$ identifies exactly the block $I_\theta \setminus I_\rho$, and so neither what is omitted nor
    what is perturbed. Differs: the paper's sets are crisp, which is what this constructor says; `of_rates` says how
    often and in what way, and may say that a text mentions nothing, or gets all of it wrong.

    Args:
        selected: Names of the factors that the text always mentions ($I_\theta$); at least one.
        perturbed: Names of those it may get wrong ($I_\rho$); fewer than the selected.
        channel: How it gets them wrong; not stated if `None`.

    Raises:
        FactorError: If nothing is selected, a perturbed factor is not selected, or every selected one is perturbed.
        ConfigError: If the channel is exact, and factors are perturbed all the same.

    Example:
        >>> bias = Misalignment(selected={"shape", "tone"}, perturbed={"tone"})
        >>> sorted(bias.unbiased), bias
        (['shape'], Misalignment(selected={'shape', 'tone'}, perturbed={'tone'}))
        >>> Misalignment(selected={"shape"}, perturbed={"shap"})
        Traceback (most recent call last):
        vergence.errors.FactorError: unknown perturbed factor 'shap'; known: shape. Did you mean 'shape'?
    """

    def __init__(
        self, selected: Iterable[str], perturbed: Iterable[str] = (), *, channel: Channel | None = None
    ) -> None:
        mentioned, wrong = _names("selected", selected), _names("perturbed", perturbed)
        if not mentioned:
            raise FactorError(
                "selected must name at least one factor: a text that mentions nothing teaches nothing; got none. "
                "Misalignment.of_rates() can say so"
            )
        for name in sorted(wrong - mentioned):
            raise FactorError(unknown("perturbed factor", name, sorted(mentioned)))
        if wrong == mentioned:
            raise FactorError(
                "perturbed must leave at least one selected factor intact; got all of "
                f"{', '.join(sorted(mentioned))} perturbed. Misalignment.of_rates() can say so"
            )
        if channel is not None and channel.is_exact and wrong:
            raise ConfigError(f"the channel of perturbed factors must change something; got {channel!r}")
        self._fill(dict.fromkeys(mentioned, 1.0), dict.fromkeys(wrong, channel or Unstated()))

    @classmethod
    def of_rates(
        cls,
        mention: Mapping[str, Any] = MappingProxyType({}),
        *,
        redraw: Mapping[str, float] = MappingProxyType({}),
        channels: Mapping[str, Any] = MappingProxyType({}),
    ) -> "Misalignment":
        """A misalignment by rates.

        Args:
            mention: By factor, the probability that a text speaks of it, in [0, 1], independently: a number, one number
                per value shown, or a function of the values. A factor without a rate is never mentioned.
            redraw: By mentioned factor, the probability ρ of a uniform redraw, in [0, 1].
            channels: By mentioned factor, any other channel: one of `vergence.channels`, or a table of said (rows) by
                shown (columns). A factor that neither names is said exactly.

        Raises:
            ConfigError: If a rate is outside [0, 1], or a column of a table is no distribution.
            ShapeError: If a table is not square.
            FactorError: If a redraw or channel is of a factor without a rate, or one factor has both.

        Example:
            >>> bias = Misalignment.of_rates({"shape": 1.0, "tone": 0.2}, redraw={"tone": 0.5})
            >>> sorted(bias.selected), sorted(bias.unbiased), bias.mention["tone"]
            (['shape', 'tone'], ['shape'], 0.2)
            >>> sorted(Misalignment.of_rates().selected)
            []
        """
        for what, given in (("mention", mention), ("redraw", redraw), ("channels", channels)):
            if not isinstance(given, Mapping):
                raise ConfigError(f"{what} must be given by factor, as a mapping; got {given!r}")
        for name, rate in mention.items():
            _check_rate(name, rate)
        for what, given in (("redraw of factor", redraw), ("channel of factor", channels)):
            for name in given:
                if name not in mention:
                    raise FactorError(unknown(what, name, mention) + "; a factor without a rate is never mentioned")
        if both := sorted(set(redraw) & set(channels)):
            raise FactorError(f"factor {both[0]!r} has a redraw and a channel; give one of them")
        for name, rate in redraw.items():
            probability(f"redraw of factor {name!r}", rate)
        spoken = {name: rate if callable(rate) else _plain(rate) for name, rate in mention.items() if _ever(rate)}
        given = {name: Redraw(rate) for name, rate in redraw.items()}
        given |= {name: as_channel(channel) for name, channel in channels.items()}
        self = cls.__new__(cls)
        self._fill(spoken, {name: given[name] for name in spoken if name in given and not given[name].is_exact})
        return self

    def _fill(self, mention: dict[str, Mention], channels: dict[str, Channel]) -> None:
        # In order of the names, so that nothing downstream depends on that of a set.
        self._mention = {name: mention[name] for name in sorted(mention)}
        self._channels = {name: channels[name] for name in sorted(channels)}

    @property
    def mention(self) -> Mapping[str, Mention]:
        """By factor, the probability that a text speaks of it; those that it never mentions are missing."""
        return MappingProxyType(self._mention)

    @property
    def channels(self) -> Mapping[str, Channel]:
        """By factor that a text may get wrong, what it says then; those that it always gets right are missing."""
        return MappingProxyType(self._channels)

    @property
    def selected(self) -> frozenset[str]:
        r"""Factors that the text ever mentions: $I_\theta$; may be empty."""
        return frozenset(self._mention)

    @property
    def perturbed(self) -> frozenset[str]:
        r"""Factors that it mentions and may get wrong: $I_\rho$."""
        return frozenset(self._channels)

    @property
    def unbiased(self) -> frozenset[str]:
        r"""Factors on which image and text agree where the text speaks: $I_\theta \setminus I_\rho$; may be empty."""
        return self.selected - self.perturbed

    @property
    def graded(self) -> frozenset[str]:
        """Mentioned factors that a text may pass over."""
        return frozenset(name for name, rate in self._mention.items() if callable(rate) or rate != 1.0)

    def omitted(self, space: FactorSpace) -> frozenset[str]:
        r"""Factors that the text never mentions: $\mathcal I \setminus I_\theta$.

        Raises:
            FactorError: If a selected factor is not in the space.
        """
        self.check(space)
        return frozenset(space.names) - self.selected

    def check(self, space: FactorSpace) -> None:
        """Require every mentioned factor to be one of the space, and its rates and channel to fit it.

        Raises:
            FactorError: Naming the unknown factor, the known ones and the nearest; or what does not fit.
        """
        known_factors(self._mention, space.names)
        for name, rate in self._mention.items():
            count = len(space[name].values or ())
            if isinstance(rate, tuple) and len(rate) != count:
                raise FactorError(
                    f"mention of factor {name!r} must be one probability per value; got {len(rate)} for {count} values"
                )
        for name, channel in self._channels.items():
            channel.check(space[name])

    def _key(self) -> tuple[frozenset[Any], ...]:
        return frozenset(self._mention.items()), frozenset(self._channels.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Misalignment) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        if self.graded or not self.unbiased or len(set(self._channels.values())) > 1:
            parts = [f"{name!r}: {rate!r}" for name, rate in self._mention.items()]
            wrong = [f"{name!r}: {channel!r}" for name, channel in self._channels.items()]
            said = f", channels={{{', '.join(wrong)}}}" if wrong else ""
            return f"Misalignment.of_rates({{{', '.join(parts)}}}{said})"
        selected, perturbed = (
            "{" + ", ".join(map(repr, sorted(names))) + "}" for names in (self.selected, self.perturbed)
        )
        channel = next(iter(self._channels.values()), Unstated())
        said = "" if channel == Unstated() else f", channel={channel!r}"
        return f"Misalignment(selected={selected}" + (f", perturbed={perturbed}" if self.perturbed else "") + said + ")"


def selection_sweep(space: FactorSpace, *, order: Iterable[str] | None = None) -> tuple[Misalignment, ...]:
    r"""Nested selections, from the first factor alone to all of them, nothing perturbed.

    Source: [cai2025], numerical simulation: $I_\theta = \{1..k\}$ for $k = 1..n$, $I_\rho = \emptyset$.

    Args:
        space: All factors.
        order: In which order factors come in; the order of the space if `None`.

    Returns:
        As many misalignments as factors, each selecting one more.

    Raises:
        FactorError: If `order` is not a permutation of the factors.

    Example:
        >>> from vergence import Factor
        >>> [sorted(bias.selected) for bias in selection_sweep(FactorSpace((Factor("a"), Factor("b"))))]
        [['a'], ['a', 'b']]
    """
    names = _permutation(space, order)
    return tuple(Misalignment(frozenset(names[:k])) for k in range(1, len(names) + 1))


def perturbation_sweep(space: FactorSpace, *, order: Iterable[str] | None = None) -> tuple[Misalignment, ...]:
    r"""Nested perturbations with everything selected, from none to all but the factor that is perturbed last.

    Source: [cai2025], numerical simulation: $I_\theta$ is everything, $I_\rho$ the last $k = 0..n-1$ factors.

    Args:
        space: All factors.
        order: In which order factors are perturbed; the reversed order of the space if `None`.

    Returns:
        As many misalignments as factors, each perturbing one more.

    Raises:
        FactorError: If `order` is not a permutation of the factors.

    Example:
        >>> from vergence import Factor
        >>> [sorted(bias.perturbed) for bias in perturbation_sweep(FactorSpace((Factor("a"), Factor("b"))))]
        [[], ['b']]
    """
    names = _permutation(space, reversed(space.names) if order is None else order)
    everything = frozenset(names)
    return tuple(Misalignment(everything, frozenset(names[:k])) for k in range(len(names)))


def _permutation(space: FactorSpace, order: Iterable[str] | None) -> tuple[str, ...]:
    names = space.names if order is None else tuple(order)
    known_factors(names, space.names)
    if sorted(names) != sorted(space.names):
        raise FactorError(
            f"order must name each factor once; got {', '.join(names)}; factors: {', '.join(space.names)}"
        )
    return names


def _names(field: str, names: Iterable[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise FactorError(f"{field} must be a set of factor names; got the string {names!r}. Write {{{names!r}}}")
    listed = list(names)
    repeated = sorted({name for name in listed if listed.count(name) > 1})
    if repeated:
        raise FactorError(f"{field} must name each factor once; repeated: {', '.join(map(repr, repeated))}")
    return frozenset(listed)


def _check_rate(name: str, rate: object) -> None:
    if callable(rate):
        return
    if not isinstance(rate, tuple | list):
        probability(f"mention of factor {name!r}", rate)
        return
    if not rate:
        raise ConfigError(f"mention of factor {name!r} must be a number, one per value, or a function; got {rate!r}")
    for value in rate:
        probability(f"mention of factor {name!r}", value)


def _plain(rate: Any) -> float | tuple[float, ...]:
    return tuple(map(float, rate)) if isinstance(rate, tuple | list) else float(rate)


def _ever(rate: Any) -> bool:
    """Whether a factor with this rate is mentioned at all."""
    return callable(rate) or (any(rate) if isinstance(rate, tuple | list) else rate > 0)
