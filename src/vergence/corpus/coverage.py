"""What a corpus mentions and how often: counts that merge, so that shards, resumption and clusters are one code."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64

from vergence.checks import at_least
from vergence.corpus.examples import Examples
from vergence.corpus.intervals import wilson
from vergence.corpus.lexicon import Lexicon
from vergence.corpus.matching import Captions, Matcher, compiled, text_buffers, text_chunks
from vergence.corpus.measures import add_hits, digest_and_measure
from vergence.corpus.packing import pack, unpack
from vergence.corpus.sampling import CaptionSample
from vergence.corpus.sketch import DistinctSketch
from vergence.corpus.vocabulary import vocabulary
from vergence.errors import CorpusError
from vergence.sources.problems import Problems

_LENGTHS = 1025  # lengths of up to 1,023 code points are counted apart
_MOST_PAIRED = 2048  # concepts; 32 MB of counts
_ARRAYS = ("concepts", "negated", "groups", "pairs", "lengths")


@dataclass(eq=False)
class Coverage:
    """Counts over captions by the concepts of a lexicon; add captions, merge with others, read off tables.

    Args:
        lexicon: The concepts.
        match: "word" or "substring", as in `Matcher`.
        n_examples: How many example captions to keep for each concept: a uniform sample of the different ones.

    Raises:
        ConfigError: If `match` is unknown or `n_examples` is below 1.

    Example:
        >>> from vergence.corpus import concepts_146
        >>> coverage = Coverage(concepts_146())
        >>> coverage.add(["A dog in the rain", "a puppy", "the sea"])
        >>> coverage.table().query("captions > 0")[["concept", "captions", "share"]].round(3).values.tolist()
        [['dog', 2, 0.667], ['rain', 1, 0.333]]
    """

    lexicon: Lexicon
    match: str = "word"
    n_examples: int = 5
    captions: int = 0
    total_length: int = 0
    longest: int = 0
    problems: Problems = field(default_factory=Problems)
    distinct: DistinctSketch = field(default_factory=DistinctSketch)
    sample: CaptionSample = field(default_factory=CaptionSample)
    concepts: Int64[np.ndarray, " concepts"] = field(init=False)
    negated: Int64[np.ndarray, " concepts"] = field(init=False)
    groups: Int64[np.ndarray, " groups"] = field(init=False)
    pairs: Int64[np.ndarray, "paired paired"] = field(init=False)
    lengths: Int64[np.ndarray, " lengths"] = field(init=False)

    def __post_init__(self) -> None:
        at_least("n_examples", self.n_examples, 1)
        n = len(self.lexicon.concepts)
        self.concepts, self.negated = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self.groups = np.zeros(len(self.lexicon.groups), dtype=np.int64)
        paired = n if n <= _MOST_PAIRED else 0
        self.pairs = np.zeros((paired, paired), dtype=np.int64)
        self.lengths = np.zeros(_LENGTHS, dtype=np.int64)
        self._group_of = np.array(self.lexicon.group_of, dtype=np.int64)
        self._examples = Examples(n, self.n_examples)
        self._matcher: Matcher = compiled(self.lexicon, self.match)

    def add(self, captions: Captions) -> None:
        """Count captions; nulls are not captions.

        Args:
            captions: Strings, or an Arrow array of strings or UTF-8 bytes, well-formed.

        Raises:
            CorpusError: If the array does not hold text.
        """
        for chunk in text_chunks(captions, drop_nulls=True):
            mentions = self._matcher.mentions(chunk)
            offsets, data = text_buffers(chunk)
            digest, lengths = digest_and_measure(offsets, data)
            self.captions += len(chunk)
            self.total_length += int(lengths.sum())
            self.longest = max(self.longest, int(lengths.max(initial=0)))
            self.lengths += np.bincount(np.minimum(lengths, _LENGTHS - 1), minlength=_LENGTHS)
            add_hits(mentions.hits, self._group_of, self.concepts, self.groups, self.pairs)
            self.negated += np.bincount(mentions.negated & 0xFFFFFFFF, minlength=len(self.negated))
            self.distinct.add(digest)
            self.sample.add(chunk, digest, self.distinct.smallest)
            self._examples.add(chunk, mentions.hits, digest)

    def merge(self, other: "Coverage") -> None:
        """Add what another part of the corpus holds; the order of merging changes nothing.

        Raises:
            CorpusError: If the other one counts other things.
        """
        if self.settings() != other.settings():
            raise CorpusError(f"cannot merge coverage by {other.settings()} into coverage by {self.settings()}")
        for name in ("captions", "total_length", *_ARRAYS):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest = max(self.longest, other.longest)
        self.problems.merge(other.problems)
        self.distinct.merge(other.distinct)
        self.sample.merge(other.sample)
        self._examples.merge(other._examples)

    def settings(self) -> dict[str, Any]:
        """What must agree for two to merge."""
        return {"lexicon": self.lexicon.fingerprint, "match": self.match, "n_examples": self.n_examples}

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """One row per concept.

        Returns:
            group, concept, captions (mentioning it), share (of all captions, in [0, 1]), low and high (Wilson), negated
            (captions that mention it only right after a negation cue; not part of `captions`).
        """
        names = [(group.name, concept.name) for group in self.lexicon.groups for concept in group.concepts]
        return self._shares(pd.DataFrame(names, columns=["group", "concept"]), self.concepts, level).assign(
            negated=self.negated
        )

    def group_table(self, *, level: float = 0.95) -> pd.DataFrame:
        """One row per group: captions that mention any of its concepts, their share, the mean share of a concept."""
        names = pd.DataFrame(
            {"group": [g.name for g in self.lexicon.groups], "tier": [g.tier for g in self.lexicon.groups]}
        )
        table = self._shares(names, self.groups, level)
        sums = np.bincount(self._group_of, weights=self.concepts, minlength=len(self.groups))
        sizes = np.bincount(self._group_of, minlength=len(self.groups))
        return table.assign(mean_concept_share=sums / sizes / max(self.captions, 1))

    def co_mentions(self) -> pd.DataFrame:
        """Pairs of concepts that some caption mentions together: group_a, a, group_b, b, captions; most frequent first.

        Empty for a lexicon of more than 2,048 concepts, for which pairs are not counted.
        """
        names = [(group.name, concept.name) for group in self.lexicon.groups for concept in group.concepts]
        first, second = np.nonzero(np.triu(self.pairs, 1))
        counts = self.pairs[first, second]
        order = np.lexsort((second, first, -counts))
        rows = [(*names[first[k]], *names[second[k]], int(counts[k])) for k in order]
        return pd.DataFrame(rows, columns=["group_a", "a", "group_b", "b", "captions"])

    def duplicate_share(self) -> float:
        """Share of the captions that repeat an earlier one byte for byte; approximate beyond 16,384 different ones."""
        return max(0.0, 1 - min(self.distinct.count(), self.captions) / self.captions) if self.captions else 0.0

    def length_quantiles(self) -> dict[str, float]:
        """Mean, 5th, 50th and 95th percentile and maximum of the captions' lengths in code points."""
        if not self.captions:
            return {}
        seen = np.cumsum(self.lengths)
        quantiles = {
            f"p{percent}": float(np.searchsorted(seen, percent / 100 * self.captions)) for percent in (5, 50, 95)
        }
        capped = {name: min(value, float(self.longest)) for name, value in quantiles.items()}
        return {"mean": self.total_length / self.captions, **capped, "max": float(self.longest)}

    def examples(self) -> list[list[str]]:
        """Per concept a uniform sample of the different captions that mention it, in a fixed order."""
        return self._examples.texts()

    def to_dict(self) -> dict[str, Any]:
        """What `coverage.json` holds: counts, shares with intervals, and everything skipped."""
        columns = ["concept", "group", "captions", "share", "low", "high", "negated"]
        problems = self.problems.to_dict()
        return {
            "captions": self.captions,
            "lexicon": {"name": self.lexicon.name, "source": self.lexicon.source, "sha256": self.lexicon.fingerprint},
            "match": self.match,
            "concepts": self.table()[columns].to_dict("records"),
            "groups": self.group_table().to_dict("records"),
            "skipped": problems["counts"],
            "skipped_examples": problems["examples"],
            "fields": problems["fields"],
            "passed_over": problems["passed_over"],
            "length": self.length_quantiles(),
            "duplicate_share": self.duplicate_share(),
            "co_mentions": self.co_mentions().head(100).to_dict("records"),
            "examples": dict(zip(self._keys(), self.examples(), strict=True)),
            **vocabulary(self.sample, self._matcher, self.lexicon),
        }

    def to_bytes(self) -> bytes:
        """All counts; nothing in it is executed on reading."""
        meta = {
            **self.settings(),
            "captions": self.captions,
            "total_length": self.total_length,
            "longest": self.longest,
            "problems": self.problems.to_dict(),
            "texts": {str(concept): texts for concept, texts in enumerate(self.examples()) if texts},
        }
        return pack(
            {
                "meta": np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8),
                **{name: getattr(self, name) for name in _ARRAYS},
                "distinct": self.distinct.smallest,
                **self._examples.arrays(),
                **self.sample.arrays(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, lexicon: Lexicon) -> "Coverage":
        """The inverse of `to_bytes`.

        Raises:
            CorpusError: If the bytes are damaged, or come from another lexicon.
        """
        arrays = unpack(data)
        try:
            meta = json.loads(arrays["meta"].tobytes())
            coverage = cls(lexicon, meta["match"], meta["n_examples"])
            if meta["lexicon"] != lexicon.fingerprint:
                raise CorpusError(f"these counts come from another lexicon than {lexicon.name!r}")
            for name in _ARRAYS:
                getattr(coverage, name)[...] = arrays[name]
            coverage.distinct = DistinctSketch(arrays["distinct"])
            coverage.sample = CaptionSample.from_arrays(arrays)
            coverage._examples.restore(arrays["present"], arrays["priorities"], meta["texts"])
            for name in ("captions", "total_length", "longest"):
                setattr(coverage, name, int(meta[name]))
            coverage.problems = Problems.from_dict(meta["problems"])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise CorpusError(f"damaged counts: {error}") from error
        return coverage

    def _shares(self, names: pd.DataFrame, counts: np.ndarray, level: float) -> pd.DataFrame:
        low, high = wilson(counts, self.captions, level=level)
        return names.assign(captions=counts, share=counts / max(self.captions, 1), low=low, high=high)

    def _keys(self) -> list[str]:
        return [f"{group.name}/{concept.name}" for group in self.lexicon.groups for concept in group.concepts]
