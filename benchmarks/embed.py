"""Whether `vergence embed` keeps an encoder busy: images of 64 pixels through it, beside the encoder alone.

The encoder is a small ViT (4 layers, width 192, patch 8). Through `embed` it reads files that name an image and six
words each, decodes, embeds both and writes what it always writes; alone it gets the same images in memory, decoded, in
the same batches, and nothing is done with what it gives. Both have all threads of torch. What other work on the
machine does to both is taken out as far as it goes: the encoder alone runs before and after, in the same process.
"""

import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from benchmarks.measure import Case, Run, Side
from vergence.encoders import DualEncoder, Vocabulary
from vergence.training import load_model
from vergence.training.embed import embed_source
from vergence.training.export import save_encoder
from vergence.training.mapping import from_mapping
from vergence.training.models import ImageTextModel
from vergence.training.spec import RunConfig
from vergence.training.towers import make_image_encoder, make_text_encoder

SEED = 0
PACKAGES = ("pillow", "pyarrow")
SMALL = {"n": 64, "sample": 64}
_WORDS = ("a", "red", "green", "blue", "square", "circle", "on", "paper", "large", "small")
_SIDE, _BATCH, _DISTINCT = 64, 128, 2048
_VIT = {"kind": "vit", "settings": {"patch": 8, "depth": 4, "width": 192, "heads": 3}}

__all__ = ["PACKAGES", "SEED", "cases"]


def cases() -> Iterator[Case]:
    """Yield 100,000 JPEGs in tar shards, then fewer images in other formats, in Parquet, against the encoder alone."""
    sizes = {"n": 100_000, "sample": 4096, "kind": "JPEG"}
    yield Case(
        name="100,000 JPEGs of 64 pixels in tar shards through embed, as a share of the encoder's own speed",
        ours=Side(make=share, sizes=sizes, small=SMALL),
        repeats=1,
        rounds=1,
        items=100_000,
    )
    for kind in ("JPEG", "PNG", "WEBP"):
        yield Case(
            name=f"4,096 images of 64 pixels as {kind} in Parquet through embed, against the encoder alone",
            ours=Side(make=through, sizes={"n": 4096, "kind": kind}, small={"n": 64}),
            peer=Side(make=alone, sizes={"n": 4096, "kind": kind}, small={"n": 64}),
            repeats=1,
            rounds=2,
            items=4096,
        )


def share(*, n: int, sample: int, kind: str) -> Run:
    """Images a second through `embed`, of the encoder alone before and after, and the first over the best of them."""
    source, model = _shards(n, kind), load_model(_model())
    batches = _decoded(sample, kind)

    def run() -> dict[str, Any]:
        rates = [_rates(model, batches)]
        start = perf_counter()
        _embed(source)
        ours = n / (perf_counter() - start)
        rates.append(_rates(model, batches))
        mean = {way: round(sum(rate[way] for rate in rates) / 2) for way in rates[0]}
        return {"images_per_second": round(ours), "encoder_alone": mean, "share": round(ours / max(mean.values()), 3)}

    return run


def through(*, n: int, kind: str) -> Run:
    """All of them through `embed`."""
    source = _table(n, kind)

    def run() -> None:
        _embed(source)

    return run


def alone(*, n: int, kind: str) -> Run:
    """All of them through the image encoder, by all threads of torch."""
    model, batches = load_model(_model()), _decoded(n, kind)

    def run() -> None:
        for pixels in batches:
            model.embed_pixels(pixels)

    return run


def _embed(source: Path) -> None:
    with TemporaryDirectory(prefix="vergence-bench-") as out:
        embed_source(source, _model(), out=Path(out), batch_size=_BATCH, workers=2)


def _rates(model: ImageTextModel, batches: list[Tensor]) -> dict[str, float]:
    """Images a second of the encoder alone: one with all threads, and two that share them and take turns."""
    n, threads = sum(map(len, batches)), torch.get_num_threads()
    start = perf_counter()
    for pixels in batches:
        model.embed_pixels(pixels)
    middle = perf_counter()
    torch.set_num_threads(max(1, threads // 2))
    with ThreadPoolExecutor(min(2, threads)) as pool:
        list(pool.map(model.embed_pixels, batches))
    stop = perf_counter()
    torch.set_num_threads(threads)
    return {"one, all threads": n / (middle - start), "two, half of the threads each": n / (stop - middle)}


@lru_cache
def _model() -> Path:
    """An export of the encoder, with any weights."""
    folder = Path(mkdtemp(prefix="vergence-bench-"))
    config = from_mapping(RunConfig, {"data": {"side": _SIDE}, "encoder": {"dim": 64, "image": _VIT}})
    words = Vocabulary(("<pad>", "<unknown>", *_WORDS))
    image = make_image_encoder(config.encoder, side=_SIDE, seed=SEED)
    encoder = DualEncoder(image, make_text_encoder(config.encoder, words, seed=SEED))
    save_encoder(folder, encoder, words, config, card="")
    return folder


@lru_cache
def _files(kind: str) -> list[bytes]:
    """Different images, encoded."""
    random, found = np.random.default_rng(SEED), []
    for _ in range(_DISTINCT):
        pixels = random.integers(256, size=(8, 8, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).save(file, kind)
        found.append(file.getvalue())
    return found


def _decoded(n: int, kind: str) -> list[Tensor]:
    model = load_model(_model())
    pixels = np.stack([model.prepared(file) for file in _files(kind)])
    return [torch.from_numpy(pixels[np.arange(at, min(at + _BATCH, n)) % _DISTINCT]) for at in range(0, n, _BATCH)]


def _captions(n: int) -> list[str]:
    random = np.random.default_rng(SEED)
    return [" ".join(_WORDS[word] for word in row) for row in random.integers(len(_WORDS), size=(n, 6))]


def _shards(n: int, kind: str) -> Path:
    """Tar shards of 10,000 samples."""
    folder, files = Path(mkdtemp(prefix="vergence-bench-")), cycle(_files(kind))
    captions = _captions(n)
    for first in range(0, n, 10_000):
        with tarfile.open(folder / f"{first // 10_000:05d}.tar", "w") as archive:
            for number in range(first, min(first + 10_000, n)):
                for suffix, data in (("jpg", next(files)), ("txt", captions[number].encode())):
                    entry = tarfile.TarInfo(f"{number:08d}.{suffix}")
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))
    return folder


def _table(n: int, kind: str) -> Path:
    """One Parquet file, in row groups of 1,000."""
    path = Path(mkdtemp(prefix="vergence-bench-")) / "pairs.parquet"
    columns = {
        "key": [f"{number:08d}" for number in range(n)],
        "image": list(islice(cycle(_files(kind)), n)),
        "caption": _captions(n),
    }
    pq.write_table(pa.table(columns), path, row_group_size=1000)
    return path
