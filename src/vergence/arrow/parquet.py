"""Parquet files: tables whole, row groups in batches, in memory that is bounded by what their pages hold."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vergence.arrow.pages import Chunk, chunk_pages, longest_value, row_groups
from vergence.errors import CorpusError, unknown

FILE_ERRORS = (OSError, pa.ArrowException, UnicodeDecodeError)  # what Arrow raises for a file that is damaged
BATCH_ROWS = 1 << 16
BATCH_BYTES = 1 << 24
MOST_GROUP = 1 << 31  # bytes of a row group's lists, of which one row may hold all
_MOST_REPEATED = 1 << 26  # bytes of a batch of values that are stored once and repeated
_LONG = 1 << 16  # repeated values that are longer are not written out
_MOST_STRING = 1 << 24  # longest name or statistic of a footer, in bytes
_MOST_LIST = 1 << 20  # most columns, row groups or notes of a footer


class Parquet:
    """An open Parquet file.

    Args:
        source: The file.

    Raises:
        OSError, ArrowException, UnicodeDecodeError: If it is damaged or encrypted.
    """

    def __init__(self, source: pa.NativeFile) -> None:
        self._source, self._groups = source, row_groups(source)
        self._file = _parquet_file(source)
        self._leaves = [self._file.schema.column(k) for k in range(len(self._file.schema))]
        if self._file.metadata.num_row_groups != len(self._groups):
            raise pa.ArrowInvalid("the footer is damaged")
        self._coded: pq.ParquetFile | None = None
        self.schema: pa.Schema = self._file.schema_arrow
        self.counts = Counter(self.schema.names)
        self.rows = [group.rows for group in self._groups]

    def batches(
        self, group: int, columns: Sequence[str], *, most: int = MOST_GROUP, coded: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a row group, no more at once than take about 16 MiB, or one whose list is longer.

        Args:
            group: Which row group.
            columns: Their names.
            most: Most bytes that the lists of one column may take.
            coded: Whether to give texts that repeat very long values as dictionaries, not written out.

        Raises:
            OSError, ArrowException: If a column is missing or named twice, or the row group is damaged or too large.
        """
        for name in columns:
            if self.counts[name] != 1:
                raise pa.ArrowInvalid(
                    f"two columns are called {name!r}" if self.counts[name] else unknown("column", name, self.counts)
                )
        if len(self._groups[group].columns) != len(self._leaves):
            raise pa.ArrowInvalid("a row group does not have the columns of its file")
        tops = set(columns)
        wanted = [k for k, leaf in enumerate(self._leaves) if tops.intersection(_prefixes(leaf.path))]
        rows, as_dictionary = BATCH_ROWS, False
        for leaf in wanted:
            chunk = chunk_pages(self._source, self._groups[group].columns[leaf])
            lists = self._leaves[leaf].max_repetition_level > 0
            taken = chunk.size + 16 * chunk.leaves + chunk.prefixed * chunk.leaves if lists else 0
            if taken > most:
                raise pa.ArrowInvalid(f"lists that may take {taken:,} bytes; at most {most:,} are read")
            longest = self._longest(group, leaf, chunk)
            repeated = max(longest, chunk.prefixed)
            written = taken + longest * chunk.coded if lists else 0
            if coded and not chunk.others and (longest > _LONG or written > most):
                as_dictionary, repeated, written = True, 0, 0
            if written > most:
                raise pa.ArrowInvalid(f"lists that may take {written:,} bytes; at most {most:,} are read")
            rows = int(min(rows, BATCH_BYTES / max(chunk.density, 1), _MOST_REPEATED / max(repeated, 1)))
        file = self._dictionaries() if as_dictionary else self._file
        for batch in file.iter_batches(
            batch_size=max(rows, 1), row_groups=[group], columns=list(columns), use_threads=False
        ):
            yield batch.select(list(columns))

    def _longest(self, group: int, leaf: int, chunk: Chunk) -> int:
        """Bytes of the longest value that a page of the chunk can repeat."""
        column = self._leaves[leaf]
        if not chunk.coded:
            return 0
        if column.physical_type != "BYTE_ARRAY":
            return max(8, column.length or 0)
        if chunk.dictionary * min(chunk.coded, BATCH_ROWS) <= _MOST_REPEATED:
            return chunk.dictionary
        return longest_value(self._source, chunk, self._groups[group].columns[leaf])

    def _dictionaries(self) -> pq.ParquetFile:
        """The same file, with all texts as dictionaries."""
        if self._coded is None:
            paths = [leaf.path for leaf in self._leaves if leaf.physical_type == "BYTE_ARRAY"]
            self._coded = _parquet_file(self._source, metadata=self._file.metadata, read_dictionary=paths)
        return self._coded


