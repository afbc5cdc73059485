"""The pairs that a configuration names: the embedded set under a caption policy, or a Parquet file of the user's."""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vergence.arrow import read_schema, read_table
from vergence.data import POLICIES, load_emoji, write_captions
from vergence.data.clusters import cluster_values, link
from vergence.errors import ConfigError, CorpusError
from vergence.images import decode_image
from vergence.metrics.files import IDENTIFIERS
from vergence.misalignment import Misalignment
from vergence.random import named
from vergence.splits import hold_out
from vergence.training.spec import DataConfig


@dataclass(frozen=True, eq=False)
class Captioned:
    """Images with captions, and which of them are for training.

    Args:
        images: All images, brought to one size, in [0, 255].
        captions: One for each.
        fit: Rows to train on.
        held_out: Rows for validation; may be none. They share no cluster with `fit`.
        source: What the pairs are, in a few words.
        split: What became of every row that was drawn, also of those that cannot be used: see `write_split`.
        misalignment: What the captions mention and may get wrong, where that is known.
    """

    images: UInt8[Tensor, "n 3 side side"]
    captions: list[str]
    fit: np.ndarray
    held_out: np.ndarray
    source: str
    split: pd.DataFrame
    misalignment: Misalignment | None = None

    def digest(self) -> str:
        """A short hash of images, captions and what is held out, which tells two sets apart."""
        content = hashlib.sha256(repr((self.captions, self.held_out.tolist())).encode())
        content.update(self.images.numpy().tobytes())
        return content.hexdigest()[:16]

    def skipped(self) -> str | None:
        """How many rows were left out and why, in one line; `None` if none was."""
        reasons = Counter(reason.split(":")[0] for reason in self.split["reason"].dropna())
        if not reasons:
            return None
        counts = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
        return f"{reasons.total()} of {len(self.split)} rows were left out: {counts}"

    def divided(self) -> str:
        """How many pairs, of how many clusters, are for training and held out, in one line."""
        clusters = self.split.groupby("side")["cluster"].nunique()
        fit, held_out = (clusters.get(side, 0) for side in ("fit", "held_out"))
        return (
            f"{len(self.fit)} pairs of {fit} clusters to train on, {len(self.held_out)} of {held_out} others held out"
        )


def load_pairs(config: DataConfig, *, seed: int) -> Captioned:
    """Load what a configuration names and split it by cluster.

    Args:
        config: Which data.
        seed: Seed of the choice of items, of the split and of drawn captions, >= 0.

    Returns:
        The pairs. A cluster is a concept of the embedded set; in a file all rows whose images are the same pixels, or
        that have one identifier or one value in the cluster column.

    Raises:
        CorpusError: If a file is missing, damaged or lacks a column, or too many of its rows cannot be used; one line.
        ConfigError: If nothing can be held out.

    Example:
        >>> load_pairs(DataConfig(policy="omit", items=64, side=8), seed=0).images.shape
        torch.Size([64, 3, 8, 8])
    """
    return _embedded(config, seed=seed) if config.parquet is None else _from_parquet(config, seed=seed)


def _embedded(config: DataConfig, *, seed: int) -> Captioned:
    emoji = load_emoji()
    rows = _chosen(len(emoji), config.items, seed=seed)
    emoji = emoji.take(rows)
    images = np.empty((len(emoji), 3, config.side, config.side), dtype=np.uint8)
    for place, image in enumerate(emoji.images):
        images[place] = _resized(image, config.side)
    split = pd.DataFrame({"row": rows, "key": emoji.keys, "image": _digests(images), "reason": None})
    fit, held_out = _split(split, list(emoji.clusters), config.validation, seed=seed)
    return Captioned(
        images=torch.from_numpy(images),
        captions=write_captions(emoji, config.policy, seed=seed),
        fit=fit,
        held_out=held_out,
        source=f"Fluent 3D emoji; captions: {POLICIES[config.policy].description}",
        split=split,
        misalignment=POLICIES[config.policy].misalignment,
    )


def _from_parquet(config: DataConfig, *, seed: int) -> Captioned:
    path = Path(str(config.parquet))
    table, keys = _read(path, config)
    rows = _chosen(len(table), config.items, seed=seed)
    images = np.empty((len(rows), 3, config.side, config.side), dtype=np.uint8)
    captions: list[str] = []
    reasons: list[str | None] = []
    for row, (pair, reason) in zip(rows, _pairs(table, rows, path.parent, config), strict=True):
        reasons.append(reason)
        if pair is not None:
            images[len(captions)], caption = pair
            captions.append(caption)
            continue
        n_skipped = len(reasons) - len(captions)
        if config.strict or n_skipped > config.max_skipped * len(rows):
            limit = "data.strict stops at it" if config.strict else f"data.max_skipped allows {config.max_skipped:.2%}"
            raise CorpusError(f"row {row} of {path}: {reason}; that is {n_skipped} of {len(rows)} rows; {limit}")
    if len(captions) < 2:
        raise CorpusError(f"{path} gives {len(captions)} pairs of {len(rows)} rows; training needs at least two")
    images = images[: len(captions)]
    used = [place for place, reason in enumerate(reasons) if reason is None]
    identity = [keys[row] for row in rows]
    split = pd.DataFrame({"row": rows, "key": identity, "image": None, "reason": reasons}, dtype=object)
    split.loc[used, "image"] = digests = _digests(images)
    linked: list[Sequence[Hashable | None]] = [digests, [identity[place] for place in used]]
    if config.cluster_column:
        column = table[config.cluster_column].take([rows[place] for place in used])
        linked.append(cluster_values(column, where=f"{path}: {config.cluster_column}"))
    fit, held_out = _split(split, link(*linked).tolist(), config.validation, seed=seed)
    return Captioned(
        images=torch.from_numpy(images),
        captions=captions,
        fit=fit,
        held_out=held_out,
        source=f"{path.name}, columns {config.image_column} and {config.caption_column}",
        split=split,
    )


