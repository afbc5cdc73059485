"""Open Clip Art as a corpus: drawings of hundreds of people with the titles, descriptions and keywords that they gave.

The package `openclipart-svg` of Debian is fetched once and kept. Its mess stays as it is, and is counted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from vergence import __version__
from vergence.arrow import read_table
from vergence.checks import at_least, at_most
from vergence.data.clipart_rows import described, link_drawings, row_of
from vergence.errors import CorpusError
from vergence.files import read_bytes, whole
from vergence.folders import JobFolder, WhenPresent
from vergence.guarded import Guarded
from vergence.render.packages import Package, keep_package, read_folder
from vergence.render.places import check_side
from vergence.svg import read_svg, require_drawing

CORPUS, CARD = "openclipart.parquet", "openclipart.json"
_PACKAGE = Package("apt", "openclipart-svg")
_FOLDER = "usr/share/openclipart/svg"
_KNOWN = "cc530305ada12c450772a029a5c88cf1"  # digest of the drawings that the documentation describes
_PARTS = "_parts"  # passed over by whoever reads the folder before it is whole
_PART = 256  # drawings that are kept together while the corpus is being built
_MOST_PACKAGE = 1 << 27  # bytes
_MOST_WORKERS = 256

_OF_FILE = {
    "image": pa.binary(),
    "caption": pa.string(),
    "description": pa.string(),
    "keywords": pa.list_(pa.string()),
    "creator": pa.string(),
    "licence": pa.string(),
    "language": pa.string(),
}
_ROW = pa.schema({"key": pa.string(), **_OF_FILE, "topic": pa.string(), "copy_of": pa.string(), "cluster": pa.int64()})
_DRAWING = pa.schema({"key": pa.string(), **_OF_FILE, "outside": pa.int64(), "reason": pa.string()})


class Contents(NamedTuple):
    """What a package holds.

    Args:
        drawings: SVG files by key: their path in the package, without the suffix.
        links: By key, that of the drawing which is there once more.
        digest: Tells the drawings from others.
    """

    drawings: Mapping[str, bytes]
    links: Mapping[str, str]
    digest: str


def build_openclipart(
    out: Path,
    *,
    side: int = 128,
    package: Path | None = None,
    workers: int = 1,
    present: WhenPresent = "refuse",
    about: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Make a corpus of the drawings of Open Clip Art: `openclipart.parquet` and, written last, `openclipart.json`.

    The table has a row for each drawing, in the order of keys: `key`, its path in the package without the suffix;
    `image`, a PNG file of side x side pixels, on white; `caption`, its title; `description`, `keywords` (a list, in
    which some are empty), `creator`, `licence` and `language` as stated in it, null where nothing is; `topic`, its
    folder; `copy_of`, the key of the drawing that the package repeats here; and `cluster`, equal for drawings that
    belong together (see `link_drawings`). What cannot be drawn has no row: `left_out` in `openclipart.json` lists it by
    reason. The same package, side and versions give the same bytes of the table.

    Args:
        out: The folder.
        side: Pixels of a side, in [8, 2048].
        package: The package's file; if `None` it is fetched once, and kept in `vergence/packages` in the folder of
            caches that XDG_CACHE_HOME names.
        workers: Drawings at a time, each in a process of its own, in [1, 256].
        present: What to do if the folder is not empty: see `JobFolder.claim`. Resumed, what is drawn is kept.
        about: What else `openclipart.json` is to say.
        progress: Is told how many drawings are done, of how many.

    Returns:
        What `openclipart.json` says.

    Raises:
        ConfigError: If a setting is out of range, or the folder cannot be used.
        CorpusError: If the package cannot be fetched, or is damaged.
        MissingExtraError: If the package that draws is not installed.
        VergenceError: If a worker process cannot be started.
    """
    check_side(side)
    at_least("workers", workers, 1)
    at_most("workers", workers, _MOST_WORKERS)
    require_drawing()
    contents = _contents(package or _fetched())
    job = {"job": "openclipart", "side": side, "drawings": contents.digest, "vergence": __version__}
    folder = JobFolder.claim(out, job, present=present)
    card: dict[str, Any] | None = folder.read_json(CARD)
    if card is not None:
        return card
    drawn = [row for part in _parts(contents, folder, side, workers, progress) for row in part]
    rows, left_out = _rows(drawn, contents.links)
    with whole(folder.path / CORPUS, of_job=True) as partial:
        pq.write_table(pa.Table.from_pylist(rows, _ROW), partial, row_group_size=1024)
    counts = {"places": len(contents.drawings) + len(contents.links), "rows": len(rows)}
    card = {**job, "known": contents.digest == _KNOWN, **counts, **described(rows), "left_out": left_out}
    folder.write_json(CARD, {**card, **(about or {})})
    folder.remove(_PARTS)
    return {**card, **(about or {})}


