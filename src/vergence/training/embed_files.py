"""How embeddings are laid out in files: two Parquet tables, or arrays and metadata as clip-retrieval has them."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from vergence.arrow import read_schema, read_table, row_counts
from vergence.checks import one_of
from vergence.errors import CorpusError
from vergence.files import parse_json, whole
from vergence.folders import JobFolder
from vergence.metrics.formats import map_npy
from vergence.training.embed_parts import EmbedPart, PartEmbeddings

Format: TypeAlias = Literal["parquet", "npy", "clip-retrieval"]

IMAGES, TEXTS = "images.parquet", "texts.parquet"
_NOTE = b"vergence"  # under which the last file of a part says what could not be read


class Layout(ABC):
    """Files of the parts of a job. The last of a part is written when the others are there, and says what it lacks.

    Args:
        folder: Of the job.
        parts: How many there are.
        several: Whether an image may have several texts.
    """

    def __init__(self, folder: JobFolder, parts: int, *, several: bool) -> None:
        self.folder, self.parts, self.several = folder, parts, several

    @abstractmethod
    def names(self, number: int) -> tuple[str, ...]:
        """The files of a part within the folder, in the order in which they are written."""

    @abstractmethod
    def write(self, part: EmbedPart, found: PartEmbeddings) -> None:
        """Write a part."""

    @abstractmethod
    def results(self) -> list[Path]:
        """What there is when the job has ended."""

    @abstractmethod
    def finish(self) -> None:
        """Make the results of all parts, where they are not the results themselves."""

    @abstractmethod
    def clear(self) -> None:
        """Remove what is of no use any more when the job has ended."""

    def note(self, number: int) -> dict[str, Any] | None:
        """What the files of a part say of it; `None` if it is not whole."""
        try:
            *arrays, last = (self.folder.path / name for name in self.names(number))
            held = read_schema(last).metadata or {}
            said = parse_json(held[_NOTE].decode(), where=str(last))
            rows = [len(map_npy(path)[0]) if path.suffix == ".npy" else sum(row_counts(path)) for path in arrays]
            return said if isinstance(said, dict) and said.get("rows") == rows else None
        except (CorpusError, KeyError, OSError, ValueError):
            return None

    def _number(self, number: int) -> str:
        return str(number).zfill(len(str(self.parts)))

    def _write_table(self, name: str, columns: Mapping[str, pa.Array], note: Mapping[str, Any] | None = None) -> None:
        table = pa.table(dict(columns))
        if note is not None:
            table = table.replace_schema_metadata({_NOTE: json.dumps(note, ensure_ascii=False).encode()})
        with whole(self.folder.path / name, of_job=True) as unfinished:
            pq.write_table(table, unfinished)


class ParquetLayout(Layout):
    """`images.parquet` and `texts.parquet`, a row for each image and for each text; until the end, a pair per part."""

    def names(self, number: int) -> tuple[str, ...]:
        """Tables of a part."""
        return tuple(f"parts/{name}_{self._number(number)}.parquet" for name in ("images", "texts"))

    def write(self, part: EmbedPart, found: PartEmbeddings) -> None:
        """Write the two tables of a part."""
        images, texts = self.names(part.number)
        keys = [part.keys[image] for image in found.sound]
        self._write_table(images, {"key": pa.array(keys, pa.string()), "embedding": lists(found.images)})
        sound = _sound_texts(part, found)
        named = {"key": pa.array([part.text_keys[text] for text in sound], pa.string())}
        if self.several:
            named["image"] = pa.array([part.keys[part.image_of[text]] for text in sound], pa.string())
        note = {"rows": [len(keys)], "images": len(keys), "texts": len(sound), "wrong": _lacking(part, found)}
        self._write_table(texts, {**named, "embedding": lists(found.texts)}, note)

    def results(self) -> list[Path]:
        """The two tables."""
        return [self.folder.path / IMAGES, self.folder.path / TEXTS]

    def finish(self) -> None:
        """Put the tables of all parts below each other."""
        for result, place in zip(self.results(), (0, 1), strict=True):
            with whole(result, of_job=True) as unfinished:
                parts = (read_table(self.folder.path / self.names(n)[place]) for n in range(self.parts))
                first = next(parts).replace_schema_metadata(None)
                with pq.ParquetWriter(unfinished, first.schema) as writer:
                    writer.write_table(first)
                    for table in parts:
                        writer.write_table(table.replace_schema_metadata(None))

    def clear(self) -> None:
        """Remove the tables of parts."""
        for number in range(self.parts):
            for name in self.names(number):
                (self.folder.path / name).unlink(missing_ok=True)
        self.folder.remove("parts")


class NpyLayout(Layout):
    """`img_emb/img_emb_0.npy`, `text_emb/text_emb_0.npy` and `metadata/metadata_0.parquet`, and so on for each part.

    Rows of the three belong together by their position: a row for each text, so that an image with several texts is
    repeated. Numbers are float32, as the model gives them.
    """

    def names(self, number: int) -> tuple[str, ...]:
        """Two arrays and a table of a part."""
        end = self._number(number)
        return f"img_emb/img_emb_{end}.npy", f"text_emb/text_emb_{end}.npy", f"metadata/metadata_{end}.parquet"

    def write(self, part: EmbedPart, found: PartEmbeddings) -> None:
        """Write the arrays and the table of a part."""
        images, texts, about = self.names(part.number)
        sound = _sound_texts(part, found)
        row_of = {image: row for row, image in enumerate(found.sound)}
        of = [part.image_of[text] for text in sound]
        repeated = found.images[[row_of[image] for image in of]] if of else found.images[:0]
        for name, values in ((images, repeated), (texts, found.texts)):
            with whole(self.folder.path / name, of_job=True) as unfinished, open(unfinished, "wb") as file:
                np.save(file, self.stored(values), allow_pickle=False)
        columns = {
            "image_path": [_path(part, image) for image in of],
            "caption": [part.rows[text].text for text in sound],
            "key": [part.text_keys[text] for text in sound],
        }
        if self.several:
            columns["image"] = [part.keys[image] for image in of]
        held = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        note = {"rows": [len(of)] * 2, "images": len(found.sound), "texts": len(of), "wrong": _lacking(part, found)}
        self._write_table(about, held, note)

    def stored(self, values: Float[np.ndarray, "n dim"]) -> np.ndarray:
        """Embeddings as they are written."""
        return values

    def results(self) -> list[Path]:
        """The files of all parts."""
        return [self.folder.path / name for number in range(self.parts) for name in self.names(number)]

    def finish(self) -> None:
        """Nothing: the files of parts are the results."""

    def clear(self) -> None:
        """Nothing: the files of parts stay."""


class ClipRetrievalLayout(NpyLayout):
    """As `NpyLayout`, with the numbers that clip-retrieval writes: of unit length, in float16."""

    def stored(self, values: Float[np.ndarray, "n dim"]) -> np.ndarray:
        """Embeddings as they are written."""
        lengths = np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
        return (values / np.where(lengths == 0, 1, lengths)).astype(np.float16)


_LAYOUTS: Mapping[str, type[Layout]] = MappingProxyType(
    {"parquet": ParquetLayout, "npy": NpyLayout, "clip-retrieval": ClipRetrievalLayout}
)
FORMATS = tuple(_LAYOUTS)


def check_format(name: str) -> None:
    """Require the name of a layout.

    Raises:
        ConfigError: If there is none of it.
    """
    one_of("format", name, FORMATS)


def layout(name: str, folder: JobFolder, parts: int, *, several: bool) -> Layout:
    """The layout of a name."""
    return _LAYOUTS[name](folder, parts, several=several)


def lists(values: Float[np.ndarray, "n dim"]) -> pa.ListArray:
    """Rows as a column of lists."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    ends = pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1], pa.int32())
    return pa.ListArray.from_arrays(ends, pa.array(values.reshape(-1)))


def _sound_texts(part: EmbedPart, found: PartEmbeddings) -> list[int]:
    """The texts of a part whose image could be read."""
    sound = set(found.sound)
    return [text for text, image in enumerate(part.image_of) if image in sound]


def _lacking(part: EmbedPart, found: PartEmbeddings) -> dict[str, Any]:
    """By key, why an image could not be read, and the places of its rows."""
    places: dict[str, list[str]] = {}
    for row, image in zip(part.rows, part.image_of, strict=True):
        places.setdefault(part.keys[image], []).append(row.place)
    return {key: {"reason": reason, "rows": places[key]} for key, reason in found.wrong.items()}


def _path(part: EmbedPart, image: int) -> str:
    """The path of an image; what it is called where it has none of its own."""
    place = part.places[image]
    return place if isinstance(place, str) else part.keys[image]
