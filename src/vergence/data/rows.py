"""One row of a source: an image that is not read yet, a caption, what they are called; and which columns say so."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from vergence.errors import CorpusError, unknown
from vergence.files import Scratch

IDENTIFIERS = ("key", "id", "ids")  # as those of embeddings and labels are called
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
IMAGES = (
    "image", "imagepath", "imagefile", "imagefilename", "imagename", "img", "imgpath", "imgfile", "imgname", "filename",
    "filepath", "file", "path", "picture", "photo", "jpg", "jpeg", "png", "webp",
)  # fmt: skip
CAPTIONS = (
    "caption", "captions", "text", "texts", "title", "titles", "description", "descriptions", "sentence", "sentences",
    "alttext", "alt", "prompt", "txt", "raw", "comment",
)  # fmt: skip
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_INNER = ("raw", "caption", "text", "sentence")  # where a caption stands within a record of one


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a source say what; each is found by its name where none is given.

    Args:
        image: Images: files as bytes, paths, or records of `bytes` or `path`; in tar shards a field.
        caption: Texts, or lists of them; in tar shards a field, or a key of the JSON in the field `json`.
        key: What each image is called; `key`, `id` or `ids` if `None`, and where there is none, the image's path.
        cluster: Equal for rows that belong together.
        root: Folder that paths are relative to; the one of the file that holds them if `None`.
    """

    image: str | None = None
    caption: str | None = None
    key: str | None = None
    cluster: str | None = None
    root: Path | None = None


class Span(NamedTuple):
    """Where the file of an image is within another: in an archive, or in the scratch file if there is no name."""

    file: str
    offset: int
    size: int


class Cell(NamedTuple):
    """A row of a Parquet or Arrow file whose image has been left there, and what tells its bytes from others."""

    file: str
    row: int
    digest: bytes


Stored: TypeAlias = str | Span | Cell  # a path, or a place within a file


def same_image(a: Stored | None, b: Stored | None) -> bool:
    """Whether two places hold the same bytes, as far as that is known without reading them."""
    return a.digest == b.digest if isinstance(a, Cell) and isinstance(b, Cell) else a == b


@dataclass(slots=True)
class Row:
    """A pair, or the reason why a row is none; the image has not been looked at."""

    place: str
    image: Stored | None = None
    text: str = ""
    key: str | None = None
    cluster: Any = None
    reason: str | None = None


class Chosen(NamedTuple):
    """The columns of one file, as it calls them."""

    image: str
    caption: str
    key: str | None
    cluster: str | None

    @property
    def names(self) -> list[str]:
        """Each once, in their order."""
        return list(dict.fromkeys(name for name in self if name is not None))


def choose(columns: Columns, names: Sequence[str], examples: Mapping[str, Sequence[Any]]) -> Chosen:
    """Find the columns of a file, by what was asked for, by usual names, or by what they hold.

    Args:
        columns: What was asked for.
        names: What the file has.
        examples: By name, some of the values, as far as they are known.

    Raises:
        CorpusError: If there is none of images or of captions; says which names were looked for and which there are.

    Example:
        >>> choose(Columns(), ["id", "File Name", "title"], {})
        Chosen(image='File Name', caption='title', key='id', cluster=None)
        >>> choose(Columns(), ["pic", "words"], {"pic": ["a/1.PNG", "a/2.PNG"], "words": ["a dog", "a cat"]})
        Chosen(image='pic', caption='words', key=None, cluster=None)
    """
    for asked in (columns.image, columns.caption, columns.key, columns.cluster):
        if asked is not None and asked not in names:
            raise CorpusError(unknown("column", asked, _some(names)))
    image = _usual(IMAGES, names) or next((name for name in names if _are_paths(examples.get(name, ()))), None)
    image = image if columns.image is None else columns.image
    if image is None:
        raise CorpusError(_none_of("images", "image_column", ("image", "file_name", "filepath", "path"), names))
    key = columns.key or next((name for name in IDENTIFIERS if name in names), None)
    rest = [name for name in names if name not in (image, key)]
    caption = columns.caption or _usual(CAPTIONS, rest)
    if caption is None:
        texts = [name for name in rest if name != columns.cluster and _are_texts(examples.get(name, ()))]
        caption = texts[0] if len(texts) == 1 else None
    if caption is None:
        raise CorpusError(_none_of("captions", "caption_column", ("caption", "text", "title", "description"), names))
    return Chosen(image, caption, key, columns.cluster)


def _usual(known: Sequence[str], names: Sequence[str]) -> str | None:
    plain = {re.sub(r"[\W_]+", "", name.casefold()): name for name in reversed(names)}
    return next((plain[name] for name in known if name in plain), None)


