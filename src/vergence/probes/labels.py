"""Labels of embedded items: a table with a column for each factor, its rows found by identifier."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from jaxtyping import Int

from vergence.arrow import read_table
from vergence.data.clusters import cluster_values, link
from vergence.errors import ConfigError, CorpusError, unknown
from vergence.factors import FactorSpace
from vergence.files import read_text
from vergence.metrics.files import Embeddings
from vergence.metrics.identifiers import IDENTIFIERS, how_to_pair, identifier_column, kind_of, match_rows, row_of_each
from vergence.probes.columns import doubts, make_factor, never_fitted, read_column, why_no_factor, why_no_score
from vergence.splits import read_split

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_MOST_CSV = 1 << 30  # bytes
_NULLS = ("", *("NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "Null", "null", "None", "<NA>"))  # beside numbers
_UNNAMED_INDEX = "__index_level_0__"  # as pandas writes it


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels in the order of the embeddings.

    Args:
        values: One column for each factor, missing where nothing is stated.
        space: The factors.
        clusters: The number of each item's cluster; `None` if no column says.
        paired_by: How rows were found: "identifier" or "position".
        left_out: Columns that are no factors, and why.
        notes: What else a reader of the scores should know, a line each.
    """

    values: pd.DataFrame
    space: FactorSpace
    clusters: Int[np.ndarray, " n"] | None
    paired_by: str
    left_out: dict[str, str]
    notes: tuple[str, ...]


def read_labels(
    path: Path,
    embeddings: Embeddings,
    *,
    factors: Sequence[str] | None = None,
    cluster: str | None = None,
    pair_by: str | None = None,
) -> Labels:
    """Read the labels of embedded items, in the order of the embeddings.

    A column of floating-point numbers is a continuous factor; one of integers, texts, truth values or a dictionary of
    these is discrete. Nulls, and NaN among floating-point numbers, are items whose label is not known.

    Args:
        path: A CSV file with a header (`.csv`, or `.tsv` with tabs), or else a Parquet file. In a CSV an empty field is
            null, and so are "NA", "nan", "null" and "None" in a column whose other fields are numbers.
        embeddings: What the labels are of.
        factors: Columns to take. If `None`, all that can be probed but identifiers, the cluster, and what describes
            items: captions, paths and the like by their names, and columns most of whose values come once.
        cluster: The column that is equal for items that belong together.
        pair_by: "identifier" or "position"; if `None`, identifiers where both files have them, and position only where
            neither has.

    Raises:
        ConfigError: If a factor is named twice, or is the cluster.
        CorpusError: If the file is missing or damaged, lacks a column or an item, only one side has identifiers, a
            named column cannot be probed, or no column can.
    """
    table = _read(path)
    if not len(table):
        raise CorpusError(f"{path} holds no rows; it must have one for each embedded item")
    identifiers = identifier_column(table.column_names) or _holding_all(table, embeddings)
    named = None if factors is None else _checked(factors, cluster)
    for name in [*(named or ()), *([cluster] if cluster is not None else [])]:
        if name not in table.column_names:
            known = [name for name in table.column_names if name != _UNNAMED_INDEX]
            raise CorpusError(f"{path}: {unknown('column', name, known)}")
    rows, paired_by, notes = _pair(path, table, identifiers, embeddings, pair_by)
    table = table.take(rows)
    own = {*IDENTIFIERS, _UNNAMED_INDEX, cluster, identifiers}
    left_out = {}
    wanted = []
    for name in named or [name for name in table.column_names if name not in own]:
        if reason := why_no_factor(name, table[name], named=named is not None):
            left_out[name] = reason
        else:
            wanted.append(name)
    if left_out and (named is not None or not wanted):
        reasons = "; ".join(f"column {name!r} {reason}" for name, reason in left_out.items())
        raise CorpusError(f"{path}: {reasons}" + ("" if named else ". No column is left; name some with --factors"))
    if not wanted:
        raise CorpusError(f"{path} holds no column of a factor; it has: {', '.join(table.column_names)}")
    clusters = None
    if cluster is not None:
        clusters = link(cluster_values(table[cluster], where=f"{path}: column {cluster!r}"))
    return Labels(
        values=pd.DataFrame({name: read_column(table[name]) for name in wanted}),
        space=FactorSpace(tuple(make_factor(name, table[name]) for name in wanted)),
        clusters=clusters,
        paired_by=paired_by,
        left_out=left_out,
        notes=(*notes, *(line for name in wanted for line in doubts(name, table[name]))),
    )


