"""The counts of one part, and all that decides them."""

import json
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any

from vergence.corpus.coverage import Coverage
from vergence.corpus.lexicon import Lexicon
from vergence.corpus.readers import ReadOptions, read_captions
from vergence.sources.discovery import Part
from vergence.sources.problems import Problems

FORMAT = 3  # of the files of counts; another number never reads them


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that decides the counts of a part, beside the part itself.

    Args:
        lexicon: What to look for.
        match: "word" or "substring".
        options: How captions are read.
        n_examples: Example captions to keep for each concept.
    """

    lexicon: Lexicon
    match: str = "word"
    options: ReadOptions = field(default_factory=ReadOptions)
    n_examples: int = 5

    @property
    def fingerprint(self) -> str:
        """A digest of all of it; strictness stops an audit but changes no count."""
        options = {name: value for name, value in asdict(self.options).items() if name != "strict"}
        return digest([FORMAT, self.lexicon.fingerprint, self.match, self.n_examples, options])

    def key(self, part: Part) -> str:
        """The name of a part's counts; without the time of change, which differs between copies of a corpus."""
        return digest([self.fingerprint, _undated(part)])


def _undated(part: Part) -> dict[str, Any]:
    files = [_undated(file) for file in part.files]
    return {**asdict(replace(part, modified=0, files=())), "files": files}


def count_part(part: Part, settings: Settings) -> Coverage:
    """The coverage of one part.

    Raises:
        CorpusError: At the first problem, if strict.
    """
    coverage = Coverage(settings.lexicon, settings.match, settings.n_examples)
    problems = Problems(strict=settings.options.strict)
    for captions in read_captions(part, settings.options, problems):
        coverage.add(captions)
    coverage.problems = problems
    return coverage


def count_to_bytes(part: Part, settings: Settings) -> bytes:
    """The coverage of one part, to be sent to another process."""
    return count_part(part, settings).to_bytes()


def digest(value: Any) -> str:
    """What tells one JSON value from another."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
