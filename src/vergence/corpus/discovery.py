"""Finds the files of a corpus and divides them into parts that are read independently of all others.

A part is a run of row groups of a Parquet file, or a whole file of another format. That makes threads, shards,
resumption and clusters the same thing.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vergence.arrow import row_counts
from vergence.errors import CorpusError

_KINDS = MappingProxyType(
    {
        ".parquet": "parquet", ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
        ".txt": "text", ".tar": "tar", ".tgz": "tar", ".arrow": "arrow",
    }
)  # fmt: skip
_PACKED = (".gz", ".zst", ".zstd")
_ROWS_PER_PART = 1 << 18
FORMATS = "Parquet, CSV, TSV, JSON lines, text lines, tar shards and Arrow files, the text formats also as .gz or .zst"


@dataclass(frozen=True, order=True)
class Part:
    """A piece of a corpus that is read on its own.

    Args:
        path: The file.
        kind: Its format.
        size: Its size in bytes; with `modified`, what tells a changed file.
        modified: When it was last changed, in ns.
        first: First row group.
        last: Row group after the last; 0 where the file is not read by row groups.
        rows: How many rows it holds, where that is known beforehand; 0 otherwise.
    """

    path: str
    kind: str
    size: int
    modified: int
    first: int = 0
    last: int = 0
    rows: int = 0


def plan(paths: Iterable[str | Path]) -> list[Part]:
    """Find the files of a corpus and divide them into parts.

    Args:
        paths: Files, folders (searched through, one format in each) and globs. A folder written by Hugging Face's
            `save_to_disk` is read from the data files that its state.json lists.

    Returns:
        The parts in the order of the paths' names; no file twice.

    Raises:
        CorpusError: If a path does not exist or matches nothing, a format is unknown, or a folder mixes formats.
    """
    found = sorted({str(file) for path in paths for file in _files(Path(path))})
    if not found:
        raise CorpusError("no corpus was given; name files, folders or globs")
    return [part for path in found for part in _parts(path)]


def _files(path: Path) -> list[Path]:
    text = str(path)
    if not path.exists() and any(sign in text for sign in "*?["):
        anchor = Path(path.anchor) if path.anchor else Path()
        matches = sorted(anchor.glob(str(path.relative_to(path.anchor)) if path.anchor else text))
        if not matches:
            raise CorpusError(f"nothing matches {text!r}")
        return [file for match in matches for file in ([match] if match.is_file() else _files(match))]
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise CorpusError(f"no such file or folder: {text!r}")
    if _kind(path) is None:
        raise CorpusError(f"{text}: unknown format {path.suffix!r}; known: {FORMATS}")
    return [path]


def _folder(folder: Path) -> list[Path]:
    states = ((file.parent, _listed(file)) for file in sorted(folder.rglob("state.json")))
    listed = {parent: files for parent, files in states if files is not None}
    files = [file for files in listed.values() for file in files]
    for file in sorted(folder.rglob("*")):
        visible = not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
        # A .json file beside data is a description of it far more often than a corpus.
        if file.is_file() and visible and file.suffix != ".json" and file.parent not in listed and _kind(file):
            files.append(file)
    kinds = {_kind(file) or "" for file in files}
    if len(kinds) > 1:  # notes beside the data
        kinds.discard("text")
    if not kinds:
        raise CorpusError(f"{folder}: no file of a known format; known: {FORMATS}")
    if len(kinds) > 1:
        raise CorpusError(
            f"{folder} mixes {' and '.join(sorted(kinds))} files, which may hold the same captions; name one kind,"
            f" such as '{folder}/*.{min(kinds)}'"
        )
    return [file for file in files if _kind(file) in kinds]


def _listed(state: Path) -> list[Path] | None:
    """The data files of a Hugging Face folder: not the caches that may lie beside them, nor anything elsewhere.

    `None` if the file is something else of the same name.
    """
    try:
        names = [Path(entry["filename"]).name for entry in json.loads(state.read_text(encoding="utf-8"))["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    missing = [name for name in names if not (state.parent / name).is_file()]
    if missing:
        raise CorpusError(f"{state} lists files that are missing: {', '.join(missing)}")
    return [state.parent / name for name in names]


def _kind(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        kind = _KINDS.get(suffixes[-2]) if len(suffixes) > 1 else None
        return None if kind in ("parquet", "arrow") else kind
    return _KINDS.get(suffixes[-1]) if suffixes else None


def _parts(path: str) -> list[Part]:
    status = Path(path).stat()
    whole = Part(path, _kind(Path(path)) or "", status.st_size, status.st_mtime_ns)
    if whole.kind != "parquet":
        return [whole]
    try:
        counts = row_counts(path)
    except CorpusError:
        return [whole]  # reading it will say what is wrong
    parts, first, rows = [], 0, 0
    for group, count in enumerate(counts):
        rows += count
        if rows >= _ROWS_PER_PART or group == len(counts) - 1:
            parts.append(Part(path, "parquet", status.st_size, status.st_mtime_ns, first, group + 1, rows))
            first, rows = group + 1, 0
    return parts or [whole]
