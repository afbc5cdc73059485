"""Captions beside references: every score with its interval, and what they say rightly of labelled factors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vergence.corpus import ConceptScores, Lexicon, concept_scores, estimate_misalignment
from vergence.errors import ConfigError, CorpusError
from vergence.files import whole
from vergence.folders import JobFolder, WhenPresent
from vergence.metrics import caption_scores
from vergence.metrics.files import Embeddings
from vergence.probes.labels import read_labels
from vergence.reports.awareness import records
from vergence.training.run import versions_of

_FEWEST = 2


@dataclass(frozen=True)
class Scored:
    """What came out.

    Args:
        scores: Of the corpus: score, value, low, high.
        concepts: What captions say rightly; `None` without a lexicon.
        items: How many were scored.
        left_out: By reason, how many were not.
    """

    scores: pd.DataFrame
    concepts: ConceptScores | None
    items: int
    left_out: dict[str, int]


def score_captions(
    candidates: Mapping[str, Sequence[str]],
    references: Mapping[str, Sequence[str]],
    *,
    out: Path,
    lexicon: Lexicon | None = None,
    labels: Path | None = None,
    cluster: str | None = None,
    seed: int = 0,
    command: str = "",
    present: WhenPresent = "refuse",
) -> Scored:
    """Score captions.

    The folder gets `scores.json` and `items.parquet`, every score of every item.

    Args:
        candidates: By key, one caption.
        references: By key, one or more; the keys that both have are scored.
        out: The folder to write to.
        lexicon: Whose groups are factors, for what captions say rightly; with `labels`.
        labels: A table with a key and a column for each factor: what images show.
        cluster: Column of the labels, equal for items that belong together.
        seed: Of the intervals.
        command: What to say about how it was made.
        present: What to do if the folder is not empty.

    Raises:
        ConfigError: If only one of lexicon and labels is given.
        CorpusError: If a key has several candidates, fewer than two items have both, or labels cannot be read.
    """
    if (lexicon is None) != (labels is None):
        raise ConfigError(
            "what captions say rightly needs a lexicon and labels; pass --lexicon and --labels, or neither"
        )
    if several := [key for key, texts in candidates.items() if len(texts) > 1]:
        raise CorpusError(f"{len(several)} keys have several candidates, the first {several[0]!r}; give one for each")
    referred = {key for key, texts in references.items() if any(map(str.strip, texts))}
    keys = [key for key in candidates if key in referred]
    if len(keys) < _FEWEST:
        some = ", ".join(repr(key) for key in list(candidates)[:3])
        other = ", ".join(repr(key) for key in list(references)[:3])
        raise CorpusError(
            f"{len(keys)} candidates have a reference, two are needed; keys of candidates: {some}; of references: "
            f"{other}"
        )
    left_out = {
        "candidates without a reference": len(candidates) - len(keys),
        "references without a candidate": len(references.keys() - candidates.keys()),
    }
    said = [candidates[key][0] for key in keys]
    truth, clusters = _labels(labels, keys, cluster) if labels is not None else (None, np.arange(len(keys)))
    folder = JobFolder.claim(out, {"job": "score", "command": command}, present=present)
    scores, items = caption_scores(
        said, [references[key] for key in keys], clusters=clusters.tolist(), generator=np.random.default_rng(seed)
    )
    content: dict[str, Any] = {"items": len(keys), "clusters": len(set(clusters.tolist())), "scores": records(scores)}
    concepts = None
    if lexicon is not None and truth is not None:
        concepts = concept_scores(said, truth, lexicon, clusters=clusters)
        estimate = estimate_misalignment(said, truth, lexicon, clusters=clusters)
        content["concepts"] = records(concepts.factors)
        content["values"] = records(concepts.values)
        content["channel"] = {"factors": records(estimate.factors), "said_by_shown": records(estimate.tables)}
    content |= {"left_out": {why: count for why, count in left_out.items() if count}, "command": command, "seed": seed}
    content["versions"] = versions_of(())
    folder.write_json("scores.json", content)
    with whole(folder.path / "items.parquet", of_job=True) as unfinished:
        items.assign(key=keys, caption=said)[["key", "caption", *items]].to_parquet(unfinished)
    return Scored(scores, concepts, len(keys), content["left_out"])


def _labels(path: Path, keys: Sequence[str], cluster: str | None) -> tuple[pd.DataFrame, np.ndarray]:
    """Labels in the order of the keys, and which of these belong together."""
    asked = Embeddings(path=path, values=np.zeros((len(keys), 1)), identifiers=tuple(keys))
    read = read_labels(path, asked, cluster=cluster)
    return read.values, np.arange(len(keys)) if read.clusters is None else read.clusters
