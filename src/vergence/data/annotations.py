"""Pairs of JSON documents: COCO's annotations, Karpathy's splits, and records, columns or captions by image."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from vergence.data.rows import Chosen, Columns, Finder, Row, captions_in, is_image, key_of, wrong_with
from vergence.data.tabular import Taker, line_rows, record_columns
from vergence.errors import CorpusError, unknown
from vergence.sources.encodings import Peeked, Recoded
from vergence.sources.problems import short
from vergence.sources.scanning import JSON, Scanner, Skipped
from vergence.sources.streams import STREAM_ERRORS, BrokenStreamError, Stream, open_stream

_MOST = 1 << 26  # bytes of one entry
_EXAMPLES = 20
_UNUSED = frozenset(  # of what COCO and Karpathy say of an image or an object
    {"segmentation", "bbox", "area", "iscrowd", "license", "flickr_url", "coco_url", "date_captured", "tokens",
     "sentids", "keypoints", "num_keypoints"}
)  # fmt: skip


def document_rows(file: Path, columns: Columns, finder: Finder, folders: Sequence[Path]) -> Iterator[Row]:
    """The pairs of a JSON document.

    Raises:
        CorpusError: If it is none, or of a form that holds no pairs.
    """
    if _is_lines(file):
        yield from line_rows(file, columns, finder, folders)
        return
    content = _content(file)
    folders = _folders(file, folders)
    images, annotations = content.get("images"), content.get("annotations")
    if isinstance(images, list) and isinstance(annotations, list):
        _refuse_other_columns(file, columns, image="file_name", caption="caption")
        yield from _coco(file, images, annotations, finder, folders)
    elif isinstance(images, list) and any("sentences" in entry for entry in images):
        _refuse_other_columns(file, columns, image="filename", caption="sentences")
        yield from _karpathy(file, images, finder, folders)
    elif records := _records(content):
        chosen = record_columns(columns, records[:_EXAMPLES], where=file)
        taker = Taker(chosen, finder, folders)
        for number, record in enumerate(records, 1):
            yield from taker.pairs(f"item {number} of {file}", record)
    else:
        by_name = {name: value for name, value in content.items() if name and is_image(name)}
        if not by_name:
            raise CorpusError(
                f"{file} holds no pairs: neither COCO's images and annotations, nor images with sentences, nor a list "
                "of records, nor captions by the path of their image"
            )
        taker = Taker(Chosen("image", "caption", None, None), finder, folders)
        for number, (name, value) in enumerate(by_name.items(), 1):
            yield from taker.pairs(f"item {number} of {file}", {"image": name, "caption": value})


def _refuse_other_columns(file: Path, columns: Columns, *, image: str, caption: str) -> None:
    """Of annotations in a fixed form, no other columns can be asked for than those that they have."""
    for asked, known in (
        (columns.image, image),
        (columns.caption, caption),
        (columns.key, None),
        (columns.cluster, None),
    ):
        if asked is not None and asked != known:
            raise CorpusError(f"{file}: {unknown('column', asked, [image, caption])}")


def _coco(
    file: Path, images: Sequence[dict[str, Any]], annotations: Sequence[dict[str, Any]], finder: Finder,
    folders: Sequence[Path],
) -> Iterator[Row]:  # fmt: skip
    """A caption names its image by number."""
    names = {image.get("id"): image.get("file_name") for image in images}
    if not any("caption" in annotation for annotation in annotations):
        raise CorpusError(
            f"{file} holds COCO annotations without captions; name a file such as captions_train2017.json"
        )
    for number, annotation in enumerate(annotations, 1):
        place, text = f"annotation {number} of {file}", annotation.get("caption")
        key, name = key_of(annotation.get("image_id")), names.get(annotation.get("image_id"))
        if not isinstance(name, str) or not name:
            yield Row(place, key=key, reason=f"no image has the id {key}")
            continue
        reason = wrong_with(text) if text is None or isinstance(text, str) else "caption is no text"
        yield Row(place, finder.path(name, folders), text if isinstance(text, str) else "", key, reason=reason)


def _karpathy(file: Path, images: Sequence[dict[str, Any]], finder: Finder, folders: Sequence[Path]) -> Iterator[Row]:
    """An image with all its sentences; `filepath` is the folder that it is in, where there is one."""
    for number, image in enumerate(images, 1):
        place, name = f"image {number} of {file}", image.get("filename") or image.get("file_name")
        if not isinstance(name, str):
            yield Row(place, reason="no image")
            continue
        inner = image.get("filepath") or ""
        places = [*(folder / inner for folder in folders if inner), *folders]
        for text in captions_in(image.get("sentences")):
            yield Row(place, finder.path(name, places), text or "", name, reason=wrong_with(text))


def _folders(file: Path, folders: Sequence[Path]) -> list[Path]:
    """Where images of an annotation file usually are: beside it or its folder, in one called after the split."""
    split = file.name.partition(".")[0].rpartition("_")[2]
    around = list(dict.fromkeys([*folders, file.parent, file.parent.parent]))
    inner = ("", "images", split, f"images/{split}", "imgs", "Images")
    return [folder / name for folder in around for name in inner]


def _records(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The one list of objects in a document, or the columns of one written as lists of one length, as objects."""
    lists = {name: value for name, value in content.items() if isinstance(value, list) and value}
    objects = [value for value in lists.values() if isinstance(value[0], dict)]
    if objects:
        return [entry for entry in max(objects, key=len) if isinstance(entry, dict)]
    if len(lists) > 1 and len(set(map(len, lists.values()))) == 1 and not any(map(is_image, lists)):
        return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    return []


