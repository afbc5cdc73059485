"""Images that were left in the rows of Parquet and Arrow files, read again in the order in which they lie there."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vergence.arrow import FILE_ERRORS
from vergence.data.columnar import image_column
from vergence.data.rows import Cell, Columns, Span, Stored
from vergence.errors import CorpusError, first_line
from vergence.files import Scratch


class CellReader:
    """Reads images of rows; a file is read once as long as rows ascend, and no more of it is held than a batch.

    Args:
        columns: Which column holds images, as the source was read.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns, self._file, self._start = columns, "", 0
        self._batches: Iterator[tuple[int, pa.Array]] = iter(())
        self._held: pa.Array = pa.array([])

    def set_aside(self, places: Sequence[Stored | bytes], scratch: Scratch) -> list[Stored | bytes]:
        """Where images are when those of rows have been copied to a scratch file.

        Args:
            places: Where they were; none of them in another scratch file.
            scratch: Where bytes of rows go.

        Raises:
            CorpusError: If a file is damaged, or not as it was.
        """
        now = list(places)
        cells = [(place, number) for number, place in enumerate(places) if isinstance(place, Cell)]
        for place, number in sorted(cells):
            now[number] = Span("", *scratch.add(self._read(place)))
        return now

    def _read(self, cell: Cell) -> bytes:
        try:
            if cell.file != self._file or cell.row < self._start:
                self._file, self._start, self._held = cell.file, 0, pa.array([])
                self._batches = image_column(Path(cell.file), self._columns, row=cell.row)
            while cell.row >= self._start + len(self._held):
                self._start, self._held = next(self._batches)
            data = _bytes_in(self._held[cell.row - self._start].as_py())
        except (StopIteration, *FILE_ERRORS) as error:
            self._file = ""
            reason = "it has fewer rows" if isinstance(error, StopIteration) else first_line(error)
            raise CorpusError(
                f"{cell.file} is not as it was: {reason}; leave a source alone while it is read"
            ) from error
        if data is None:
            raise CorpusError(f"row {cell.row} of {cell.file} holds no image any more; leave a source alone")
        return data


def _bytes_in(value: Any) -> bytes | None:
    """The file of an image, as a column holds it: bytes, a record of them, or a list of one."""
    if isinstance(value, dict):
        return _bytes_in(value.get("bytes"))
    if isinstance(value, list):
        return _bytes_in(value[0]) if len(value) == 1 else None
    return value if isinstance(value, bytes) else None
