"""What images show, looked up by key: digests of keys, sorted, so that millions take little memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int16, Int64, UInt64

from vergence.arrow import FILE_ERRORS, is_text, open_parquet, read_schema
from vergence.corpus.lexicon import Lexicon
from vergence.corpus.matching import text_buffers
from vergence.curation.splices import draws
from vergence.errors import CorpusError, FactorError, unknown

_NONE = np.int16(-1)


@dataclass(frozen=True, eq=False)
class KeyedLabels:
    """Places of values by key.

    Args:
        digests: Of keys, ascending.
        codes: Keys × factors of the lexicon, -1 where nothing is stated.
        factors: Those that have labels.
        contradictory: By factor, keys for which different values are stated; they count as not stated.
    """

    digests: UInt64[np.ndarray, " keys"]
    codes: Int16[np.ndarray, "keys factors"]
    factors: tuple[str, ...]
    contradictory: dict[str, int]

    def of(self, keys: pa.Array) -> Int16[np.ndarray, "rows factors"]:
        """The labels of some keys, as text."""
        wanted = key_digests(keys)
        places = np.searchsorted(self.digests, wanted).clip(max=max(0, len(self.digests) - 1))
        found = np.full((len(keys), self.codes.shape[1]), _NONE)
        if len(self.digests):
            hit = self.digests[places] == wanted
            if keys.null_count:
                hit &= keys.is_valid().to_numpy(zero_copy_only=False)
            found[hit] = self.codes[places[hit]]
        return found

    def named(self, keys: pa.Array, lexicon: Lexicon) -> pd.DataFrame:
        """The labels of some keys by name, `None` where nothing is stated: a column for each factor that has labels."""
        codes, columns = self.of(keys), {}
        for place, group in enumerate(lexicon.groups):
            if group.name in self.factors:
                names = np.array([*(concept.name for concept in group.concepts), None], dtype=object)
                columns[group.name] = names[codes[:, place]]
        return pd.DataFrame(columns)


def key_digests(keys: pa.Array) -> UInt64[np.ndarray, " rows"]:
    """Of keys as text."""
    offsets, data = text_buffers(pc.fill_null(keys, "") if keys.null_count else keys)
    found: np.ndarray = draws(np.zeros(len(keys) + 1, np.int64), data, offsets, data, 0)
    return found


def keys_as_text(keys: pa.Array | pa.ChunkedArray, *, where: str) -> pa.Array:
    """Keys as text: whole numbers in digits.

    Raises:
        CorpusError: If they are of another kind.
    """
    array = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], keys.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not (is_text(array.type) or pa.types.is_integer(array.type)):
        raise CorpusError(f"{where}: keys must be text or whole numbers; got {array.type}")
    return array.cast(pa.large_string())


def read_labels(path: str | Path, lexicon: Lexicon, *, key_column: str) -> KeyedLabels:
    """Read labels: a column of keys, and a column named as a group of the lexicon for each factor that is labelled.

    Raises:
        CorpusError: If the file cannot be read, or has no such column.
        FactorError: If a label is no value of its factor.
    """
    names = read_schema(path).names
    if key_column not in names:
        raise CorpusError(f"{path}: {unknown('column', key_column, names)}; name the column of keys with --key-column")
    factors = [group.name for group in lexicon.groups if group.name in names and group.name != key_column]
    if not factors:
        groups = ", ".join(group.name for group in lexicon.groups)
        raise CorpusError(f"{path} labels no factor: columns: {', '.join(names)}; groups of the lexicon: {groups}")
    digests, codes = [], []
    try:
        with open_parquet(path) as file:
            for group in range(len(file.rows)):
                for batch in file.batches(group, [key_column, *factors]):
                    keys = keys_as_text(batch.column(0), where=str(path))
                    digests.append(key_digests(keys))
                    codes.append(_codes(batch, lexicon, factors, path))
    except FILE_ERRORS as error:
        raise CorpusError(f"{path}: cannot be read as Parquet: {' '.join(str(error).split())[:200]}") from error
    none = np.empty((0, len(lexicon.groups)), np.int16)
    return _unique(np.concatenate([np.empty(0, np.uint64), *digests]), np.concatenate([none, *codes]), lexicon, factors)


def _codes(batch: pa.RecordBatch, lexicon: Lexicon, factors: Sequence[str], path: str | Path) -> np.ndarray:
    found = np.full((len(batch), len(lexicon.groups)), _NONE)
    for place, group in enumerate(lexicon.groups):
        if group.name not in factors:
            continue
        column = batch.column(1 + factors.index(group.name))
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if not (is_text(column.type) or pa.types.is_null(column.type)):
            raise FactorError(f"{path}: labels of factor {group.name!r} must be names of values; got {column.type}")
        values = [concept.name for concept in group.concepts]
        column = column.cast(pa.large_string())
        codes = pc.index_in(column, value_set=pa.array(values, pa.large_string()))
        strange = pc.and_(codes.is_null(), column.is_valid())
        if pc.any(strange).as_py():
            raise FactorError(
                f"{path}: {unknown(f'value of factor {group.name!r}', column.filter(strange)[0].as_py(), values)}"
            )
        found[:, place] = codes.fill_null(-1).to_numpy(zero_copy_only=False)
    return found


def _unique(digests: np.ndarray, codes: np.ndarray, lexicon: Lexicon, factors: Sequence[str]) -> KeyedLabels:
    """One row for each key: what all of its rows state, nothing where they differ."""
    order = np.argsort(digests, kind="stable")
    digests, codes = digests[order], codes[order]
    starts = np.flatnonzero(np.append(True, digests[1:] != digests[:-1])[: len(digests)])
    contradictory: dict[str, int] = {}
    if len(starts) < len(digests):
        high = np.maximum.reduceat(codes, starts)
        low: Int64[np.ndarray, "keys factors"] = np.minimum.reduceat(
            np.where(codes < 0, np.int16(32767), codes), starts
        )
        differ = (high >= 0) & (low != high)
        for place, group in enumerate(lexicon.groups):
            if differ[:, place].any():
                contradictory[group.name] = int(differ[:, place].sum())
        codes = np.where(differ, _NONE, high).astype(np.int16)
        digests = digests[starts]
    return KeyedLabels(digests, codes, tuple(factors), contradictory)
