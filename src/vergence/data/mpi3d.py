"""The official MPI3D files: photographs and renderings of a robot's arm, 64 x 64 pixels, in the order of the grid."""

from pathlib import Path

from vergence.data.grids import MappedPixels, among, grid_pairs, places_of, unpacked, wanted_rows
from vergence.data.npy import member
from vergence.errors import CorpusError
from vergence.images import Rows
from vergence.pairs import Pairs
from vergence.scenes import Scenes, scenes

_SIDE = 64
_GRIDS = ("mpi3d-like", "mpi3d-real-like")


def read_mpi3d(path: str | Path, *, rows: Rows | None = None, scene: Scenes | None = None) -> Pairs:
    """Read `mpi3d_toy.npz`, `mpi3d_realistic.npz`, `mpi3d_real.npz` or `real3d_complicated_shapes_ordered.npz`.

    The one array `images` (uint8) has no labels: they follow from the order of the grid, which is told by the number of
    images, 460,800 of the complex shapes and 1,036,800 of the others. Images that are not compressed stay where they
    are; others are unpacked into a scratch file of 12 kB each.

    Args:
        path: The file.
        rows: Which images, in which order; all if `None`.
        scene: The grid, where it is neither of the two.

    Returns:
        The pairs; captions name all factors but the two axes, keys are row numbers.

    Raises:
        CorpusError: If it is another file, or damaged; says what was expected.
        OutputError: If there is no room for the scratch file.
    """
    path = Path(path)
    images = member(path, "images", dtype="uint8", shape=(None, _SIDE, _SIDE, 3))
    known = [scene] if scene else [scenes(name) for name in _GRIDS]
    n = images.shape[0]
    found = next((grid for grid in known if grid.size == n), None)
    if found is None:
        sizes = " or ".join(f"{grid.size:,} ({grid.name})" for grid in known)
        raise CorpusError(f"{path}: images must be {sizes}, as many as the factors have combinations; got {n:,}")
    chosen = wanted_rows(rows, n)
    if images.offset is not None:
        return grid_pairs(found, MappedPixels(images.mapped()), chosen, chosen, places_of(chosen, found))
    pixels, numbers = unpacked(lambda wanted: among(images.blocks(), wanted), chosen, (_SIDE, _SIDE), bits=False)
    return grid_pairs(found, pixels, numbers, chosen, places_of(chosen, found))
