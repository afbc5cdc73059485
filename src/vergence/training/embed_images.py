"""Embeddings of images alone, in one file."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from vergence.data.source import Source
from vergence.errors import CorpusError
from vergence.files import whole
from vergence.folders import JobFolder
from vergence.training.embed_files import lists
from vergence.training.models import ImageTextModel

UNREADABLE = "unreadable.json"  # why images could not be decoded, by their keys


def write_images(
    folder: JobFolder,
    encoder: ImageTextModel,
    source: Source,
    first: Mapping[str, int],
    *,
    name: str,
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


def _write(folder: JobFolder, name: str, parts: Iterable[tuple[dict[str, list[str]], Tensor]]) -> None:
    """Write embeddings batch by batch, whole or not at all."""
    writer: pq.ParquetWriter | None = None
    with whole(folder.path / name, of_job=True) as unfinished:
        try:
            for named, z in parts:
                columns = {column: pa.array(texts, pa.string()) for column, texts in named.items()}
                table = pa.table({**columns, "embedding": lists(z.float().numpy())})
                writer = writer or pq.ParquetWriter(unfinished, table.schema)
                writer.write_table(table)
        finally:
            if writer:
                writer.close()