def _is_lines(file: Path) -> bool:
    """Whether the first line is an object and another line follows."""
    try:
        with closing(open_stream(file)) as stream:
            first, _, more = Peeked(Recoded(stream)).head.lstrip().partition(b"\n")
        return bool(more.strip()) and isinstance(JSON.decode(first.decode()), dict)
    except (ValueError, RecursionError, BrokenStreamError, *STREAM_ERRORS):
        return False  # reading it as a document will say what is wrong


def _content(file: Path) -> dict[str, Any]:
    """What a document holds, without what nobody needs; a list stands under the name ""."""
    try:
        with closing(open_stream(file)) as stream:
            return _read(Recoded(stream))
    except (ValueError, RecursionError, BrokenStreamError, *STREAM_ERRORS) as error:
        raise CorpusError(f"{file}: cannot be read as JSON: {short(error)}") from error


def _read(stream: Stream) -> dict[str, Any]:
    scanner = Scanner(stream, _MOST, JSON.raw_decode)
    match scanner.peek():
        case "[":
            return {"": _entries(scanner)}
        case "{":
            content: dict[str, Any] = {}
            for name in scanner.members():
                value = _entries(scanner) if scanner.peek() == "[" else scanner.value_or_skip()
                if not isinstance(value, Skipped):
                    content[name] = value
            return content
    raise ValueError("neither an object nor a list")


def _entries(scanner: Scanner) -> list[Any]:
    return [
        {name: value for name, value in entry.items() if name not in _UNUSED} if isinstance(entry, dict) else entry
        for entry in scanner.entries()
        if not isinstance(entry, Skipped)
    ]


def sidecar_rows(images: Sequence[Path], folder: Path, columns: Columns) -> Iterator[Row]:
    """The pairs of images beside which stand files of the same name with their captions.

    Args:
        images: The images.
        folder: What they are called by their place in.
        columns: Which key of a JSON file is the caption.
    """
    for image in images:
        name = image.relative_to(folder).as_posix() if image.is_relative_to(folder) else str(image)
        beside = sidecar_of(image)
        if beside is None:
            yield Row(str(image), str(image), key=name, reason="no caption")
            continue
        try:
            texts: list[str | None] = _beside(beside, columns)
        except CorpusError as error:
            yield Row(str(beside), str(image), key=name, reason=str(error))
            continue
        for text in texts:
            yield Row(str(beside), str(image), text or "", name, reason=wrong_with(text))


def sidecar_of(image: Path) -> Path | None:
    """The file with an image's captions, if there is one."""
    places = (image.with_suffix(suffix) for suffix in (".txt", ".caption", ".json", ".TXT"))
    return next((path for path in places if path.is_file()), None)


def _beside(file: Path, columns: Columns) -> list[str | None]:
    try:
        with closing(open_stream(file)) as stream:
            data = Peeked(Recoded(stream), _MOST).head
        text = data.decode()
        if file.suffix.lower() != ".json":
            found = [line for line in text.splitlines() if line.strip()]
            return list(found) or [text]
        value = JSON.decode(text)
    except (ValueError, RecursionError, *STREAM_ERRORS) as error:
        raise CorpusError(f"caption cannot be read: {short(error)}") from error
    if isinstance(value, dict):
        given = {"": ""} | {name: part for name, part in value.items() if part is not None}
        chosen = record_columns(Columns(image="", caption=columns.caption), [given], where=file)
        value = value.get(chosen.caption)
    return list(captions_in(value))
