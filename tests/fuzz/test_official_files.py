"""Official files of the controlled image sets that were whole and have been edited: read, or refused in one line."""

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.official import (
    DSPRITES,
    MPI3D,
    SHAPES3D,
    noise,
    write_causal,
    write_dsprites,
    write_multimodal,
    write_shapes3d,
)  # fmt: skip

from vergence.data import read_scenes
from vergence.data.dsprites import read_dsprites
from vergence.data.mpi3d import read_mpi3d
from vergence.data.shapes3d import read_shapes3d
from vergence.errors import VergenceError

EXAMPLES = int(os.environ.get("VERGENCE_FUZZ_EXAMPLES", "60"))
EDITED: dict[str, Callable[[Path], object]] = {  # what is edited, and how the set is read
    "d.npz": lambda folder: read_dsprites(folder / "d.npz", scene=DSPRITES),
    "m.npz": lambda folder: read_mpi3d(folder / "m.npz", scene=MPI3D),
    "whole.h5": lambda folder: read_shapes3d(folder / "whole.h5", scene=SHAPES3D),
    "chunks.h5": lambda folder: read_shapes3d(folder / "chunks.h5", scene=SHAPES3D),
    "train/latents_image.csv": lambda folder: read_scenes(folder / "train", strict=False, check="pixels"),
    "train/latents_text.csv": lambda folder: read_scenes(folder / "train", strict=False),
    "train/text/text_raw.txt": lambda folder: read_scenes(folder / "train", strict=False),
    "train/images/000003.png": lambda folder: read_scenes(folder / "train", strict=False),
    "trainset/raw_latents_2.npy": lambda folder: read_scenes(folder / "trainset", strict=False),
    "trainset/latents_2.npy": lambda folder: read_scenes(folder / "trainset"),
}


@cache
def sets() -> Path:
    """A folder with every set, whole between examples."""
    held = tempfile.TemporaryDirectory()
    sets.held = held  # type: ignore[attr-defined] # as long as the tests run
    folder = Path(held.name)
    write_dsprites(folder / "d.npz")
    np.savez(folder / "m.npz", images=noise(MPI3D.size, 64, 64, 3))
    write_shapes3d(folder / "whole.h5")
    write_shapes3d(folder / "chunks.h5", chunks=(50, 4, 4, 1), compression="gzip")
    write_multimodal(folder / "train")
    write_causal(folder / "trainset")
    return folder


def edited(data: bytes, edits: list[tuple[float, bool, bytes, int]]) -> bytes:
    """Some bytes replaced, put in or cut out, half of the time near one of the ends, where headers are."""
    for place, near, new, cut in edits:
        at = int((place**8 if place < 0.5 else 1 - (1 - place) ** 8) * len(data)) if near else int(place * len(data))
        data = data[:at] + new + data[at + cut :]
    return data


@pytest.mark.parametrize("name", EDITED)
@settings(max_examples=max(5, EXAMPLES // 3), deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.booleans(), st.binary(max_size=8), st.integers(0, 12)), min_size=1, max_size=8
    )
)
def test_edited_official_files_are_read_or_refused(name, edits):
    path = sets() / name
    whole = path.read_bytes()
    path.write_bytes(edited(whole, edits))
    said = ""
    try:
        read = EDITED[name](sets())
        getattr(read, "pairs", read).images[:2].tensor(side=8)
    except VergenceError as error:
        said = str(error)
    finally:
        path.write_bytes(whole)
    assert len(said.splitlines()) <= 1
