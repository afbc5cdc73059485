"""Image-side labels from a Parquet file: one row per caption, one column per factor."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vergence.corpus.estimate import BiasEstimate, estimate_misalignment
from vergence.corpus.lexicon import Lexicon
from vergence.errors import CorpusError, unknown


def estimate_from_file(
    path: str | Path, lexicon: Lexicon, *, caption_column: str = "caption", cluster_column: str | None = None
) -> BiasEstimate:
    """Estimate selection and perturbation from a file of captions with labels of what their images show.

    Args:
        path: A Parquet file with the captions, a column for each factor that is labelled, named as the lexicon's group,
            and, where captions belong together, a column that says which.
        lexicon: Groups are factors, concepts their values.
        caption_column: The column of captions.
        cluster_column: The column that is equal for captions that belong together.

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
    return estimate_misalignment(table[caption_column], labels, lexicon, clusters=clusters)
