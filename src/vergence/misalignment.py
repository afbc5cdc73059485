"""The noun that theory and practice share: which factors the text mentions, and which of those it may get wrong."""

from collections.abc import Iterable
from dataclasses import dataclass

from vergence.checks import known_factors
from vergence.errors import FactorError, unknown
from vergence.factors import FactorSpace


@dataclass(frozen=True, init=False, repr=False)
class Misalignment:
    r"""Selection and perturbation bias of a text modality.

    With all semantics $\mathcal I$, the text mentions $I_\theta \subseteq \mathcal I$, not empty, and may get
    $I_\rho \subset I_\theta$ wrong, properly. [cai2025] Thm 4.1: a contrastive model whose output size is
    $|I_\theta| - |I_\rho|$ identifies exactly the block $I_\theta \setminus I_\rho$, and so neither what is omitted nor
    what is perturbed. Above that size the theorem is silent.

    Args:
        selected: Names of the factors that the text mentions ($I_\theta$); at least one.
        perturbed: Names of those it may get wrong ($I_\rho$); fewer than the selected.

    Raises:
        FactorError: If nothing is selected, a perturbed factor is not selected, or every selected one is perturbed.

    Example:
        >>> bias = Misalignment(selected={"shape", "tone"}, perturbed={"tone"})
        >>> sorted(bias.unbiased), bias
        (['shape'], Misalignment(selected={'shape', 'tone'}, perturbed={'tone'}))
        >>> Misalignment(selected={"shape"}, perturbed={"shap"})
        Traceback (most recent call last):
        vergence.errors.FactorError: unknown perturbed factor 'shap'; known: shape. Did you mean 'shape'?
    """

    selected: frozenset[str]
    perturbed: frozenset[str]

    def __init__(self, selected: Iterable[str], perturbed: Iterable[str] = ()) -> None:
        object.__setattr__(self, "selected", _names("selected", selected))
        object.__setattr__(self, "perturbed", _names("perturbed", perturbed))
        if not self.selected:
            raise FactorError(
                "selected must name at least one factor: a text that mentions nothing teaches nothing; got none"
            )
        for name in sorted(self.perturbed - self.selected):
            raise FactorError(unknown("perturbed factor", name, sorted(self.selected)))
        if self.perturbed == self.selected:
            raise FactorError(
                "perturbed must leave at least one selected factor intact; got all of "
                f"{', '.join(sorted(self.selected))} perturbed"
            )

    @property
    def unbiased(self) -> frozenset[str]:
        r"""Factors on which image and text agree: $I_\theta \setminus I_\rho$; never empty."""
        return self.selected - self.perturbed

    def omitted(self, space: FactorSpace) -> frozenset[str]:
        r"""Factors that the text never mentions: $\mathcal I \setminus I_\theta$.

        Raises:
            FactorError: If a selected factor is not in the space.
        """
        self.check(space)
        return frozenset(space.names) - self.selected

    def check(self, space: FactorSpace) -> None:
        """Require every selected factor to be one of the space.

        Raises:
            FactorError: Naming the unknown factor, the known ones and the nearest.
        """
        known_factors(sorted(self.selected), space.names)

    def __repr__(self) -> str:
        selected, perturbed = (
            "{" + ", ".join(map(repr, sorted(names))) + "}" for names in (self.selected, self.perturbed)
        )
        return f"Misalignment(selected={selected}" + (f", perturbed={perturbed})" if self.perturbed else ")")


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
