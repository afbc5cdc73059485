"""What a corpus mentions and how often: counts that merge, so that shards, resumption and clusters are one code."""

import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Int64, UInt64
from scipy.stats import norm

from vergence.checks import at_least
from vergence.corpus.lexicon import Lexicon
from vergence.corpus.matching import Captions, Matcher, compiled, text_buffers, text_chunks
from vergence.corpus.measures import add_hits, digest_and_measure, keep_smallest
from vergence.corpus.sketch import DistinctSketch
from vergence.errors import CorpusError
from vergence.sources.problems import Problems

_LENGTHS = 1025  # lengths of up to 1,023 code points are counted apart
_MOST_PAIRED = 2048  # concepts; 32 MB of counts
_SHOWN = 300  # code points of an example
_NONE = np.uint64(2**64 - 1)


def wilson(successes: np.ndarray, trials: np.ndarray | int, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    r"""Wilson's score interval for a share.

    $\big(\hat p + z^2/2n \pm z\sqrt{\hat p(1-\hat p)/n + z^2/4n^2}\big) / (1 + z^2/n)$, [wilson1927].

    Args:
        successes: Counts.
        trials: Out of how many; where 0, the interval is [0, 1].
        level: Nominal coverage, in (0, 1).

    Returns:
        Lower and upper limits in [0, 1].

    Example:
        >>> low, high = wilson(np.array([5]), 10)
        >>> round(float(low[0]), 4), round(float(high[0]), 4)
        (0.2366, 0.7634)
    """
    n = np.maximum(np.asarray(trials, dtype=np.float64), 0)
    z = float(norm.ppf(0.5 + level / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.asarray(successes, dtype=np.float64) / n
        middle = p + z * z / (2 * n)
        half = z * np.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
        low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    low, high = np.where(p == 0, 0.0, low), np.where(p == 1, 1.0, high)
    return np.where(n > 0, low, 0.0).clip(0, 1), np.where(n > 0, high, 1.0).clip(0, 1)


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
        self._priorities: UInt64[np.ndarray, "concepts kept"] = np.full((n, self.n_examples), _NONE, dtype=np.uint64)
        self._texts: list[list[str]] = [[] for _ in range(n)]
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
            self._add_examples(chunk, mentions.hits, digest)

    def merge(self, other: "Coverage") -> None:
        """Add what another part of the corpus holds; the order of merging changes nothing.

        Raises:
            CorpusError: If the other one counts other things.
        """
        if self.settings() != other.settings():
            raise CorpusError(f"cannot merge coverage by {other.settings()} into coverage by {self.settings()}")
        for name in ("captions", "total_length", "concepts", "negated", "groups", "pairs", "lengths"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest = max(self.longest, other.longest)
        self.problems.merge(other.problems)
        self.distinct.merge(other.distinct)
        self._merge_examples(other)

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
        return [list(texts) for texts in self._texts]

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
        }

    def to_bytes(self) -> bytes:
        """All counts in NumPy's zip format; nothing in it is executed on reading."""
        buffer = BytesIO()
        meta = {
            **self.settings(),
            "captions": self.captions,
            "total_length": self.total_length,
            "longest": self.longest,
            "problems": self.problems.to_dict(),
            "texts": {str(concept): texts for concept, texts in enumerate(self._texts) if texts},
        }
        present = np.flatnonzero(self._priorities[:, 0] != _NONE)
        np.savez_compressed(
            buffer,
            meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8),
            concepts=self.concepts,
            negated=self.negated,
            groups=self.groups,
            pairs=self.pairs,
            lengths=self.lengths,
            distinct=self.distinct.smallest,
            present=present,
            priorities=self._priorities[present],
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, lexicon: Lexicon) -> "Coverage":
        """The inverse of `to_bytes`.

        Raises:
            CorpusError: If the bytes are damaged, or come from another lexicon.
        """
        try:
            with np.load(BytesIO(data), allow_pickle=False) as arrays:
                meta = json.loads(arrays["meta"].tobytes())
                coverage = cls(lexicon, meta["match"], meta["n_examples"])
                if meta["lexicon"] != lexicon.fingerprint:
                    raise CorpusError(f"these counts come from another lexicon than {lexicon.name!r}")
                for name in ("concepts", "negated", "groups", "pairs", "lengths"):
                    getattr(coverage, name)[...] = arrays[name]
                coverage.distinct = DistinctSketch(arrays["distinct"])
                coverage._priorities[arrays["present"]] = arrays["priorities"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise CorpusError(f"damaged counts: {error}") from error
        coverage.captions, coverage.total_length, coverage.longest = (
            int(meta[name]) for name in ("captions", "total_length", "longest")
        )
        coverage.problems = Problems.from_dict(meta["problems"])
        for concept, texts in meta["texts"].items():
            coverage._texts[int(concept)] = texts
        return coverage

    def _shares(self, names: pd.DataFrame, counts: np.ndarray, level: float) -> pd.DataFrame:
        low, high = wilson(counts, self.captions, level=level)
        return names.assign(captions=counts, share=counts / max(self.captions, 1), low=low, high=high)

    def _keys(self) -> list[str]:
        return [f"{group.name}/{concept.name}" for group in self.lexicon.groups for concept in group.concepts]

    def _add_examples(self, chunk: pa.Array, hits: np.ndarray, digest: np.ndarray) -> None:
        owners = np.tile(-1 - np.arange(self.n_examples), (len(self._texts), 1))  # -1 - place: held already
        keep_smallest(hits, digest, _salts(len(self._texts)), self._priorities, owners)
        new = np.unique(owners[owners >= 0])
        texts = dict(
            zip(new.tolist(), map(_shown, chunk.take(pa.array(new)).cast(pa.large_binary()).to_pylist()), strict=True)
        )
        kept = np.count_nonzero(self._priorities != _NONE, axis=1).tolist()
        for concept, places in enumerate(owners.tolist()):
            if max(places) >= 0:
                held = self._texts[concept]
                self._texts[concept] = [texts[p] if p >= 0 else held[-1 - p] for p in places[: kept[concept]]]

    def _merge_examples(self, other: "Coverage") -> None:
        ours, theirs = self._priorities.tolist(), other._priorities.tolist()
        for concept in np.flatnonzero(other._priorities[:, 0] < self._priorities[:, -1]).tolist():
            known = dict(zip(ours[concept], self._texts[concept], strict=False))
            known |= dict(zip(theirs[concept], other._texts[concept], strict=False))
            kept = sorted(known)[: self.n_examples]
            self._texts[concept] = [known[priority] for priority in kept]
            ours[concept][: len(kept)] = kept
        self._priorities = np.array(ours, dtype=np.uint64)


def _salts(n: int) -> UInt64[np.ndarray, " concepts"]:
    """A different number for each concept, so that examples of different concepts are chosen independently."""
    return np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)


def _shown(caption: bytes) -> str:
    text = caption.decode(errors="replace")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
