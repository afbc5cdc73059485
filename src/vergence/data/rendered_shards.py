"""Shards of rendered images, each written whole by whoever has its rows: Parquet, or tar as WebDataset has it."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import UInt8
from PIL import Image

from vergence.files import whole
from vergence.render import GENERATORS
from vergence.render.meshes import load_meshes

SUFFIXES = {"parquet": ".parquet", "webdataset": ".tar"}


@dataclass(frozen=True, eq=False)
class Shard:
    """What a worker needs to write a shard.

    Args:
        path: Where to.
        name: The image set.
        side: Pixels of a side.
        keys: What each image is called.
        texts: Its caption.
        labels: Its factors.
        meshes: Folder of own meshes, for the set that has some.
    """

    path: Path
    name: str
    side: int
    keys: list[str]
    texts: list[str]
    labels: pd.DataFrame
    meshes: str | None = None


def renderer(name: str, meshes: str | None) -> Callable[..., UInt8[np.ndarray, "n side side 3"]]:
    """What makes the images of a set, of own meshes if a folder of them is named.

    Raises:
        CorpusError: If that folder does not hold them.
    """
    return GENERATORS[name] if meshes is None else partial(GENERATORS[name], meshes=load_meshes(meshes))


def write_shard(shard: Shard) -> str:
    """Render a shard and write it whole; the same shard is the same bytes.

    Returns:
        Its digest.

    Raises:
        OutputError: If it cannot be written.
    """
    images = [_png(image) for image in renderer(shard.name, shard.meshes)(shard.labels, side=shard.side)]
    with whole(shard.path, of_job=True) as place:
        if shard.path.suffix == ".tar":
            _write_tar(place, shard, images)
        else:
            columns = {"key": shard.keys, "image": pa.array(images, pa.binary()), "caption": shard.texts}
            pq.write_table(pa.table({**columns, **factor_columns(shard.labels)}), place)
        return digest(place)


def factor_columns(labels: pd.DataFrame) -> dict[str, pa.Array]:
    """A column for each factor: texts, or numbers; null where nothing is stated."""
    return {str(name): pa.array(labels[name].tolist()) for name in labels.columns}


def digest(path: Path) -> str:
    """What tells a file from another."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _write_tar(path: Path, shard: Shard, images: list[bytes]) -> None:
    """Three members a sample, with neither dates nor owners, which would differ from one writing to the next."""
    records = shard.labels.to_dict("records")
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, image, text, record in zip(shard.keys, images, shard.texts, records, strict=True):
            for field, content in (("png", image), ("txt", text.encode()), ("json", json.dumps(record).encode())):
                member = tarfile.TarInfo(f"{key}.{field}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
