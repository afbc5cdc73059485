"""vergence embed in parts: killed, sharded, on other engines, in other layouts: the same embeddings every time."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tests.data import sources
from tests.training.run_config import SMALL

from vergence.cli.main import main
from vergence.encoders import DualEncoder, Vocabulary
from vergence.metrics.files import read_embeddings
from vergence.training import load_model
from vergence.training.export import save_encoder
from vergence.training.mapping import from_mapping
from vergence.training.spec import RunConfig
from vergence.training.towers import make_image_encoder, make_text_encoder

N = 40


def exported(folder: Path, *, seed: int = 0) -> str:
    """An encoder with any weights."""
    config = from_mapping(RunConfig, SMALL)
    words = Vocabulary.of(["a red square", "a blue circle"])
    image = make_image_encoder(config.encoder, side=config.data.side, seed=seed)
    encoder = DualEncoder(image, make_text_encoder(config.encoder, words, seed=seed))
    save_encoder(folder, encoder, words, config, card="")
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return exported(tmp_path_factory.mktemp("model"))


def file_of(number: int, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(256, size=(4, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((20, 18)).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Parquet whose rows hold images, in row groups that end elsewhere than parts, and two texts for each image."""
    held = [file_of(number, "JPEG" if number % 3 else "PNG") for number in range(N)]
    held[17] = held[17][:60]  # broken
    rows = [number for number in range(N) for _ in range(2)]
    rows = rows[1:] + rows[:1]  # an image whose texts are not together
    table = pa.table(
        {
            "key": [f"k{number}" for number in rows],
            "image": [{"bytes": held[number], "path": None} for number in rows],
            "caption": [f"a {'red' if place % 2 else 'blue'} square {place}" for place in range(2 * N)],
        }
    )
    path = tmp_path_factory.mktemp("source") / "pairs.parquet"
    pq.write_table(table, path, row_group_size=7)
    return str(path)


def command(source: str, model: str, out: Path, *more: str) -> list[str]:
    return ["embed", source, "--model", model, "--out", str(out), "--part-size", "6", "--batch-size", "4", *more]


def contents(out: Path) -> dict[str, bytes]:
    """What a job has written, beside what says where it comes from."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name != ".vergence")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


KILLED = """
import os, signal, sys
from vergence.cli.main import main
from vergence.training import embed_files

class Killed(embed_files._LAYOUTS[sys.argv[1]]):
    written = 0
    def write(self, part, found):
        super().write(part, found)
        Killed.written += 1
        if Killed.written == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

