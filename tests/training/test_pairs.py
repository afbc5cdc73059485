"""Pairs from a user's Parquet file, and from the embedded set."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tests.training.run_config import SMALL

from vergence.data import load_emoji
from vergence.errors import ConfigError, CorpusError
from vergence.splits import read_split
from vergence.training import RunConfig, run_training
from vergence.training.mapping import from_mapping
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
    return DataConfig(source=str(folder / "pairs.parquet"), side=8, validation=0.25)


def distinct(n: int) -> list[bytes]:
    return [encoded((row * 6, 255 - row * 6 % 256, row)) if row < 42 else encoded((row, 0, row)) for row in range(n)]


def recoded(png: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(png)).save(file, "WEBP", lossless=True)
    return file.getvalue()


def test_images_as_bytes_of_every_format_are_brought_to_one_size(tmp_path: Path) -> None:
    kinds = ["PNG", "JPEG", "WEBP", "PNG"]
    found = load_pairs(parquet(tmp_path, [encoded(c, k) for c, k in zip(COLOURS, kinds, strict=True)]), seed=0)
    assert found.pairs.images.tensor().shape == (4, 3, 8, 8)
    colours = found.pairs.images.tensor().float().mean((2, 3))
    torch.testing.assert_close(colours, torch.tensor(COLOURS, dtype=torch.float32), atol=6, rtol=0)
    assert found.pairs.texts == [f"caption {row}" for row in range(4)]
    assert sorted([*found.fit, *found.held_out]) == [0, 1, 2, 3]
    assert len(found.held_out) == 1
    assert found.pairs.misalignment is None


def test_paths_are_relative_to_the_file_and_records_hold_either(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for row, colour in enumerate(COLOURS):
        (tmp_path / "images" / f"{row}.png").write_bytes(encoded(colour))
    paths = [f"images/{row}.png" for row in range(4)]
    by_path = load_pairs(parquet(tmp_path, paths), seed=0)
    by_bytes = load_pairs(parquet(tmp_path, [encoded(colour) for colour in COLOURS]), seed=0)
    records = [{"bytes": encoded(COLOURS[0]), "path": None}, *({"bytes": None, "path": path} for path in paths[1:])]
    by_record = load_pairs(parquet(tmp_path, records), seed=0)
    assert torch.equal(by_path.pairs.images.tensor(), by_bytes.pairs.images.tensor())
    assert torch.equal(by_record.pairs.images.tensor(), by_bytes.pairs.images.tensor())
    assert by_path.digest() == by_bytes.digest()


@pytest.mark.parametrize(
    ("images", "captions", "message"),
    [
        (
            [b"no image"] * 4,
            None,
            r"row 0 of .*pairs.parquet: image cannot be read: 8 bytes: no whole .*\(Unidentified",
        ),
        ([encoded(COLOURS[0])[:40]] * 4, None, "row 0 of .*: image cannot be read: 40 bytes: no whole"),
        (["nowhere.png"] * 4, None, "row 0 of .*: image cannot be read: .*nowhere.png: no such file"),
        ([None, b"x"], None, "row 0 of .*: no image; that is 1 of 2 rows; data.max_skipped allows 5.00%"),
        ([b""] * 2, None, "row 0 of .*: no image"),
        ([{"url": "a.png"}] * 2, None, "column 'image' holds struct<url: string>; images must be bytes, paths, or rec"),
        ([{"bytes": None, "path": ""}] * 2, None, "row 0 of .*: no image"),
        ([7] * 2, None, "column 'image' holds int64; images must be bytes, paths"),
        ([encoded(COLOURS[0])] * 2, ["one", None], "row 1 of .*: no caption"),
        ([encoded(COLOURS[0])] * 2, ["one", " \t"], "row 1 of .*: empty caption"),
        ([encoded(COLOURS[0])] * 2, [1, 2], "column 'caption' holds int64; captions must be texts"),
        ([], None, "holds no rows; a source needs at least one pair"),
        ([encoded(COLOURS[0])], None, "gives 1 pairs of 1 rows; training needs at least two"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, images, captions, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load_pairs(parquet(tmp_path, images, captions), seed=0)


def test_a_few_unreadable_rows_are_left_out_and_counted_and_more_are_refused(tmp_path: Path) -> None:
    images, captions = distinct(100), [f"caption {row}" for row in range(100)]
    images[37], images[50], images[51], captions[99] = b"damaged", None, None, " "
    config = parquet(tmp_path, images, captions)
    found = load_pairs(config, seed=0)
    assert found.skipped() == "4 of 100 rows were left out: no image (2), image cannot be read (1), empty caption (1)"
    assert found.pairs.texts == [caption for row, caption in enumerate(captions) if row not in (37, 50, 51, 99)]
    skipped = found.split[found.split["side"] == "skipped"]
    assert skipped["row"].tolist() == [37, 50, 51, 99]
    assert "7 bytes: no whole WebP" in skipped["reason"].iloc[0]
    kept = found.pairs.images.tensor().float().mean((1, 2, 3))
    again = load_pairs(
        parquet(tmp_path, [image for row, image in enumerate(images) if row not in skipped["row"]], found.pairs.texts),
        seed=0,
    )
    torch.testing.assert_close(kept, again.pairs.images.tensor().float().mean((1, 2, 3)))
    with pytest.raises(CorpusError, match=r"row 99 of .*: empty caption; that is 4 of 100 rows; .* allows 3.00%"):
        load_pairs(replace(parquet(tmp_path, images, captions), max_skipped=0.03), seed=0)
    with pytest.raises(CorpusError, match=r"row 37 of .*: image cannot be read: .*; data.strict stops at it"):
        load_pairs(replace(config, strict=True), seed=0)


def test_a_file_that_is_not_whole_or_lacks_a_column_is_named(tmp_path: Path) -> None:
    config = parquet(tmp_path, [encoded(COLOURS[0])] * 4)
    for name in ("caption_column", "image_column", "cluster_column"):
        with pytest.raises(CorpusError, match="unknown column 'text'; known: image, caption"):
            load_pairs(replace(config, **{name: "text"}), seed=0)
    path = Path(config.source)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CorpusError, match="cannot be read as Parquet"):
        load_pairs(config, seed=0)


@pytest.mark.parametrize("by", ["bytes", "path", "link", "format"])
def test_rows_of_one_image_stay_on_one_side(tmp_path: Path, by: str) -> None:
    """Five captions for each of 20 images: no image that is held out is trained on, however it is given."""
    files = distinct(20)
    for k, file in enumerate(files):
        (tmp_path / f"{k}.png").write_bytes(file)
        (tmp_path / f"link{k}.png").symlink_to(tmp_path / f"{k}.png")
    forms = {
        "bytes": lambda k, copy: files[k],
        "path": lambda k, copy: [f"{k}.png", f"./{k}.png", f"../{tmp_path.name}/{k}.png"][copy % 3],
        "link": lambda k, copy: [f"{k}.png", f"link{k}.png"][copy % 2],
        "format": lambda k, copy: [files[k], recoded(files[k])][copy % 2],
    }
    images = [forms[by](k, copy) for k in range(20) for copy in range(5)]
    found = load_pairs(replace(parquet(tmp_path, images), validation=0.2), seed=0)
    assert found.divided() == "80 pairs of 16 clusters to train on, 20 of 4 others held out"
    assert {row // 5 for row in found.fit}.isdisjoint({row // 5 for row in found.held_out})
    assert found.split["image"].nunique() == 20


def test_a_cluster_column_and_identifiers_hold_further_rows_together(tmp_path: Path) -> None:
    captions = [f"caption {row // 2}" for row in range(40)]
    config = replace(parquet(tmp_path, distinct(40), captions), cluster_column="caption", validation=0.3)
    split = load_pairs(config, seed=0).split
    assert (split.groupby(np.arange(40) // 2)["side"].nunique() == 1).all()
    assert split["cluster"].nunique() == 20
    table = pa.table({"image": distinct(40), "caption": ["a"] * 40, "id": np.arange(40) // 4})
    pq.write_table(table, tmp_path / "pairs.parquet")
    split = load_pairs(replace(config, cluster_column=None), seed=0).split
    assert (split.groupby("key")["side"].nunique() == 1).all()
    assert split["key"].tolist() == [str(row // 4) for row in range(40)]


def test_at_least_one_cluster_is_held_out_whatever_the_seed_and_of_one_none_can_be(tmp_path: Path) -> None:
    config = replace(parquet(tmp_path, [encoded(colour) for colour in COLOURS] * 3), validation=0.01)
    for seed in range(5):
        assert len(load_pairs(config, seed=seed).held_out) == 3
    one = replace(parquet(tmp_path, [encoded(COLOURS[0])] * 6), validation=0.2)
    with pytest.raises(ConfigError, match=r"data.validation 0.2: all 6 rows are of one cluster, so none can be held"):
        load_pairs(one, seed=0)
    assert len(load_pairs(replace(one, validation=0.0), seed=0).fit) == 6


@pytest.mark.parametrize(
    ("clusters", "message"),
    [
        (pa.array([1, None, 2, None]), "cluster is null in 2 of 4 rows"),
        (pa.array([1.0, float("nan"), 2.0, 3.0]), "cluster is null in 1 of 4 rows"),
        (pa.array([2.0**53, 1, 2, 3]), r"cluster holds 9.0072e\+15 as double, too large to tell neighbours apart"),
        (pa.array([[1], [2], [3], [4]]), "cluster must hold one value in each row, .* got list"),
    ],
)
def test_clusters_that_do_not_say_what_belongs_together_are_refused(tmp_path: Path, clusters, message: str) -> None:
    config = parquet(tmp_path, [encoded(colour) for colour in COLOURS])
    pq.write_table(pq.read_table(config.source).append_column("cluster", clusters), config.source)
    with pytest.raises(CorpusError, match=message):
        load_pairs(replace(config, cluster_column="cluster"), seed=0)


def test_what_is_held_out_is_part_of_what_tells_two_sets_apart(tmp_path: Path) -> None:
    config = parquet(tmp_path, distinct(40))
    assert load_pairs(config, seed=0).digest() != load_pairs(config, seed=1).digest()


def test_the_embedded_set_is_split_by_concept_and_drawn_by_seed() -> None:
    config = DataConfig(policy="faithful", items=200, side=8, validation=0.3)
    one, same, other = (load_pairs(config, seed=seed) for seed in (0, 0, 1))
    assert one.digest() == same.digest() != other.digest()
    assert np.array_equal(one.fit, same.fit)
    concepts = load_emoji().clusters[one.split["row"].astype(int)]
    assert set(concepts[one.fit]).isdisjoint(concepts[one.held_out])
    assert one.split["cluster"].tolist() == concepts.tolist()
    assert one.pairs.misalignment.unbiased == {"skin_tone", "gender", "group", "subgroup"}
    with pytest.raises(ConfigError, match="items must be <= 3372, all there are; got 9999"):
        load_pairs(DataConfig(items=9999), seed=0)


def test_the_split_is_written_into_the_run_and_the_export_and_what_was_left_out_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [image for image in distinct(20) for _ in range(3)]
    images[7] = b"damaged"
    table = {"image": images, "caption": [f"caption {row}" for row in range(60)], "id": [f"i{r}" for r in range(60)]}
    pq.write_table(pa.table(table), tmp_path / "pairs.parquet")
    data = {"source": str(tmp_path / "pairs.parquet"), "side": 16, "shift": 1, "validation": 0.3}
    config = from_mapping(RunConfig, {**SMALL, "data": data})
    out = tmp_path / "run"
    run_training(config, out=out, present="refuse")
    split = read_split(out).to_pandas()
    assert read_split(out).equals(read_split(out / "encoder"))
    assert split["key"].tolist() == table["id"]
    assert split["side"].value_counts().to_dict() == {"fit": 41, "held_out": 18, "skipped": 1}
    assert (split.drop(7).groupby(split["row"] // 3)["side"].nunique() == 1).all()
    assert "pairs.parquet: 1 of 60 rows were left out: image cannot be read (1)" in capsys.readouterr().err
    card = (out / "encoder" / "README.md").read_text()
    assert "41 pairs of 14 clusters to train on, 18 of 6 others held out; `split.parquet` says which." in card
    assert "1 of 60 rows were left out: image cannot be read (1)." in card


def test_a_metric_of_held_out_pairs_needs_two_of_them_before_anything_is_written(tmp_path: Path) -> None:
    data = {"source": parquet(tmp_path, distinct(20)).source, "side": 16, "shift": 1, "validation": 0.05}
    stop = {"metric": "held_out_total", "patience": 1}
    config = from_mapping(RunConfig, {**SMALL, "data": data, "train": {**SMALL["train"], "early_stop": stop}})
    with pytest.raises(
        ConfigError, match=r"early_stop watches held_out_total, .* two held-out pairs; got 1 \(19 pairs"
    ):
        run_training(config, out=tmp_path / "run", present="refuse")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation": 1.0}, r"validation must be a share in \[0, 1\); got 1.0"),
        ({"max_skipped": float("nan")}, r"max_skipped must be a share in \[0, 1\); got nan"),
        ({"side": 5000}, "side must be <= 4,096; got 5000"),
        ({"cluster_column": "image"}, "cluster_column is of data.source, which is not set"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DataConfig(**settings)
