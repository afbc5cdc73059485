"""Finds the files of a corpus and divides them into parts that are read independently of all others.

A part is a run of row groups of a Parquet file, a whole file of another format, or, where there are many small files,
several of them. That makes threads, shards, resumption and clusters the same thing.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from types import MappingProxyType

from vergence.arrow import row_counts
from vergence.errors import CorpusError
from vergence.sources.problems import Problems, short
from vergence.sources.walking import Aside, Identity, expand, identity, is_glob, is_ours, pairs_in, status_of, walk

_KINDS = MappingProxyType(
    {
        ".parquet": "parquet", ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
        ".txt": "text", ".tar": "tar", ".tgz": "tar", ".arrow": "arrow",
    }
)  # fmt: skip
_PACKED = (".gz", ".zst", ".zstd")
_OTHER_PACKED = (".7z", ".br", ".bz2", ".lz4", ".lzma", ".rar", ".snappy", ".xz", ".z", ".zip")
_ROWS_PER_PART = 1 << 18
_SMALL = 1 << 16  # bytes of a file that may share a part with others
_GROUPS = 256  # parts that small files make at least, where there are as many
FORMATS = (
    "Parquet, CSV, TSV, JSON, JSON lines, text lines, tar shards and Arrow files; text formats also as .gz or .zst"
)


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
        files: The small files that it consists of, if it is not one file.
    """

    path: str
    kind: str
    size: int
    modified: int
    first: int = 0
    last: int = 0
    rows: int = 0
    files: "tuple[Part, ...]" = ()

    def __str__(self) -> str:
        return self.path


def plan(paths: str | Path | Iterable[str | Path], problems: Problems | None = None) -> list[Part]:
    """Find the files of a corpus and divide them into parts.

    Args:
        paths: Files, folders (searched through, one format in each) and globs. A folder written by Hugging Face's
            `save_to_disk` is read from the data files that its state.json lists.
        problems: Receives what cannot be looked at and what lies beside the corpus; the first stops, if not given.

    Returns:
        The parts in the order of the paths' names; no file twice, whatever it is called and whatever links lead to it.

    Raises:
        CorpusError: If a path does not exist or matches nothing, a format is unknown, or a folder mixes formats.
    """
    problems, aside = Problems(strict=True) if problems is None else problems, Aside()
    named = [paths] if isinstance(paths, str | Path) else paths
    found = sorted({file for path in named for file in _files(path, aside)}, key=str)
    if not found and not aside.lost:
        raise CorpusError("no corpus was given; name files, folders or globs")
    parts: list[Part] = []
    known: set[Identity] = set()
    for path in found:
        try:
            status = path.stat()
        except OSError as error:
            aside.lost[str(path)] = "file", short(error)
            continue
        if not S_ISREG(status.st_mode):
            aside.lost[str(path)] = "file", "a pipe, socket or device, not a file"
        elif (own := identity(path, status)) in known:
            aside.beside["same file again"] += 1
        else:
            known.add(own)
            parts += _parts(str(path), status)
    for name, (unit, detail) in sorted(aside.lost.items()):
        problems.add("unreadable", name, unit, [0], detail)
    for what, times in sorted(aside.beside.items()):
        problems.pass_over(what, times)
    return _grouped(parts)


def _files(named: str | Path, aside: Aside) -> list[Path]:
    path, text = Path(named), str(named)
    if not text:
        raise CorpusError("the name of a file or folder is empty; name files, folders or globs")
    if is_glob(text) and not os.path.lexists(path):
        return _matching(path, aside)
    mode = status_of(path).st_mode
    if S_ISDIR(mode):
        if is_ours(path, "audit"):
            raise CorpusError(f"{text} is the folder of an audit, which holds counts and no captions")
        pairs = pairs_in(path) or path
        return [pairs] if pairs.is_file() else _folder(pairs, aside)
    if not S_ISREG(mode):
        raise CorpusError(f"{text} is a pipe, socket or device; name files, folders or globs")
    if _kind(path) is None:
        raise CorpusError(f"{text}: unknown format {path.suffix!r}; known: {FORMATS}")
    return [path]


