"""What a policy asks of each caption: by what it says, what its image shows, and numbers drawn for it alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int16, UInt8, UInt64

from vergence.corpus.lexicon import Lexicon
from vergence.corpus.matching import Matcher
from vergence.curation.codes import CONTRADICTED, KEEP, OMIT

KINDS = ("omit", "insert", "correct", "perturb", "balance")
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False, kw_only=True)
class Action:
    """What is done to one factor.

    Args:
        factor: Its name.
        kinds: Of `KINDS`: alone, or insert and correct together.
        omitted: By value, the share of mentions that go.
        inserted: By value, the share of captions silent about it that are to say it.
        said: For perturb, the probability of what is said then (rows) by what is said now (columns).
        generic: Whether a generic word takes the place of what is omitted.
    """

    factor: str
    kinds: tuple[str, ...]
    omitted: Float64[np.ndarray, " values"]
    inserted: Float64[np.ndarray, " values"]
    said: Float64[np.ndarray, "values values"] | None = None
    generic: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        table = None if self.said is None else self.said.round(9).tolist()
        return {
            "factor": self.factor, "kinds": list(self.kinds), "omitted": self.omitted.round(9).tolist(),
            "inserted": self.inserted.round(9).tolist(), "said": table, "generic": self.generic,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked of captions.

    Args:
        ops: Captions × factors, `KEEP`, `OMIT` or the place of a value.
        refused: Captions × factors, reasons that hold whatever the words are; 0 elsewhere.
        mentioned: Captions × factors, whether anything is said.
        unlabelled: By factor, captions that wanted a label and had none.
        found: By concept, captions that mention it.
    """

    ops: Int16[np.ndarray, "captions factors"]
    refused: UInt8[np.ndarray, "captions factors"]
    mentioned: np.ndarray
    unlabelled: np.ndarray
    found: np.ndarray


@dataclass(frozen=True, eq=False)
class Asker:
    """Asks of captions what actions say.

    Args:
        lexicon: Groups are factors.
        actions: One for each factor that is to change.
        matcher: Of the lexicon.
    """

    lexicon: Lexicon
    actions: Sequence[Action]
    matcher: Matcher
    _first: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        sizes = [len(group.concepts) for group in self.lexicon.groups]
        object.__setattr__(self, "_first", np.cumsum([0, *sizes]))

    def ask(
        self, captions: pa.Array, draws: UInt64[np.ndarray, " captions"], labels: Int16[np.ndarray, "captions factors"]
    ) -> Asked:
        """What to do with each caption.

        Args:
            captions: Text without nulls.
            draws: A number of 64 random bits for each.
            labels: Places of the values that their images show, -1 where that is not known.
        """
        n, names = len(captions), [group.name for group in self.lexicon.groups]
        found = self.matcher.mentions(captions)
        hits = found.captions, found.concepts
        ops = np.full((n, len(names)), KEEP, dtype=np.int16)
        refused = np.zeros((n, len(names)), dtype=np.uint8)
        mentioned = np.zeros((n, len(names)), dtype=np.bool_)
        unlabelled = np.zeros(len(names), dtype=np.int64)
        for action in self.actions:
            f = names.index(action.factor)
            first, last = self._first[f], self._first[f + 1]
            own = (hits[1] >= first) & (hits[1] < last)
            rows, values = hits[0][own], hits[1][own] - first
            count = np.bincount(rows, minlength=n)
            said = np.full(n, -1, dtype=np.int64)
            said[rows[::-1]] = values[::-1]  # the first of several
            mentioned[:, f] = count > 0
            shown = labels[:, f].astype(np.int64)
            take = _uniform(draws, 2 * f)
            if "omit" in action.kinds or "balance" in action.kinds:
                known = np.where(shown >= 0, shown, said) if "balance" in action.kinds else said
                gone = (said >= 0) & (take < action.omitted[known])
                ops[gone, f] = last - first if action.generic else OMIT
            if "perturb" in action.kinds and action.said is not None:
                limits = action.said.cumsum(axis=0)[:-1, said]
                drawn = (_uniform(draws, 2 * f + 1) >= limits).sum(axis=0)
                anew = (said >= 0) & ((drawn != said) | (count > 1))
                ops[anew, f] = drawn[anew]
            if "correct" in action.kinds:
                wrong = (said >= 0) & (shown >= 0) & ((said != shown) | (count > 1))
                ops[wrong, f] = shown[wrong]
            if "insert" in action.kinds or "balance" in action.kinds:
                missing = (said < 0) & (shown >= 0) & (take < action.inserted[shown])
                ops[missing, f] = shown[missing]
                denied = found.negated[(found.negated & 0xFFFFFFFF >= first) & (found.negated & 0xFFFFFFFF < last)]
                denies = np.zeros(n, dtype=np.bool_)
                denies[denied >> 32] = True
                denies &= missing
                ops[denies, f], refused[denies, f] = KEEP, CONTRADICTED
                unlabelled[f] = int(((said < 0) & (shown < 0)).sum())
            if "correct" in action.kinds:
                unlabelled[f] += int(((said >= 0) & (shown < 0)).sum())
        return Asked(ops, refused, mentioned, unlabelled, np.bincount(hits[1], minlength=int(self._first[-1])))


def _uniform(draws: np.ndarray, stream: int) -> Float64[np.ndarray, " captions"]:
    """Numbers in [0, 1) for one purpose: splitmix64 of what was drawn [steele2014]."""
    with np.errstate(over="ignore"):
        z = draws + _MIX * np.uint64(stream + 1)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
