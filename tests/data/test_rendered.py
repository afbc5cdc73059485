"""Rendered sets on disk: the same bytes whatever the workers, the interruptions and the number of images."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from vergence.corpus import load_lexicon
from vergence.corpus.labels import estimate_from_file
from vergence.data.rendered import LABELS, SAID, Rendering, write_rendered
from vergence.data.source import read_source
from vergence.errors import ConfigError, CorpusError, FactorError
from vergence.random import named
from vergence.render import render_scenes
from vergence.scenes import scenes


def small(name="mpi3d-like", **settings):
    return Rendering(**{"name": name, "n": 50, "side": 16, "shard_size": 20, **settings})


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "shards").iterdir())}


def table(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in sorted((folder / "shards").iterdir())], ignore_index=True)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered") / "set"
    write_rendered(small(), out=folder)
    return folder


def test_a_shard_holds_what_the_generator_makes_of_the_labels_in_it(rendered: Path) -> None:
    found = table(rendered)
    space = scenes("mpi3d-like").space
    assert list(found) == ["key", "image", "caption", *space]
    assert found["key"].is_unique
    assert len(found) == 50
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in found["image"]])
    assert np.array_equal(pixels, render_scenes("mpi3d-like", found[list(space)], side=16))
    expected = scenes("mpi3d-like").draw(50, generator=named(0, "labels"))
    assert found[list(space)].equals(expected)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(rendered: Path, tmp_path: Path) -> None:
    write_rendered(small(), out=tmp_path / "again")
    write_rendered(small(seed=1), out=tmp_path / "other")
    assert shards(tmp_path / "again") == shards(rendered)
    assert not shards(tmp_path / "other").items() & shards(rendered).items()


def test_workers_change_nothing(tmp_path: Path) -> None:
    for workers in (1, 2):
        write_rendered(small("dsprites", kind="webdataset"), out=tmp_path / str(workers), workers=workers)
    assert len(shards(tmp_path / "1")) == 3
    assert shards(tmp_path / "1") == shards(tmp_path / "2")


def test_the_first_images_and_captions_of_more_are_those_of_fewer(tmp_path: Path) -> None:
    bias = {"mention": {"color": 0.5}, "redraw": {"shape": 0.9}}
    for n in (30, 1100):
        write_rendered(small(n=n, side=8, **bias), out=tmp_path / str(n))
    few, many = table(tmp_path / "30"), table(tmp_path / "1100")
    assert few.equals(many[:30])
    assert pd.read_parquet(tmp_path / "30" / SAID).equals(pd.read_parquet(tmp_path / "1100" / SAID)[:30])


def test_interrupted_and_resumed_gives_the_same_shards(rendered: Path, tmp_path: Path) -> None:
    def stop(images: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rendered(small(), out=tmp_path / "set", progress=stop)
    first = tmp_path / "set" / "shards" / "00000.parquet"
    before = first.stat().st_mtime_ns
    with pytest.raises(CorpusError, match=r"is not rendered to its end; repeat vergence render with --resume"):
        read_source(tmp_path / "set")
    told: list[int] = []
    write_rendered(small(), out=tmp_path / "set", present="resume", progress=told.append)
    assert told == [20, 20, 10]
    assert first.stat().st_mtime_ns == before
    assert shards(tmp_path / "set") == shards(rendered)


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_shards(tmp_path: Path) -> None:
    command = ["render", "mpi3d-like", "--n", "600", "--size", "32", "--shard-size", "20", "--workers", "2"]
    start = [sys.executable, "-m", "vergence", *command, "--out"]
    killed = tmp_path / "killed"
    with subprocess.Popen([*start, str(killed)], stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(list((killed / "shards").glob("0*"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    n_whole = len(list((killed / "shards").glob("0*")))
    assert 3 <= n_whole < 30
    time.sleep(1)  # workers have ended with their parent
    assert len(list((killed / "shards").glob("0*"))) <= n_whole + 2
    for folder, flags in ((killed, ["--resume"]), (tmp_path / "whole", [])):
        subprocess.run([*start, str(folder), *flags], check=True, stdout=subprocess.DEVNULL, env=os.environ)
    assert shards(killed) == shards(tmp_path / "whole")


def test_a_shard_that_was_changed_is_named_and_one_that_was_removed_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_rendered(small(), out=folder)
    before = shards(folder)
    victim = folder / "shards" / "00001.parquet"
    victim.write_bytes(victim.read_bytes()[:-9])
    with pytest.raises(CorpusError, match=r"00001\.parquet is damaged: it is not what was written\. Remove that file"):
        write_rendered(small(), out=folder, present="resume")
    victim.unlink()
    write_rendered(small(), out=folder, present="resume")
    assert shards(folder) == before


def test_another_setting_does_not_resume_and_only_our_files_are_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_rendered(small(), out=folder)
    with pytest.raises(ConfigError, match=r"holds a job with another seed"):
        write_rendered(small(seed=1), out=folder, present="resume")
    (folder / "notes.txt").write_text("mine")
    write_rendered(small(n=10), out=folder, present="overwrite")
    assert list(shards(folder)) == ["00000.parquet"]
    assert (folder / "notes.txt").read_text() == "mine"


def test_captions_omit_and_redraw_as_asked_and_labels_stay_true(tmp_path: Path) -> None:
    bias = {"mention": {"size": 0.0, "camera": 0.5}, "redraw": {"background": 0.9}}
    write_rendered(small(n=2000, side=8, shard_size=2000, **bias), out=tmp_path / "set")
    labels, said = (pd.read_parquet(tmp_path / "set" / name) for name in (LABELS, SAID))
    assert not labels["caption"].str.contains("small|large").any()
    assert "size" not in said
    assert (said["color"] == labels["color"]).all()
    assert 0.45 < said["camera"].notna().mean() < 0.55
    assert 0.36 < (said["background"] == labels["background"]).mean() < 0.44  # 0.1 + 0.9 / 3
    assert all(word in text for word, text in zip(said["background"], labels["caption"], strict=True))


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_readers_of_sources_take_the_folder_as_it_is(tmp_path: Path, kind: str) -> None:
    write_rendered(small(kind=kind), out=tmp_path / "set")
    source = read_source(tmp_path / "set")
    labels = pd.read_parquet(tmp_path / "set" / LABELS)
    assert source.notes == ()
    assert [(row.key, row.text) for row in source.rows] == list(zip(labels["key"], labels["caption"], strict=True))
    images, _ = source.images(range(50))
    shown = images.tensor().numpy().transpose(0, 2, 3, 1)
    assert np.array_equal(shown, render_scenes("mpi3d-like", labels, side=16))


@pytest.mark.parametrize("name", ["dsprites", "shapes3d-like", "mpi3d-like", "mpi3d-real-like"])
def test_the_lexicon_finds_in_captions_what_they_record(tmp_path: Path, name: str) -> None:
    write_rendered(small(name, n=300, side=8, mention=dict.fromkeys(["shape"], 0.7)), out=tmp_path / "set")
    lexicon = load_lexicon(tmp_path / "set" / "lexicon.yaml")
    assert [group.name for group in lexicon.groups] == list(scenes(name).captioned)
    estimate = estimate_from_file(tmp_path / "set" / LABELS, lexicon)
    found = estimate.tables[estimate.tables["captions"] != 0].query("said != '(nothing)'")
    assert (found["shown"] == found["said"]).all()
    said = pd.read_parquet(tmp_path / "set" / SAID)
    counted = found.groupby("factor")["captions"].sum()
    for factor in scenes(name).captioned:
        assert counted[factor] == said[factor].notna().sum(), factor


def test_the_card_says_how_it_was_made(rendered: Path) -> None:
    card = json.loads((rendered / "card.json").read_text())
    assert card["set"] == "mpi3d-like"
    assert (card["n"], card["seed"], card["side"]) == (50, 0, 16)
    assert card["factors"]["size"] == ["small", "large"]
    assert yaml.safe_load((rendered / "lexicon.yaml").read_text())["name"] == "mpi3d-like"
    with Image.open(rendered / "contact.png") as sheet:
        assert sheet.width > 160


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n": 460_801}, ConfigError, r"n must be <= 460800 \(the images of mpi3d-like\); got 460801"),
        ({"n": 0}, ConfigError, r"n must be >= 1; got 0"),
        ({"side": 7}, ConfigError, r"side must be >= 8 \(pixels of a side\); got 7"),
        ({"name": "mpi3d"}, ConfigError, r"unknown image set 'mpi3d'; known: dsprites, .*Did you mean"),
        ({"kind": "csv"}, ConfigError, r"unknown format 'csv'; known: parquet, webdataset"),
        ({"shard_size": 0}, ConfigError, r"shard_size must be >= 1; got 0"),
        ({"seed": -1}, ConfigError, r"seed must be a whole number in \[0, 2\^63\); got -1"),
        ({"mention": {"colour": 0}}, FactorError, r"unknown factor 'colour'; known: color, .*Did you mean 'color'\?"),
        ({"redraw": {"vertical": 0.5}}, FactorError, r"captions of mpi3d-like never name 'vertical'; they name: color"),
        ({"redraw": {"color": 1.5}}, ConfigError, r"redraw of factor 'color' must be a probability in \[0, 1\]"),
        ({"mention": {"color": 0}, "redraw": {"color": 1}}, FactorError, r"'color' is omitted and redrawn"),
        (
            {"mention": dict.fromkeys(["color", "shape", "size", "camera", "background"], 0.0)},
            ConfigError,
            r"captions would name nothing: all of color, shape, size, camera, background are omitted",
        ),
    ],
)
def test_what_cannot_be_rendered_is_refused_before_anything_is_written(settings, error, message) -> None:
    with pytest.raises(error, match=message):
        small(**settings)
