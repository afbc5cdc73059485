"""Images a second of the generators of controlled sets, at 64 pixels: two processes beside one, images as arrays."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pandas as pd
import torch

from benchmarks.measure import Case, Run, Side
from vergence.random import generator
from vergence.render import GENERATORS, render_scenes
from vergence.scenes import scenes

SEED = 0
PACKAGES = ("numba", "numpy")
SMALL = {"n": 8}
_IMAGES = {"dsprites": 20_000}  # fewer of those that take longer
_SIDE = 64

__all__ = ["PACKAGES", "SEED", "cases"]


def cases() -> Iterator[Case]:
    """Yield for each set two processes of one thread each, against one; images are made and not kept."""
    for name in GENERATORS:
        n = _IMAGES.get(name, 800)
        yield Case(
            name=f"{name}: {n:,} images of {_SIDE} pixels by two processes, against one",
            ours=Side(make=made, sizes={"name": name, "n": n, "workers": 2}, small=SMALL),
            peer=Side(make=made, sizes={"name": name, "n": n, "workers": 1}, small=SMALL),
            items=n,
            repeats=2,
            rounds=2,
        )


def made(*, name: str, n: int, workers: int) -> Run:
    """Render images in worker processes that are there and have compiled before they are timed."""
    labels = scenes(name).draw(n, generator=generator(SEED))
    size = -(-n // (4 * workers))
    parts = [labels.iloc[start : start + size] for start in range(0, n, size)]
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    )
    list(pool.map(_total, [name] * 4 * workers, [labels.iloc[:2]] * 4 * workers))

    def run() -> None:
        sum(pool.map(_total, [name] * len(parts), parts))

    return run


def _total(name: str, labels: pd.DataFrame) -> int:
    """Make images, and hand back no more than their sum."""
    return int(render_scenes(name, labels, side=_SIDE).sum(dtype="int64"))
