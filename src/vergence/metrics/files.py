"""Embedding files: rows of numbers with the identifiers that say which item each row is of.

Identifiers are compared by value, whatever their type: 7, 7.0 and "7" name one item. Rows are paired by position only
where neither side has identifiers, or where that was asked for.
"""

import mmap
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer

from vergence.errors import ConfigError, CorpusError, ShapeError
from vergence.metrics.formats import READERS, identifiers_beside, map_npy
from vergence.metrics.identifiers import IDENTIFIERS, PAIRINGS, how_to_pair, identifier_column, match_rows, row_of_each
from vergence.metrics.parts import holds_parts, read_parts
from vergence.metrics.rows import AT_ONCE, Rows, let_go

__all__ = [
    "IDENTIFIERS",
    "PAIRINGS",
    "Embeddings",
    "how_to_pair",
    "identifier_column",
    "match_rows",
    "pair_rows",
    "read_embeddings",
]


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Rows of an embedding file, and the identifiers of their items if the file gives any.

    Where an image has several texts, `images` says of which image each text is, by that one's identifier.
    """

    path: Path
    values: Float[np.ndarray, "n dim"]
    identifiers: tuple[Hashable, ...] | None
    images: tuple[Hashable, ...] | None = None
    mapping: mmap.mmap | None = None  # the file, where values are read when they are looked at

    def rows(self, order: Integer[np.ndarray, "m"] | None = None) -> Rows:
        """The rows, or some of them in an order, to be read some at a time."""
        return Rows(values=self.values, order=order, mapping=self.mapping, name=str(self.path))

    def without_further(self) -> "Embeddings":
        """The first text of each image alone, which has the identifier of the image."""
        if self.images is None or self.identifiers is None:
            return self
        pairs = zip(self.identifiers, self.images, strict=True)
        rows = [row for row, (identifier, image) in enumerate(pairs) if identifier == image]
        return Embeddings(
            path=self.path, values=self.values[rows], identifiers=tuple(self.identifiers[row] for row in rows)
        )


def read_embeddings(path: Path, *, mapped: bool = False) -> Embeddings:
    """Read embeddings from a `.npy`, `.safetensors` or `.parquet` file, or from a folder of parts.

    Identifiers are the `identifier_column` of a Parquet file; an integer tensor called `key`, `id` or `ids`;
    beside `x.npy` those of `x.parquet`. Embeddings are the only other two-dimensional tensor, or the only column of
    lists. Numbers of 8 bits and bfloat16 become float32, other whole numbers float64: no value changes.

    A folder `img_emb` or `text_emb`, as clip-retrieval and `vergence embed --format npy` write them, is read with the
    identifiers of the folder `metadata` beside it; of images that are repeated for each of their texts, each once.

    Args:
        path: The file or folder.
        mapped: Whether the rows of a `.npy` file stay where they are until they are looked at, so that files larger
            than the memory can be read; those of the other forms and of folders are read at once.

    Raises:
        ConfigError: If the name ends otherwise.
        CorpusError: If the file is missing or damaged, holds no embeddings or several, no row or no column, or NaN; or
            if identifiers are repeated, null, neither whole numbers nor text, or not as many as rows.
    """
    if holds_parts(path):
        return _checked(path, *read_parts(path), None)
    form = path.suffix.lower()
    if form not in READERS:
        raise ConfigError(f"embeddings must be a file ending in {', '.join(READERS)}; got {path}")
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is missing"
        raise CorpusError(f"{path} {what}; pass the path of an existing file")
    mapping = None
    if mapped and form == ".npy":
        (values, mapping), identifiers, images = map_npy(path), identifiers_beside(path), None
    else:
        values, identifiers, images = READERS[form](path)
    return _checked(path, values, identifiers, images, mapping)


def _checked(
    path: Path,
    values: np.ndarray,
    identifiers: tuple[Hashable, ...] | None,
    images: tuple[Hashable, ...] | None,
    mapping: mmap.mmap | None,
) -> Embeddings:
    """Refuse what are no rows of finite numbers, each of an item of its own."""
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise CorpusError(f"{path} must hold rows of numbers; got {values.dtype} of shape {values.shape}")
    if 0 in values.shape:
        raise CorpusError(f"{path} holds no embeddings: {values.shape[0]} rows of {values.shape[1]} numbers")
    if values.dtype.kind != "f" or values.dtype.itemsize > 8:
        values, mapping = values.astype(np.float32 if values.dtype.itemsize == 1 else np.float64), None
    bad = _not_finite(values, mapping)
    if len(bad):
        raise CorpusError(
            f"{path} holds NaN or infinity in {len(bad)} of {len(values)} rows, the first is row {bad[0]}"
        )
    if identifiers is not None and len(identifiers) != len(values):
        raise CorpusError(f"{path} has {len(values)} rows and {len(identifiers)} identifiers; they must pair")
    if identifiers is not None:
        row_of_each(identifiers, where=path)
    return Embeddings(path=path, values=values, identifiers=identifiers, images=images, mapping=mapping)


def _not_finite(values: np.ndarray, mapping: mmap.mmap | None) -> Integer[np.ndarray, "bad"]:
    found = [np.arange(0)]
    for start in range(0, len(values), AT_ONCE):
        some = values[start : start + AT_ONCE]
        bad = np.flatnonzero(~np.isfinite(some.sum(1, dtype=np.float64)))
        found.append(start + bad[~np.isfinite(some[bad]).all(1)])  # a sum of finite numbers may overflow
        let_go(mapping)
    return np.concatenate(found)


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two files of the same items.

    Args:
        x: One; without further texts of an image, unless both files are of such texts.
        y: The other likewise.
        order: Which row of y is of the item of each row of x; `None` if it is the same row.
        how: "identifier" or "position".
    """

    x: Embeddings
    y: Embeddings
    order: Integer[np.ndarray, "n"] | None
    how: str


