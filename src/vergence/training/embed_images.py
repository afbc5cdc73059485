"""Embeddings of images alone, in one file of a job's folder: written once, then read."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from rich.progress import MofNCompleteColumn, TimeRemainingColumn
from torch import Tensor

from vergence.data.source import Source
from vergence.errors import CorpusError
from vergence.files import whole
from vergence.folders import JobFolder
from vergence.metrics.files import read_embeddings
from vergence.terminal import bars
from vergence.training.embed_files import lists
from vergence.training.models import ImageTextModel

UNREADABLE = "unreadable.json"  # why images could not be decoded, by their keys


def embedded_images(
    folder: JobFolder,
    name: str,
    encoder: ImageTextModel,
    source: Source,
    first: Mapping[str, int],
    *,
    batch_size: int,
    workers: int,
) -> tuple[Float[Tensor, "n dim"], list[str]]:
    """Embeddings of all images that can be decoded, and their keys.

    Args:
        folder: Gets the file, and before it `UNREADABLE`: why other images cannot be decoded, by their keys.
        name: Of the file; if it is there, nothing is embedded.
        encoder: By which.
        source: Of which.
        first: By key, the row of each image.
        batch_size: Images at once.
        workers: Threads that decode.

    Raises:
        CorpusError: If none can be decoded.
    """
    file = folder.path / name
    if not file.is_file():
        with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
            bar = shown.add_task("images", total=len(first))
            advance = partial(shown.advance, bar)
            batches = _embedded(folder, encoder, source, first, batch_size=batch_size, workers=workers, advance=advance)
            _write(file, batches)
    return read_images(file)


def read_images(file: Path) -> tuple[Float[Tensor, "n dim"], list[str]]:
    """Embeddings and keys of such a file."""
    held = read_embeddings(file)
    return torch.from_numpy(np.ascontiguousarray(held.values, dtype=np.float32)), list(map(str, held.identifiers or ()))


def _embedded(
    folder: JobFolder,
    encoder: ImageTextModel,
    source: Source,
    first: Mapping[str, int],
    *,
    batch_size: int,
    workers: int,
    advance: Callable[[int], object],
) -> Iterator[tuple[list[str], Tensor]]:
    """Keys and embeddings of a batch."""
    keys = list(first)
    stored, numbers = source.images(list(first.values()))
    groups = [numbers[at : at + batch_size].tolist() for at in range(0, len(keys), batch_size)]
    wrong: dict[str, str] = {}
    at = 0
    for pixels, reasons in stored.prepared(groups, prepare=encoder.prepared, side=encoder.side, workers=workers):
        here = keys[at : at + len(pixels)]
        sound = [place for place in range(len(here)) if place not in reasons]
        wrong.update({here[place]: reason for place, reason in reasons.items()})
        if sound:
            yield [here[place] for place in sound], encoder.embed_pixels(pixels[sound])
        at += len(here)
        advance(len(here))
    if len(wrong) == len(keys):
        raise CorpusError(f"none of {len(keys)} images can be read; {keys[0]}: {wrong[keys[0]]}")
    folder.write_json(UNREADABLE, wrong)


def _write(file: Path, parts: Iterable[tuple[list[str], Tensor]]) -> None:
    """Write embeddings batch by batch, whole or not at all."""
    writer: pq.ParquetWriter | None = None
    with whole(file, of_job=True) as unfinished:
        try:
            for keys, z in parts:
                table = pa.table({"key": pa.array(keys, pa.string()), "embedding": lists(z.float().numpy())})
                writer = writer or pq.ParquetWriter(unfinished, table.schema)
                writer.write_table(table)
        finally:
            if writer:
                writer.close()