def read_schema(path: str | Path) -> pa.Schema:
    """The columns of a Parquet file, in their order.

    Raises:
        CorpusError: If the file is missing, damaged or encrypted.
    """
    with _opened(path) as file:
        return file.schema


def read_table(path: str | Path, columns: Sequence[str] | None = None, *, most_bytes: int | None = None) -> pa.Table:
    """Read a Parquet file whole.

    Args:
        path: The file.
        columns: The columns wanted, in this order; all of the file if `None`.
        most_bytes: Most memory that the table may take; half of the machine's if `None`.

    Returns:
        The table, validated: every text is UTF-8, every offset lies within its buffer. It can have no rows.

    Raises:
        CorpusError: If the file is missing, damaged or encrypted, lacks a column or has two of one name, or would take
            more memory than allowed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     pq.write_table(pa.table({"id": [1, 2], "shape": ["ring", None]}), f"{folder}/labels.parquet")
        ...     read_table(f"{folder}/labels.parquet", ["shape"]).to_pydict()
        {'shape': ['ring', None]}
    """
    most = _half_of_memory() if most_bytes is None else most_bytes
    with _opened(path) as file:
        names = file.schema.names
        wanted = names if columns is None else list(columns)
        for name in wanted:
            if file.counts[name] > 1:
                raise CorpusError(f"{path}: two columns are called {name!r}; rename one")
            if not file.counts[name]:
                raise CorpusError(f"{path}: {unknown('column', name, names)}")
        batches, size = [], 0
        for group in range(len(file.rows)):
            for batch in file.batches(group, wanted, most=most):
                batch.validate(full=True)
                size += batch.nbytes
                if size > most:
                    raise CorpusError(f"{path}: takes more than {most:,} bytes of memory, the most that is allowed")
                batches.append(batch)
        schema = pa.schema([file.schema.field(name) for name in wanted], metadata=file.schema.metadata)
        return pa.Table.from_batches(batches, schema=schema)


def row_counts(path: str | Path) -> list[int]:
    """How many rows each row group of a Parquet file says that it has.

    Raises:
        CorpusError: If the file is missing, damaged or encrypted.
    """
    with _opened(path) as file:
        return file.rows


@contextmanager
def open_parquet(path: str | Path) -> Iterator[Parquet]:
    """Open a Parquet file.

    Raises:
        OSError, ArrowException, UnicodeDecodeError: If it is missing, damaged or encrypted.
    """
    with pa.OSFile(str(path)) as source:
        yield Parquet(source)


@contextmanager
def _opened(path: str | Path) -> Iterator[Parquet]:
    try:
        if not Path(path).exists():
            raise CorpusError(f"{path} does not exist; name an existing Parquet file")
        if not Path(path).is_file():
            raise CorpusError(f"{path} is not a file; name a Parquet file")
        with open_parquet(path) as file:
            yield file
    except FILE_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CorpusError(f"{path}: cannot be read as Parquet: {reason}") from error


def _prefixes(path: str) -> Iterator[str]:
    """The names of a column and of the structs and lists around it; a name may hold dots itself."""
    return accumulate(path.split("."), "{}.{}".format)


def _parquet_file(
    source: pa.NativeFile, *, metadata: pq.FileMetaData | None = None, read_dictionary: list[str] | None = None
) -> pq.ParquetFile:
    return pq.ParquetFile(
        source,
        metadata=metadata,
        read_dictionary=read_dictionary,
        buffer_size=1 << 20,
        pre_buffer=False,  # which would take as much memory as the footer says
        thrift_string_size_limit=_MOST_STRING,
        thrift_container_size_limit=_MOST_LIST,
        page_checksum_verification=True,
    )


def _half_of_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
