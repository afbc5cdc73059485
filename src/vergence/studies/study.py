"""What every study is: specs, predictions, measurements, claims and figures over one long table."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from rich.console import Group, RenderableType
from rich.text import Text

from vergence.reports.page import Section, comparison
from vergence.terminal import plain
from vergence.theory import Outcome

Row = dict[str, Any]
Tell = Callable[[int, int], None]
Spec = TypeVar("Spec")

HOLDS, FAILS = "holds", "fails"
MEASURED = ("value", "low", "high")
PREDICTED = ("predicted_low", "predicted_high", "expected", "reason")
SCALE = ("floor", "ceiling")
"""Scores of the same thing untrained, and trained with the labels themselves: what predictions on real items mean."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A number that a study was made to find, and what it had to be.

    Args:
        statement: What was measured, in words.
        measured: The number; `None` or NaN if the table does not tell it.
        at_least: What it has to reach, if that was stated.
        at_most: What it has to stay at or below, if that was stated.
        where: Where the worst case is, if the claim is of a worst case.

    Example:
        >>> Claim(statement="mean R² of what is named", measured=0.97, at_least=0.95).outcome
        'holds'
        >>> Claim(statement="mean R² of what is named", measured=None, at_least=0.95).outcome
        'fails'
        >>> Claim(statement="first size with R² 0.5", measured=8.0).outcome is None
        True
    """

    statement: str
    measured: float | None
    at_least: float | None = None
    at_most: float | None = None
    where: str = ""

    @property
    def outcome(self) -> str | None:
        """Whether it "holds" or "fails"; `None` if no bound was stated. What was not measured does not hold."""
        if self.at_least is None and self.at_most is None:
            return None
        if self.measured is None or not isfinite(self.measured):
            return FAILS
        reached = self.at_least is None or self.measured >= self.at_least
        return HOLDS if reached and (self.at_most is None or self.measured <= self.at_most) else FAILS

    def record(self) -> Row:
        """The claim as JSON has it."""
        known = self.measured is not None and isfinite(self.measured)
        return {
            "statement": self.statement,
            "measured": round(float(self.measured), 4) if known and self.measured is not None else None,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "where": self.where,
            "outcome": self.outcome,
        }


@dataclass(frozen=True)
class Result:
    """What came out of one run.

    Args:
        rows: Measurements: side, factor, metric, value and what the study adds; low, high, floor, ceiling if known.
        extras: Anything else that JSON can say, such as losses or what was retrieved.
    """

    rows: list[Row]
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished(Generic[Spec]):
    """A run that is done.

    Args:
        spec: What was run.
        folder: Holds what it left there.
        result: What came out.
        cpu_seconds: What it took of the processor, its share if several ran together.
    """

    spec: Spec
    folder: Path
    result: Result
    cpu_seconds: float


@dataclass(frozen=True)
class Drawing:
    """A figure of a study, for a wide and for a narrow page.

    Args:
        caption: What it shows, in a sentence.
        wide: About 800 pixels wide.
        narrow: The same for a telephone.
    """

    caption: str
    wide: Figure
    narrow: Figure


class Study(ABC, Generic[Spec]):
    """A question, the runs that answer it, and what their numbers have to be.

    A spec says everything that its result depends on, and is frozen: runs are stored by the digest of it, and studies
    of one family share them. Instances travel to worker processes, so they hold nothing but plain values and functions
    of modules.

    Attributes:
        name: What the command line calls it.
        description: What it shows, in one line.
        family: Studies of one family measure a spec in the same way.
        protocol: To be raised when what `measure` does changes: runs of before are then not taken for ours.
        scales: Names of the scales it knows.
        details: Columns that `measure` gives beside side, factor and metric.
        foretold: Columns that `predict` gives beside the prediction.
        margin: How far beyond its bounds a score may be and still agree with the prediction, in units of the score: the
            error of probes and of a training that ends.
    """

    name: str
    description: str
    family: str
    protocol: int = 1
    scales: tuple[str, ...] = ("smoke", "cpu")
    details: tuple[str, ...] = ()
    foretold: tuple[str, ...] = ()
    margin: float = 0.0

    @abstractmethod
    def seeds(self, scale: str) -> int:
        """Trials of each setting where nobody asks for another number."""

    @abstractmethod
    def job(self, scale: str) -> Mapping[str, Any]:
        """What tells the jobs of this study apart, as JSON can say it; more seeds extend a job."""

    @abstractmethod
    def runs(self, scale: str, seeds: int) -> list[Spec]:
        """Every run, decided before anything is trained.

        Raises:
            ConfigError: If the study cannot be run at that scale.
        """

    @abstractmethod
    def key(self, spec: Spec) -> Mapping[str, Any]:
        """Everything that the result of a spec depends on, as JSON can say it."""

    @abstractmethod
    def label(self, spec: Spec) -> str:
        """A name that no other run of the study has; column `run` of the table."""

    @abstractmethod
    def settings(self, spec: Spec) -> Row:
        """The settings that the table names, a column each."""

    @abstractmethod
    def predict(self, spec: Spec) -> list[Row]:
        """What theory says of a run, before it is trained.

        Returns:
            Rows with `PREDICTED`, the columns of `foretold`, and those that say which measurements each is for: all
            that have the same values in them.
        """

    @abstractmethod
    def measure(self, group: Sequence[Spec], *, folders: Sequence[Path], tell: Tell) -> list[Result]:
        """Run some specs together, in a worker process; what comes out of each does not depend on its company.

        Args:
            group: The specs, as `groups` put them together.
            folders: Of each, where it may leave files; checkpoints go to `checkpoints` in it, which is removed when it
                is done, and found again if it was stopped.
            tell: Called with steps done and steps in all.

        Returns:
            A result for each.
        """

    def groups(self, specs: Sequence[Spec]) -> list[list[Spec]]:
        """What is run together; each alone by default."""
        return [[spec] for spec in specs]

    def announce(self, specs: Sequence[Spec]) -> Row:
        """What else is to be written down before anything is trained."""
        return {}

    def finish(self, table: pd.DataFrame, runs: Sequence[Finished[Spec]]) -> pd.DataFrame:
        """Fill in what the runs tell of one another, such as floor and ceiling, before outcomes are judged."""
        return table

    @abstractmethod
    def claims(self, table: pd.DataFrame) -> list[Claim]:
        """What the table says of what the study was made for; of an empty table, that nothing holds."""

    @abstractmethod
    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        """Figures by the names of their files."""

    def summary(self, table: pd.DataFrame, runs: Sequence[Finished[Spec]]) -> Row:
        """What else the verdict says."""
        return {}

    def headline(self, verdict: Row) -> str:
        """The finding, as the page's title."""
        counts = verdict["counts"]
        bounded = counts[HOLDS] + counts[FAILS]
        if not bounded:
            return f"{self.description[:1].upper()}{self.description[1:]}: described, nothing claimed"
        which = "All" if not counts[FAILS] else f"{counts[HOLDS]} of"
        return f"{which} {bounded} claims hold: {self.description}"

    def lede(self, verdict: Row, table: pd.DataFrame) -> str:
        """What stands behind the headline, in a sentence or two."""
        counts = [
            f"{count:,} are {name}"
            if name != Outcome.OPEN
            else f"of {count:,} theory says nothing, or too little to tell"
            for name, count in verdict["outcomes"].items()
            if count
        ]
        said = f"{self.description[:1].upper()}{self.description[1:]}."
        return f"{said} Of {len(table):,} measurements, {', '.join(counts)}." if counts else said

    def opening(self, table: pd.DataFrame, runs: Sequence[Finished[Spec]]) -> list[Section]:
        """What the page shows before the claims: the finding itself, where a glance can take it in."""
        return []

    def sections(
        self, table: pd.DataFrame, runs: Sequence[Finished[Spec]], pictures: Mapping[str, Markup]
    ) -> list[Section]:
        """What the page shows after the claims, in order.

        Args:
            table: The whole table.
            runs: What is done, with its extras and folders.
            pictures: The figures, by name, ready for the page.
        """
        settings = list(self.settings(runs[0].spec)) if runs else []
        telling = _telling(table, [*settings, *(name for name in self.details if name != "role")])
        return [
            *([Section("Figures", Markup("").join(pictures.values()))] if pictures else []),
            Section("Measured beside predicted", comparison(table, settings=telling)),
        ]

    def show(self, verdict: Row, table: pd.DataFrame) -> RenderableType:
        """Lay the verdict out for a terminal of 80 columns."""
        marks = {HOLDS: ("yes", "green"), FAILS: ("NO ", "bold red"), None: ("   ", "")}
        lines = []
        for claim in verdict["claims"]:
            limits, where = bound(claim), f" ({claim['where']})" if claim["where"] else ""
            line = f" {claim['statement']}: {_number(claim['measured'])}{', bound ' if limits else ''}{limits}{where}"
            lines.append(Text.assemble(plain(*marks[claim["outcome"]]), plain(line)))
        return Group(*lines)


def bound(claim: Mapping[str, Any]) -> str:
    """The bounds of a claim's record in words.

    Example:
        >>> bound({"at_least": 0.9, "at_most": None})
        '≥ 0.9'
    """
    parts = ((claim["at_least"], "≥"), (claim["at_most"], "≤"))
    return " and ".join(f"{sign} {value:g}" for value, sign in parts if value is not None)


def _telling(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Columns that tell rows apart which those before them do not tell apart; seeds are no settings."""
    kept: list[str] = []
    for name in columns:
        groups = table.groupby(kept, dropna=False)[name] if kept else table[name]
        if name != "seed" and np.max(groups.nunique()) > 1:
            kept.append(name)
    return kept


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
