"""Whether reading starves training: 64-pixel JPEGs of tar shards, read as training reads them, beside its step."""

import io
import tarfile
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from PIL import Image

from benchmarks.measure import Case, Run, Side
from vergence.data.source import read_source
from vergence.encoders import BagOfWordsEncoder, ConvEncoder, DualEncoder, Vocabulary
from vergence.losses import Objective, WeightedTerm, info_nce
from vergence.pairs import Pairs
from vergence.random import generator
from vergence.training import TrainConfig, train
from vergence.views import LazyViews, ViewPair, Views

SEED = 0
PACKAGES = ("pillow",)
SMALL = {"n": 64, "batch": 32}
_WORDS = ("a", "red", "green", "blue", "square", "circle", "on", "paper", "large", "small")

__all__ = ["PACKAGES", "SEED", "cases"]


def cases() -> Iterator[Case]:
    """Yield the loader beside the training step, then an epoch from shards beside one from memory."""
    sizes = {"n": 1024, "batch": 128}
    what = "1,024 JPEGs of 64 pixels in tar shards, batches of 128"
    yield Case(
        name=f"decoding in two threads, against the training step alone (ConvEncoder, words, info_nce): {what}",
        ours=Side(make=decode, sizes=sizes, small=SMALL),
        peer=Side(make=epoch, sizes=sizes | {"held": True}, small=SMALL | {"held": True}),
        items=1024,
        repeats=2,
        rounds=2,
    )
    yield Case(
        name=f"an epoch that decodes each batch when it is needed, against one on tensors in memory: {what}",
        ours=Side(make=epoch, sizes=sizes | {"held": False}, small=SMALL | {"held": False}),
        peer=Side(make=epoch, sizes=sizes | {"held": True}, small=SMALL | {"held": True}),
        items=1024,
        repeats=2,
        rounds=2,
    )


def decode(*, n: int, batch: int) -> Run:
    """All batches of an epoch, and nothing done with them."""
    pairs = _pairs(n)
    groups = [list(range(at, at + batch)) for at in range(0, n, batch)]

    def run() -> None:
        for _ in pairs.batches(groups, side=64, workers=2):
            pass

    return run


def epoch(*, n: int, batch: int, held: bool) -> Run:
    """One epoch of training."""
    pairs = _pairs(n)
    vocabulary = Vocabulary.of(pairs.texts)
    views: Views = LazyViews(pairs, partial(vocabulary.encode, length=6), side=64, workers=2)
    if held:
        views = ViewPair(image=pairs.images.tensor(side=64), text=vocabulary.encode(pairs.texts, length=6))
    encoder = DualEncoder(ConvEncoder(16), BagOfWordsEncoder(len(vocabulary), 16))
    config, objective = TrainConfig(epochs=1, batch_size=batch), Objective({"contrast": WeightedTerm(info_nce)})

    def run() -> None:
        train(encoder, views, objective, config, generator=generator(SEED))

    return run


@lru_cache
def _pairs(n: int) -> Pairs:
    """Pairs of tar shards that are written to a temporary folder, of 512 samples each."""
    folder, random = Path(mkdtemp(prefix="vergence-bench-")), np.random.default_rng(SEED)
    for first in range(0, n, 512):
        with tarfile.open(folder / f"{first:06d}.tar", "w") as archive:
            for number in range(first, min(first + 512, n)):
                pixels = random.integers(256, size=(8, 8, 3), dtype=np.uint8)
                file = io.BytesIO()
                Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
                text = " ".join(random.choice(_WORDS, 6))
                for suffix, data in (("jpg", file.getvalue()), ("txt", text.encode())):
                    entry = tarfile.TarInfo(f"{number:06d}.{suffix}")
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))
    source = read_source(folder)
    images, numbers = source.images(range(n))
    return Pairs(
        images=images.take(numbers),
        texts=[row.text for row in source.rows],
        keys=[str(row.key) for row in source.rows],
        clusters=numbers,
    )
