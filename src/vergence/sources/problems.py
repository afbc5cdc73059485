"""What could not be read, or was not meant to be: counted by kind, with the first places of each, never in silence."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any

from vergence.errors import CorpusError, unknown

KINDS = {
    "null": "captions that are null, missing or an empty line",
    "broken_utf8": "captions that are not well-formed UTF-8",
    "not_text": "text that holds NUL bytes: UTF-16 without its mark, or no text",
    "too_long": "records longer than the limit",
    "malformed": "records that do not follow their format",
    "no_column": "files without the caption column",
    "empty_file": "files that hold nothing",
    "unreadable": "files, or the rest of a file or row group, that could not be read",
}
_EXAMPLES = 20
_NAMES = 200  # different ones that one part counts apart
_REST = "…"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that was skipped.

    Args:
        file: The file.
        number: Where in it, in units of `unit`, from 1; 0 for the file as a whole.
        unit: "row", "line", "record", "item", "row group", "member", "folder" or "file".
        detail: What was wrong, if there is more to say.
    """

    file: str
    number: int
    unit: str
    detail: str = ""

    def described(self, kind: str) -> str:
        """Where and what, in one line.

        Example:
            >>> Problem("a.csv", 3, "record", "not 2 fields").described("malformed")
            'a.csv, record 3: records that do not follow their format: not 2 fields'
        """
        place = f"{self.file}, {self.unit} {self.number}" if self.number else self.file
        return f"{place}: {KINDS[kind]}" + (f": {self.detail}" if self.detail else "")


@dataclass
class Problems:
    """Counts of what was skipped, and the first few places of each kind; partial ones merge in any order.

    Args:
        strict: Whether to raise at the first problem instead.
        counts: By kind, how many.
        examples: By kind, the first places.
        fields: In how many samples of tar shards each field is, such as "txt" and "jpg".
        passed_over: What lies beside the corpus and is none of it, such as files of other kinds: no problem, but said.

    Example:
        >>> problems = Problems()
        >>> problems.add("null", "a.parquet", "row", [3, 7])
        >>> problems.counts, problems.examples["null"][0].number
        ({'null': 2}, 3)
    """

    strict: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[Problem]] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, file: str, unit: str, numbers: Sequence[int], detail: str = "", *, times: int = 0) -> None:
        """Count problems of one kind in one file, at as many places or, of which these are the first, `times`.

        Raises:
            CorpusError: For the first of them, if strict.
        """
        if not numbers:
            return
        if self.strict:
            raise CorpusError(Problem(file, int(numbers[0]), unit, detail).described(kind))
        self.counts[kind] = self.counts.get(kind, 0) + (times or len(numbers))
        self._keep(kind, (Problem(file, int(number), unit, detail) for number in numbers[:_EXAMPLES]))

    def add_field(self, name: str) -> None:
        """Count a field of a sample."""
        _count(self.fields, name)

    def pass_over(self, what: str, times: int) -> None:
        """Count something that lies beside the corpus."""
        if times:
            _count(self.passed_over, what, times)

    @property
    def total(self) -> int:
        """How many problems of all kinds."""
        return sum(self.counts.values())

    def merge(self, other: "Problems") -> None:
        """Add what another part of the corpus met."""
        self.fields.update(other.fields)
        self.passed_over.update(other.passed_over)
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            self._keep(kind, other.examples.get(kind, ()))

    def to_dict(self) -> dict[str, Any]:
        """Counts and examples as plain lists and mappings, kinds in a fixed order."""
        present = [kind for kind in KINDS if kind in self.counts]
        return {
            "counts": {kind: self.counts[kind] for kind in present},
            "examples": {
                kind: [[p.file, p.number, p.unit, p.detail] for p in self.examples.get(kind, ())] for kind in present
            },
            "fields": dict(sorted(self.fields.items())),
            "passed_over": dict(sorted(self.passed_over.items())),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Problems":
        """The inverse of `to_dict`."""
        examples = {kind: [Problem(*row) for row in rows] for kind, rows in values["examples"].items()}
        fields, passed_over = Counter(values["fields"]), Counter(values["passed_over"])
        return cls(counts=dict(values["counts"]), examples=examples, fields=fields, passed_over=passed_over)

    def _keep(self, kind: str, found: Iterable[Problem]) -> None:
        self.examples[kind] = nsmallest(_EXAMPLES, [*self.examples.get(kind, ()), *found])


def short(error: BaseException) -> str:
    """An error's message in one line of bounded length."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _count(counts: Counter[str], name: str, times: int = 1) -> None:
    """Names beyond the limit count together, so that no archive and no folder fills the memory."""
    shown = name[:60]
    counts[shown if shown in counts or len(counts) < _NAMES else _REST] += times


def missing_column(name: str, columns: Sequence[str]) -> str:
    """Word that a column is not there, or there several times, in a line of bounded length.

    Example:
        >>> missing_column("text", ["url", "TEXT"]), missing_column("url", ["url", "url"])
        ("unknown column 'text'; known: url, TEXT", "2 columns are named 'url'; rename all but one")
    """
    if (times := list(columns).count(name)) > 1:
        return f"{times} columns are named {name!r}; rename all but one"
    shown = [column if len(column) <= 60 else f"{column[:59]}…" for column in columns[:20]]
    return unknown("column", name, shown + [f"… and {len(columns) - 20} more"] * (len(columns) > 20))
