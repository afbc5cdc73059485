"""Images sorted by the concepts that their texts mention: what `vergence awareness` scores models on.

A mention is a label with errors: a "hot dog" mentions a dog, and what is not mentioned may be shown all the same.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vergence.corpus.lexicon import Lexicon
from vergence.corpus.matching import Matcher
from vergence.data.rows import Columns
from vergence.data.source import Source, read_source
from vergence.errors import CorpusError
from vergence.files import whole, write_bytes
from vergence.folders import JobFolder, WhenPresent

TABLE, FOLDERS = "concepts.parquet", "images"
_GROUP = 256  # images in memory
_ROW = pa.schema({"key": pa.string(), "image": pa.binary(), "concept": pa.list_(pa.string()), "cluster": pa.string()})


@dataclass(frozen=True)
class Mentioned:
    """What came out.

    Args:
        images: How many images there are.
        kept: How many of them have a concept.
        counts: By `group/concept`, how many images have it; concepts without images are left out.
    """

    images: int
    kept: int
    counts: dict[str, int]


def sort_by_mention(
    source: str | Path,
    lexicon: Lexicon,
    texts: Sequence[str | None] = (None,),
    *,
    out: Path,
    columns: Columns = Columns(),  # noqa: B008 - frozen
    folders: bool = False,
    present: WhenPresent = "refuse",
) -> Mentioned:
    """Write the images of a source whose texts mention a concept: `concepts.parquet`, in the order of the source.

    Its columns are key, image (the file as it is), concept (a list of `group/concept`) and cluster.

    Args:
        source: A file, folder or glob: see `vergence.data.LAYOUTS`.
        lexicon: What to look for; whole words, as `vergence audit` does.
        texts: Columns of texts, or of lists of them; `None` is the usual column of captions.
        out: The folder to write to.
        columns: Which other columns of the source say what.
        folders: Whether to write a folder for each concept as well, `images/GROUP/CONCEPT`, of PNG files.
        present: What to do if the folder is not empty: see `JobFolder.claim`.

    Raises:
        CorpusError: If the source or a column is missing, no text mentions a concept, or an image cannot be read.
        ConfigError: If the folder cannot be used.
    """
    matcher = Matcher(lexicon)
    names = [f"{group.name}/{concept.name}" for group in lexicon.groups for concept in group.concepts]
    sources = [read_source(source, replace(columns, caption=name)) for name in texts]
    found: dict[str, set[int]] = {}
    first: dict[str, tuple[Source, int]] = {}
    for read in sources:
        first = {key: (read, row) for key, row in read.by_key().items()} | first
        pairs = [row for row in read.rows if row.reason is None and row.key is not None]
        for row, said in zip(pairs, matcher.mentions([row.text for row in pairs]).sets(), strict=True):
            found.setdefault(str(row.key), set()).update(said)
    kept = {key: sorted(found[key]) for key in first if found[key]}
    if not kept:
        raise CorpusError(f"no text of {source} mentions a concept of {lexicon.name}; name other columns of texts")
    job = {"job": "concepts", "source": str(Path(source).resolve()), "texts": list(texts), "folders": folders}
    folder = JobFolder.claim(out, job | {"lexicon": lexicon.fingerprint}, present=present)
    with whole(folder.path / TABLE, of_job=True) as partial, pq.ParquetWriter(partial, _ROW) as writer:
        rows = (_row(*first[key], [names[k] for k in numbers]) for key, numbers in kept.items())
        while some := list(islice(rows, _GROUP)):
            writer.write_table(pa.Table.from_pylist(some, _ROW))
    if folders:
        for place, (key, numbers) in enumerate(kept.items()):
            _write_png(folder, *first[key], place, [names[k] for k in numbers])
    counts = {name: sum(k in numbers for numbers in kept.values()) for k, name in enumerate(names)}
    return Mentioned(len(first), len(kept), {name: count for name, count in counts.items() if count})


def _row(source: Source, row: int, labels: list[str]) -> dict[str, Any]:
    images, (place,) = source.images([row])
    (cluster,), key = source.clusters([row]), source.rows[row].key
    cluster = key if cluster is None else str(cluster)
    return {"key": key, "image": images.file(int(place)), "concept": labels, "cluster": cluster}


def _write_png(folder: JobFolder, source: Source, row: int, number: int, labels: list[str]) -> None:
    images, (place,) = source.images([row])
    held = io.BytesIO()
    images.decoded(int(place)).save(held, "PNG")
    spelt = re.sub(r"[^A-Za-z0-9-]+", "_", str(source.rows[row].key))[-60:]
    for label in labels:
        write_bytes(folder.path / FOLDERS / label / f"{number:05d}-{spelt}.png", held.getvalue(), of_job=True)
