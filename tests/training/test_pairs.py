"""Pairs from a user's Parquet file, and from the embedded set."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from vergence.errors import ConfigError, CorpusError
from vergence.training.pairs import load_pairs
from vergence.training.spec import DataConfig

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9)]


def encoded(colour: tuple[int, ...], kind: str = "PNG", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (20, 12), colour).save(file, kind)
    return file.getvalue()


def parquet(folder: Path, images: list, captions: list | None = None) -> DataConfig:
    captions = [f"caption {row}" for row in range(len(images))] if captions is None else captions
    pq.write_table(pa.table({"image": images, "caption": captions}), folder / "pairs.parquet")
    return DataConfig(parquet=str(folder / "pairs.parquet"), side=8, validation=0.25)


def test_images_as_bytes_of_every_format_are_brought_to_one_size(tmp_path: Path) -> None:
    kinds = ["PNG", "JPEG", "WEBP", "PNG"]
    found = load_pairs(parquet(tmp_path, [encoded(c, k) for c, k in zip(COLOURS, kinds, strict=True)]), seed=0)
    assert found.images.shape == (4, 3, 8, 8)
    colours = found.images.float().mean((2, 3))
    torch.testing.assert_close(colours, torch.tensor(COLOURS, dtype=torch.float32), atol=6, rtol=0)
    assert found.captions == [f"caption {row}" for row in range(4)]
    assert sorted([*found.fit, *found.held_out]) == [0, 1, 2, 3]
    assert len(found.held_out) == 1
    assert found.misalignment is None


def test_paths_are_relative_to_the_file_and_records_hold_either(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for row, colour in enumerate(COLOURS):
        (tmp_path / "images" / f"{row}.png").write_bytes(encoded(colour))
    paths = [f"images/{row}.png" for row in range(4)]
    by_path = load_pairs(parquet(tmp_path, paths), seed=0)
    by_bytes = load_pairs(parquet(tmp_path, [encoded(colour) for colour in COLOURS]), seed=0)
    records = [{"bytes": encoded(COLOURS[0]), "path": None}, *({"bytes": None, "path": path} for path in paths[1:])]
    by_record = load_pairs(parquet(tmp_path, records), seed=0)
    assert torch.equal(by_path.images, by_bytes.images)
    assert torch.equal(by_record.images, by_bytes.images)
    assert by_path.digest() == by_bytes.digest()


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    clear = encoded((0, 0, 0, 0), mode="RGBA")
    assert load_pairs(parquet(tmp_path, [clear] * 4), seed=0).images.unique().tolist() == [255]


@pytest.mark.parametrize(
    ("images", "captions", "message"),
    [
        ([b"no image"] * 4, None, r"row 0 of .*pairs.parquet: cannot read 8 bytes as WEBP, PNG, JPEG \(Unidentified"),
        ([encoded(COLOURS[0])[:40]] * 4, None, "row 0 of .*: cannot read 40 bytes as"),
        (["nowhere.png"] * 4, None, "row 0 of .*: cannot read nowhere.png as"),
        ([None, b"x"], None, "row 0 of .*: an image must be bytes or a path; got NoneType"),
        ([encoded(COLOURS[0])] * 2, ["one", None], "row 1 of .*: caption must be a text; got None"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, images, captions, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load_pairs(parquet(tmp_path, images, captions), seed=0)


def test_a_file_that_is_not_whole_or_lacks_a_column_is_named(tmp_path: Path) -> None:
    config = parquet(tmp_path, [encoded(COLOURS[0])] * 4)
    with pytest.raises(CorpusError, match="unknown column 'text'; known: image, caption"):
        load_pairs(DataConfig(parquet=config.parquet, caption_column="text"), seed=0)
    path = Path(config.parquet)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CorpusError, match="is not a whole Parquet file"):
        load_pairs(config, seed=0)


def test_the_embedded_set_is_split_by_concept_and_drawn_by_seed() -> None:
    config = DataConfig(policy="faithful", items=200, side=8, validation=0.3)
    one, same, other = (load_pairs(config, seed=seed) for seed in (0, 0, 1))
    assert one.digest() == same.digest() != other.digest()
    assert np.array_equal(one.fit, same.fit)
    assert set(one.fit).isdisjoint(one.held_out)
    assert one.misalignment.unbiased == {"skin_tone", "gender", "group", "subgroup"}
    with pytest.raises(ConfigError, match="items must be <= 3372, all there are; got 9999"):
        load_pairs(DataConfig(items=9999), seed=0)
