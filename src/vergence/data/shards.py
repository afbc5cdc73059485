"""Pairs of tar shards, as WebDataset defines samples: members that share a name up to its first dot.

Images of a shard that is not packed stay where they are: it is known where in the file each begins.
"""

from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from vergence.data.rows import (
    CAPTIONS,
    IMAGE_SUFFIXES,
    Columns,
    Finder,
    Row,
    Span,
    Stored,
    captions_in,
    key_of,
    wrong_with,
)
from vergence.data.tabular import record_columns
from vergence.errors import CorpusError
from vergence.sources.encodings import utf8
from vergence.sources.problems import short
from vergence.sources.scanning import JSON
from vergence.sources.streams import STREAM_ERRORS, BrokenStreamError, members, open_stream, split_name

_IMAGES = tuple(suffix[1:] for suffix in IMAGE_SUFFIXES)
_MOST_TEXT = 1 << 26
_MOST_IMAGE = 1 << 30
_PACKED = (".gz", ".tgz", ".zst", ".zstd")


def shard_rows(file: Path, columns: Columns, finder: Finder) -> Iterator[Row]:
    """The pairs of a shard; a sample's key is its name."""
    packed, broken = file.suffix.lower() in _PACKED, None
    image_fields = (columns.image,) if columns.image else _IMAGES

    def limit(name: str) -> int:
        sample, field = split_name(name)
        if not sample:
            return -1
        if _is_image(field, image_fields):
            return _MOST_IMAGE if packed else -1
        return _MOST_TEXT if field.endswith(("txt", "json", "caption", "cls")) or field == columns.caption else -1

    samples: dict[str, dict[str, Any]] = {}
    held: Any
    fields: dict[str, None] = {}
    try:
        with closing(open_stream(file)) as stream:
            for member in members(stream, limit=limit):
                sample, field = split_name(member.name)
                if sample and member.is_file:
                    fields[field] = None
                    held = member.content
                    if _is_image(field, image_fields):
                        held = _set_aside(held, finder) if packed else Span(str(file), member.offset, member.size)
                    samples.setdefault(sample, {})[field] = held
    except (BrokenStreamError, *STREAM_ERRORS) as error:
        broken = Row(str(file), reason=f"the rest of the shard cannot be read: {short(error)}")
    if samples and not any(_is_image(field, image_fields) for field in fields):
        raise CorpusError(
            f"{file}: no sample has an image; fields: {', '.join(list(fields)[:20])}. Sought: {', '.join(image_fields)}"
        )
    for sample, held in samples.items():
        yield from _pairs(file, sample, held, columns, image_fields)
    if broken:
        yield broken


def _is_image(field: str, image_fields: tuple[str, ...]) -> bool:
    return field in image_fields or field.rpartition(".")[2] in image_fields


def _set_aside(content: bytes | None, finder: Finder) -> Stored | None:
    return finder.aside(content, sha256(content).digest()[:16]) if content else None


def _pairs(
    file: Path, sample: str, held: dict[str, Any], columns: Columns, image_fields: tuple[str, ...]
) -> Iterator[Row]:
    place = f"sample {sample} of {file}"
    image = next((held[field] for field in held if _is_image(field, image_fields) and held[field] is not None), None)
    try:
        said = _json(held)
        key = key_of(said.get(columns.key)) if columns.key else None
        cluster = said.get(columns.cluster) if columns.cluster else None
        texts = list(_captions(held, said, columns))
    except CorpusError as error:
        yield Row(place, image, key=sample, reason=str(error))
        return
    for text in texts:
        reason = wrong_with(text) or (None if image is not None else "no image")
        yield Row(place, image, text or "", key or sample, cluster, reason)


def _captions(held: dict[str, Any], said: dict[str, Any], columns: Columns) -> Iterator[str | None]:
    """The captions of a sample: of the field or key that was asked for, or of `txt`, or of a usual key of its JSON."""
    wanted = columns.caption
    for field in (wanted,) if wanted else ("txt", "caption"):
        if isinstance(content := held.get(field), bytes) and not field.endswith("json"):
            yield from captions_in(_text(content))
            return
    key = wanted.removeprefix("json.") if wanted else None
    if said and (key is None or key in said):
        if key is None:
            usual = [name for name in CAPTIONS if said.get(name)]
            key = usual[0] if usual else record_columns(Columns(image=""), [{"": ""} | said], where="json").caption
        yield from captions_in(said[key])
        return
    yield None


def _json(held: dict[str, Any]) -> dict[str, Any]:
    content = held.get("json")
    if not isinstance(content, bytes):
        return {}
    try:
        value = JSON.decode(utf8(content).decode())
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"its json is malformed: {short(error)}") from error
    return value if isinstance(value, dict) else {}


def _text(content: bytes) -> str:
    try:
        return utf8(content).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise CorpusError(f"caption is not well-formed UTF-8 ({error.reason})") from error
