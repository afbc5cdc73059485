"""The pairs that a configuration names: the embedded set under a caption policy, or a Parquet file of the user's."""

import hashlib
import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vergence.data import POLICIES, load_emoji, split_by_concept, write_captions
from vergence.errors import ConfigError, CorpusError, unknown
from vergence.misalignment import Misalignment
from vergence.random import named
from vergence.training.spec import DataConfig

_FORMATS = ("WEBP", "PNG", "JPEG")


@dataclass(frozen=True, eq=False)
class Captioned:
    """Images with captions, and which of them are for training.

    Args:
        images: All images, brought to one size, in [0, 255].
        captions: One for each.
        fit: Rows to train on.
        held_out: Rows for validation; may be none.
        source: What the pairs are, in a few words.
        misalignment: What the captions mention and may get wrong, where that is known.
    """

    images: UInt8[Tensor, "n 3 side side"]
    captions: list[str]
    fit: np.ndarray
    held_out: np.ndarray
    source: str
    misalignment: Misalignment | None = None

    def digest(self) -> str:
        """A short hash of images and captions, which tells two sets apart."""
        content = hashlib.sha256(repr(self.captions).encode())
        content.update(self.images.numpy().tobytes())
        return content.hexdigest()[:16]


def load_pairs(config: DataConfig, *, seed: int) -> Captioned:
    """Load what a configuration names and split it.

    Args:
        config: Which data.
        seed: Seed of the choice of items, of the split and of drawn captions, >= 0.

    Returns:
        The pairs, the embedded set split by concept, a file by row.

    Raises:
        CorpusError: If a file is missing, damaged or lacks a column, or an image cannot be read; one line.
        ConfigError: If a split remains empty.

    Example:
        >>> load_pairs(DataConfig(policy="omit", items=64, side=8), seed=0).images.shape
        torch.Size([64, 3, 8, 8])
    """
    return _embedded(config, seed=seed) if config.parquet is None else _from_parquet(config, seed=seed)


def _embedded(config: DataConfig, *, seed: int) -> Captioned:
    emoji = load_emoji()
    emoji = emoji.take(_chosen(len(emoji), config.items, seed=seed))
    fit, held_out = _split(list(emoji.concepts), config.validation, seed=seed)
    return Captioned(
        images=_stack(_resized(image, config.side) for image in emoji.images),
        captions=write_captions(emoji, config.policy, seed=seed),
        fit=fit,
        held_out=held_out,
        source=f"Fluent 3D emoji; captions: {POLICIES[config.policy].description}",
        misalignment=POLICIES[config.policy].misalignment,
    )


def _from_parquet(config: DataConfig, *, seed: int) -> Captioned:
    path = Path(str(config.parquet))
    table = _read(path, (config.image_column, config.caption_column))
    rows = _chosen(len(table), config.items, seed=seed)
    images, captions = (table[name].to_pylist() for name in (config.image_column, config.caption_column))
    for row in rows:
        if not isinstance(captions[row], str):
            raise CorpusError(f"row {row} of {path}: {config.caption_column} must be a text; got {captions[row]!r}")
    pixels = _stack(_resized(_decoded(images[row], path, row), config.side) for row in rows)
    fit, held_out = _split(list(range(len(rows))), config.validation, seed=seed)
    return Captioned(
        images=pixels,
        captions=[captions[row] for row in rows],
        fit=fit,
        held_out=held_out,
        source=f"{path.name}, columns {config.image_column} and {config.caption_column}",
    )


def _read(path: Path, columns: tuple[str, str]) -> pa.Table:
    try:
        names = pq.read_schema(path).names
        for column in columns:
            if column not in names:
                raise CorpusError(f"{path}: {unknown('column', column, names)}")
        return pq.read_table(path, columns=list(columns))
    except FileNotFoundError as error:
        raise CorpusError(f"{path} does not exist; set data.parquet to a Parquet file") from error
    except (OSError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorpusError(f"{path} is not a whole Parquet file ({reason})") from error


def _decoded(value: Any, path: Path, row: int) -> Image.Image:
    """Read an image from bytes, from a path beside the file, or from a record of either."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if not isinstance(value, (bytes, str)) or not value:
        raise CorpusError(f"row {row} of {path}: an image must be bytes or a path; got {type(value).__name__}")
    try:
        with Image.open(io.BytesIO(value) if isinstance(value, bytes) else path.parent / value, formats=_FORMATS) as im:
            im.load()
            return _on_white(im)
    except (OSError, Image.DecompressionBombError, ValueError, SyntaxError, EOFError, struct.error) as error:
        what = value if isinstance(value, str) else f"{len(value)} bytes"
        allowed = ", ".join(_FORMATS)
        raise CorpusError(f"row {row} of {path}: cannot read {what} as {allowed} ({type(error).__name__})") from error


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode not in {"RGBA", "LA", "PA"} and "transparency" not in image.info:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")


def _resized(image: Image.Image, side: int) -> np.ndarray:
    fitted = image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(fitted, dtype=np.uint8)


def _stack(images: Iterable[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).contiguous()


def _chosen(n: int, wanted: int | None, *, seed: int) -> list[int]:
    if wanted is not None and wanted > n:
        raise ConfigError(f"items must be <= {n}, all there are; got {wanted}")
    if wanted is None:
        return list(range(n))
    order: list[int] = torch.randperm(n, generator=named(seed, "items")).tolist()
    return sorted(order[:wanted])


def _split(concepts: list[Any], validation: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if not validation:
        return np.arange(len(concepts)), np.arange(0)
    shares = {"fit": 1 - validation, "held_out": validation}
    split = split_by_concept(concepts, shares, generator=named(seed, "split"))
    return split["fit"], split["held_out"]
