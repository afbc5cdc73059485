"""What captions omit and get wrong, with labels that lie in a table of their own and are found by key."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from vergence.corpus import BiasEstimate, DetectorError, estimate_misalignment
from vergence.corpus.lexicon import Lexicon
from vergence.curation.files import Columns, watch_file
from vergence.curation.job import files_of
from vergence.curation.labels import key_digests, read_labels
from vergence.curation.textual import Batch
from vergence.errors import CorpusError


def estimate_by_key(
    paths: Sequence[str],
    labels: str,
    lexicon: Lexicon,
    *,
    columns: Columns,
    match: str = "word",
    detectors: Mapping[str, DetectorError] | None = None,
) -> BiasEstimate:
    """Estimate selection and perturbation of captions from labels of what their images show, joined by key.

    Captions are read as curation reads them; those of one key belong together.

    Args:
        paths: Files, folders and globs.
        labels: A Parquet file with a column of keys, called as that of the captions, and one for each factor.
        lexicon: Groups are factors, concepts their values.
        columns: Where captions and keys are.
        match: "word" or "substring".
        detectors: By factor, how often what labelled the images errs.

    Returns:
        The estimate. `lost` counts captions whose key has no labels, and keys whose labels contradict each other.

    Raises:
        CorpusError: If a file cannot be read, lacks a column, or no key has labels.
        FactorError: If a label is no concept of its group.
    """
    known = read_labels(labels, lexicon, key_column=columns.key)
    texts, keys, strangers, every = [], [], 0, 0

    def see(batch: Batch) -> None:
        nonlocal strangers, every
        found = np.flatnonzero((known.of(batch.keys) >= 0).any(axis=1))
        every += len(batch.captions)
        strangers += len(batch.captions) - len(found)
        texts.append(batch.captions.take(pa.array(found)))
        keys.append(batch.keys.take(pa.array(found)))

    for part in files_of(paths):
        watch_file(part, columns, see)
    if strangers == every:
        raise CorpusError(
            f"{labels}: none of the {every:,} captions has a key with labels; name the column of keys, in both, with "
            "--key-column"
        )
    named = pa.concat_arrays(keys)
    clusters = np.unique(key_digests(named), return_inverse=True)[1]
    estimate = estimate_misalignment(
        pa.concat_arrays(texts),
        known.named(named, lexicon),
        lexicon,
        clusters=clusters.tolist(),
        detectors=detectors,
        match=match,
    )
    lost = {"without labels": strangers, **{f"keys with two labels of {f}": n for f, n in known.contradictory.items()}}
    return replace(estimate, rows=len(known.digests), lost={kind: count for kind, count in lost.items() if count})


__all__ = ["estimate_by_key"]
