"""The official DSprites file: 737,280 black and white images of 64 x 64 pixels, by five factors."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from vergence.data.grids import MappedPixels, Pixels, among, grid_pairs, unpacked, wanted_rows
from vergence.data.npy import Member, member
from vergence.errors import CorpusError
from vergence.images import Rows
from vergence.pairs import Pairs
from vergence.scenes import Scenes, scenes

_SIDE = 64


def read_dsprites(path: str | Path, *, rows: Rows | None = None, scene: Scenes | None = None) -> Pairs:
    """Read `dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz`.

    The arrays `imgs` (uint8, zeros and ones) and `latents_classes` (int64: colour, shape, scale, orientation, x, y) are
    read; `metadata` is pickled and left alone. Images that are compressed, as they are in the official file, are
    unpacked into a scratch file of 512 bytes each.

    Args:
        path: The file.
        rows: Which images, in which order; all if `None`.
        scene: The image set; one with fewer values is for files that hold only these. DSprites if `None`.

    Returns:
        The pairs; captions name all factors, keys are row numbers.

    Raises:
        CorpusError: If it is another file, or damaged; says what was expected.
        OutputError: If there is no room for the scratch file.
    """
    path, scene = Path(path), scene or scenes("dsprites")
    n = scene.size or 0
    images = member(path, "imgs", dtype="uint8", shape=(n, _SIDE, _SIDE))
    classes = member(path, "latents_classes", dtype="int64", shape=(n, 1 + len(scene.space))).array()
    _check_classes(path, classes, scene)
    chosen = wanted_rows(rows, n)
    pixels, numbers = _pixels(images, chosen)
    return grid_pairs(scene, pixels, numbers, chosen, classes[chosen, 1:])


def _pixels(images: Member, rows: np.ndarray) -> tuple[Pixels, np.ndarray]:
    if images.offset is not None:
        return MappedPixels(images.mapped()), rows
    return unpacked(lambda wanted: among(_checked(images), wanted), rows, (_SIDE, _SIDE), bits=True)


def _checked(images: Member) -> Iterator[Shaped[np.ndarray, "..."]]:
    for block in images.blocks():
        if block.max(initial=0) > 1:
            raise CorpusError(f"{images.path}: imgs must hold zeros and ones; it holds {block.max()}")
        yield block


def _check_classes(path: Path, classes: Shaped[np.ndarray, "..."], scene: Scenes) -> None:
    sizes = np.array([1, *(len(factor.values or ()) for factor in scene.space.factors)])
    wrong = np.argwhere((classes < 0) | (classes >= sizes))
    if len(wrong):
        row, column = wrong[0]
        name = ("color", *scene.space.names)[column]
        raise CorpusError(
            f"{path}: latents_classes row {row}: {name} must be in [0, {sizes[column] - 1}]; got {classes[row, column]}"
        )
