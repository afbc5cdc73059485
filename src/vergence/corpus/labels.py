"""Image-side labels from a Parquet file, one row per caption and one column per factor, and how often they err."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vergence.corpus.errata import DetectorError
from vergence.corpus.estimate import BiasEstimate, estimate_misalignment
from vergence.corpus.lexicon import Lexicon
from vergence.errors import ConfigError, CorpusError, FactorError, unknown


def estimate_from_file(
    path: str | Path,
    lexicon: Lexicon,
    *,
    caption_column: str = "caption",
    cluster_column: str | None = None,
    detectors: Mapping[str, DetectorError] | None = None,
) -> BiasEstimate:
    """Estimate selection and perturbation from a file of captions with labels of what their images show.

    Args:
        path: A Parquet file with the captions, a column for each factor that is labelled, named as the lexicon's group,
            and, where captions belong together, a column that says which.
        lexicon: Groups are factors, concepts their values.
        caption_column: The column of captions.
        cluster_column: The column that is equal for captions that belong together.
        detectors: By factor, how often what labelled its images errs; see `read_detectors`.

    Returns:
        The estimate.

    Raises:
        CorpusError: If the file cannot be read or lacks a column.
        FactorError: If a label is no concept of its group.
    """
    try:
        names = pq.read_schema(path).names
        wanted = [caption_column, *([cluster_column] if cluster_column else [])]
        for name in wanted:
            if name not in names:
                raise CorpusError(f"{path}: {unknown('column', name, names)}")
        factors = [group.name for group in lexicon.groups if group.name in names and group.name not in wanted]
        table = pq.read_table(path, columns=[*wanted, *factors])
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{path}: cannot be read as Parquet: {error}") from error
    labels = pd.DataFrame({name: table[name].to_pandas() for name in factors}, index=range(len(table)))
    clusters = table[cluster_column].to_pandas().to_numpy() if cluster_column else None
    return estimate_misalignment(table[caption_column], labels, lexicon, clusters=clusters, detectors=detectors)


def read_detectors(path: str | Path, lexicon: Lexicon) -> dict[str, DetectorError]:
    """Read how often detectors confuse the values of their factors.

    In JSON, `{factor: {value: {label: rate}}}`; otherwise CSV with the columns `factor,value,label,rate`. A rate is the
    probability that an image which shows the value gets the label; one that is not given is 0.

    Args:
        path: The file; JSON if its name ends so.
        lexicon: Groups are factors, concepts their values and labels.

    Returns:
        Errors by factor, values in the order of the lexicon.

    Raises:
        CorpusError: If the file cannot be read as such a table.
        FactorError: If a factor, value or label is not in the lexicon.
        ConfigError: If the rates of a factor are no confusion matrix that can be inverted.
    """
    kinds = {group.name: tuple(concept.name for concept in group.concepts) for group in lexicon.groups}
    matrices: dict[str, np.ndarray] = {}
    for factor, value, label, rate in _rates(Path(path)):
        if factor not in kinds:
            raise FactorError(f"{path}: {unknown('factor', factor, kinds)}")
        for name in (value, label):
            if name not in kinds[factor]:
                raise FactorError(f"{path}: {unknown(f'value of factor {factor!r}', name, kinds[factor])}")
        matrix = matrices.setdefault(factor, np.zeros((len(kinds[factor]),) * 2))
        matrix[kinds[factor].index(value), kinds[factor].index(label)] = rate
    try:
        return {factor: DetectorError(kinds[factor], matrix) for factor, matrix in matrices.items()}
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _rates(path: Path) -> list[tuple[str, str, str, float]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            found: dict[str, dict[str, dict[str, Any]]] = json.loads(text)
            return [(f, v, w, float(r)) for f, rows in found.items() for v, row in rows.items() for w, r in row.items()]
        rows = csv.DictReader(text.splitlines(), strict=True)
        return [(row["factor"], row["value"], row["label"], float(row["rate"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise CorpusError(
            f"{path}: cannot be read as confusion rates ({error}); write JSON {{factor: {{value: {{label: rate}}}}}}, "
            "or CSV with the columns factor,value,label,rate"
        ) from error
