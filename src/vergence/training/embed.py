"""Embeddings of a whole source by a trained encoder, as `align` and `probe` read them: one row each, with its key."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import MofNCompleteColumn, TimeRemainingColumn
from torch import Tensor

from vergence.checks import at_least
from vergence.data.rows import Columns, Row
from vergence.data.source import Source, read_source
from vergence.errors import CorpusError
from vergence.files import whole
from vergence.folders import JobFolder, WhenPresent
from vergence.terminal import bars
from vergence.training.models import Dtype, ImageTextModel, load_model, weights_digest

IMAGES, TEXTS = "images.parquet", "texts.parquet"
UNREADABLE = "unreadable.json"  # is there before the embeddings are
_NAMED = 20


@dataclass(frozen=True)
class Embedded:
    """What was embedded.

    Args:
        images: How many images.
        texts: How many texts.
        left_out: By reason, of how many rows nothing was embedded.
        rows: The first of them, with the reason.
        notes: What of the source was passed over, a line each.
    """

    images: int
    texts: int
    left_out: dict[str, int]
    rows: tuple[str, ...]
    notes: tuple[str, ...]


def embed_source(
    source: str | Path,
    model: str | Path,
    *,
    out: Path,
    columns: Columns = Columns(),  # noqa: B008 - frozen
    batch_size: int = 128,
    workers: int = 1,
    device: str = "cpu",
    dtype: Dtype = "float32",
    download: bool = False,
    present: WhenPresent = "refuse",
) -> Embedded:
    """Embed the images and texts of a source, a batch at a time.

    The folder gets `images.parquet` and `texts.parquet`, with the columns `key` and `embedding`. A pair of which image
    or caption cannot be used is left out of both. An image has the key that the source gives it, its path where there
    is none; so has its first text, further ones are called KEY#2, KEY#3, and a column `image` then says of which image
    each text is.

    Args:
        source: A file, folder or glob: see `vergence.data.LAYOUTS`.
        model: A folder that `load_model` takes: of a training run, of `transformers`, of open_clip.
        out: The folder to write to.
        columns: Which columns of the source say what, where their names do not.
        batch_size: Items at once, >= 1.
        workers: Threads that decode images, >= 1.
        device: "cpu", or "auto" for a GPU where there is one.
        dtype: What the model computes in; embeddings are float32.
        download: Whether a model that is no folder may be fetched from the hub.
        present: What to do if the folder is not empty: see `JobFolder.claim`. What was written whole is not done again.

    Returns:
        How much was embedded, and what was left out.

    Raises:
        CorpusError: If the source, a column or the model is missing, there is no pair, or one key names two images.
        ConfigError: If a setting is out of range, or the folder cannot be used.
    """
    at_least("batch_size", batch_size, 1)
    at_least("workers", workers, 1)
    encoder = load_model(model, device=device, dtype=dtype, download=download)
    read = read_source(source, columns)
    first = read.by_key()
    folder = JobFolder.claim(out, _job(source, encoder, read), present=present)
    left_out = [row for row in read.rows if row.reason is not None]
    reasons = {id(row): str(row.reason) for row in left_out}
    with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task("images", total=len(first))
        if not (folder.path / IMAGES).is_file():
            write_images(
                folder,
                encoder,
                read,
                first,
                batch_size=batch_size,
                workers=workers,
                advance=partial(shown.advance, bar),
            )
        wrong = folder.read_json(UNREADABLE) or {}
        for row in read.rows:
            if row.reason is None and str(row.key) in wrong:
                reasons[id(row)] = wrong[str(row.key)]
        texts = [row for row in read.rows if id(row) not in reasons]
        bar = shown.add_task("texts", total=len(texts))
        if not (folder.path / TEXTS).is_file():
            _write_texts(folder, encoder, texts, batch_size=batch_size, advance=partial(shown.advance, bar))
    counts: dict[str, int] = {}
    for reason in reasons.values():
        counts[reason.split(":")[0]] = counts.get(reason.split(":")[0], 0) + 1
    named = islice((f"{row.place}: {reasons[id(row)]}" for row in read.rows if id(row) in reasons), _NAMED)
    done = Embedded(len(first) - len(wrong), len(texts), counts, tuple(named), read.notes)
    about = {"images": done.images, "texts": done.texts, "left_out": counts, "left_out_rows": list(done.rows)}
    folder.write_json("embedded.json", about)
    return done


def _job(source: str | Path, encoder: ImageTextModel, read: Source) -> dict[str, Any]:
    rows = hashlib.sha256(repr([(row.key, row.text, row.reason) for row in read.rows]).encode())
    return {
        "job": "embed",
        "source": str(Path(source).resolve()),
        "rows": rows.hexdigest()[:16],
        "model": weights_digest(encoder),
    }


def write_images(
    folder: JobFolder,
    encoder: ImageTextModel,
    source: Source,
    first: Mapping[str, int],
    *,
    name: str = IMAGES,
    batch_size: int,
    workers: int,
    advance: Callable[[int], object],
) -> None:
    """Write the embeddings of all images that can be decoded, and before that why others cannot, by their keys.

    Args:
        folder: Where to; it gets `UNREADABLE` as well.
        encoder: By which.
        source: Of which.
        first: By key, the row of each image.
        name: Of the file.
        batch_size: Images at once.
        workers: Threads that decode.
        advance: Is told how many more are done.

    Raises:
        CorpusError: If none can be decoded.
    """
    keys = list(first)
    stored, numbers = source.images(list(first.values()))
    groups = [numbers[at : at + batch_size].tolist() for at in range(0, len(keys), batch_size)]
    wrong: dict[str, str] = {}

    def embedded() -> Iterator[tuple[dict[str, list[str]], Tensor]]:
        at = 0
        batches = stored.prepared(groups, prepare=encoder.prepared, side=encoder.side, workers=workers)
        for pixels, reasons in batches:
            here = keys[at : at + len(pixels)]
            sound = [place for place in range(len(here)) if place not in reasons]
            wrong.update({here[place]: reason for place, reason in reasons.items()})
            if sound:
                yield {"key": [here[place] for place in sound]}, encoder.embed_pixels(pixels[sound])
            at += len(here)
            advance(len(here))
        if len(wrong) == len(keys):
            raise CorpusError(f"none of {len(keys)} images can be read; {keys[0]}: {wrong[keys[0]]}")
        folder.write_json(UNREADABLE, wrong)

    _write(folder, name, embedded())


def _write_texts(
    folder: JobFolder, encoder: ImageTextModel, rows: list[Row], *, batch_size: int, advance: Callable[[int], None]
) -> None:
    keys = _text_keys([str(row.key) for row in rows])
    several = any(key != row.key for key, row in zip(keys, rows, strict=True))

    def embedded() -> Iterator[tuple[dict[str, list[str]], Tensor]]:
        for at in range(0, len(rows), batch_size):
            here = rows[at : at + batch_size]
            named = {"key": keys[at : at + len(here)]}
            if several:
                named["image"] = [str(row.key) for row in here]
            yield named, encoder.embed_texts([row.text for row in here])
            advance(len(here))

    _write(folder, TEXTS, embedded())


def _text_keys(images: list[str]) -> list[str]:
    """Each text's key: that of its image, with a number from the second text on.

    Example:
        >>> _text_keys(["a", "b", "a", "a"])
        ['a', 'b', 'a#2', 'a#3']
    """
    taken, times, keys = set(images), dict[str, int](), []
    for image in images:
        times[image] = times.get(image, 0) + 1
        key = image if times[image] == 1 else f"{image}#{times[image]}"
        while times[image] > 1 and key in taken:
            times[image] += 1
            key = f"{image}#{times[image]}"
        taken.add(key)
        keys.append(key)
    return keys


def _write(folder: JobFolder, name: str, parts: Iterable[tuple[dict[str, list[str]], Tensor]]) -> None:
    """Write embeddings batch by batch, whole or not at all."""
    writer: pq.ParquetWriter | None = None
    with whole(folder.path / name, of_job=True) as unfinished:
        try:
            for named, z in parts:
                columns = {column: pa.array(texts, pa.string()) for column, texts in named.items()}
                table = pa.table({**columns, "embedding": _lists(z)})
                writer = writer or pq.ParquetWriter(unfinished, table.schema)
                writer.write_table(table)
        finally:
            if writer:
                writer.close()


def _lists(z: Tensor) -> pa.ListArray:
    values = z.float().contiguous().numpy()
    ends = pa.array(range(0, values.size + 1, values.shape[1]), pa.int32())
    return pa.ListArray.from_arrays(ends, pa.array(values.reshape(-1)))