def keep_scored(
    labels: Labels, fit: Int[np.ndarray, " n_fit"], test: Int[np.ndarray, " n_test"], *, named: bool
) -> Labels:
    """Leave out the factors to which a split gives no score, since one half knows fewer than two of their values.

    Args:
        labels: Of all items.
        fit: Rows that probes are fitted on.
        test: Rows that they are scored on.
        named: Whether the user asked for these factors: then none is left out.

    Raises:
        ConfigError: If a factor has no score that was asked for, or none has one.
    """
    halves = [labels.values.iloc[rows] for rows in (fit, test)]
    reasons = {name: why_no_score(*(half[name] for half in halves)) for name in labels.space}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    kept = [name for name in labels.space if name not in left_out]
    if left_out and (named or not kept):
        said = "; ".join(f"column {name!r} {reason}" for name, reason in left_out.items())
        raise ConfigError(f"{said}; choose other --factors, another --test-fraction or more items")
    unseen = (never_fitted(name, *(half[name] for half in halves)) for name in kept if labels.space[name].values)
    return replace(
        labels,
        values=labels.values[kept],
        space=labels.space.subset(kept),
        left_out=labels.left_out | left_out,
        notes=(*labels.notes, *filter(None, unseen)),
    )


def take_held_out(embeddings: Embeddings, split: Path) -> tuple[Embeddings, Int[np.ndarray, " n"], str]:
    """Take the embedded items that a training run held out, by their identifiers.

    Args:
        embeddings: With identifiers.
        split: The folder of the run or of its encoder, or the `split.parquet` in it.

    Returns:
        The embeddings of the items that were held out, the number of each one's cluster in the run, and what became of
        the others, in one line.

    Raises:
        CorpusError: If one of the two does not say which item a row is of, or no item was held out.
    """
    rows = read_split(split).to_pandas().sort_values("side", kind="stable")  # "fit" first: one such row is enough
    keyed = rows[rows["key"].notna() & (rows["side"] != "skipped")].drop_duplicates("key").set_index("key")
    for where, has in ((split, len(keyed) > 0), (embeddings.path, embeddings.identifiers is not None)):
        if not has:
            raise CorpusError(
                f"{where} does not say which item a row is of, so what was held out cannot be found; train and embed "
                f"with a column called {IDENTIFIERS[0]!r}"
            )
    identifiers = embeddings.identifiers or ()
    named = identifiers if embeddings.images is None else embeddings.images
    row_of_each(identifiers, where=embeddings.path)
    sides = keyed["side"].reindex([name for image in named for name in row_of_each([image], where=embeddings.path)])
    held_out = np.flatnonzero(sides == "held_out")
    n, n_fit, n_unknown = len(sides), int((sides == "fit").sum()), int(sides.isna().sum())
    note = f"{len(held_out)} of {n} items were held out; left out: {n_fit} trained on, {n_unknown} that {split} lacks"
    if not len(held_out):
        raise CorpusError(f"{embeddings.path}: {note}")
    taken = replace(
        embeddings,
        values=embeddings.values[held_out],
        identifiers=tuple(identifiers[row] for row in held_out),
        images=None if embeddings.images is None else tuple(embeddings.images[row] for row in held_out),
    )
    return taken, link(keyed["cluster"].loc[sides.index[held_out]].tolist()), note