def pair_rows(
    x: Embeddings, y: Embeddings, *, by: str | None = None
) -> tuple[Float[np.ndarray, "n dim_x"], Float[np.ndarray, "n dim_y"], str]:
    """Put the rows of y in the order of x.

    Args:
        x: One file.
        y: The other, of the same items.
        by: "identifier" or "position"; as `how_to_pair` decides if `None`.

    Returns:
        The rows of both, and how they were paired: "identifier" or "position". Of images with several texts each, the
        first text is taken, unless both files are of such texts.

    Raises:
        ConfigError: If `by` is neither.
        CorpusError: If an item is in one file only, or only one file says which item a row is of.
        ShapeError: If rows are to be paired by position and their numbers differ.
    """
    paired = pair(x, y, by=by)
    return paired.x.values, paired.y.values if paired.order is None else paired.y.values[paired.order], paired.how


def pair(x: Embeddings, y: Embeddings, *, by: str | None = None) -> Paired:
    """Find the row of y for each row of x, as `pair_rows` does, and leave the rows where they are."""
    if x.images is None or y.images is None:  # images pair with the first text of each
        x, y = x.without_further(), y.without_further()
    how = how_to_pair(x.identifiers, y.identifiers, by=by, x_in=x.path, y_in=y.path)
    if how == "position":
        if len(x.values) != len(y.values):
            raise ShapeError(
                f"{x.path} has {len(x.values)} rows and {y.path} {len(y.values)}, which do not pair by position; give "
                f"both a column called {IDENTIFIERS[0]!r} that says which item a row is of"
            )
        return Paired(x=x, y=y, order=None, how=how)
    assert x.identifiers is not None
    assert y.identifiers is not None
    match_rows(y.identifiers, x.identifiers, wanted_in=y.path, offered_in=x.path)
    order = match_rows(x.identifiers, y.identifiers, wanted_in=x.path, offered_in=y.path)
    return Paired(x=x, y=y, order=order, how=how)