def _matching(pattern: Path, aside: Aside) -> list[Path]:
    matches = list(dict.fromkeys(expand(pattern, aside)))
    if not matches:
        lost = next(iter(aside.lost.items()), None)
        raise CorpusError(f"nothing matches {str(pattern)!r}" + (f"; {lost[0]}: {lost[1][1]}" if lost else ""))
    found: list[Path] = []
    for match in matches:
        if not os.path.isdir(match):
            found += _chosen([match], aside)
        elif is_ours(match):
            aside.beside["folders of results"] += 1
        else:
            found += _folder(match, aside)
    if not found and not aside.lost:
        raise CorpusError(f"{str(pattern)!r} matches no file of a known format; known: {FORMATS}")
    return found


def _folder(folder: Path, aside: Aside) -> list[Path]:
    everything = list(walk(folder, aside))
    states = ((file.parent, data_files(file)) for file in everything if file.name == "state.json")
    listed = {parent: files for parent, files in states if files is not None}
    chosen = {file for files in listed.values() for file in files}
    aside.beside.update(_suffix(file) for file in everything if file.parent in listed and file not in chosen)
    files = _chosen([file for file in everything if file.parent not in listed], aside)
    kinds: dict[str, list[Path]] = {}
    for file in (*chosen, *files):
        kinds.setdefault(_sort(file), []).append(file)
    for other in ("json", "text"):  # beside data, a description of it or notes far more often than a corpus
        if len(kinds) > 1:
            aside.beside.update(map(_suffix, kinds.pop(other, ())))
    if len(kinds) > 1:
        raise CorpusError(
            f"{folder} mixes {' and '.join(sorted(kinds))} files, which may hold the same captions; name one kind,"
            f" such as '{folder}/**/*.{min(kinds)}'"
        )
    if not kinds and not any(Path(name).is_relative_to(folder) for name in aside.lost):
        raise CorpusError(f"{folder}: no file of a known format; known: {FORMATS}")
    return [file for files in kinds.values() for file in files]


def _chosen(files: Iterable[Path], aside: Aside) -> list[Path]:
    """Those of a known format; a known one that is packed in an unknown way is lost, others lie beside the corpus."""
    found = []
    for file in files:
        if _kind(file):
            found.append(file)
        elif file.suffix.lower() in _OTHER_PACKED and _kind(file.with_suffix("")):
            aside.lost[str(file)] = "file", f"packed as {file.suffix}, which is not read; unpack it, or use .gz or .zst"
        else:
            aside.beside[_suffix(file)] += 1
    return found


def _suffix(file: Path) -> str:
    return file.suffix.lower() or "no suffix"


def _sort(file: Path) -> str:
    """What must be one within a folder: plain .json files are apart, while packed ones are JSON lines in practice."""
    kind = _kind(file) or ""
    return "jsonl" if kind == "json" and file.suffix.lower() in _PACKED else kind


def data_files(state: Path) -> list[Path] | None:
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


def _parts(path: str, status: os.stat_result) -> Iterator[Part]:
    whole = Part(path, _kind(Path(path)) or "", status.st_size, status.st_mtime_ns)
    try:
        counts = row_counts(path) if whole.kind == "parquet" else []
    except CorpusError:
        counts = []  # reading it will say what is wrong
    if not counts:
        yield whole
        return
    first, rows = 0, 0
    for group, count in enumerate(counts):
        rows += count
        if rows >= _ROWS_PER_PART or group == len(counts) - 1:
            yield Part(path, "parquet", status.st_size, status.st_mtime_ns, first, group + 1, rows)
            first, rows = group + 1, 0


def _grouped(parts: list[Part]) -> list[Part]:
    """Small files as parts of several, where there are many: a part per file of one caption would be all overhead."""
    small = [part for part in parts if part.size < _SMALL and part.kind != "parquet"]
    each = len(small) // _GROUPS
    if each < 2:
        return parts
    groups = [tuple(small[first : first + each]) for first in range(0, len(small), each)]
    alone = set(parts) - set(small)
    return sorted([*alone, *map(_group, groups)])


def _group(files: tuple[Part, ...]) -> Part:
    times = sha256(repr([file.modified for file in files]).encode()).digest()
    return Part(files[0].path, "group", sum(file.size for file in files), int.from_bytes(times[:8]), files=files)