def _read(path: Path) -> pa.Table:
    delimiter = _DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        return read_table(path)
    data = read_text(path, limit=_MOST_CSV).encode()
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(data),
            read_options=pyarrow.csv.ReadOptions(block_size=len(data) + 1, use_threads=False),  # types by all rows
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                null_values=_NULLS, column_types=dict.fromkeys(IDENTIFIERS, pa.string())
            ),
        )
    except pa.ArrowException as error:
        raise CorpusError(f"{path}: cannot be read as CSV: {' '.join(str(error).split())[:200]}") from error
    texts = [
        pc.if_else(pc.equal(column, ""), None, column) if column.type == pa.string() else column for column in table
    ]
    table = pa.table(texts, names=table.column_names)
    if repeated := [name for name, count in Counter(table.column_names).items() if count > 1]:
        raise CorpusError(f"{path}: two columns are called {repeated[0]!r}; rename one")
    return table


def _holding_all(table: pa.Table, embeddings: Embeddings) -> str | None:
    """A column of text that holds every identifier of the embeddings, whatever it is called: paths of images, say."""
    wanted = {one for one in embeddings.images or embeddings.identifiers or () if isinstance(one, str)}
    texts = [name for name in table.column_names if table[name].type in (pa.string(), pa.large_string())]
    holding = [name for name in texts if wanted and wanted <= set(table[name].to_pylist())]
    return holding[0] if len(holding) == 1 else None


def _checked(factors: Sequence[str], cluster: str | None) -> list[str]:
    if not factors:
        raise ConfigError(
            "no factor is named; name at least one column, or none at all for every one that can be probed"
        )
    for name, count in Counter(factors).items():
        if count > 1:
            raise ConfigError(f"factor {name!r} is named {count} times; name each once")
        if name == cluster:
            raise ConfigError(f"column {name!r} cannot be both a factor and the cluster: no tested item has its value")
    return list(factors)


def _pair(
    path: Path,
    table: pa.Table,
    column: str | None,
    embeddings: Embeddings,
    pair_by: str | None,
) -> tuple[np.ndarray, str, list[str]]:
    """The row of each embedded item, how it was found, and what to say about that."""
    identifiers = None if column is None else table[column].to_pylist()
    how = how_to_pair(embeddings.identifiers, identifiers, by=pair_by, x_in=embeddings.path, y_in=path)
    if how == "position":
        if len(table) != len(embeddings.values):
            raise CorpusError(
                f"{path} has {len(table)} rows and {embeddings.path} {len(embeddings.values)}, which do not pair by "
                f"position; give both a column called {IDENTIFIERS[0]!r} that says which item a row is of"
            )
        warning = (
            f"WARNING: rows are paired by position, since neither {embeddings.path} nor {path} says which item a row "
            f"is of; if the two are not in one order, every score is wrong"
        )
        return np.arange(len(table)), how, [] if pair_by else [warning]
    assert embeddings.identifiers is not None
    assert identifiers is not None
    wanted, notes = embeddings.identifiers, list[str]()
    if embeddings.images is not None and set(row_of_each(wanted, where=embeddings.path)) - set(
        row_of_each(identifiers, where=path)
    ):
        wanted = tuple(dict.fromkeys(embeddings.images))
        of_each = match_rows(wanted, identifiers, wanted_in=embeddings.path, offered_in=path)
        row_of = dict(zip(wanted, of_each.tolist(), strict=True))
        rows = np.array([row_of[image] for image in embeddings.images])
        notes.append(f"labels are those of the image that each text is of: {len(rows)} texts of {len(wanted)} images")
        return rows, how, notes
    rows = match_rows(wanted, identifiers, wanted_in=embeddings.path, offered_in=path)
    kinds = kind_of(embeddings.identifiers), kind_of(identifiers)
    if kinds[0] != kinds[1]:
        notes.append(f"identifiers are {kinds[0]} in {embeddings.path} and {kinds[1]} in {path}; compared by value")
    if len(table) > len(rows):
        notes.append(f"{len(table) - len(rows)} of {len(table)} items of {path} have no embedding and are not used")
    return rows, how, notes
