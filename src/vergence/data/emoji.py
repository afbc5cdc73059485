"""The embedded default set: drawings with labels, tags and the factors that their metadata state exactly.

Fluent 3D emoji (images) joined with emojibase (text) by `scripts/build_emoji.py`, which documents every choice. Both
come under the MIT licence; its texts lie beside the file.
"""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import SupportsIndex, overload

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from vergence.arrow import read_table
from vergence.errors import CorpusError, FactorError, unknown
from vergence.factors import Factor, FactorSpace
from vergence.files import decode, parse_json

Rows = Sequence[int] | np.ndarray | Tensor  # row numbers, or one boolean for each row

_PACKAGED = files("vergence.data") / "emoji.parquet"
_SIDE = 64
_COLUMNS = ("hexcode", "label", "tags", "concept", "skin_tone", "gender", "group", "subgroup", "image")
_FACTORS = ("skin_tone", "gender", "group", "subgroup")
_MAY_BE_NULL = ("skin_tone", "gender")
_TYPES: Mapping[str, pa.DataType] = MappingProxyType({"tags": pa.list_(pa.string()), "image": pa.binary()})
_DESCRIPTION = b"vergence"  # key of the Parquet metadata: factors with their values in order, sources, versions
_REMEDY = "install vergence again, or rebuild the file with: python scripts/build_emoji.py"


@dataclass(frozen=True, eq=False)
class EncodedImages(Sequence[Image.Image]):
    """Images that stay encoded until asked for.

    Args:
        encoded: One WebP file of 64 x 64 pixels for each image.

    Example:
        >>> images = load_emoji().images
        >>> images[0].size, images[0].mode, len(images[:10])
        ((64, 64), 'RGB', 10)
        >>> images.tensor([0, 1]).shape
        torch.Size([2, 3, 64, 64])
    """

    encoded: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.encoded)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> "EncodedImages": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "Image.Image | EncodedImages":
        if isinstance(index, slice):
            return EncodedImages(self.encoded[index])
        try:
            with Image.open(io.BytesIO(self.encoded[index]), formats=["WEBP"]) as image:
                if image.size != (_SIDE, _SIDE):  # known from the header: a huge image is refused before it is decoded
                    raise OSError(f"it has {image.width} x {image.height} pixels instead of {_SIDE} x {_SIDE}")
                return image.convert("RGB")
        except OSError as error:
            raise CorpusError(f"cannot decode image {index}: {_first_line(error)}; {_REMEDY}") from error

    def tensor(self, indices: Rows | None = None) -> UInt8[Tensor, "n 3 64 64"]:
        """Decode images into one tensor.

        Args:
            indices: Which ones, in which order; all if `None`.

        Returns:
            Colour channels in [0, 255].

        Raises:
            CorpusError: If an image is damaged.
            IndexError: If an index is out of range.
        """
        rows = range(len(self)) if indices is None else _rows(indices, len(self))
        pixels = np.empty((len(rows), _SIDE, _SIDE, 3), dtype=np.uint8)
        for position, row in enumerate(rows):
            pixels[position] = self[row]
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()

    def __repr__(self) -> str:
        return f"EncodedImages({len(self)} images)"


@dataclass(frozen=True, eq=False)
class EmojiSet:
    """Images with captions, and the factors that the metadata state about them. All parts have one entry for each item.

    Args:
        images: RGB on white, 64 x 64 pixels, decoded when asked for.
        captions: English labels: "woman farmer: dark skin tone". No two are alike.
        tags: English keywords. Forms of one emoji by skin tone share theirs.
        space: The factors skin_tone, gender, group and subgroup, all discrete.
        labels: One column for each factor. `None` where the metadata do not state one value for everyone depicted: an
            emoji in default yellow has no tone, a couple of a woman and a man no gender, and neither has "farmer".
        concepts: Name of the base concept, the same for all forms of it by gender, tone, hair and direction: "farmer".
        hexcodes: Code points as emojibase writes them, with which other languages and sets can be joined.

    Example:
        >>> emoji = load_emoji()
        >>> emoji
        EmojiSet(3372 images of 1646 concepts; factors: skin_tone, gender, group, subgroup)
        >>> farmers = emoji.take(emoji.concepts == "farmer")
        >>> farmers.captions[0], *farmers.labels.loc[0, ["skin_tone", "gender"]]
        ('man farmer: light skin tone', 'light', 'man')
    """

    images: EncodedImages
    captions: list[str]
    tags: list[tuple[str, ...]]
    space: FactorSpace
    labels: pd.DataFrame
    concepts: np.ndarray
    hexcodes: list[str]

    def __len__(self) -> int:
        return len(self.captions)

    def take(self, indices: Rows) -> "EmojiSet":
        """Select items without decoding them.

        Args:
            indices: Row numbers in the wanted order, or one boolean for each item.

        Returns:
            The selected items; the index of `labels` counts from 0 again.

        Raises:
            IndexError: If an index is out of range.
        """
        rows = _rows(indices, len(self))
        return EmojiSet(
            images=EncodedImages(tuple(self.images.encoded[row] for row in rows)),
            captions=[self.captions[row] for row in rows],
            tags=[self.tags[row] for row in rows],
            space=self.space,
            labels=self.labels.iloc[rows].reset_index(drop=True),
            concepts=self.concepts[rows],
            hexcodes=[self.hexcodes[row] for row in rows],
        )

    def __repr__(self) -> str:
        n_concepts = len(set(self.concepts))
        return f"EmojiSet({len(self)} images of {n_concepts} concepts; factors: {', '.join(self.space.names)})"


