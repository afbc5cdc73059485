"""The images of a study in memory: made anew in each worker process from what the spec says, never stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

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
    drawn = spec.scenes
    labels = drawn.draw(spec.n_images, generator=named(0, spec.name, "images"))
    pixels = render_scenes(spec.name, labels, side=spec.side)
    n, n_train, n_fit = spec.n_images, int(spec.n_images * TRAIN), int(spec.n_images * FIT)
    order = torch.randperm(n, generator=named(0, spec.name, n, "parts")).numpy()
    parts = dict(zip(("train", "fit", "test"), np.split(order, [n_train, n_train + n_fit]), strict=True))
    return ImageSet(torch.from_numpy(pixels).movedim(3, 1).contiguous(), labels, drawn.space, parts)