def _fetched() -> Path:
    """The package in the cache, fetched if it is not there."""
    try:
        return keep_package(_PACKAGE, f"{_PACKAGE.name}.deb")
    except CorpusError as error:
        raise CorpusError(f"{error}; or pass --package FILE, a copy of {_PACKAGE.name}.deb") from error


def _contents(package: Path) -> Contents:
    """Read a package.

    Raises:
        CorpusError: If it is damaged, or holds no drawings.
    """
    files, found = read_folder(read_bytes(package, limit=_MOST_PACKAGE), _FOLDER, where=str(package))
    drawings = {path.removesuffix(".svg"): data for path, data in sorted(files.items()) if path.endswith(".svg")}
    links = {path.removesuffix(".svg"): to.removesuffix(".svg") for path, to in sorted(found.items())}
    if not drawings:
        raise CorpusError(f"{package}: holds no drawings in {_FOLDER}; it is not the package {_PACKAGE.name}")
    told = sha256()
    for key, content in [*drawings.items(), *((key, to.encode()) for key, to in links.items())]:
        told.update(f"{key}\0{len(content)}\0".encode())
        told.update(content)
    return Contents(drawings, links, told.hexdigest()[:32])


def _parts(
    contents: Contents, folder: JobFolder, side: int, workers: int, progress: Callable[[int, int], None]
) -> Iterator[list[dict[str, Any]]]:
    """Draw everything, a part at a time; parts that are in the folder already are read from there."""
    keys = list(contents.drawings)
    idle: SimpleQueue[Guarded] = SimpleQueue()
    readers = [Guarded(read_svg) for _ in range(workers)]
    for reader in readers:
        idle.put(reader)

    def draw(keys: Sequence[str], path: Path) -> pa.Table:
        if not path.is_file():
            reader = idle.get()
            try:
                drawn = [_drawn(reader, key, contents.drawings[key], side) for key in keys]
            finally:
                idle.put(reader)
            table = pa.Table.from_pylist(drawn, _DRAWING)
            with whole(path, of_job=True) as partial:
                pq.write_table(table, partial)
        return read_table(str(path))

    with ThreadPoolExecutor(workers, thread_name_prefix="draw") as pool:
        try:
            starts = range(0, len(keys), _PART)
            paths = [folder.path / _PARTS / f"{number:05d}.parquet" for number in range(len(starts))]
            found = [pool.submit(draw, keys[at : at + _PART], path) for at, path in zip(starts, paths, strict=True)]
            done = 0
            for future, path in zip(found, paths, strict=True):
                try:
                    rows: list[dict[str, Any]] = future.result().to_pylist()
                except CorpusError as error:
                    raise CorpusError(f"{error}. Remove {path} and resume: what it holds is then done again") from error
                done += len(rows)
                progress(done, len(keys))
                yield rows
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for reader in readers:
                reader.close()


def _drawn(reader: Guarded, key: str, data: bytes, side: int) -> dict[str, Any]:
    try:
        return {"key": key, **row_of(reader(data, side))}
    except CorpusError as error:
        return {"key": key, "reason": str(error)}


def _rows(
    drawn: Sequence[dict[str, Any]], links: Mapping[str, str]
) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
    """The rows of the table, and what has none: by reason, keys with the details."""
    by_key = {row["key"]: {**row, "copy_of": None} for row in drawn}
    missing = {"reason": "a link that leads to no drawing"}
    copies = [{**by_key.get(to, missing), "key": key, "copy_of": to} for key, to in links.items()]
    rows, left_out = [], dict[str, dict[str, str]]()
    for row in sorted([*by_key.values(), *copies], key=lambda row: row["key"]):
        if row["reason"] is None:
            rows.append({**row, "topic": row["key"].rpartition("/")[0]})
        else:
            reason, _, detail = row["reason"].partition(" (")
            left_out.setdefault(reason, {})[row["key"]] = detail.removesuffix(")")
    for row, cluster in zip(rows, link_drawings(rows), strict=True):
        row["cluster"] = cluster
    return rows, left_out
