"""One small set of pairs in every layout that is read."""

import csv
import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

TEXTS = ['a red square, "big"', "zwei grüne\nKreise", "blue; | and\ttabs", "日本の猫 🐈"]
COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (90, 90, 90)]
NAMES = ["a.JPG", "deep/b.png", "c.webp", "d.jpeg"]


def encoded(row: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20 + row, 12), COLOURS[row % 4]).convert(mode).save(file, kind)
    return file.getvalue()


def write_images(folder: Path) -> None:
    for row, (name, kind) in enumerate(zip(NAMES, ["JPEG", "PNG", "WEBP", "JPEG"], strict=True)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(row, kind, "RGBA" if kind == "PNG" else "L" if row == 3 else "RGB"))


def write_csv(path: Path, header: tuple[str, ...], rows: list[tuple], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def pairs() -> list[tuple[str, str]]:
    return list(zip(NAMES, TEXTS, strict=True))


def table(folder: Path) -> Path:
    write_images(folder)
    return write_csv(folder / "pairs.csv", ("file_name", "title"), pairs())


def beside_labels(folder: Path) -> Path:
    table(folder)
    write_csv(folder / "labels.csv", ("key", "colour"), [(name, "red") for name in NAMES])
    return folder


def tabs(folder: Path) -> Path:
    write_images(folder)
    rows = [(name, text.replace("\n", " ").replace("\t", " ")) for name, text in pairs()]
    (folder / "p.tsv").write_text("filepath\tcaption\n" + "".join(f"{n}\t{t}\n" for n, t in rows), encoding="utf-16")
    return folder / "p.tsv"


def metadata(folder: Path) -> Path:
    write_images(folder / "train")
    write_csv(folder / "train" / "metadata.csv", ("file_name", "text"), pairs())
    return folder


def metadata_lines(folder: Path) -> Path:
    write_images(folder)
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in pairs()]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def sidecars(folder: Path) -> Path:
    write_images(folder)
    for name, text in pairs():
        (folder / name).with_suffix(".txt").write_text(text.replace("\n", " "), encoding="utf-8")
    return folder


def json_sidecars(folder: Path) -> Path:
    write_images(folder)
    for name, text in pairs():
        (folder / name).with_suffix(".json").write_text(json.dumps({"caption": text, "width": 3}))
    return folder


def coco(folder: Path) -> Path:
    write_images(folder / "val2017")
    images = [{"id": 100 + row, "file_name": name, "coco_url": "http://x"} for row, name in enumerate(NAMES)]
    notes = [{"id": 9, "image_id": 100 + row, "caption": text} for row, text in enumerate(TEXTS)]
    (folder / "annotations").mkdir()
    content = {"info": {"year": 2017}, "licenses": [{"id": 1}], "images": images, "annotations": notes}
    (folder / "annotations" / "captions_val2017.json").write_text(json.dumps(content))
    objects = [{"id": 1, "image_id": 100, "category_id": 2, "segmentation": [[1, 2]]}]
    instances = {"images": images, "annotations": objects, "categories": []}
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(instances))
    return folder


def karpathy(folder: Path) -> Path:
    write_images(folder / "images" / "val2014")
    images = [
        {"filename": name, "filepath": "val2014", "split": "train", "sentences": [{"raw": text, "tokens": ["a"]}]}
        for name, text in pairs()
    ]
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    return folder / "dataset_coco.json"


def json_list(folder: Path) -> Path:
    write_images(folder)
    (folder / "all.json").write_text(json.dumps([{"image": name, "caption": [text]} for name, text in pairs()]))
    return folder / "all.json"


def json_by_name(folder: Path) -> Path:
    write_images(folder)
    (folder / "captions.json").write_text(json.dumps(dict(pairs())))
    return folder


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def shard(path: Path, rows: list[int], *, mode: str = "w", as_json: bool = False, kind: str = "JPEG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for row in rows:
            add(archive, f"./{row:05d}.{'jpg' if kind == 'JPEG' else kind}", encoded(row, "JPEG"))
            text = TEXTS[row % 4]
            if as_json:
                add(archive, f"./{row:05d}.json", json.dumps({"caption": text, "id": row}).encode())
            else:
                add(archive, f"./{row:05d}.txt", text.encode())
                add(archive, f"./{row:05d}.json", b'{"url": "http://x", "caption": "another"}')
    return path


def shards(folder: Path) -> Path:
    shard(folder / "00000.tar", [0, 1])
    shard(folder / "00001.tar", [2, 3], kind="JPG")
    return folder


def packed_shards(folder: Path) -> Path:
    shard(folder / "00000.tar.gz", [0, 1], mode="w:gz", as_json=True)
    shard(folder / "00001.tgz", [2, 3], mode="w:gz", as_json=True)
    return folder


def parquet_bytes(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    images = [encoded(row) for row in range(4)]
    pq.write_table(pa.table({"id": [0, 1, 2, 3], "image": images, "caption": TEXTS}), folder / "p.parquet")
    return folder / "p.parquet"


def parquet_records(folder: Path) -> Path:
    write_images(folder)
    records = [{"bytes": encoded(0), "path": "x.png"}, *({"bytes": None, "path": name} for name in NAMES[1:])]
    (folder / "data").mkdir()
    for part, rows in enumerate(([0, 1], [2, 3])):
        columns = {"image": [records[row] for row in rows], "text": [TEXTS[row] for row in rows]}
        pq.write_table(pa.table(columns), folder / "data" / f"train-0000{part}-of-00002.parquet")
    return folder


def saved(folder: Path) -> Path:
    """As `save_to_disk` of Hugging Face's datasets writes a split."""
    (folder / "train").mkdir(parents=True)
    columns = {"image": [{"bytes": encoded(row), "path": f"{row}.png"} for row in range(4)], "caption": TEXTS}
    part = pa.table(columns)
    with pa.ipc.new_stream(folder / "train" / "data-00000-of-00001.arrow", part.schema) as writer:
        writer.write_table(part)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": "train"}
    (folder / "train" / "state.json").write_text(json.dumps(state))
    (folder / "train" / "dataset_info.json").write_text(json.dumps({"features": {}}))
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    return folder


LAYOUTS = (
    table, beside_labels, tabs, metadata, metadata_lines, sidecars, json_sidecars, coco, karpathy, json_list,
    json_by_name, shards, packed_shards, parquet_bytes, parquet_records, saved,
)  # fmt: skip
