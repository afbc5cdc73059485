"""The images of a study in memory: made anew in each worker process from what the spec says, or read from a file."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from vergence.data import load_scenes
from vergence.errors import ConfigError, CorpusError
from vergence.factors import FactorSpace
from vergence.random import named
from vergence.render import render_scenes
from vergence.studies.images.spec import FIT, TRAIN, SetSpec


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with all their factors.

    Args:
        pixels: In [0, 255].
        labels: A column for each factor.
        space: The factors.
        parts: Row numbers by what they are for: "train", "fit" and "test".
    """

    pixels: UInt8[Tensor, "n 3 side side"]
    labels: pd.DataFrame
    space: FactorSpace
    parts: Mapping[str, Int[np.ndarray, " _"]]


@lru_cache(maxsize=2)  # a worker goes from run to run of one set
def load_set(spec: SetSpec) -> ImageSet:
    """Make the images of a spec, and divide them."""
    labels, pixels = _made(spec) if spec.file is None else _read(spec, Path(spec.file))
    n, n_train, n_fit = spec.n_images, int(spec.n_images * TRAIN), int(spec.n_images * FIT)
    order = torch.randperm(n, generator=named(0, spec.name, n, "parts")).numpy()
    parts = dict(zip(("train", "fit", "test"), np.split(order, [n_train, n_train + n_fit]), strict=True))
    return ImageSet(pixels, labels, spec.scenes.space, parts)


def _made(spec: SetSpec) -> tuple[pd.DataFrame, UInt8[Tensor, "n 3 side side"]]:
    labels = spec.scenes.draw(spec.n_images, generator=named(0, spec.name, "images"))
    pixels = render_scenes(spec.name, labels, side=spec.side)
    return labels, torch.from_numpy(pixels).movedim(3, 1).contiguous()


def _read(spec: SetSpec, path: Path) -> tuple[pd.DataFrame, UInt8[Tensor, "n 3 side side"]]:
    """Labels and images of an official file, in an order that its seed decides."""
    pairs = load_scenes(path)
    space = spec.scenes.space
    usable = np.ones(len(pairs), dtype=bool)
    for factor in space.factors:
        if factor.name not in pairs.labels:
            known = ", ".join(map(str, pairs.labels.columns))
            raise ConfigError(f"{path} has no factor {factor.name!r}, which {spec.name} has; it has: {known}")
        if factor.values is not None:
            usable &= pairs.labels[factor.name].isin(factor.values).to_numpy()
    rows = np.flatnonzero(usable)
    if len(rows) < spec.n_images:
        raise ConfigError(f"{path} must hold {spec.n_images:,} images for this scale; it has {len(rows):,}")
    order = torch.randperm(len(rows), generator=named(0, spec.name, "images"))[: spec.n_images].numpy()
    chosen = pairs.take(rows[order])
    return chosen.labels[list(space)], chosen.images.tensor(side=spec.side)


def digest_of_images(path: Path) -> str:
    """What tells one file or folder of images from another: what a file holds, names and sizes in a folder.

    Raises:
        CorpusError: If there is nothing of that name.
    """
    if path.is_dir():
        inside = sorted(one for one in path.rglob("*") if one.is_file())
        said = "".join(f"{one.relative_to(path)} {one.stat().st_size}\n" for one in inside).encode()
        return hashlib.sha256(said).hexdigest()[:16]
    if not path.is_file():
        raise CorpusError(f"{path} does not exist; name an official file or folder of images")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
