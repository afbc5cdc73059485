"""Official grid files, written small in exactly their formats: what is read, what is mapped, what is refused."""

import io
import pickle
import sys
import zipfile

import h5py
import numpy as np
import pytest
import torch
from tests.data.official import DSPRITES, MPI3D, SHAPES3D, noise, places, write_dsprites, write_shapes3d

from vergence.data import grids, load_scenes
from vergence.data.dsprites import read_dsprites
from vergence.data.grids import GridImages, MappedPixels, ScratchPixels
from vergence.data.mpi3d import read_mpi3d
from vergence.data.shapes3d import read_shapes3d
from vergence.decoding import decode_image
from vergence.errors import CorpusError, MissingExtraError, OutputError
from vergence.random import generator
from vergence.scenes import Scenes


def assert_same_images(pairs, pixels: np.ndarray) -> None:
    """Every way to the images gives the same pixels."""
    if pixels.ndim == 3:
        pixels = np.repeat(pixels[..., None] * np.uint8(255), 3, axis=3)
    rows = [len(pairs) - 1, 0, 3, 3]
    assert np.array_equal(pairs.images.tensor(rows).numpy().transpose(0, 2, 3, 1), pixels[rows])
    assert np.array_equal(np.asarray(pairs.images[3]), pixels[3])
    assert np.array_equal(np.asarray(decode_image(pairs.images.file(3))), pixels[3])
    batch, texts = next(pairs.batches([rows], side=64, workers=2))
    assert np.array_equal(batch.numpy().transpose(0, 2, 3, 1), pixels[rows])
    assert texts == [pairs.texts[row] for row in rows]
    small = next(pairs.images.batches([rows], side=16, workers=1))
    assert torch.equal(small, pairs.images.tensor(rows, side=16))
    assert np.array_equal(np.asarray(pairs.take([3, 1]).images[0]), pixels[3])


def assert_labels_of_the_grid(pairs, scene: Scenes) -> None:
    assert pairs.labels.equals(scene.rows(torch.arange(scene.size)).astype(object))
    assert pairs.space == scene.space
    assert len(set(pairs.keys)) == len(pairs)
    assert pairs.misalignment.selected == set(scene.captioned)
    if scene.space["shape"]:
        assert all(shape in text for shape, text in zip(pairs.labels["shape"], pairs.texts, strict=True))


@pytest.mark.parametrize(("save", "kind"), [(np.savez_compressed, ScratchPixels), (np.savez, MappedPixels)])
def test_dsprites_are_read_without_unpickling_their_metadata(tmp_path, save, kind, monkeypatch):
    imgs = write_dsprites(tmp_path / "d.npz", save=save)
    monkeypatch.setattr(pickle, "load", lambda *a, **k: pytest.fail("unpickled"))
    pairs = read_dsprites(tmp_path / "d.npz", scene=DSPRITES)
    assert isinstance(pairs.images, GridImages)
    assert isinstance(pairs.images.pixels, kind)
    assert_same_images(pairs, imgs)
    assert_labels_of_the_grid(pairs, DSPRITES)


@pytest.mark.parametrize(
    ("storage", "kind"),
    [
        ({}, MappedPixels),
        ({"chunks": (50, 4, 4, 1), "compression": "gzip"}, ScratchPixels),
        ({"chunks": (7, 30, 64, 2), "compression": "gzip", "shuffle": True}, ScratchPixels),
        ({"chunks": (50, 32, 32, 3), "compression": "lzf"}, ScratchPixels),
        ({"chunks": (50, 32, 32, 3), "compression": "gzip", "fletcher32": True}, ScratchPixels),
    ],
    ids=["one piece", "deflated", "uneven", "lzf", "checksums"],
)
def test_shapes3d_are_read_by_the_numbers_of_their_labels(tmp_path, storage, kind):
    images = write_shapes3d(tmp_path / "s.h5", **storage)
    pairs = read_shapes3d(tmp_path / "s.h5", scene=SHAPES3D)
    assert isinstance(pairs.images.pixels, kind)
    assert_same_images(pairs, images)
    assert_labels_of_the_grid(pairs, SHAPES3D)


@pytest.mark.parametrize(("save", "kind"), [(np.savez_compressed, ScratchPixels), (np.savez, MappedPixels)])
def test_mpi3d_are_read_in_the_order_of_the_grid(tmp_path, save, kind):
    images = noise(MPI3D.size, 64, 64, 3)
    save(tmp_path / "m.npz", images=images)
    pairs = read_mpi3d(tmp_path / "m.npz", scene=MPI3D)
    assert isinstance(pairs.images.pixels, kind)
    assert_same_images(pairs, images)
    assert_labels_of_the_grid(pairs, MPI3D)


def test_labels_follow_the_file_where_its_rows_are_in_another_order(tmp_path):
    order = torch.randperm(DSPRITES.size, generator=generator(0)).numpy()
    classes = np.concatenate([np.zeros((DSPRITES.size, 1), dtype=np.int64), places(DSPRITES)], axis=1)[order]
    write_dsprites(tmp_path / "d.npz", latents_classes=classes)
    labels = read_dsprites(tmp_path / "d.npz", scene=DSPRITES).labels
    assert labels.equals(DSPRITES.rows(torch.from_numpy(order)).astype(object))


