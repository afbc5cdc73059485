"""Pairs: what is selected goes together, stays encoded, and comes the same however many threads decode it."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vergence.data import load_emoji
from vergence.decoding import decode_image
from vergence.errors import CorpusError, FactorError, ShapeError
from vergence.factors import Factor, FactorSpace
from vergence.images import Images
from vergence.pairs import Pairs


class Counted(Images):
    """Images as PNG files, which count how often one is decoded."""

    def __init__(self, files: list[bytes]) -> None:
        self.files, self.times = files, 0

    def __len__(self) -> int:
        return len(self.files)

    def decoded(self, row: int) -> Image.Image:
        self.times += 1
        return decode_image(self.files[row])

    def file(self, row: int) -> bytes:
        return self.files[row]

    def chosen(self, rows: np.ndarray) -> "Counted":
        return Counted([self.files[row] for row in rows])


def png(colour: int, size: tuple[int, int] = (5, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (colour, 0, 255 - colour)).save(file, "PNG")
    return file.getvalue()


def pairs(n: int = 50) -> Pairs:
    return Pairs(
        images=Counted([png(row) for row in range(n)]),
        texts=[f"text {row}" for row in range(n)],
        keys=[f"k{row}" for row in range(n)],
        clusters=np.arange(n) // 2,
        labels=pd.DataFrame({"side": ["left", "right"] * (n // 2)}),
        factors=FactorSpace((Factor("side", ("left", "right")),)),
    )


def test_what_is_taken_goes_together_and_nothing_is_decoded_for_it() -> None:
    taken = pairs().take([7, 3])
    assert (taken.texts, taken.keys, taken.clusters.tolist()) == (["text 7", "text 3"], ["k7", "k3"], [3, 1])
    assert taken.labels["side"].tolist() == ["right", "right"]
    assert taken.images.times == 0
    assert taken.images[0].getpixel((0, 0)) == (7, 0, 248)
    assert len(pairs().take(np.arange(50) % 2 == 0)) == 25


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_come_in_order_however_many_threads_decode_them(workers: int) -> None:
    groups = [list(range(start, start + 20)) for start in (0, 30, 10)] + [[4]]
    found = list(pairs().batches(groups, side=4, workers=workers))
    assert [texts for _, texts in found] == [[f"text {row}" for row in rows] for rows in groups]
    for (images, _), rows in zip(found, groups, strict=True):
        assert images.dtype == torch.uint8
        assert images[:, 0, 0, 0].tolist() == rows


def test_no_more_is_decoded_than_a_little_ahead() -> None:
    whole = pairs()
    batches = whole.batches(([row] for row in range(50)), side=4, workers=2)
    next(batches)
    assert whole.images.times <= 4
    batches.close()


def test_an_image_that_cannot_be_decoded_is_said_by_whoever_takes_it() -> None:
    broken = Pairs(images=Counted([png(1), b"none"]), texts=["a", "b"], keys=["a", "b"], clusters=np.arange(2))
    batches = broken.batches([[0], [1]], side=4)
    next(batches)
    with pytest.raises(CorpusError, match="4 bytes: no whole WebP, PNG or JPEG"):
        next(batches)


def test_a_split_keeps_clusters_on_one_side() -> None:
    whole = pairs()
    split = whole.split({"train": 0.6, "test": 0.4}, generator=torch.Generator().manual_seed(0))
    assert sorted([*split["train"], *split["test"]]) == list(range(50))
    assert set(whole.clusters[split["train"]]).isdisjoint(whole.clusters[split["test"]])


def test_parts_that_do_not_fit_and_factors_that_are_not_known_are_refused() -> None:
    with pytest.raises(ShapeError, match="each image must have its texts; got 1 images and 2 texts"):
        Pairs(images=Counted([png(1)]), texts=["a", "b"], keys=["a"], clusters=np.arange(1))
    with pytest.raises(FactorError, match="no factor of these pairs is labelled"):
        _ = Pairs(images=Counted([]), texts=[], keys=[], clusters=np.arange(0)).space
    with pytest.raises(ShapeError, match="images of 5 x 4 and 9 x 4 pixels do not go into one tensor; pass side="):
        Counted([png(1), png(2, (9, 4))]).tensor()
    with pytest.raises(IndexError, match="out of range"):
        load_emoji().images[9999]
