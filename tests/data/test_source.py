"""Every layout gives the same pairs; what is none says which were tried."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data import sources
from tests.data.sources import COLOURS, LAYOUTS, NAMES, TEXTS, encoded, shard, write_csv, write_images

from vergence.data import Columns, read_source
from vergence.errors import CorpusError


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_gives_the_same_pairs(tmp_path: Path, layout) -> None:
    source = read_source(layout(tmp_path / "set"))
    assert [row.reason for row in source.rows] == [None] * 4
    order = [TEXTS.index(next(t for t in TEXTS if plain(t) == plain(row.text))) for row in source.rows]
    assert sorted(order) == [0, 1, 2, 3]
    images, numbers = source.images(range(4))
    assert numbers.tolist() == [0, 1, 2, 3]
    seen = images.tensor(side=8).float().mean((2, 3)).numpy()
    for place, row in enumerate(order):
        np.testing.assert_allclose(seen[place], COLOURS[row], atol=60 if row == 3 else 8)
    assert len({row.key for row in source.rows}) == 4


@pytest.mark.parametrize(
    ("image", "caption"),
    [
        ("image", "caption"), ("filepath", "text"), ("file_name", "title"), ("Image Path", "Caption"),
        ("FILE", "Description"), ("img", "sentence"), ("pic", "what it shows"), ("filename", "alt-text"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_columns_are_found_by_usual_names_or_by_what_they_hold(tmp_path, image, caption, delimiter) -> None:
    write_images(tmp_path)
    rows = [(7, name, text) for name, text in sources.pairs()]
    path = write_csv(tmp_path / "x.csv", ("width", image, caption), rows, delimiter)
    assert [row.text for row in read_source(path).rows] == TEXTS


def test_columns_that_are_named_are_taken_and_others_are_refused_with_what_there_is(tmp_path: Path) -> None:
    write_images(tmp_path)
    rows = [(f"k{row}", "wrong.png", name, "no", text) for row, (name, text) in enumerate(sources.pairs())]
    path = write_csv(tmp_path / "x.csv", ("name", "image", "where", "caption", "what"), rows)
    found = read_source(path, Columns(image="where", caption="what", key="name", cluster="caption")).rows
    assert [(row.text, row.key, row.cluster) for row in found] == [(t, f"k{k}", "no") for k, t in enumerate(TEXTS)]
    with pytest.raises(CorpusError, match=r"x.csv: unknown column 'wat'; known: name, image, where, caption, what"):
        read_source(path, Columns(caption="wat"))
    bare = write_csv(tmp_path / "y.csv", ("key", "colour"), [("a", "red")])
    with pytest.raises(CorpusError, match=r"y.csv: no column of images: none is called image, .* it has: key, colour"):
        read_source(bare)


def test_paths_are_relative_to_their_file_and_to_the_folder_that_is_named(tmp_path: Path, monkeypatch) -> None:
    write_images(tmp_path / "images")
    path = write_csv(tmp_path / "tables" / "x.csv", ("image", "text"), sources.pairs())
    with pytest.raises(CorpusError, match="no such file"):
        _ = read_source(path).images([0])[0][0]
    assert read_source(path, Columns(root=tmp_path / "images")).images([0])[0][0].size == (20, 12)
    absolute = [(str(tmp_path / "images" / NAMES[0]), "a"), ("..\\images\\deep\\b.png", "b"), ("https://x/c.jpg", "c")]
    write_csv(path, ("image", "text"), absolute)
    rows = read_source(path).rows
    assert [row.reason is None for row in rows] == [True, True, False]
    assert "image is a URL, 'https://x/c.jpg', and nothing is downloaded" in rows[2].reason
    _ = read_source(path).images([0, 1])[0].tensor(side=8)
    write_csv(path, ("image", "text"), [(f"images/{NAMES[0]}", "a")])
    monkeypatch.chdir(tmp_path)
    _ = read_source("tables/x.csv").images([0])[0].tensor()


def test_several_captions_of_an_image_are_pairs_of_one_image_under_one_key(tmp_path: Path) -> None:
    folder = sources.coco(tmp_path / "coco")
    path = folder / "annotations" / "captions_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"] += [{"id": 1, "image_id": 101, "caption": "again"}, {"id": 2, "image_id": 7, "caption": "x"}]
    path.write_text(json.dumps(content))
    for source in (read_source(folder), read_source(path)):
        assert [row.key for row in source.rows] == ["100", "101", "102", "103", "101", "7"]
        assert [row.reason for row in source.rows] == [None] * 5 + ["no image has the id 7"]
        images, numbers = source.images(range(5))
        assert (len(images), numbers.tolist()) == (4, [0, 1, 2, 3, 1])
    with pytest.raises(CorpusError, match=r"captions_val2017.json: unknown column 'text'; known: file_name, caption"):
        read_source(path, Columns(caption="text"))
    table = pa.table({"image": [encoded(0), encoded(1)], "captions": [["a", "b"], ["c", ""]]})
    pq.write_table(table, tmp_path / "p.parquet")
    rows = read_source(tmp_path / "p.parquet").rows
    assert [(row.text, row.reason) for row in rows] == [("a", None), ("b", None), ("c", None), ("", "empty caption")]


def test_the_same_image_is_one_by_path_and_by_bytes(tmp_path: Path) -> None:
    write_images(tmp_path)
    path = write_csv(tmp_path / "x.csv", ("image", "text"), [(NAMES[0], "a"), (NAMES[2], "b"), (NAMES[0], "c")])
    assert read_source(path).images([0, 1, 2])[1].tolist() == [0, 1, 0]
    pq.write_table(pa.table({"image": [encoded(1)] * 3, "text": ["a", "b", "c"]}), tmp_path / "p.parquet")
    source = read_source(tmp_path / "p.parquet")
    assert source.images([0, 1, 2])[1].tolist() == [0, 0, 0]
    assert [row.key for row in source.rows] == ["0", "1", "2"]


def test_what_is_wrong_with_a_row_is_said_with_its_place_and_costs_no_other(tmp_path: Path) -> None:
    write_images(tmp_path)
    text = f'image,text\n{NAMES[0]},fine\n,nothing\n{NAMES[2]},\none,two,three\n{NAMES[3]},  \n{NAMES[2]},"a, b"\n'
    (tmp_path / "x.csv").write_bytes(text.encode() + b"a.JPG,\xff\xfe\n")
    rows = read_source(tmp_path / "x.csv").rows
    assert [row.text for row in rows if row.reason is None] == ["fine", "a, b"]
    said = {row.place.partition(" of ")[0]: row.reason for row in rows if row.reason is not None}
    assert said["record 2"] == "no image"
    assert said["record 3"] == "no caption"
    assert said["record 4"] == "records that do not follow their format: not 2 fields"
    assert said["record 5"] == "empty caption"
    assert "caption is not well-formed UTF-8" in said["record 7"]
    (tmp_path / "x.jsonl").write_text(
        f'{{"image": "{NAMES[0]}", "text": "a"}}\n[]\n{{"image": 3, "text": "b"}}\n{{"image\n'
    )
    reasons = [row.reason for row in read_source(tmp_path / "x.jsonl").rows]
    assert reasons[0] is None
    assert reasons[1] == "list, not a JSON object"
    assert reasons[2] == "image is int, neither a path nor bytes"
    assert "malformed JSON" in reasons[3]


def test_samples_of_several_shards_that_are_called_alike_are_told_apart(tmp_path: Path) -> None:
    shard(tmp_path / "x" / "one.tar", [0, 1])
    shard(tmp_path / "x" / "two.tar", [0, 3])
    rows = read_source(tmp_path / "x").rows
    assert [row.key for row in rows] == ["one/00000", "one/00001", "two/00000", "two/00003"]
    assert [row.text for row in read_source(str(tmp_path / "x" / "*.tar")).rows] == [TEXTS[k] for k in (0, 1, 0, 3)]
    for part in range(3):
        shard(tmp_path / "y" / f"{part:05d}.tar", [part])
    rows = read_source(str(tmp_path / "y" / "{00000..00002}.tar")).rows
    assert [row.key for row in rows] == ["00000", "00001", "00002"]
    with pytest.raises(CorpusError, match="no such file"):
        read_source(str(tmp_path / "y" / "{00000..00003}.tar"))


def test_a_shard_that_is_cut_off_gives_what_is_whole_and_says_so(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", [0, 1, 2, 3])
    path.write_bytes(path.read_bytes()[: 512 * 9])
    rows = read_source(path).rows
    assert rows[0].reason is None
    assert "the rest of the shard cannot be read" in rows[-1].reason


def test_fields_of_a_shard_can_be_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", [0, 1])
    assert [row.text for row in read_source(path, Columns(caption="json.caption")).rows] == ["another"] * 2
    assert [row.text for row in read_source(path, Columns(caption="caption")).rows] == ["another"] * 2
    with pytest.raises(CorpusError, match=r"no sample has an image; fields: jpg, txt, json. Sought: png"):
        read_source(path, Columns(image="png"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no files"),
        ({"a.docx": b"x", "b.docx": b"y"}, r"none of the layouts that are read; it holds 2 \.docx. Tried: .*COCO"),
        ({"a.png": encoded(0)}, r"it holds 1 \.png; no image has a .txt or .json file .* Tried: .*WebDataset"),
        ({"a.png": encoded(0), "x.csv": b"key,colour\n1,red\n"}, r"x.csv: no column of images.* it has: key, colour"),
        ({"instances_val.json": b"{}"}, "instances_val.json holds no captions, by its name"),
        ({"x.json": b'{"a": 1}'}, "x.json holds no pairs: neither COCO's images and annotations"),
        ({"x.parquet": b"none"}, "x.parquet: cannot be read as Parquet"),
    ],
)
def test_a_folder_that_is_none_of_the_layouts_says_what_was_tried(tmp_path: Path, files, message: str) -> None:
    (tmp_path / "set").mkdir()
    for name, data in files.items():
        (tmp_path / "set" / name).write_bytes(data)
    with pytest.raises(CorpusError, match=message) as caught:
        read_source(tmp_path / "set")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_of_the_layouts_and_a_url_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.docx").write_bytes(b"x")
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "header.csv").write_text("image,caption\n")
    for source, message in {
        tmp_path / "x.docx": "x.docx is none of the layouts that are read: a CSV",
        tmp_path / "nothing": "no such file or folder",
        "https://example.org/data.csv": "is a URL, and nothing is downloaded",
        "": "the source is empty; name one of",
        str(tmp_path / "*.tar"): "nothing that .* matches is one of",
        tmp_path / "empty.csv": "empty.csv is empty",
        tmp_path / "header.csv": "holds no rows",
    }.items():
        with pytest.raises(CorpusError, match=message):
            read_source(source)