@pytest.mark.parametrize("save", [np.savez_compressed, np.savez])
def test_rows_that_are_asked_for_come_in_that_order_and_only_they_are_unpacked(tmp_path, save, monkeypatch):
    monkeypatch.setattr("vergence.data.npy._BLOCK", 3 * 64 * 64 * 3)  # several blocks
    images = noise(MPI3D.size, 64, 64, 3)
    save(tmp_path / "m.npz", images=images)
    rows = [9, 2, 100, 2]
    pairs = read_mpi3d(tmp_path / "m.npz", rows=rows, scene=MPI3D)
    assert np.array_equal(pairs.images.tensor().numpy().transpose(0, 2, 3, 1), images[rows])
    assert pairs.keys == [f"{row:07d}" for row in rows]
    assert pairs.labels.equals(MPI3D.rows(torch.tensor(rows)).astype(object))
    if isinstance(pairs.images.pixels, ScratchPixels):
        assert pairs.images.pixels.scratch.read(0, 10**9) == images[sorted(set(rows))].tobytes()


@pytest.mark.parametrize("storage", [{}, {"compression": "gzip"}, {"compression": "lzf"}], ids=str)
def test_rows_of_shapes3d_come_in_the_order_asked_for(tmp_path, storage):
    images = write_shapes3d(tmp_path / "s.h5", **({"chunks": (50, 8, 8, 1)} | storage if storage else {}))
    rows = [239, 3, 51, 3, 49]
    pairs = read_shapes3d(tmp_path / "s.h5", rows=rows, scene=SHAPES3D)
    assert np.array_equal(pairs.images.tensor().numpy().transpose(0, 2, 3, 1), images[rows])
    assert pairs.labels.equals(SHAPES3D.rows(torch.tensor(rows)).astype(object))


def test_the_official_sizes_are_asked_for_where_no_grid_is_given(tmp_path):
    np.savez(tmp_path / "m.npz", images=noise(100, 64, 64, 3))
    with pytest.raises(
        CorpusError, match=r"images must be 460,800 \(mpi3d-like\) or 1,036,800 \(mpi3d-real-like\), .*; got 100$"
    ):
        load_scenes(tmp_path / "m.npz")
    write_dsprites(tmp_path / "d.npz")
    with pytest.raises(CorpusError, match=r"imgs must be uint8 of shape 737,280 x 64 x 64; got uint8 of shape 96 x 64"):
        load_scenes(tmp_path / "d.npz")
    write_shapes3d(tmp_path / "s.h5")
    with pytest.raises(
        CorpusError, match=r"images must be uint8 of shape 480,000 x 64 x 64 x 3; got uint8 of shape 240"
    ):
        load_scenes(tmp_path / "s.h5")


def test_official_files_are_told_apart_by_what_they_hold(tmp_path, monkeypatch):
    def named(name: str):
        def read(path, *, rows):
            raise CorpusError(f"{name} reads {path.name}")

        return read

    for name in ("dsprites", "shapes3d", "mpi3d"):
        monkeypatch.setattr(f"vergence.data.scene_files.read_{name}", named(name))
    write_dsprites(tmp_path / "one.npz")
    write_shapes3d(tmp_path / "two")
    np.savez(tmp_path / "three.npz", images=np.zeros(3))
    for name, file in (("dsprites", "one.npz"), ("shapes3d", "two"), ("mpi3d", "three.npz")):
        with pytest.raises(CorpusError, match=f"{name} reads {file}"):
            load_scenes(tmp_path / file)


def test_what_is_no_official_file_says_what_is_read(tmp_path):
    (tmp_path / "text").write_text("hello")
    np.savez(tmp_path / "other.npz", faces=np.zeros(3))
    with pytest.raises(CorpusError, match=r"text is another file; name one of: DSprites \(.npz\), Shapes3D"):
        load_scenes(tmp_path / "text")
    with pytest.raises(CorpusError, match=r"other.npz is an archive of faces; name one of: DSprites"):
        load_scenes(tmp_path / "other.npz")
    with pytest.raises(CorpusError, match=r"nothing does not exist; name one of"):
        load_scenes(tmp_path / "nothing")
    with pytest.raises(CorpusError, match=r"is no folder of a controlled image set; name one of"):
        load_scenes(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"imgs": np.zeros((96, 64, 64), dtype=np.int64)}, r"imgs must be uint8 of shape 96 x 64 x 64; got int64"),
        ({"imgs": noise(95, 64, 64, most=2)}, r"imgs must be uint8 of shape 96 x 64 x 64; got uint8 of shape 95"),
        ({"imgs": noise(96, 64, 64)}, r"imgs must hold zeros and ones; it holds 255"),
        ({"imgs": np.array([{}] * 96, dtype=object)}, r"imgs holds pickled objects, which are not read; uint8 was exp"),
        ({"imgs": np.zeros((96, 64, 64), dtype=np.uint8, order="F")}, r"imgs is in Fortran order"),
        ({"latents_classes": np.zeros((96, 5), dtype=np.int64)}, r"latents_classes must be int64 of shape 96 x 6"),
        ({"latents_classes": np.full((96, 6), 1)}, r"latents_classes row 0: color must be in \[0, 0\]; got 1"),
        ({"latents_classes": np.array([[0] * 6] * 95 + [[0, 3, 0, 0, 0, 0]])}, r"row 95: shape must be in \[0, 2\]; g"),
    ],
)  # fmt: skip
def test_another_npz_says_what_was_expected_and_what_it_is(tmp_path, changed, message):
    write_dsprites(tmp_path / "d.npz", **changed)
    with pytest.raises(CorpusError, match=message):
        read_dsprites(tmp_path / "d.npz", scene=DSPRITES)


