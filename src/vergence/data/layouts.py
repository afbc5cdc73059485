"""Which files of a source hold pairs, and in which of the layouts that are read."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from vergence.data.annotations import document_rows, sidecar_of, sidecar_rows
from vergence.data.columnar import column_rows, schema_columns, stored_schema
from vergence.data.rows import Columns, Finder, Row, is_image
from vergence.data.shards import shard_rows
from vergence.data.tabular import line_columns, line_rows, table_columns, table_rows
from vergence.errors import CorpusError
from vergence.sources.discovery import data_files
from vergence.sources.walking import Aside, expand, is_glob, is_ours, pairs_in, status_of, walk

LAYOUTS = (
    "a CSV, TSV, JSON, JSON-lines, Parquet or Arrow file with a column of images (bytes or paths) and one of captions; "
    "COCO captions (captions_*.json); a Karpathy split (dataset_*.json); WebDataset shards (.tar); a folder "
    "written by Hugging Face's save_to_disk or imagefolder (metadata.csv or .jsonl); a folder of images with .txt or "
    ".json files beside them"
)
"""What is read, in words."""

_KINDS: Mapping[str, str] = MappingProxyType(
    {
        ".csv": "table", ".tsv": "table", ".txt": "text", ".jsonl": "lines", ".ndjson": "lines", ".json": "document",
        ".parquet": "columns", ".arrow": "columns", ".tar": "shard", ".tgz": "shard",
    }
)  # fmt: skip
_BRACES = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")
_MOST_FILES = 100_000
_PACKED = (".gz", ".zst", ".zstd")
_NO_PAIRS = (  # documents that are known to hold none, and may be large
    "instances", "person_keypoints", "stuff_", "panoptic", "image_info", "dataset_info", "dataset_dict", "state",
    "config", "package",
)  # fmt: skip


@dataclass
class Found:
    """The parts of a source that hold pairs.

    Args:
        files: In which order they are read, each with its kind.
        folder: The folder that was named, if it is one.
        images: The images of a folder of images with captions beside them; then there are no files.
        notes: What was passed over, a line each.
    """

    files: list[tuple[str, Path]] = field(default_factory=list)
    folder: Path | None = None
    images: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find(source: str | Path, columns: Columns) -> Found:
    """Find out what a source is.

    Args:
        source: A file, a folder, or several files of one kind: a glob, or a range such as `{00000..00009}.tar`.
        columns: Which columns its files must have.

    Raises:
        CorpusError: If it does not exist, or is none of the layouts; says which were tried and what each lacked.
    """
    text = str(source)
    if not text.strip():
        raise CorpusError(f"the source is empty; name one of: {LAYOUTS}")
    if "://" in text:
        raise CorpusError(f"{text!r} is a URL, and nothing is downloaded; download it and name the file or folder")
    path = Path(source).expanduser()
    if (braces := _BRACES.search(text)) and not path.exists():
        return _of_range(text, braces, columns)
    if is_glob(text) and not path.exists():
        return _of_glob(path, columns)
    status_of(path)
    path = pairs_in(path) or path
    if path.is_dir():
        if is_ours(path):
            raise CorpusError(f"{path} is a folder of results of vergence, not a source; name one of: {LAYOUTS}")
        return _of_folder(path, columns)
    kind = kind_of(path)
    if kind is None:
        raise CorpusError(f"{path} is none of the layouts that are read: {LAYOUTS}")
    _check((_read_as(kind), path), columns)
    return Found([(_read_as(kind), path)])


def _read_as(kind: str) -> str:
    return "table" if kind == "text" else kind


def kind_of(path: Path) -> str | None:
    """The kind of a file, by its name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        kind = _KINDS.get(suffixes[-2]) if len(suffixes) > 1 else None
        return None if kind == "columns" else kind
    return _KINDS.get(suffixes[-1]) if suffixes else None


def rows_of(found: Found, columns: Columns, finder: Finder) -> Iterator[Row]:
    """The pairs of all files, in their order."""
    if found.images:
        yield from sidecar_rows(found.images, found.folder or Path(), columns)
    for kind, path in found.files:
        folders = [path.parent, *([found.folder] if found.folder else []), path.parent / "images", Path.cwd()]
        if kind == "shard":
            yield from shard_rows(path, columns, finder)
        else:
            yield from _READERS[kind](path, columns, finder, folders)


_READERS: Mapping[str, Callable[[Path, Columns, Finder, Sequence[Path]], Iterator[Row]]] = MappingProxyType(
    {"table": table_rows, "lines": line_rows, "document": document_rows, "columns": column_rows}
)


