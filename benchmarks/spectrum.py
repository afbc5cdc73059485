"""The spectrum of two embedding files at size: time and memory, reading included, with the load of the machine."""

import atexit
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import Case, Run, Side
from vergence.metrics.canonical import spectrum_of_rows
from vergence.metrics.files import pair, read_embeddings
from vergence.random import generator

SEED = 0
PACKAGES = ("numpy", "scipy")
_AT_ONCE = 50_000
_SHARED = 64  # directions, of strengths from 0.99 to 0.05


@cache
def files(n: int, dim: int) -> tuple[Path, Path]:
    """Two files of paired float32 embeddings, written some rows at a time."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    g = generator(SEED)
    count = min(_SHARED, dim)
    sigma = torch.cat([torch.linspace(0.99, 0.05, count), torch.zeros(dim - count)])
    mixings = [torch.randn(dim, dim, generator=g) / dim**0.5 for _ in range(2)]
    paths = Path(folder.name) / "images.npy", Path(folder.name) / "texts.npy"
    with paths[0].open("wb") as images, paths[1].open("wb") as texts:
        for file in (images, texts):
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, dim)}
            np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n, _AT_ONCE):
            x, noise = torch.randn(2, min(_AT_ONCE, n - start), dim, generator=g)
            (x @ mixings[0]).numpy().tofile(images)
            ((sigma * x + (1 - sigma**2).sqrt() * noise) @ mixings[1]).numpy().tofile(texts)
    return paths


def _seen(above: int, start: float) -> Mapping[str, Any]:
    """What was found, and what says whether seconds are those of a quiet machine."""
    seconds = round(time.process_time() - start, 1)
    return {"above chance": above, "processor seconds": seconds, "load of the machine": round(os.getloadavg()[0], 1)}


def of_files(*, n: int, dim: int) -> Run:
    paths = files(n, dim)

    def run() -> Mapping[str, Any]:
        start = time.process_time()
        paired = pair(*(read_embeddings(path, mapped=True) for path in paths))
        found = spectrum_of_rows(paired.x.rows(), paired.y.rows(paired.order), generator=generator(SEED))
        return _seen(found.above_chance, start)

    return run


def plain(*, n: int, dim: int) -> Run:
    """All rows in float64, singular values of each half, and every shuffle fitted anew."""
    paths = files(n, dim)

    def scores(fit: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
        mean = fit.mean(0)
        left, values, right = torch.linalg.svd(fit - mean, full_matrices=False)
        return left, (test - mean) @ right.T / values

    def correlations(halves: list[list[tuple[Tensor, Tensor]]], orders: list[Any]) -> Tensor:
        found = []
        for place, ((x_fit, x_test), (y_fit, y_test)) in enumerate(halves):
            left, _, right = torch.linalg.svd(x_fit.T @ y_fit[orders[place]], full_matrices=False)
            u, v = x_test @ left, y_test[orders[1 - place]] @ right.T
            u, v = (side - side.mean(0) for side in (u, v))
            found.append((u * v).sum(0) / (u.norm(dim=0) * v.norm(dim=0)))
        return torch.stack(found).mean(0)

    def run() -> Mapping[str, Any]:
        start, g = time.process_time(), generator(SEED)
        sides = [torch.from_numpy(np.load(path)).double() for path in paths]
        order = torch.randperm(n, generator=g)
        split = order[: n // 2], order[n // 2 :]
        halves = [[scores(side[fit], side[test]) for side in sides] for fit, test in (split, split[::-1])]
        observed = correlations(halves, [slice(None)] * 2)
        shuffled = [
            correlations(halves, [torch.randperm(len(half), generator=g) for half in split]).max() for _ in range(200)
        ]
        above = int((observed > torch.stack(shuffled).quantile(0.99)).sum())
        return _seen(above, start)

    return run


def cases() -> Iterator[Case]:
    small = {"n": 600, "dim": 8}
    at_size = Side(make=of_files, sizes={"n": 1_000_000, "dim": 512}, small=small)
    yield Case(name="spectrum of two files of 1,000,000 x 512 in float32, reading included", ours=at_size, rounds=1)
    sizes = {"n": 20_000, "dim": 128}
    yield Case(
        name="spectrum of two files of 20,000 x 128, against all rows in float64 and every shuffle fitted anew",
        ours=Side(make=of_files, sizes=sizes, small=small),
        peer=Side(make=plain, sizes=sizes, small=small),
        rounds=1,
    )