def test_an_npz_without_the_arrays_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "d.npz", images=np.zeros(3))
    with pytest.raises(CorpusError, match=r"d.npz must hold the array 'imgs'; it holds images"):
        read_dsprites(tmp_path / "d.npz", scene=DSPRITES)
    (tmp_path / "no.npz").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(CorpusError, match=r"no.npz is no .npz archive: File is not a zip file"):
        load_scenes(tmp_path / "no.npz")


def test_a_header_that_promises_more_than_the_file_has_is_refused_before_anything_is_read(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (MPI3D.size, 64, 64, 3)}
    )
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        with zipfile.ZipFile(tmp_path / "m.npz", "w", kind) as archive:
            archive.writestr("images.npy", header.getvalue() + b"few")
        with pytest.raises(CorpusError, match=r"images is not of the size that its header states; the file is damaged"):
            read_mpi3d(tmp_path / "m.npz", scene=MPI3D)
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("images.npy", header.getvalue())
    with pytest.raises(CorpusError, match=r"images must be stored or deflated; it is packed in another way"):
        read_mpi3d(tmp_path / "b.npz", scene=MPI3D)
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("images.npy", "no array")
    with pytest.raises(CorpusError, match=r"t.npz: images is damaged: the magic string is not correct"):
        read_mpi3d(tmp_path / "t.npz", scene=MPI3D)


def test_damage_in_the_middle_of_a_compressed_file_is_reported(tmp_path):
    path = tmp_path / "m.npz"
    np.savez_compressed(path, images=noise(MPI3D.size, 64, 64, 3))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :][:2000] = bytes(2000)
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=r"m.npz: images is damaged: "):
        read_mpi3d(path, scene=MPI3D)


def test_a_full_disk_is_foreseen(tmp_path, monkeypatch):
    write_dsprites(tmp_path / "d.npz")
    monkeypatch.setattr(grids.shutil, "disk_usage", lambda where: type("Usage", (), {"free": 1000})())
    with pytest.raises(
        OutputError, match=r"unpacking takes 0.0 GB in .*, which has 0.0; set TMPDIR to a larger disk, or"
    ):
        read_dsprites(tmp_path / "d.npz", scene=DSPRITES)
    assert len(read_dsprites(tmp_path / "d.npz", rows=[5], scene=DSPRITES)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.pop("images"), r"must hold the data set 'images'; it holds labels$"),
        (lambda file: (file.pop("images"), file.create_group("images")), r"must hold the data set 'images'"),
        (lambda file: file["labels"].write_direct(np.full((240, 6), 0.4)), r"labels row 0: floor_hue must be one of 0"),
        (lambda file: file["labels"].write_direct(np.full((240, 6), np.nan)), r"floor_hue must be one .*; got nan"),
        (
            lambda file: (file.pop("images"), file.create_dataset("images", (240, 64, 64, 3), "f4")),
            r"images must be uint8 of shape 240 x 64 x 64 x 3; got float32 of shape 240 x",
        ),
        (
            lambda file: (
                file.pop("images"),
                file.create_dataset("images", (240, 64, 64, 3), "u1", external=[("/etc/passwd", 0, 2949120)]),
            ),
            r"images lies in other files, which are not read",
        ),
    ],
)  # fmt: skip
def test_another_hdf5_file_says_what_was_expected_and_what_it_is(tmp_path, change, message):
    write_shapes3d(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        change(file)
    with pytest.raises(CorpusError, match=message):
        read_shapes3d(tmp_path / "s.h5", scene=SHAPES3D)


def test_a_damaged_hdf5_file_is_reported(tmp_path):
    write_shapes3d(tmp_path / "s.h5", chunks=(50, 4, 4, 1), compression="gzip")
    data = (tmp_path / "s.h5").read_bytes()
    (tmp_path / "s.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(CorpusError, match=r"s.h5 is no whole HDF5 file: "):
        read_shapes3d(tmp_path / "s.h5", scene=SHAPES3D)


def test_without_h5py_the_error_names_the_extra(tmp_path, monkeypatch):
    write_shapes3d(tmp_path / "s.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        MissingExtraError, match=r"needs the package 'h5py'; install it with: pip install 'vergence\[hdf5\]'"
    ):
        read_shapes3d(tmp_path / "s.h5", scene=SHAPES3D)
