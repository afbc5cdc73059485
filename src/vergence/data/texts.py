"""Texts by what they are called, whether or not there are images: captions that a model wrote, and references."""

from dataclasses import replace
from pathlib import Path

from vergence.data.rows import IDENTIFIERS, Columns
from vergence.data.source import Source, read_source
from vergence.errors import CorpusError


def read_texts(
    path: str | Path,
    columns: Columns = Columns(),  # noqa: B008 - frozen
) -> dict[str, list[str]]:
    r"""Read the texts of a source, in the order of its rows; images need not be there.

    Args:
        path: What `read_source` takes; or such a table that has a key and texts alone.
        columns: Which columns of it say what.

    Returns:
        By key, one text or more; where there is none, one that is empty.

    Raises:
        CorpusError: If there is no column of keys, or of texts, or no row.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "said.jsonl").write_text('{"key": "a", "caption": "a cup"}\n{"key": 7, "caption": ""}')
        ...     read_texts(Path(folder, "said.jsonl"))
        {'a': ['a cup'], '7': ['']}
    """
    found: dict[str, list[str]] = {}
    for row in _read(path, columns).rows:
        if row.key is not None:
            found.setdefault(row.key, []).append(row.text)
    return {key: [text for text in some if text.strip()] or [""] for key, some in found.items()}


def _read(path: str | Path, columns: Columns) -> Source:
    try:
        return read_source(path, columns)
    except CorpusError as error:
        if columns.image is not None:
            raise
        refused = error
    for key in IDENTIFIERS if columns.key is None else (columns.key,):
        try:  # keys stand in for images, of which none is looked at
            return read_source(path, replace(columns, image=key, key=key))
        except CorpusError:
            continue
    names = ", ".join(IDENTIFIERS) if columns.key is None else columns.key
    raise CorpusError(f"{path} has no texts with keys: it needs a column of keys ({names}), as text; {refused}")
