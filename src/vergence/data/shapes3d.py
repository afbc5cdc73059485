"""The official Shapes3D file: 480,000 rendered images of 64 x 64 pixels, by six factors."""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from vergence.data.grids import MappedPixels, Pixels, among, grid_pairs, unpacked, wanted_rows
from vergence.data.npy import listed
from vergence.errors import CorpusError, MissingExtraError, VergenceError, first_line
from vergence.images import Rows
from vergence.pairs import Pairs
from vergence.scenes import Scenes, scenes

_SIDE = 64
_FEWEST, _MOST = 1024, 16384  # images that are read at once
_TOGETHER = 256  # images that are put together from tiles at once, so that they fit into the processor's cache
_MOST_CHUNK = 1 << 30  # bytes that HDF5 unpacks at once
_NUMBERS: Mapping[str, Float[np.ndarray, " k"]] = MappingProxyType(  # how the file writes the values of each factor
    {
        "floor_hue": np.arange(10) / 10,
        "wall_hue": np.arange(10) / 10,
        "object_hue": np.arange(10) / 10,
        "scale": np.linspace(0.75, 1.25, 8),
        "shape": np.arange(4.0),
        "orientation": np.linspace(-30.0, 30.0, 15),
    }
)


def read_shapes3d(path: str | Path, *, rows: Rows | None = None, scene: Scenes | None = None) -> Pairs:
    """Read `3dshapes.h5`.

    It has the data sets `images` (uint8) and `labels` (float64, a number for each factor). Images that are stored in
    one piece stay where they are; those in chunks, which are unpacked many at a time, are copied to a scratch file of
    12 kB each.

    Args:
        path: The file.
        rows: Which images, in which order; all if `None`.
        scene: The image set; one with fewer values is for files that hold only these. Shapes3D if `None`.

    Returns:
        The pairs; captions name all factors, keys are row numbers.

    Raises:
        CorpusError: If it is another file, or damaged; says what was expected.
        MissingExtraError: If `h5py` is not installed.
        OutputError: If there is no room for the scratch file.
    """
    path, scene = Path(path), scene or scenes("shapes3d-like")
    n = scene.size or 0
    chosen, h5py = wanted_rows(rows, n), _h5py()
    try:
        with h5py.File(path, "r") as file:
            images = _dataset(h5py, file, "images", dtype="uint8", shape=(n, _SIDE, _SIDE, 3))
            labels = _dataset(h5py, file, "labels", dtype="float64", shape=(n, len(scene.space)))
            places = _places(path, labels[()], scene)
            pixels, numbers = _pixels(path, images, chosen)
    except VergenceError:
        raise
    except Exception as error:  # h5py raises whatever a damaged file makes it meet
        reason = first_line(error)
        raise CorpusError(f"{path} is no whole HDF5 file: {reason}") from error
    return grid_pairs(scene, pixels, numbers, chosen, places[chosen])


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", "hdf5") from error
    return h5py


def _dataset(h5py: Any, file: Any, name: str, *, dtype: str, shape: tuple[int, ...]) -> Any:
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise CorpusError(f"{file.filename} must hold the data set {name!r}; it holds {listed(file)}")
    if found.dtype.name != dtype or found.shape != shape:
        asked, got = (" x ".join(f"{length:,}" for length in one or ()) for one in (shape, found.shape))
        raise CorpusError(
            f"{file.filename}: {name} must be {dtype} of shape {asked}; got {found.dtype.name} of shape {got or '()'}"
        )
    if found.is_virtual or found.external:
        raise CorpusError(f"{file.filename}: {name} lies in other files, which are not read")
    if found.chunks and np.prod(found.chunks) * found.dtype.itemsize > _MOST_CHUNK:
        raise CorpusError(f"{file.filename}: {name} has chunks of more than {_MOST_CHUNK:,} bytes")
    return found


def _places(path: Path, labels: Float[np.ndarray, "n factors"], scene: Scenes) -> Int[np.ndarray, "n factors"]:
    """The place of each factor's value, by the number that the file has for it."""
    whole = scenes("shapes3d-like").space
    places = np.empty(labels.shape, dtype=np.int64)
    for column, factor in enumerate(scene.space.factors):
        values = factor.values or ()
        numbers = _NUMBERS[factor.name][[whole[factor.name].index(value) for value in values]]
        distance = np.abs(labels[:, column, None] - numbers)
        places[:, column] = distance.argmin(axis=1)
        if len(wrong := np.flatnonzero(~(distance.min(axis=1) < 1e-6))):
            known = ", ".join(f"{number:g}" for number in numbers)
            raise CorpusError(
                f"{path}: labels row {wrong[0]}: {factor.name} must be one of {known}; got {labels[wrong[0], column]:g}"
            )
    return places


def _pixels(path: Path, images: Any, rows: Int[np.ndarray, " n"]) -> tuple[Pixels, Int[np.ndarray, " n"]]:
    offset = images.id.get_offset() if images.chunks is None and not images.compression else None
    if offset is not None:
        return MappedPixels(np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=images.shape)), rows
    deflated = images.compression == "gzip" and not images.fletcher32 and images.scaleoffset is None
    read = _from_chunks if deflated and images.chunks[0] <= _MOST else _from_blocks
    return unpacked(lambda wanted: read(images, wanted), rows, (_SIDE, _SIDE), bits=False)


def _from_blocks(images: Any, wanted: Int[np.ndarray, " n"]) -> Iterator[Shaped[np.ndarray, "..."]]:
    """Images by their rising numbers, as HDF5 gives them."""
    at_once = min(max(images.chunks[0] if images.chunks else _FEWEST, _FEWEST), _MOST)
    yield from among((images[start : start + at_once] for start in range(0, len(images), at_once)), wanted)


def _from_chunks(images: Any, wanted: Int[np.ndarray, " n"]) -> Iterator[Shaped[np.ndarray, "..."]]:
    """The same from chunks that are deflated: the official ones hold a few pixels each of thousands of images.

    HDF5 would put each pixel in its place by itself, of all these images.
    """
    depth, *tile = images.chunks
    grid = [-(-length // step) for length, step in zip(images.shape[1:], tile, strict=True)]
    for start in range(0, len(images), depth):
        first, last = np.searchsorted(wanted, (start, start + depth))
        if first == last:
            continue
        tiles = np.empty((*grid, last - first, *tile), dtype=np.uint8)
        for place in np.ndindex(*grid):
            corner = (start, *(at * step for at, step in zip(place, tile, strict=True)))
            tiles[place] = _chunk(images, corner)[wanted[first:last] - start]
        for at in range(0, last - first, _TOGETHER):
            some = tiles[..., at : at + _TOGETHER, :, :, :].transpose(3, 0, 4, 1, 5, 2, 6)
            whole = some.reshape(len(some), *(n * step for n, step in zip(grid, tile, strict=True)))
            yield whole[(slice(None), *map(slice, images.shape[1:]))]  # the last tiles reach over the edge


def _chunk(images: Any, corner: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:
    passed_over, packed = images.id.read_direct_chunk(corner)  # one bit for each filter that the chunk did not need
    size = int(np.prod(images.chunks))
    data = packed if passed_over else zlib.decompressobj().decompress(packed, size + 1)
    if len(data) != size:
        raise ValueError(f"the chunk at {corner} is not of {size:,} bytes")
    return np.frombuffer(data, dtype=np.uint8).reshape(images.chunks)
