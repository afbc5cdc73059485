"""Images of a source, whether or not they have captions."""

from collections.abc import Mapping
from pathlib import Path

from vergence.data.rows import Columns, Row, is_image, same_image
from vergence.data.source import Source, read_source
from vergence.errors import CorpusError
from vergence.files import Scratch
from vergence.sources.walking import Aside, walk


def read_pictures(
    path: str | Path,
    columns: Columns = Columns(),  # noqa: B008 - frozen
) -> tuple[Source, Mapping[str, int], Mapping[str, str]]:
    """Read where the images of a source are; no image has been looked at.

    Args:
        path: What `read_source` takes; or an image, or a folder of images of which none needs a caption.
        columns: Which columns of it say what.

    Returns:
        Its rows; by key, the first row of each image; and by key, why there is no image.

    Raises:
        CorpusError: If there is no image, or one key names two.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("RGB", (9, 9)).save(f"{folder}/a.png")
        ...     read_pictures(folder)[1]
        {'a.png': 0}
    """
    bare = _bare(Path(path))
    try:
        source = read_source(path, columns)
    except CorpusError:
        if not bare:
            raise
        source = Source(Path(path).name, bare, Scratch(), ())
    first: dict[str, int] = {}
    lost: dict[str, str] = {}
    for number, row in enumerate(source.rows):
        key = row.place if row.key is None else row.key
        if row.image is None:
            lost.setdefault(key, row.reason or "no image")
            continue
        before = source.rows[first.setdefault(key, number)]
        if not same_image(before.image, row.image):
            raise CorpusError(
                f"the key {key!r} names two images: {before.place} and {row.place}; name a column that tells them "
                "apart: --key-column"
            )
    if not first:
        reasons = "; ".join(f"{place}: {reason}" for place, reason in list(lost.items())[:1])
        raise CorpusError(f"{source.name} holds {len(source.rows)} rows and no image; {reasons}")
    return source, first, {key: reason for key, reason in lost.items() if key not in first}


def _bare(path: Path) -> list[Row]:
    """Images that a path names, or a folder holds, called by their place in it."""
    if path.is_file() and is_image(path.name):
        return [Row(str(path), str(path), key=path.name)]
    if not path.is_dir():
        return []
    found = [file for file in walk(path, Aside()) if is_image(file.name)]
    return [Row(str(file), str(file), key=file.relative_to(path).as_posix()) for file in found]
