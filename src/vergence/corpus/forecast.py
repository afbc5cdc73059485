"""What captions teach: how strongly, of each factor, for a model of a given output size and bottleneck."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType

import pandas as pd

from vergence.checks import at_least
from vergence.corpus.channel import NOTHING
from vergence.corpus.estimate import NOT_ASSESSABLE, BiasEstimate
from vergence.corpus.rates import NOT_DETERMINED as OPEN
from vergence.theory import kept, threshold

STRONGLY = "taught strongly"
WEAKLY = "taught weakly"
NOT_AT_ALL = "not taught at all"
THROUGH_OTHERS = "taught only as far as other factors tell it"

STATEMENTS = (NOT_AT_ALL, WEAKLY, STRONGLY)
"""By how much is taught: nothing; a direction that is held with amplitude y < 1; one with y ≥ 1.

$y = 2a^2/τ$ is the mean square by which two images that differ in it are further apart than the temperature resolves.
"""

_WORDS: Mapping[str, str] = MappingProxyType({NOT_AT_ALL: "not at all", WEAKLY: "weakly", STRONGLY: "strongly"})
_TIE = 1 - 1e-6  # apart enough to break a tie, and too little to be seen
_ROUNDING = 1e-6  # of a number of directions
_AT_ONE = 3 / 8  # (1 − σ)(1 + βτ) = ½/(1 + y) + ½/(1 + y)² at y = 1
_MOST_MORE = 1000  # times the labels that there are: what would need more is not settled by labels


def forecast(
    estimate: BiasEstimate,
    *,
    encoding_size: int | None = None,
    bottleneck: float = 0.0,
    temperature: float = 1.0,
    significance: float = 0.01,
) -> pd.DataFrame:
    r"""Say for each factor what contrastive training on such captions will do with it.

    A factor's strongest direction decides: "taught strongly" if it is held with amplitude y ≥ 1, "taught weakly" if
    with y < 1, "not taught at all" if it is not held, because it is not stronger than `threshold(β, τ)` or stronger
    directions fill the outputs. `vergence.theory.kept` says which, for outputs of free scale, directions of single
    factors and an infinite batch. It is asked twice: with the factor's strengths at the lower ends of their intervals,
    all others at the upper ones and ties against it; and the other way round, where other factors of several values
    take one output each: k - 1 is what they can fill, not what they need. Where the two differ, the statement is "not
    determined". Such captions being what is trained on, what no labelled one mentions counts as strength 0, and what
    all of them get right as strength 1: those are held if there are outputs for as many factors ([cai2025] Thm 4.1).

    Without an output size only what none can change is stated: what is not taught at all.

    Args:
        estimate: From `estimate_misalignment`.
        encoding_size: The model's output size, at least 1; statements are conditional on it.
        bottleneck: β, the weight of $E\lVert a - b\rVert^2$, at least 0.
        temperature: τ of logits $-\lVert a - b\rVert^2/τ$, above 0; matters beside a bottleneck only.
        significance: Two factors count as dependent if independence is rejected at this level.

    Returns:
        One row per factor: factor, statement, reason.

    Raises:
        ConfigError: If the size is below 1, the bottleneck below 0 or the temperature not above it.
    """
    if encoding_size is not None:
        at_least("encoding_size", encoding_size, 1)
    silent, spectrum = _silent(estimate), of_such_captions(estimate)
    teaching = _Teaching(spectrum, encoding_size, bottleneck, temperature)
    cut = threshold(bottleneck, temperature)
    known = estimate.factors[estimate.factors["note"] != NOT_ASSESSABLE].set_index("factor")
    ends = {str(name): teaching.ends(str(name)) for name in known.index if known["values"][name] > 1}
    may = {name for name, (_, most) in ends.items() if most > 0}
    dependents = _dependents(estimate, significance)
    rows = []
    for name in estimate.factors["factor"]:
        tellers = sorted(dependents.get(name, set()) & may)
        if name in estimate.not_assessable:
            rows.append((name, NOT_ASSESSABLE, "no labels say what its images show"))
        elif name not in ends:
            rows.append((name, OPEN, "one value leaves nothing to tell apart"))
        elif ends[name] == (0, 0):
            why = _why_silent(estimate, name) if name in silent else teaching.why_not(name, cut)
            rows.append((name, *_untaught(why, tellers, estimate, sized=encoding_size is not None)))
        elif encoding_size is None:
            rows.append((name, OPEN, f"where outputs suffice it is taught {between(*ends[name])}; name an output size"))
        elif ends[name][0] == ends[name][1]:
            rows.append((name, STATEMENTS[ends[name][0]], teaching.why(name)))
        else:
            rows.append((name, OPEN, teaching.why_open(name, int(known["clusters"][name]), cut)))
    return pd.DataFrame(rows, columns=["factor", "statement", "reason"])


def reach(estimate: BiasEstimate, *, bottleneck: float = 0.0, temperature: float = 1.0) -> dict[str, tuple[int, int]]:
    """The least and the most that captions teach of each factor where outputs suffice, as places in `STATEMENTS`."""
    teaching = _Teaching(of_such_captions(estimate), None, bottleneck, temperature)
    return {names[0]: teaching.ends(names[0]) for names in dict.fromkeys(estimate.spectrum["factors"])}


def of_such_captions(estimate: BiasEstimate) -> pd.DataFrame:
    """The spectrum of training on captions such as the labelled ones, over the values that their images show.

    What none of them mentions has strength 0. What all of them say just as it is, or as a fixed other value, has 1.
    """
    found, silent = [estimate.spectrum[:0]], _silent(estimate)
    for name in dict.fromkeys(names[0] for names in estimate.spectrum["factors"]):
        rows = estimate.spectrum[estimate.spectrum["factors"] == (name,)].copy()
        mass = estimate.tables[estimate.tables["factor"] == name].groupby("shown")["captions"].sum()
        unseen = rows["multiplicity"].sum() + 1 - max(2, int((mass > 0).sum()))
        rows.loc[rows.index[-1], "multiplicity"] -= unseen  # the weakest: nothing is known of them
        rows = rows[rows["multiplicity"] > 0]
        if name in silent or (rows["strength"] == 1).all():
            rows[["strength", "low", "high"]] = 0.0 if name in silent else 1.0
        found.append(rows)
    return pd.concat(found, ignore_index=True)


def _silent(estimate: BiasEstimate) -> set[str]:
    """Labelled factors that no caption mentions."""
    known = set(estimate.factors.loc[estimate.factors["note"] != NOT_ASSESSABLE, "factor"])
    said = estimate.tables[estimate.tables["said"] != NOTHING].groupby("factor")["captions"].sum()
    return known - set(said.index[said > 0.5])  # whole numbers, but for rounding


def _why_silent(estimate: BiasEstimate, name: str) -> str:
    most = next(row["high"] for row in estimate.spectrum.to_dict("records") if row["factors"] == (name,))
    return f"no labelled caption mentions it, so its strength is at most {most:.2f}"


def _untaught(why: str, tellers: list[str], estimate: BiasEstimate, *, sized: bool) -> tuple[str, str]:
    if sized:
        if tellers:
            return THROUGH_OTHERS, f"{why}; it depends on {', '.join(tellers)}"
        return NOT_AT_ALL, why
    if tellers:
        return OPEN, f"{why}, but it depends on {', '.join(tellers)}; name an output size"
    if estimate.not_assessable:
        return OPEN, f"{why}, but a factor without labels may tell it"
    return NOT_AT_ALL, why


def _dependents(estimate: BiasEstimate, significance: float) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for a, b, p in estimate.dependence[["a", "b", "p_value"]].itertuples(index=False):
        if not p >= significance:  # an unknown p value counts as dependent
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
    return found


@dataclass(frozen=True, eq=False)
class _Teaching:
    """What is held of a spectrum with intervals; without an output size, of as many outputs as it has directions."""

    spectrum: pd.DataFrame
    encoding_size: int | None
    bottleneck: float
    temperature: float

    def ends(self, name: str, *, unlimited: bool = False) -> tuple[int, int]:
        """The least and the most that is taught of a factor, as places in `STATEMENTS`."""
        least, most = (self._held(name, unlimited=unlimited, most=most) for most in (False, True))
        return _place(least), _place(most)

    def why(self, name: str) -> str:
        """How many of its directions are held for sure."""
        block, size = self._block(), self._size()
        if name in block and len(block) <= size:
            directions = int(self.spectrum.loc[self.spectrum["low"] == 1, "multiplicity"].sum())
            tight = f", if not for each of their {directions} directions" if directions > size else ""
            factors = "it" if len(block) == 1 else f"all {len(block)} such factors"
            return f"every labelled caption tells it, and the outputs suffice for {factors}{tight}"
        held = self._held(name, unlimited=False, most=False)
        directions, surely = int(held["multiplicity"].sum()), int(held["kept"].sum() + _ROUNDING)
        if surely < directions:
            return f"at least {surely} of its {directions} directions {'is' if surely == 1 else 'are'} held"
        return f"the outputs suffice for {f'all of its {directions} directions' if directions > 1 else 'it'}"

    def why_not(self, name: str, cut: float) -> str:
        """Why nothing of a factor is taught that captions mention."""
        if self._leading(name)["high"] <= cut:
            return f"the bottleneck removes what is not above {cut:.2f}, and {self.interval(name)}"
        return f"stronger directions fill {_outputs(self.encoding_size)}"

    def why_open(self, name: str, clusters: int, cut: float) -> str:
        """What keeps a factor from being in one of the statements."""
        least, most = self.ends(name, unlimited=True)
        if least < most:
            return f"{between(*self.ends(name))}: {self.interval(name)}{self._needed(name, clusters, cut)}"
        return (
            f"directions that are as strong, or may be, can fill {_outputs(self.encoding_size)}; where they do not, "
            f"it is taught {between(least, most)}"
        )

    def interval(self, name: str) -> str:
        """The strength of its strongest direction."""
        row = self._leading(name)
        return f"its strength is {row['strength']:.2f} ({row['low']:.2f} to {row['high']:.2f})"

    def _held(self, name: str, *, unlimited: bool, most: bool) -> pd.DataFrame:
        """Its directions as they are held where everything is in its favour, or against it."""
        own, table, size = self._own(name), self.spectrum, self._size()
        block = self._block()
        if unlimited or (name in block and len(block) <= size):
            size = int(table["multiplicity"].sum())
        if most:
            table = table.assign(strength=table["high"].where(own, table["low"] * _TIE))
            first = ~table["factors"].duplicated()
            table = table.assign(multiplicity=table["multiplicity"].where(own, 1))[own | first]
        else:
            table = table.assign(strength=(table["low"] * _TIE).where(own, table["high"]))
        held = kept(table, encoding_size=size, bottleneck=self.bottleneck, temperature=self.temperature)
        return held[own.loc[held.index]]

    def _block(self) -> frozenset[str]:
        """Factors all of whose directions have strength 1."""
        least = self.spectrum.groupby("factors")["low"].min()
        return frozenset(name for (name,) in least.index[least == 1])

    def _size(self) -> int:
        return int(self.spectrum["multiplicity"].sum()) if self.encoding_size is None else self.encoding_size

    def _own(self, name: str) -> pd.Series:
        return self.spectrum["factors"].map(lambda names: names == (name,)).astype(bool)

    def _leading(self, name: str) -> pd.Series:
        return self.spectrum[self._own(name)].iloc[0]

    def _needed(self, name: str, clusters: int, cut: float) -> str:
        """How many labelled images would narrow the interval until it is on one side of what it is across."""
        row, more = self._leading(name), 0.0
        for border in (cut, 1 - _AT_ONE * (1 - cut)):
            if border > 0 and row["low"] <= border < row["high"]:
                end = row["low"] if row["strength"] > border else row["high"]
                distance = abs(row["strength"] - border)
                more = max(more, ((row["strength"] - end) / distance) ** 2 if distance else float(_MOST_MORE))
        if not 1 < more < _MOST_MORE:
            return ""
        return (
            f"; about {ceil(more * clusters):,} independent labelled images would settle it, and there are {clusters:,}"
        )


def _place(held: pd.DataFrame) -> int:
    amplitudes = held.loc[held["kept"] > _ROUNDING, "y"]
    return 0 if amplitudes.empty else 2 if amplitudes.max() >= 1 else 1


def between(least: int, most: int) -> str:
    """Words for what is taught, from one place in `STATEMENTS` to another.

    Example:
        >>> between(0, 1), between(2, 2)
        ('not at all or weakly', 'strongly')
    """
    *others, last = [_WORDS[one] for one in STATEMENTS[least : most + 1]]
    return f"{', '.join(others)} or {last}" if others else last


def _outputs(n: int | None) -> str:
    return f"the {n} outputs" if n != 1 else "the one output"
