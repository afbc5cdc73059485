"""Edits captions in the files that hold them: what is no caption is copied byte for byte, in the same order and form.

One file is one piece of work: its new form, its rows of provenance, and what else it takes to go back are written
whole, or not at all.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vergence.arrow import FILE_ERRORS, Parquet, Replaced, is_text, open_parquet, put_back, replace_column
from vergence.corpus.matching import text_buffers
from vergence.corpus.measures import ill_formed
from vergence.curation.diff import EDITS, Editor, Tally
from vergence.curation.labels import keys_as_text
from vergence.curation.rewrite import Edited
from vergence.curation.shards import change_tar
from vergence.curation.textual import Backwards, Batch, change_text
from vergence.errors import CorpusError, unknown
from vergence.files import whole
from vergence.sources.discovery import Part
from vergence.sources.problems import short
from vergence.sources.streams import STREAM_ERRORS, BrokenStreamError, open_stream

FORMS = "Parquet, CSV, TSV, JSON lines, text lines and tar shards; text formats and tar also as .gz or .zst"
_PACKED = (".gz", ".tgz", ".zst", ".zstd")
_BLOCK = 1 << 22
_REPEATING = [name for name in EDITS.names if name not in ("row", "key", "raw")]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where captions and keys are.

    Args:
        caption: The column of captions, key of JSON records, or field of tar samples.
        key: The column of keys; rows are told apart by their number if empty, tar samples by their name.
        delimiter: Between fields of CSV and TSV files; by format if empty.
        header: Whether the first row of CSV and TSV files names the columns; else they are called 1, 2, 3 ...
        max_caption_bytes: Longer captions are left as they are.
    """

    caption: str = "caption"
    key: str = ""
    delimiter: str = ""
    header: bool = True
    max_caption_bytes: int = 1 << 16


@dataclass(frozen=True)
class Done:
    """What became of a file.

    Args:
        name: Its name among the results.
        source: Digest of its bytes before.
        result: Digest of its bytes after.
        back: How to go back: "edits", "pieces" or "copy".
        pieces: For "pieces", what the file consisted of.
        size: How many bytes it had.
        tally: What was done.
    """

    name: str
    source: str
    result: str
    back: str
    pieces: tuple[tuple[int, int], ...]
    size: int
    tally: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {**asdict(self), "pieces": [list(piece) for piece in self.pieces]}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Done":
        """The inverse of `to_dict`."""
        return cls(**{**given, "pieces": tuple((a, b) for a, b in given["pieces"])})


@dataclass(frozen=True)
class Places:
    """Where the results of one file go: the file itself, its provenance, what helps to go back, and its key."""

    captions: Path
    edits: Path
    aside: Path


def edit_file(
    part: Part, name: str, places: Places, columns: Columns, editor: Editor, *, repeated: np.ndarray | None = None
) -> Done:
    """Edit the captions of a file.

    Args:
        part: The whole file.
        name: What it is called among the results.
        places: Where results go.
        columns: Where captions and keys are.
        editor: Edits them.
        repeated: Which captions, of those that can be used and in their order, were there before and go.

    Raises:
        CorpusError: If the file cannot be read, lacks a column, or is of a form that is not edited.
        OutputError: If the disk is full.
    """
    tally = Tally()
    path = Path(part.path)
    with (
        whole(places.captions, of_job=True) as out,
        whole(places.edits, of_job=True) as rows,
        whole(places.aside, of_job=True) as aside,
    ):
        aside.touch()
        with pq.ParquetWriter(rows, EDITS, compression="zstd", use_dictionary=_REPEATING) as writer:
            record = _Recorder(editor, name, tally, writer, columns=columns, repeated=repeated)
            back, pieces = _form(part)(part, out, aside, columns, record)
            record.close()
        return Done(name, digest(path), digest(out), back, pieces, path.stat().st_size, tally.to_dict())


def watch_file(part: Part, columns: Columns, see: Callable[[Batch], None]) -> None:
    """Show the captions of a file, batch by batch, as `edit_file` would edit them.

    Raises:
        CorpusError: As `edit_file` does.
    """
    watcher = _Watcher(see, columns)
    if part.kind != "parquet":
        _form(part)  # refuses what is not edited
        try:
            with closing(open_stream(part.path)) as stream:
                change = change_tar if part.kind == "tar" else change_text
                change(part.kind, stream, _Nowhere(), columns, watcher)
        except (BrokenStreamError, *STREAM_ERRORS) as error:
            raise CorpusError(f"{part.path}: {short(error)}") from error
        return
    try:
        with open_parquet(part.path) as file:
            _check_columns(part, file, columns)
            at = 1
            for group in range(len(file.rows)):
                for batch in file.batches(group, [columns.caption, *filter(None, [columns.key])]):
                    _column(batch, at, columns, watcher, part.path)
                    at += len(batch)
    except FILE_ERRORS as error:
        raise CorpusError(f"{part.path}: cannot be read as Parquet: {short(error)}") from error


