"""Pairs of Parquet and Arrow files: a row is an image, as bytes or by its path, and its captions."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from vergence.arrow import FILE_ERRORS, Ipc, Parquet, open_ipc, open_parquet
from vergence.data.rows import Chosen, Columns, Finder, Row, choose
from vergence.data.tabular import Taker, decoded
from vergence.errors import CorpusError
from vergence.sources.problems import short


def column_rows(file: Path, columns: Columns, finder: Finder, folders: Sequence[Path]) -> Iterator[Row]:
    """The pairs of a Parquet file, or of an Arrow file or stream."""
    number = 0
    opened = open_ipc if is_arrow(file) else open_parquet
    try:
        with opened(file) as source:
            chosen = schema_columns(file, columns, source.schema)
            taker = Taker(chosen, finder, folders)
            for batch in _batches(source, chosen.names):
                read = [
                    map(partial(_as_stored, kind=source.schema.field(name).type), batch.column(name).to_pylist())
                    for name in chosen.names
                ]
                for values in zip(*read, strict=True):
                    record = dict(zip(chosen.names, values, strict=True))
                    yield from taker.pairs(f"row {number} of {file}", record, cell=(str(file), number))
                    number += 1
    except FILE_ERRORS as error:
        if not number:
            kind = "Arrow" if is_arrow(file) else "Parquet"
            raise CorpusError(f"{file}: cannot be read as {kind}: {short(error)}") from error
        yield Row(f"row {number} of {file}", reason=f"the rest of the file cannot be read: {short(error)}")


def is_arrow(file: Path) -> bool:
    """Whether a file is one of Arrow rather than of Parquet, by its name."""
    return file.suffix.lower() in (".arrow", ".feather")


def stored_schema(file: Path) -> pa.Schema:
    """The columns of a Parquet or Arrow file.

    Raises:
        CorpusError: If it cannot be read.
    """
    try:
        with (open_ipc if is_arrow(file) else open_parquet)(file) as source:
            return source.schema
    except FILE_ERRORS as error:
        kind = "Arrow" if is_arrow(file) else "Parquet"
        raise CorpusError(f"{file}: cannot be read as {kind}: {short(error)}") from error


def schema_columns(file: Path, columns: Columns, schema: pa.Schema) -> Chosen:
    """The columns of a Parquet or Arrow file.

    Raises:
        CorpusError: If one is missing, or of a type that holds no images or no captions.
    """
    held = {field.name: "a.jpg" if _is_bytes(field.type) or _is_record(field.type) else "a text" for field in schema}
    examples = {name: [value] for name, value in held.items() if value == "a.jpg" or _is_text(schema.field(name).type)}
    try:
        chosen = choose(columns, schema.names, examples)
    except CorpusError as error:
        raise CorpusError(f"{file}: {error}") from error
    image, caption = (schema.field(name).type for name in (chosen.image, chosen.caption))
    fields = [image.field(k) for k in range(image.num_fields)] if pa.types.is_struct(image) else []
    kinds = [field.type for field in fields if field.name in ("bytes", "path")] if fields else [image]
    if not kinds or not all(_is_text(kind) or _is_bytes(kind) or pa.types.is_null(kind) for kind in kinds):
        raise CorpusError(
            f"{file}: column {chosen.image!r} holds {image}; images must be bytes, paths, or records of `bytes` or "
            "`path`"
        )
    while pa.types.is_list(caption) or pa.types.is_large_list(caption) or pa.types.is_fixed_size_list(caption):
        caption = caption.value_type
    if not (_is_text(caption) or pa.types.is_struct(caption) or pa.types.is_null(caption)):
        raise CorpusError(f"{file}: column {chosen.caption!r} holds {caption}; captions must be texts")
    return chosen


def _batches(source: Parquet | Ipc, names: list[str], *, skipped: int = 0) -> Iterable[pa.RecordBatch]:
    """All batches, but for those of the first row groups."""
    if isinstance(source, Parquet):
        groups = range(skipped, len(source.rows))
        return (batch for group in groups for batch in source.batches(group, names))
    return source.batches(names)


def image_column(file: Path, columns: Columns, *, row: int) -> Iterator[tuple[int, pa.Array]]:
    """The images of a file as they are stored, batch by batch, each with the number of its first row.

    Args:
        file: A Parquet or Arrow file.
        columns: Which one holds images.
        row: Row groups that end before this row are not read.
    """
    with (open_ipc if is_arrow(file) else open_parquet)(file) as source:
        names = [schema_columns(file, columns, source.schema).image]
        ends = list(accumulate(source.rows)) if isinstance(source, Parquet) else []
        skipped = sum(end <= row for end in ends)
        start = ends[skipped - 1] if skipped else 0
        for batch in _batches(source, names, skipped=skipped):
            yield start, batch.column(0)
            start += len(batch)


def _as_stored(value: Any, kind: pa.DataType) -> Any:
    """Texts that were read as bytes, as texts where they are some; what is no UTF-8 stays bytes."""
    if isinstance(value, bytes) and _is_text(kind):
        return decoded(value)
    if isinstance(value, dict):
        return {name: _as_stored(part, kind.field(name).type) for name, part in value.items()}
    if isinstance(value, list):
        return [_as_stored(part, kind.value_type) for part in value]
    return value


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_record(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind)) and any(kind.get_field_index(name) >= 0 for name in ("bytes", "path"))


def _is_bytes(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)
