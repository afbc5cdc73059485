"""The official files of the controlled image sets, told apart by what they hold."""

from pathlib import Path

from vergence.data.dsprites import read_dsprites
from vergence.data.identified3d import read_causal3dident, read_multimodal3dident
from vergence.data.mpi3d import read_mpi3d
from vergence.data.npy import listed, members
from vergence.data.shapes3d import read_shapes3d
from vergence.data.sweeping import Read
from vergence.errors import ConfigError, CorpusError
from vergence.files import read_part
from vergence.images import Rows
from vergence.pairs import Pairs

OFFICIAL = (
    "DSprites (.npz), Shapes3D (.h5), MPI3D (.npz), a part of Multimodal3DIdent (a folder with latents_image.csv) or a "
    "part of Causal3DIdent (a folder with raw_latents_0.npy)"
)
"""What is read, in words."""

_ZIP, _HDF5 = b"PK\3\4", b"\x89HDF"


def load_scenes(path: str | Path, *, rows: Rows | None = None) -> Pairs:
    """Read the official file or folder of a controlled image set, all of which must be whole.

    Args:
        path: A file or folder: see `OFFICIAL`; which set it is, is told by what it holds.
        rows: Which images, in which order; all if `None`.

    Returns:
        The pairs; images stay where they are, or in a scratch file, until asked for.

    Raises:
        CorpusError: If it is none of them, or anything is wrong with it.
        MissingExtraError: If it is of HDF5 and `h5py` is not installed.
    """
    path = Path(path)
    if path.is_dir():
        pairs = read_scenes(path).pairs
        return pairs if rows is None else pairs.take(rows)
    if not path.is_file():
        raise CorpusError(f"{path} does not exist; name one of: {OFFICIAL}")
    mark = read_part(path, 0, 4) if path.stat().st_size >= 4 else b""
    if mark == _HDF5:
        return read_shapes3d(path, rows=rows)
    held = members(path) if mark == _ZIP else []
    if "latents_classes" in held:
        return read_dsprites(path, rows=rows)
    if "images" in held:
        return read_mpi3d(path, rows=rows)
    what = f"an archive of {listed(held)}" if mark == _ZIP else "another file"
    raise CorpusError(f"{path} is {what}; name one of: {OFFICIAL}")


def read_scenes(folder: str | Path, *, text: str | None = None, strict: bool = True, check: str = "ends") -> Read:
    """Read the folder of a controlled image set; one that is not whole in what it has, where not strict.

    Args:
        folder: A part of Multimodal3DIdent or Causal3DIdent.
        text: Which sentences, where the folder has several.
        strict: Whether to refuse the folder if anything is wrong, instead of leaving rows out and counting them.
        check: How images are looked at: `ends`, for the beginning and end of a whole file, or `pixels`: decoded.

    Returns:
        The pairs and what was left out.

    Raises:
        CorpusError: If it is neither, or anything is wrong that cannot be told row by row, or at all where strict.
    """
    folder = Path(folder)
    if (folder / "latents_image.csv").is_file():
        return read_multimodal3dident(folder, text=text, strict=strict, check=check)
    if any(folder.glob("raw_latents_*.npy")):
        if text is not None:
            raise ConfigError(f"Causal3DIdent has no texts to choose from; got {text!r}")
        return read_causal3dident(folder, strict=strict, check=check)
    parts = sorted(
        {path.parent for name in ("latents_image.csv", "raw_latents_0.npy") for path in folder.glob(f"*/{name}")}
    )
    if parts:
        raise CorpusError(f"{folder} holds several parts; name one: {', '.join(map(str, parts))}")
    raise CorpusError(f"{folder} is no folder of a controlled image set; name one of: {OFFICIAL}")