def undo_file(done: Done, places: Places, out: Path, columns: Columns, kind: str) -> None:
    """Write a file as it was, byte for byte.

    Raises:
        CorpusError: If the results are not as they were written.
    """
    if digest(places.captions) != done.result:
        raise CorpusError(f"{places.captions} is not as it was written; it cannot be turned back")
    with whole(out, of_job=True) as partial:
        if done.back == "copy":
            _copy(places.aside, partial)
        elif done.back == "pieces":
            put_back(places.captions, places.aside, partial, Replaced(done.pieces, done.size))
        else:
            edits = pq.read_table(places.edits, columns=["row", "start", "end", "old", "new", "raw"], partitioning=None)
            with closing(open(places.captions, "rb")) as stream, open(partial, "wb") as target:
                change = change_tar if kind == "tar" else change_text
                change(kind, stream, target, columns, Backwards(edits))
        if digest(partial) != done.source:
            raise CorpusError(f"{done.name}: what came back is not what was there; its provenance is damaged")


class _Recorder:
    """Edits batches and writes down what was done."""

    def __init__(
        self, editor: Editor, name: str, tally: Tally, writer: pq.ParquetWriter, *, columns: Columns, repeated: Any
    ) -> None:
        self.tally, self.max_bytes = tally, columns.max_caption_bytes
        self._editor, self._name, self._writer = editor, name, writer
        self._waiting: list[pa.Table] = []
        self._repeated, self._at = repeated, 0

    def edit(self, batch: Batch) -> Any:
        """Edit a batch; what cannot be used is left out of it beforehand."""
        again = None if self._repeated is None else self._repeated[self._at : self._at + len(batch.captions)]
        self._at += len(batch.captions)
        edited, asked = self._editor.edit(batch.captions, batch.keys, again)

        def record(raws: Mapping[int, bytes]) -> None:
            table = self._editor.rows(
                edited, asked, file=self._name, numbers=batch.numbers, keys=batch.keys, raws=raws, tally=self.tally
            )
            if len(table):
                self._waiting.append(table)
            if sum(map(len, self._waiting)) >= 1 << 18:
                self.close()

        return edited, edited.texts, record

    def close(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting, promote_options="default").unify_dictionaries())
        self._waiting = []


class _Watcher:
    """Takes the place of a recorder where nothing is to be edited."""

    def __init__(self, see: Callable[[Batch], None], columns: Columns) -> None:
        self.tally, self.max_bytes, self._see = Tally(), columns.max_caption_bytes, see

    def edit(self, batch: Batch) -> Any:
        """Show a batch, and edit nothing."""
        self._see(batch)
        none = np.empty((0, 6), np.int64)
        refused = np.zeros((len(batch.captions), 0), np.uint8)
        same = Edited(batch.captions, none, none[:, :2], refused, np.zeros(1, np.int64), np.empty(0, np.uint8))
        return same, (), lambda raws: None


class _Nowhere:
    """Takes what is written."""

    def write(self, data: bytes) -> None:
        """Forget it."""


_Form = Callable[[Part, Path, Path, Columns, _Recorder], tuple[str, tuple[tuple[int, int], ...]]]


def _form(part: Part) -> _Form:
    if part.kind == "parquet":
        return _parquet
    if part.kind in ("csv", "tsv", "jsonl", "text", "tar"):
        return _textual
    raise CorpusError(f"{part.path}: captions in files of this form are not edited ({part.kind}); edited are {FORMS}")


def _parquet(
    part: Part, out: Path, aside: Path, columns: Columns, record: _Recorder
) -> tuple[str, tuple[tuple[int, int], ...]]:
    try:
        with open_parquet(part.path) as file:
            rows = file.rows
            _check_columns(part, file, columns)
        first = np.cumsum([0, *rows])

        def change(group: int, batches: Iterator[pa.RecordBatch]) -> pa.Array | None:
            pieces, at, changed = [], int(first[group]) + 1, False
            for batch in batches:
                piece, moved = _column(batch, at, columns, record, part.path)
                pieces.append(piece)
                changed |= moved
                at += len(batch)
            return pa.concat_arrays(pieces) if changed else None

        beside = [columns.key] if columns.key else []
        done = replace_column(Path(part.path), out, aside, column=columns.caption, beside=beside, change=change)
    except FILE_ERRORS as error:
        raise CorpusError(f"{part.path}: cannot be read as Parquet: {short(error)}") from error
    return "pieces", done.pieces


