"""Embeddings in a folder of parts, as clip-retrieval lays them out: arrays, and metadata in a folder beside them."""

import re
from collections.abc import Hashable
from pathlib import Path

import numpy as np

from vergence.arrow import read_schema, read_table
from vergence.errors import CorpusError
from vergence.metrics.formats import Read, read_npy
from vergence.metrics.identifiers import IDENTIFIERS, OF_IMAGE

FOLDERS = ("img_emb", "text_emb")
_PART = re.compile(r"(img|text)_emb_(\d+)\.npy")


def holds_parts(path: Path) -> bool:
    """Whether a path is a folder of parts: it, or the arrays in it, are called as clip-retrieval calls them."""
    return path.is_dir() and (path.name in FOLDERS or any(_PART.fullmatch(file.name) for file in path.glob("*.npy")))


def read_parts(folder: Path) -> Read:
    """Read all parts of a folder, in the order of their numbers.

    Returns:
        The rows; their identifiers, if the metadata have any; of which image each text is, if they say that. An image
        that is repeated for each of its texts is read once.

    Raises:
        CorpusError: If there is no array, a part is missing, or an array and its metadata have different numbers of
            rows.
    """
    found = {int(name[2]): file for file in folder.glob("*.npy") if (name := _PART.fullmatch(file.name))}
    if not found:
        raise CorpusError(f"{folder} holds no arrays called {folder.name}_0.npy and so on; name another folder or file")
    if missing := sorted(set(range(max(found) + 1)) - set(found)):
        raise CorpusError(f"{folder} lacks part {missing[0]}; finish the job that writes it, or copy the part there")
    parts = [_part(found[number]) for number in sorted(found)]
    values = [part[0] for part in parts if len(part[0])] or [parts[0][0]]
    if len(widths := {array.shape[1:] for array in values}) > 1:
        raise CorpusError(f"{folder} holds parts of different shapes: {', '.join(map(str, sorted(widths)))} by rows")
    identifiers = _all([part[1] for part in parts])
    images = _all([part[2] for part in parts])
    return np.concatenate(values), identifiers, images


def _part(path: Path) -> Read:
    values = read_npy(path)
    name = path.name.partition("_emb_")
    about = path.parent.parent / "metadata" / f"metadata_{name[2].removesuffix('.npy')}.parquet"
    if not about.is_file():
        return values, None, None
    names = read_schema(about).names
    key = next((one for one in IDENTIFIERS if one in names), None)
    if key is None:
        return values, None, None
    of_image = OF_IMAGE in names and key == IDENTIFIERS[0]
    table = read_table(about, [key, *([OF_IMAGE] if of_image else [])])
    if len(table) != len(values):
        raise CorpusError(f"{path} has {len(values)} rows and {about} {len(table)}; they must pair")
    keys = tuple(table[key].to_pylist())
    if not of_image:
        return values, keys, None
    images = tuple(table[OF_IMAGE].to_pylist())
    if name[0] == "text":
        return values, keys, images
    first = [row for row, (own, image) in enumerate(zip(keys, images, strict=True)) if own == image]
    return values[first], tuple(keys[row] for row in first), None


def _all(parts: list[tuple[Hashable, ...] | None]) -> tuple[Hashable, ...] | None:
    """Those of all parts, where each has them."""
    return None if any(part is None for part in parts) else tuple(one for part in parts for one in part or ())