def _check(file: tuple[str, Path], columns: Columns) -> None:
    """Require a file to have the columns, as far as that is seen without reading the whole of it.

    Raises:
        CorpusError: If it cannot be read, or lacks one.
    """
    kind, path = file
    if kind == "table":
        table_columns(path, columns)
    elif kind == "lines":
        line_columns(path, columns)
    elif kind == "columns":
        schema_columns(path, columns, stored_schema(path))


def _of_range(text: str, braces: re.Match[str], columns: Columns) -> Found:
    """The files that WebDataset writes as `{000000..000009}`; each must exist."""
    first, last, width = int(braces[1]), int(braces[2]), len(braces[1])
    if not 0 <= last - first < _MOST_FILES:
        raise CorpusError(f"{text!r} must count upwards over at most {_MOST_FILES:,} files")
    found = Found()
    for number in range(first, last + 1):
        found.files += find(f"{text[: braces.start()]}{number:0{width}d}{text[braces.end() :]}", columns).files
    return found


def _of_glob(pattern: Path, columns: Columns) -> Found:
    aside = Aside()
    paths = sorted(path for path in set(expand(pattern, aside)) if path.is_file())
    files = [(kind, path) for path in paths if (kind := kind_of(path)) not in (None, "text")]
    if not files:
        raise CorpusError(f"nothing that {str(pattern)!r} matches is one of: {LAYOUTS}")
    if len(kinds := {kind for kind, _ in files}) > 1:
        raise CorpusError(
            f"{str(pattern)!r} matches files of several kinds ({', '.join(sorted(kinds))}); name one kind"
        )
    for file in files:
        _check(file, columns)
    return Found(files)


def _of_folder(folder: Path, columns: Columns) -> Found:
    aside = Aside()
    paths = list(walk(folder, aside))
    lost = [f"{name} cannot be read: {reason}" for name, (_, reason) in sorted(aside.lost.items())]
    images = [path for path in paths if is_image(path.name)]
    stems = {path.with_suffix("") for path in images}
    listed = [file for path in paths if path.name == "state.json" for file in data_files(path) or ()]
    states = {path.parent for path in paths if path.name == "state.json"} if listed else set()
    others = [path for path in paths if path.parent not in states and path.with_suffix("") not in stems]
    named = [path for path in others if path.name.lower().startswith("metadata.")]
    tried: list[str] = []
    for candidates in (listed, named, others):
        for kind in ("shard", "columns", "document", "table", "lines", "text"):
            of_kind = [(_read_as(kind), path) for path in candidates if kind_of(path) == kind]
            good = [file for file in of_kind if _holds(file, columns, tried)]
            if good:
                return Found(good, folder, notes=[*lost, *tried])
    beside = [path for path in images if sidecar_of(path) is not None]
    if beside:
        return Found([], folder, images, [*lost, *tried])
    raise CorpusError(_nothing(folder, paths, images, tried))


def _holds(file: tuple[str, Path], columns: Columns, tried: list[str]) -> bool:
    """Whether a file holds pairs; if not, why is added to what was tried."""
    kind, path = file
    try:
        _check(file, columns)
        if kind == "document" and path.name.lower().startswith(_NO_PAIRS):
            raise CorpusError(f"{path.name} holds no captions, by its name")
        if kind == "document":
            next(iter(document_rows(path, columns, _Nowhere(), [path.parent])), None)
    except CorpusError as error:
        tried.append(str(error))
        return False
    return True


class _Nowhere(Finder):
    """Looks for no image: whether a document holds pairs does not depend on where their images are."""

    def __init__(self) -> None:
        """Nothing to look in."""

    def path(self, given: str, folders: Sequence[Path]) -> str:
        """The path as it is given."""
        del folders
        return given


def _nothing(folder: Path, paths: Sequence[Path], images: Sequence[Path], tried: Sequence[str]) -> str:
    if not paths:
        return f"{folder} holds no files. What is read: {LAYOUTS}"
    suffixes: Iterable[tuple[str, int]] = Counter(path.suffix.lower() or "no suffix" for path in paths).most_common(8)
    holds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes)
    more = f"; and {len(tried) - 3} more" if len(tried) > 3 else ""
    why = f"; {'; '.join(tried[:3])}{more}" if tried else ""
    unsaid = "; no image has a .txt or .json file of its name beside it" if images else ""
    return f"{folder} is none of the layouts that are read; it holds {holds}{unsaid}{why}. Tried: {LAYOUTS}"
