"""Image-side labels from a Parquet file, one row per image or caption and one column per factor."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from vergence.arrow import flattened, read_schema, read_table, written_out
from vergence.corpus.cleaning import usable
from vergence.corpus.columnar import inside, present
from vergence.corpus.errata import DetectorError
from vergence.corpus.estimate import BiasEstimate, estimate_misalignment
from vergence.corpus.lexicon import Lexicon
from vergence.corpus.readers import ReadOptions
from vergence.corpus.rows import cluster_codes, label_codes
from vergence.errors import CorpusError, unknown
from vergence.sources.discovery import Part
from vergence.sources.problems import Problems


def estimate_from_file(
    path: str | Path,
    lexicon: Lexicon,
    *,
    options: ReadOptions | None = None,
    match: str = "word",
    cluster_column: str | None = None,
    detectors: Mapping[str, DetectorError] | None = None,
) -> BiasEstimate:
    """Estimate selection and perturbation from a file of captions with labels of what their images show.

    Captions are read as an audit reads them: the same columns, lists flattened, the same limit, and what cannot be used
    left out and counted. All captions of a row belong together.

    Args:
        path: A Parquet file with the captions, a column for each factor that is labelled, named as the lexicon's group,
            and, where captions of several rows belong together, a column that says which.
        lexicon: Groups are factors, concepts their values.
        options: How the audit reads captions.
        match: How the audit matches forms: "word" or "substring".
        cluster_column: The column that is equal for captions that belong together.
        detectors: By factor, how often what labelled its images errs; see `read_detectors`.

    Returns:
        The estimate. `lost` counts the captions that could not be used, by kind.

    Raises:
        CorpusError: If the file cannot be read, lacks a column, holds no caption that can be used or no labels, or a
            row names no cluster; or, if strict, at the first caption that cannot be used.
        FactorError: If a label is no concept of its group.
    """
    options = options or ReadOptions()
    schema = read_schema(path)
    problems = Problems(strict=True)
    paths = present(Part(str(path), "parquet", 0, 0), options.table_columns, schema, problems)
    factors = _factors(path, lexicon, schema.names, {tops[0] for tops in paths}, cluster_column)
    wanted = [*dict.fromkeys([tops[0] for tops in paths] + ([cluster_column] if cluster_column else []) + factors)]
    table = read_table(path, wanted)
    if not len(table):
        raise CorpusError(f"{path} holds no rows; name a file with a caption and labels in each row")
    labels = pd.DataFrame({name: pd.Series(table[name].to_pylist(), dtype=object) for name in factors})
    for group in lexicon.groups:  # so that what is refused is named by its row of the file
        if group.name in factors:
            label_codes(group.name, labels, tuple(concept.name for concept in group.concepts))
    where = f"{path}: column {cluster_column!r}"
    clusters = cluster_codes(table[cluster_column], where=where) if cluster_column else np.arange(len(table))
    problems = Problems(strict=options.strict)
    captions, rows = _captions(path, table, paths, options.max_caption_bytes, problems)
    if not len(rows):
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(problems.counts.items()))
        raise CorpusError(
            f"{path}: no caption can be used ({counts or 'only empty lists'}); name the column of captions"
        )
    estimate = estimate_misalignment(
        captions,
        labels.iloc[rows].reset_index(drop=True),
        lexicon,
        clusters=clusters[rows],
        detectors=detectors,
        match=match,
    )
    return replace(estimate, rows=len(table), lost=dict(sorted(problems.counts.items())))


def _factors(
    path: str | Path, lexicon: Lexicon, names: list[str], captions: set[str], cluster_column: str | None
) -> list[str]:
    """The factors that the file labels."""
    if cluster_column and cluster_column not in names:
        raise CorpusError(f"{path}: {unknown('column', cluster_column, names)}")
    groups = [group.name for group in lexicon.groups]
    for use, taken in (("captions", captions), ("clusters", {cluster_column})):
        for name in groups:
            if name in taken:
                raise CorpusError(
                    f"{path}: column {name!r} would be both the {use} and the labels of the lexicon's group of that "
                    "name; rename one"
                )
    factors = [name for name in groups if name in names]
    if not factors:
        raise CorpusError(
            f"{path} labels no factor: no column is named as a group of the lexicon; columns: {', '.join(names)}; "
            f"groups: {', '.join(groups)}"
        )
    return factors


def _captions(
    path: str | Path, table: pa.Table, paths: Iterable[tuple[str, ...]], most: int, problems: Problems
) -> tuple[pa.ChunkedArray, np.ndarray]:
    """The captions that can be used, and the row of each."""
    texts, places = [], []
    for name, *fields in paths:
        first = 0
        for chunk in table[name].chunks:
            leaves, parents = flattened(inside(chunk, tuple(fields)))
            rows = first + (np.arange(len(leaves)) if parents is None else parents)
            first += len(chunk)
            for start, piece in written_out(leaves):
                own = rows[start : start + len(piece)]
                kept = np.ones(len(piece), dtype=bool)
                add = partial(_leave_out, kept=kept, rows=own, path=str(path), problems=problems)
                texts.append(usable(piece, np.arange(len(piece)), add, most=most).cast(pa.large_binary()))
                places.append(own[kept])
    return pa.chunked_array(texts, type=pa.large_binary()), np.concatenate([np.empty(0, np.int64), *places])


def _leave_out(
    kind: str,
    *,
    numbers: list[int],
    kept: np.ndarray,
    rows: np.ndarray,
    path: str,
    problems: Problems,
    detail: str = "",
) -> None:
    kept[numbers] = False
    problems.add(kind, path, "row", (rows[numbers] + 1).tolist(), detail)