def load_emoji(path: Path | None = None) -> EmojiSet:
    """Load the default set, or another file that `scripts/build_emoji.py` wrote.

    Args:
        path: The file; the one in the package if `None`.

    Returns:
        The set, with its images still encoded.

    Raises:
        CorpusError: If the file is missing, truncated, damaged or not such a set; one line that names the remedy.

    Example:
        >>> emoji = load_emoji()
        >>> emoji.captions[:2], emoji.space["gender"].values
        (['keycap: #', 'keycap: *'], ('woman', 'man'))
    """
    source = path or _PACKAGED
    table = _read(source)
    space = _space(table, source)
    _check_columns(table, space, source)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return EmojiSet(
        images=EncodedImages(tuple(columns["image"])),
        captions=columns["label"],
        tags=[tuple(tags) for tags in columns["tags"]],
        space=space,
        labels=pd.DataFrame({name: columns[name] for name in space}, dtype=object),
        concepts=np.array(columns["concept"]),
        hexcodes=columns["hexcode"],
    )


def _read(source: Path | Traversable) -> pa.Table:
    try:
        if source == _PACKAGED:  # known to be small and whole, or not there
            table = pq.read_table(pa.BufferReader(source.read_bytes()), page_checksum_verification=True)
        elif os.path.isfile(str(source)):
            table = read_table(str(source))
        else:
            raise CorpusError(f"{source} {'is no file' if os.path.exists(str(source)) else 'does not exist'}")
    except CorpusError as error:
        raise CorpusError(f"{error}; {_REMEDY}") from error
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{source} is truncated or damaged ({_first_line(error)}); {_REMEDY}") from error
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing or _DESCRIPTION not in (table.schema.metadata or {}):
        lacking = ", ".join(missing) or "the description of its factors"
        raise CorpusError(f"{source} is a Parquet file but not an emoji set: it lacks {lacking}; {_REMEDY}")
    return table


def _space(table: pa.Table, source: Path | Traversable) -> FactorSpace:
    """The factors that the file's description names, with their values in order."""
    try:
        said = parse_json(decode(table.schema.metadata[_DESCRIPTION], where=str(source)), where=str(source))
        factors = said["factors"]
        if list(factors) != list(_FACTORS) or not all(
            isinstance(known, list) and all(isinstance(value, str) for value in known) for known in factors.values()
        ):
            raise TypeError("its factors are not lists of texts")
        return FactorSpace(tuple(Factor(name, tuple(known)) for name, known in factors.items()))
    except (CorpusError, FactorError, KeyError, TypeError) as error:
        raise CorpusError(f"{source} does not describe its factors ({_first_line(error)}); {_REMEDY}") from error


def _check_columns(table: pa.Table, space: FactorSpace, source: Path | Traversable) -> None:
    """Require rows, and each column to be of its type; a tone or gender may be unknown, no factor has another value."""
    if not len(table):
        raise CorpusError(f"{source} holds no rows; {_REMEDY}")
    for name in _COLUMNS:
        column, kind = table[name], _TYPES.get(name, pa.string())
        if column.type != kind or (name not in _MAY_BE_NULL and column.null_count):
            given = f"{column.type}, {column.null_count} of them null"
            raise CorpusError(f"{source}: column {name} must be {kind}; got {given}. {_REMEDY}")
    if pc.any(pc.is_null(pc.list_flatten(table["tags"]))).as_py():
        raise CorpusError(f"{source}: tags must be texts; some are null. {_REMEDY}")
    for factor in space.factors:
        if strange := set(table[factor.name].to_pylist()) - {None, *(factor.values or ())}:
            raise CorpusError(f"{source}: {unknown(factor.name, min(strange), factor.values or ())}. {_REMEDY}")


def _rows(indices: Rows, n: int) -> Int[np.ndarray, " _"]:
    chosen = np.asarray(indices)
    if not chosen.size:
        chosen = chosen.astype(np.int64)  # numpy takes an empty list for floats, which cannot index
    rows: np.ndarray = np.arange(n)[chosen]
    return rows


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
