"""The one door to Parquet and Arrow files: whatever a file claims or holds, it costs bounded memory or is refused."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vergence.errors import CorpusError, unknown

MOST_BYTES = 1 << 33  # of a table that is read whole
FILE_ERRORS = (OSError, pa.ArrowException)  # what Arrow raises for a file that is damaged
_MOST_STRING = 1 << 24  # longest name or statistic of a footer, in bytes
_MOST_LIST = 1 << 20  # most columns, row groups or notes of a footer


def read_schema(path: str | Path) -> pa.Schema:
    """The columns of a Parquet file, in their order.

    Raises:
        CorpusError: If the file is missing, damaged or encrypted, or two columns have one name.
    """
    with _opened(path) as file:
        return file.schema_arrow


def read_table(path: str | Path, columns: Sequence[str] | None = None, *, most_bytes: int = MOST_BYTES) -> pa.Table:
    """Read a Parquet file whole.

    Args:
        path: The file.
        columns: The columns wanted, in this order; all of the file if `None`.
        most_bytes: Most memory that the table may take.

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
    with _opened(path) as file:
        names = file.schema_arrow.names
        wanted = names if columns is None else list(columns)
        for name in wanted:
            if name not in names:
                raise CorpusError(f"{path}: {unknown('column', name, names)}")
        size = sum(file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups))
        if size > most_bytes:
            raise CorpusError(f"{path}: takes {size:,} bytes in memory; at most {most_bytes:,} are allowed")
        table = file.read(columns=wanted).select(wanted)
        table.validate(full=True)
    return table


@contextmanager
def _opened(path: str | Path) -> Iterator[pq.ParquetFile]:
    if not Path(path).exists():
        raise CorpusError(f"{path} does not exist; name an existing Parquet file")
    if not Path(path).is_file():
        raise CorpusError(f"{path} is not a file; name a Parquet file")
    try:
        with pa.OSFile(str(path)) as source:
            file = pq.ParquetFile(
                source,
                thrift_string_size_limit=_MOST_STRING,
                thrift_container_size_limit=_MOST_LIST,
                page_checksum_verification=True,
            )
            names = file.schema_arrow.names
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise CorpusError(f"{path}: two columns are called {twice!r}; rename one")
            yield file
    except FILE_ERRORS as error:
        raise CorpusError(f"{path}: cannot be read as Parquet: {' '.join(str(error).split())[:200]}") from error