def _check_columns(part: Part, file: Parquet, columns: Columns) -> None:
    for name in filter(None, (columns.caption, columns.key)):
        if file.counts[name] != 1:
            raise CorpusError(f"{part.path}: {unknown('column', name, file.schema.names)}")
    kind = file.schema.field(columns.caption).type
    if not is_text(kind.value_type if pa.types.is_dictionary(kind) else kind):
        raise CorpusError(
            f"{part.path}: column {columns.caption!r} holds {kind}; only a column of text, at the top of its table, is"
            " edited"
        )


def _column(batch: pa.RecordBatch, at: int, columns: Columns, record: Any, path: str) -> tuple[pa.Array, bool]:
    """A batch's captions after their edits, and whether there were any."""
    whole_column = batch.column(0)
    if pa.types.is_dictionary(whole_column.type):
        whole_column = whole_column.dictionary_decode()
    numbers = np.arange(at, at + len(batch))
    keys = keys_as_text(batch.column(1), where=path) if columns.key else _numbered(numbers)
    captions = whole_column.cast(pa.large_binary())
    good = np.ones(len(captions), dtype=np.bool_)
    if captions.null_count:
        good &= captions.is_valid().to_numpy(zero_copy_only=False)
        record.tally.counts["null"] += captions.null_count
        captions = pc.fill_null(captions, b"")
    offsets, data = text_buffers(captions)
    bad = (np.diff(offsets) > record.max_bytes) | ill_formed(offsets, data)
    record.tally.counts["unusable"] += int(bad.sum())
    good &= ~bad
    record.tally.counts["rows"] += len(captions)
    everything = bool(good.all())
    kept = captions if everything else captions.filter(pa.array(good))
    batch_keys = keys if everything else keys.filter(pa.array(good))
    edited, _, put_down = record.edit(Batch(kept.view(pa.large_string()), batch_keys, numbers[good]))
    put_down({})
    if not len(edited.edits):
        return whole_column, False
    after = edited.captions
    gone = edited.edits[edited.edits[:, 4] == 0, 0]
    if len(gone) and batch.schema.field(0).nullable:
        emptied = np.zeros(len(after), dtype=np.bool_)
        emptied[gone] = True
        after = pc.if_else(pa.array(emptied), pa.scalar(None, after.type), after)
    if everything:
        return after.cast(whole_column.type), True
    places = np.cumsum(good) - 1
    spread = after.take(pa.array(np.where(good, places, 0)))
    return pc.if_else(pa.array(good), spread.cast(whole_column.type), whole_column), True


def _numbered(numbers: np.ndarray) -> pa.Array:
    return pa.array(numbers).cast(pa.large_string())


def _textual(
    part: Part, out: Path, aside: Path, columns: Columns, record: _Recorder
) -> tuple[str, tuple[tuple[int, int], ...]]:
    packed = Path(part.path).suffix.lower() in _PACKED
    if packed:
        _copy(Path(part.path), aside)
    try:
        with closing(open_stream(part.path)) as stream, _written(out, part.path) as target:
            change = change_tar if part.kind == "tar" else change_text
            change(part.kind, stream, target, columns, record)
    except (BrokenStreamError, *STREAM_ERRORS) as error:
        raise CorpusError(f"{part.path}: {short(error)}") from error
    return ("copy" if packed else "edits"), ()


@contextmanager
def _written(out: Path, name: str) -> Iterator[Any]:
    """A file to write to, packed as the name says; the same bytes whenever the same is written."""
    suffix = Path(name).suffix.lower()
    with open(out, "wb") as file:
        if suffix in (".gz", ".tgz"):
            with gzip.GzipFile(
                fileobj=file, mode="wb", filename="", mtime=0, compresslevel=zlib.Z_BEST_SPEED
            ) as packed:
                yield packed
        elif suffix in (".zst", ".zstd"):
            with pa.CompressedOutputStream(pa.PythonFile(file, "w"), "zstd") as packed:
                yield packed
        else:
            yield file


def digest(path: Path) -> str:
    """Of a file's bytes."""
    found = sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _copy(source: Path, target: Path) -> None:
    with open(source, "rb") as file, open(target, "wb") as out:
        while block := file.read(_BLOCK):
            out.write(block)


__all__ = ["Columns", "Done", "Places", "edit_file", "undo_file", "watch_file"]
