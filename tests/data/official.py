"""Official files and folders of the controlled image sets, small and in exactly their formats."""

import csv
import io
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from vergence.scenes import Scenes, scenes

DSPRITES = scenes("dsprites").coarse({"scale": 2, "orientation": 2, "x": 2, "y": 4})
SHAPES3D = scenes("shapes3d-like").coarse(
    {"floor_hue": 2, "wall_hue": 2, "object_hue": 5, "scale": 3, "shape": 2, "orientation": 2}
)
MPI3D = scenes("mpi3d-like").coarse(
    {"color": 2, "shape": 2, "camera": 2, "background": 2, "horizontal": 4, "vertical": 2}
)


def sizes(scene: Scenes) -> list[int]:
    return [len(factor.values) for factor in scene.space.factors]


def places(scene: Scenes) -> np.ndarray:
    return np.stack(np.unravel_index(np.arange(scene.size), sizes(scene)), axis=1)


def noise(*shape: int, most: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(most, size=shape, dtype=np.uint8)


def write_dsprites(path: Path, *, save=np.savez_compressed, **changed) -> np.ndarray:
    """The members of the official file, in their order and types; metadata is a pickled dictionary, as there."""
    imgs, classes = noise(DSPRITES.size, 64, 64, most=2), places(DSPRITES)
    classes = np.concatenate([np.zeros((len(classes), 1), dtype=np.int64), classes], axis=1)
    held = {
        "metadata": np.array({"author": "x", "title": "dSprites dataset"}, dtype=object),
        "imgs": imgs,
        "latents_classes": classes,
        "latents_values": classes.astype(np.float64),
    }
    save(path, **(held | changed), allow_pickle=True) if save is np.savez_compressed else save(path, **(held | changed))
    return imgs


def write_shapes3d(path: Path, *, images=None, labels=None, **storage) -> np.ndarray:
    whole = scenes("shapes3d-like").space
    numbers = {
        "scale": np.linspace(0.75, 1.25, 8), "shape": np.arange(4.0), "orientation": np.linspace(-30, 30, 15),
    }  # fmt: skip
    columns = []
    for column, factor in enumerate(SHAPES3D.space.factors):
        known = numbers.get(factor.name, np.linspace(0, 0.9, 10))
        of_value = np.array([known[whole[factor.name].index(value)] for value in factor.values])
        columns.append(of_value[places(SHAPES3D)[:, column]])
    images = noise(SHAPES3D.size, 64, 64, 3) if images is None else images
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, **storage)
        file.create_dataset("labels", data=np.stack(columns, axis=1) if labels is None else labels)
    return images


N = 12
SHAPES = scenes("causal3dident").space["shape"].values
COLUMNS = (
    "object_shape", "object_xpos", "object_ypos", "object_zpos", "object_alpharot", "object_betarot", "object_gammarot",
    "object_color", "spotlight_pos", "spotlight_color", "background_color",
)  # fmt: skip


def png(row: int) -> bytes:
    """An image whose every pixel is its row."""
    held = io.BytesIO()
    Image.new("RGB", (8, 8), (row, row, row)).save(held, "PNG")
    return held.getvalue()


def latents() -> list[dict[str, object]]:
    values = np.random.default_rng(0).random((N, 7))
    return [
        {
            "object_shape": row % 7, "object_xpos": row % 3, "object_ypos": row // 3 % 3, "object_zpos": 0.0,
            "object_alpharot": values[row, 0], "object_betarot": values[row, 1], "object_gammarot": values[row, 2],
            "object_color": values[row, 3], "spotlight_pos": values[row, 4], "spotlight_color": values[row, 5],
            "background_color": values[row, 6],
        }
        for row in range(N)
    ]  # fmt: skip


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_multimodal(folder: Path) -> Path:
    """A part as the published script writes it, whose sentences carry the number of their row."""
    (folder / "images").mkdir(parents=True)
    (folder / "text").mkdir()
    for row in range(N):
        (folder / "images" / f"{row:06d}.png").write_bytes(png(row))
    write_table(folder / "latents_image.csv", latents())
    said = [
        {name: row[name] for name in COLUMNS[:4]}
        | {"object_color_name": "xkcd:sea", "object_color_index": 3, "text_phrasing": 0}
        for row in latents()
    ]
    write_table(folder / "latents_text.csv", said)
    sentences = [f'A "xkcd:sea" {SHAPES[row % 7]} is in image {row}.\n' for row in range(N)]
    (folder / "text" / "text_raw.txt").write_text("".join(sentences))
    return folder


def write_causal(folder: Path) -> Path:
    """A part of Causal3DIdent with five images of each shape, of which each has its number as every pixel."""
    folder.mkdir()
    for shape in range(7):
        (folder / f"images_{shape}").mkdir()
        for row in range(5):
            (folder / f"images_{shape}" / f"{row:05d}.png").write_bytes(png(10 * shape + row))
        raw = np.random.default_rng(shape).uniform(-1, 1, (5, 10)).astype(np.float32)
        np.save(folder / f"raw_latents_{shape}.npy", raw)
        np.save(folder / f"latents_{shape}.npy", raw * np.float32([2] * 3 + [np.pi / 2] * 7))
    return folder