def _none_of(what: str, setting: str, sought: Sequence[str], names: Sequence[str]) -> str:
    option = "--" + setting.replace("_", "-")
    return (
        f"no column of {what}: none is called {', '.join(sought)} or the like; it has: {', '.join(_some(names))}. "
        f"Name one: data.{setting} in a configuration, {option} of embed"
    )


def _some(names: Sequence[str]) -> list[str]:
    shown = [name if len(name) <= 60 else f"{name[:59]}…" for name in names[:20]]
    return shown + [f"… and {len(names) - 20} more"] * (len(names) > 20) or ["nothing"]


def _are_paths(values: Sequence[Any]) -> bool:
    texts = [value for value in values if isinstance(value, str) and value]
    return bool(texts) and all(is_image(value) for value in texts)


def _are_texts(values: Sequence[Any]) -> bool:
    texts = [value for value in values if isinstance(value, str) and value]
    return bool(texts) and any(" " in value for value in texts) and not any(map(is_image, texts))


def is_image(name: str) -> bool:
    """Whether a name ends as images do, in whatever case."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def captions_in(value: Any) -> Iterable[str | None]:
    """The captions that a value holds: a text, or lists and records of them; `None` for one that is missing.

    Raises:
        CorpusError: If it holds something else.
    """
    match value:
        case None:
            yield None
        case str():
            yield value
        case bytes():
            try:
                yield value.decode()
            except UnicodeDecodeError as error:
                raise CorpusError(f"caption is not well-formed UTF-8 ({error.reason})") from error
        case list() | tuple():
            if not value:
                yield None
            for entry in value:
                yield from captions_in(entry)
        case dict() if found := [name for name in _INNER if name in value]:
            yield from captions_in(value[found[0]])
        case _:
            raise CorpusError(f"caption is {type(value).__name__}, not text")


def wrong_with(text: str | None) -> str | None:
    """Why a caption cannot be used; `None` if it can."""
    if text is None:
        return "no caption"
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        return "caption is not well-formed text"
    return None if text.strip() else "empty caption"


def key_of(value: Any) -> str | None:
    """What an item is called, by the value of a column; whole numbers are called alike however they are written."""
    if value is None or value == "":
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


class Finder:
    """Finds images, whose paths are relative to some folder; sets aside those that come as bytes.

    Args:
        scratch: For what is given as bytes.
        root: The folder that the user named; `None` for the usual places.
        source: The folder that the user named as the source, if it is one: searched through in the last place.
        in_place: Whether bytes that can be read again from where they are stay there.
    """

    def __init__(self, scratch: Scratch, root: Path | None, source: Path | None, *, in_place: bool = False) -> None:
        self._scratch, self._root, self._source, self._in_place = scratch, root, source, in_place
        self._aside: dict[bytes, Span] = {}
        self._index: dict[str, list[str]] | None = None

    def path(self, given: str, folders: Sequence[Path]) -> str:
        """The path of an image, as absolute as its folders are; whether or not there is such a file.

        Args:
            given: As the source has it.
            folders: Where to look, the first first.

        Raises:
            CorpusError: If it is a URL.
        """
        text = given.strip().removeprefix("file://")
        if _URL.match(text):
            raise CorpusError(
                f"image is a URL, {text[:60]!r}, and nothing is downloaded; download the images and give their paths"
            )
        roots = [self._root] if self._root else list(folders)
        for name in dict.fromkeys((text, text.replace("\\", "/"))):
            for folder in roots:
                if (path := folder / name).is_file():
                    return str(path)
        return self._only(text) or str(roots[0] / text)

    def aside(self, data: bytes, digest: bytes, *, cell: tuple[str, int] | None = None) -> Span | Cell:
        """Where the bytes of an image now are: in the row that they came from, or set aside, the same bytes once."""
        if cell is not None and self._in_place:
            return Cell(*cell, digest)
        if digest not in self._aside:
            self._aside[digest] = Span("", *self._scratch.add(data))
        return self._aside[digest]

    def _only(self, text: str) -> str | None:
        """The one file below the source that is called so, wherever it is."""
        if self._source is None or self._root is not None:
            return None
        if self._index is None:
            self._index = {}
            for path in sorted(self._source.rglob("*")):
                if is_image(path.name):
                    self._index.setdefault(path.name, []).append(str(path))
        tail = Path(text.replace("\\", "/"))
        found = [path for path in self._index.get(tail.name, ()) if Path(path).parts[-len(tail.parts) :] == tail.parts]
        found = found or self._index.get(tail.name, [])
        return found[0] if len(found) == 1 else None
