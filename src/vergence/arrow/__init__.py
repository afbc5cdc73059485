"""The one door to Parquet and Arrow files: whatever a file claims or holds, it costs bounded memory or is refused.

`read_table` gives a small table whole; `open_parquet` and `open_ipc` give what is too large for that in batches.
"""

from vergence.arrow.ipc import Ipc, open_ipc
from vergence.arrow.nested import flattened, is_text, text_lengths, written_out
from vergence.arrow.parquet import FILE_ERRORS, Parquet, open_parquet, read_schema, read_table, row_counts
from vergence.arrow.replacing import Replaced, concatenate, put_back, replace_column

__all__ = [
    "FILE_ERRORS",
    "Ipc",
    "Parquet",
    "Replaced",
    "concatenate",
    "flattened",
    "is_text",
    "open_ipc",
    "open_parquet",
    "put_back",
    "read_schema",
    "read_table",
    "replace_column",
    "row_counts",
    "text_lengths",
    "written_out",
]