embed_files._LAYOUTS = {sys.argv[1]: Killed}
main(sys.argv[3:])
"""


@pytest.mark.parametrize("layout", ["parquet", "npy"])
def test_killed_and_resumed_gives_the_same_bytes(source: str, model: str, tmp_path: Path, layout: str) -> None:
    assert main(command(source, model, tmp_path / "whole", "--format", layout)) == 0
    again = command(source, model, tmp_path / "killed", "--format", layout, "--resume")
    killed = subprocess.run([sys.executable, "-c", KILLED, layout, "4", *again], check=False, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "embedded.json").exists()
    damaged = sorted((tmp_path / "killed").rglob("text*_?.*"))[-1]
    damaged.write_bytes(damaged.read_bytes()[:-9])  # is done again
    assert main(again) == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert main(again) == 0  # nothing is left to do
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_every_layout_holds_the_same_embeddings(source: str, model: str, tmp_path: Path, capsys) -> None:
    for layout in ("parquet", "npy", "clip-retrieval"):
        assert main(command(source, model, tmp_path / layout, "--format", layout)) == 0
    said = capsys.readouterr()
    assert f"{N - 1} images: {tmp_path / 'npy' / 'img_emb'}" in said.out
    assert "left out: 2 rows: image cannot be read (2)" in said.err
    images = read_embeddings(tmp_path / "parquet" / "images.parquet")
    texts = read_embeddings(tmp_path / "parquet" / "texts.parquet")
    held = {row["key"]: row["image"]["bytes"] for row in pq.read_table(source).to_pylist()}
    loaded = load_model(model)
    assert list(images.identifiers or ()) == [f"k{number}" for number in [*range(17), *range(18, N)]]
    alone = loaded.embed_images([held[str(key)] for key in images.identifiers or ()])
    torch.testing.assert_close(torch.from_numpy(images.values), alone)
    assert texts.identifiers is not None
    assert texts.identifiers[:4] == ("k0", "k0#2", "k1", "k1#2")
    for name, wanted in (("img_emb", images), ("text_emb", texts)):
        read = read_embeddings(tmp_path / "npy" / name)
        assert (read.identifiers, read.images) == (wanted.identifiers, wanted.images)
        np.testing.assert_array_equal(read.values, wanted.values)
        small = read_embeddings(tmp_path / "clip-retrieval" / name)
        unit = wanted.values / np.linalg.norm(wanted.values, axis=1, keepdims=True)
        assert small.values.dtype == np.float16
        np.testing.assert_allclose(small.values, unit, atol=1e-3)
    first = [np.load(tmp_path / "npy" / f"{name}/{name}_0.npy") for name in ("img_emb", "text_emb")]
    about = pq.read_table(tmp_path / "npy" / "metadata" / "metadata_0.parquet").to_pydict()
    assert list(about) == ["image_path", "caption", "key", "image"]
    assert len(first[0]) == len(first[1]) == len(about["key"]) == 12  # rows pair by position
    np.testing.assert_array_equal(first[0][0], first[0][1])
    torch.testing.assert_close(torch.from_numpy(first[1]), loaded.embed_texts(about["caption"]))
    facts = sources.write_csv(
        tmp_path / "labels.csv", ("key", "tone"), [(key, "ab"[k % 2]) for k, key in enumerate(held)]
    )
    folder = [str(tmp_path / "clip-retrieval" / name) for name in ("img_emb", "text_emb")]
    assert main(["align", *folder, "--null", "5", "--metrics", "cka"]) == 0
    assert main(["probe", folder[0], str(facts)]) == 0


def test_shards_in_one_folder_finish_it_and_shards_in_several_are_merged(
    source: str, model: str, tmp_path: Path, capsys
) -> None:
    for layout in ("parquet", "clip-retrieval"):
        made = tmp_path / layout
        form = ("--format", layout, "--num-shards", "3", "--shard-id")
        assert main(command(source, model, made / "whole", *form[:2])) == 0
        for number in (2, 0, 1):
            assert main(command(source, model, made / "one", *form, str(number))) == 0
            assert main(command(source, model, made / f"s{number}", *form, str(number))) == 0
            capsys.readouterr()
            assert (made / "one" / "embedded.json").exists() is (number == 1)
        assert contents(made / "one") == contents(made / "whole")
        shards = [str(made / f"s{number}") for number in range(3)]
        assert main(["embed", "--merge", *shards, "--out", str(made / "merged")]) == 0
        assert contents(made / "merged") == contents(made / "whole")
        assert main(["embed", "--merge", *shards[:2], "--out", str(made / "less")]) == 2
        assert "3 of 7 parts are in none of the folders" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_other_engines_give_the_same_bytes(source: str, model: str, tmp_path: Path, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="the extra [ray] is not installed")
    assert main(command(source, model, tmp_path / "threads")) == 0
    assert main(command(source, model, tmp_path / engine, "--engine", engine, "--workers", "2")) == 0
    assert contents(tmp_path / engine) == contents(tmp_path / "threads")


def test_an_image_of_16_bits_is_embedded_as_its_8_bits_are(model: str, tmp_path: Path) -> None:
    small = np.random.default_rng(0).integers(256, size=(20, 20), dtype=np.uint8)
    Image.fromarray(small).save(tmp_path / "8.png")
    Image.fromarray(small.astype(np.uint16) * 257).save(tmp_path / "16.png")
    pairs = sources.write_csv(tmp_path / "p.csv", ("image", "caption"), [("8.png", "a red"), ("16.png", "a red")])
    assert main(["embed", str(pairs), "--model", model, "--out", str(tmp_path / "out")]) == 0
    values = read_embeddings(tmp_path / "out" / "images.parquet").values
    np.testing.assert_array_equal(values[0], values[1])


def test_mistakes_are_one_line_and_nothing_is_lost(source: str, model: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(command(source, model, out, "--num-shards", "2")) == 0
    before = contents(out)
    other = exported(tmp_path / "other", seed=1)

    def refused(*arguments: str) -> str:
        capsys.readouterr()
        assert main(list(arguments)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "shard_id must be in 0..1; got 2" in refused(
        *command(source, model, out, "--num-shards", "2", "--shard-id", "2")
    )
    assert "num_shards must be >= 1" in refused(*command(source, model, out, "--num-shards", "0"))
    assert "holds a job with another model" in refused(*command(source, other, out, "--resume"))
    assert "holds a job with another model" in refused(
        *command(source, other, out, "--num-shards", "2", "--shard-id", "1")
    )
    assert "another format" in refused(*command(source, model, out, "--resume", "--format", "npy"))
    assert "holds a job already" in refused(*command(source, model, out))
    assert "a shard cannot overwrite" in refused(*command(source, model, out, "--num-shards", "2", "--overwrite"))
    assert "part_size must be >= 1" in refused("embed", source, "--model", model, "--out", str(out), "--part-size", "0")
    assert "name what to embed, or with --merge" in refused("embed", "--out", str(out))
    assert "holds no embeddings of shards" in refused("embed", "--merge", str(tmp_path), "--out", str(tmp_path / "m"))
    assert "is one of the folders" in refused("embed", "--merge", str(out), "--out", str(out))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    line = refused(*command(source, model, tmp_path / "mine", "--num-shards", "2"))
    assert "is not empty and holds no job" in line
    assert contents(out) == before
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_one_key_for_two_images_that_lie_in_rows_is_refused_and_one_image_twice_is_not(
    model: str, tmp_path: Path, capsys
) -> None:
    one, other = file_of(1), file_of(2)

    def embedded(images: list[bytes]) -> int:
        pq.write_table(pa.table({"id": [1, 1], "image": images, "caption": ["a", "b"]}), tmp_path / "p.parquet")
        return main(["embed", str(tmp_path / "p.parquet"), "--model", model, "--out", str(tmp_path / "out")])

    assert embedded([one, other]) == 2
    assert "the key '1' names two images: row 0 of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert embedded([one, one]) == 0
    assert json.loads((tmp_path / "out" / "embedded.json").read_text())["texts"] == 2
