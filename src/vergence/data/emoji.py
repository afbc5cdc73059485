"""The embedded default set: drawings with labels, tags and the factors that their metadata state exactly.

Fluent 3D emoji (images) joined with emojibase (text) by `scripts/build_emoji.py`, which documents every choice. Both
come under the MIT licence; its texts lie beside the file.
"""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int
from PIL import Image

from vergence.arrow import read_table
from vergence.errors import CorpusError, FactorError, first_line, unknown
from vergence.factors import Factor, FactorSpace
from vergence.files import decode, parse_json
from vergence.images import Images
from vergence.pairs import Pairs

_PACKAGED = files("vergence.data") / "emoji.parquet"
_SIDE = 64
_COLUMNS = ("hexcode", "label", "tags", "concept", "skin_tone", "gender", "group", "subgroup", "image")
_FACTORS = ("skin_tone", "gender", "group", "subgroup")
_MAY_BE_NULL = ("skin_tone", "gender")
_TYPES: Mapping[str, pa.DataType] = MappingProxyType({"tags": pa.list_(pa.string()), "image": pa.binary()})
_DESCRIPTION = b"vergence"  # key of the Parquet metadata: factors with their values in order, sources, versions
_REMEDY = "install vergence again, or rebuild the file with: python scripts/build_emoji.py"


@dataclass(frozen=True, eq=False, repr=False)
class EncodedImages(Images):
    """The drawings, encoded.

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

    def decoded(self, row: int) -> Image.Image:
        """Decode one drawing.

        Raises:
            CorpusError: If it is damaged, or of another size.
        """
        try:
            with Image.open(io.BytesIO(self.encoded[row]), formats=["WEBP"]) as image:
                if image.size != (_SIDE, _SIDE):  # known from the header: a huge image is refused before it is decoded
                    raise OSError(f"it has {image.width} x {image.height} pixels instead of {_SIDE} x {_SIDE}")
                return image.convert("RGB")
        except OSError as error:
            raise CorpusError(f"cannot decode image {row}: {first_line(error)}; {_REMEDY}") from error

    def file(self, row: int) -> bytes:
        """The WebP file of one drawing."""
        return self.encoded[row]

    def chosen(self, rows: Int[np.ndarray, " n"]) -> "EncodedImages":
        """The drawings of these rows."""
        return EncodedImages(tuple(self.encoded[row] for row in rows))


def load_emoji(path: Path | None = None) -> Pairs:
    """Load the default set, or another file that `scripts/build_emoji.py` wrote.

    Images are RGB on white, 64 x 64 pixels. Texts are English labels, "woman farmer: dark skin tone", no two alike. The
    factors are skin_tone, gender, group and subgroup, all discrete; a label is `None` where the metadata do not state
    one value for everyone depicted: an emoji in default yellow has no tone, a couple of a woman and a man no gender,
    and neither has "farmer". Clusters are base concepts: "farmer" is one for all its forms by gender, tone, hair and
    direction. Keys are code points as emojibase writes them, with which other languages and sets can be joined.

    Args:
        path: The file; the one in the package if `None`.

    Returns:
        The pairs, with images still encoded.

    Raises:
        CorpusError: If the file is missing, truncated, damaged or not such a set; one line that names the remedy.

    Example:
        >>> emoji = load_emoji()
        >>> emoji
        Pairs(3372 items of 1646 clusters; factors: skin_tone, gender, group, subgroup)
        >>> farmers = emoji.take(emoji.clusters == "farmer")
        >>> farmers.texts[0], *farmers.labels.loc[0, ["skin_tone", "gender"]]
        ('man farmer: light skin tone', 'light', 'man')
    """
    source = path or _PACKAGED
    table = _read(source)
    space = _space(table, source)
    _check_columns(table, space, source)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return Pairs(
        images=EncodedImages(tuple(columns["image"])),
        texts=columns["label"],
        keys=columns["hexcode"],
        clusters=np.array(columns["concept"]),
        labels=pd.DataFrame({name: columns[name] for name in space}, dtype=object),
        factors=space,
    )


def load_emoji_tags(path: Path | None = None) -> list[tuple[str, ...]]:
    """What people look each drawing up by, beside its label, in the order of `load_emoji`.

    Raises:
        CorpusError: As `load_emoji` does.

    Example:
        >>> load_emoji_tags()[0]
        ('keycap',)
    """
    source = path or _PACKAGED
    table = _read(source)
    _check_columns(table, _space(table, source), source)
    return [tuple(tags) for tags in table["tags"].to_pylist()]


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
        raise CorpusError(f"{source} is truncated or damaged ({first_line(error)}); {_REMEDY}") from error
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
        raise CorpusError(f"{source} does not describe its factors ({first_line(error)}); {_REMEDY}") from error


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