def _read(path: Path, config: DataConfig) -> tuple[pa.Table, list[str | None]]:
    """Read the columns that are needed, and the identifiers of the rows, `None` where there are none."""
    if not path.is_file():
        raise CorpusError(f"{path} does not exist; set data.parquet to an existing Parquet file")
    schema = read_schema(path)
    key = next((name for name in IDENTIFIERS if name in schema.names and _identifies(schema.field(name).type)), None)
    wanted = [config.image_column, config.caption_column, config.cluster_column, key]
    table = read_table(path, list(dict.fromkeys(name for name in wanted if name is not None)))
    if not len(table):
        raise CorpusError(f"{path} holds no rows; training needs at least two pairs")
    keys = [None] * len(table) if key is None else table[key].to_pylist()
    return table, [None if value is None else str(value) for value in keys]


def _identifies(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind)) or _is_text(kind)


def _pairs(
    table: pa.Table, rows: Sequence[int], folder: Path, config: DataConfig
) -> Iterator[tuple[tuple[np.ndarray, str] | None, str | None]]:
    """Each row's image, brought to size, and caption; or why there is none."""
    sources, captions = _sources(table, config.image_column), table[config.caption_column]
    if not (_is_text(captions.type) or pa.types.is_null(captions.type)):
        raise CorpusError(f"column {config.caption_column!r} holds {captions.type}; captions must be texts")
    for row in rows:
        try:
            caption = captions[row].as_py()
            if caption is None or not caption.strip():
                raise CorpusError("no caption" if caption is None else "empty caption")
            given = (source[row].as_py() for source in sources)
            image = _image(next((value for value in given if value), None), folder)
            yield (_resized(image, config.side), caption), None
        except CorpusError as error:
            yield None, str(error)


def _sources(table: pa.Table, name: str) -> list[pa.ChunkedArray]:
    """Where a row's image may stand: a column of bytes or paths, or these two fields of its records."""
    column = table[name]
    is_record = pa.types.is_struct(column.type)
    fields = [field for field in ("bytes", "path") if is_record and column.type.get_field_index(field) >= 0]
    found = [pc.struct_field(column, field) for field in fields] or [column]
    for source in found:
        if not (_is_text(source.type) or _is_bytes(source.type) or pa.types.is_null(source.type)):
            raise CorpusError(
                f"column {name!r} holds {column.type}; images must be bytes, paths, or records of `bytes` or `path`"
            )
    return found


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)


def _image(value: bytes | str | None, folder: Path) -> Image.Image:
    """Decode an image from bytes, or from a path, relative to the folder or not."""
    if value is None:
        raise CorpusError("no image")
    try:
        return decode_image(value if isinstance(value, bytes) else folder / value)
    except CorpusError as error:
        raise CorpusError(f"image cannot be read: {error}") from error


def _resized(image: Image.Image, side: int) -> np.ndarray:
    fitted = image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(fitted, dtype=np.uint8).transpose(2, 0, 1)


def _digests(images: np.ndarray) -> list[str]:
    """Of what the encoder sees: one image under several paths, links or formats without loss has one digest."""
    return [hashlib.sha256(image.tobytes()).hexdigest()[:32] for image in images]


def _chosen(n: int, wanted: int | None, *, seed: int) -> list[int]:
    if wanted is not None and wanted > n:
        raise ConfigError(f"items must be <= {n}, all there are; got {wanted}")
    if wanted is None:
        return list(range(n))
    order: list[int] = torch.randperm(n, generator=named(seed, "items")).tolist()
    return sorted(order[:wanted])


def _split(
    split: pd.DataFrame, clusters: Sequence[Hashable], validation: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out clusters; fill in the columns `cluster` and `side` of all rows, and return the places of those used."""
    fit, held_out = np.arange(len(clusters)), np.arange(0)
    if validation:
        try:
            fit, held_out = hold_out(clusters, validation, generator=named(seed, "split"))
        except ConfigError as error:
            raise ConfigError(f"data.validation {validation}: {error}; set it to 0 to hold out nothing") from error
    sides = np.full(len(clusters), "fit", dtype=object)
    sides[held_out] = "held_out"
    used = split["reason"].isna().to_numpy()
    split["cluster"], split["side"] = None, "skipped"
    split.loc[used, "cluster"], split.loc[used, "side"] = list(map(str, clusters)), sides
    return fit, held_out
