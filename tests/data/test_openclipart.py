"""Open Clip Art as a corpus: the mess is kept and counted, what is left out is said, and the bytes are the same."""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.data.clipart import FOLDER, GOOD, LINKS, REFUSED, package

from vergence.corpus import audit, concepts_146
from vergence.corpus.readers import ReadOptions
from vergence.data import openclipart
from vergence.data.openclipart import CARD, CORPUS, build_openclipart
from vergence.data.source import read_source
from vergence.errors import ConfigError, CorpusError
from vergence.render import packages
from vergence.render.packages import Package

ORIGINAL = "animals/horse_conner_01"


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("package") / "openclipart-svg.deb")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, deb: Path) -> Path:
    out = tmp_path_factory.mktemp("built") / "corpus"
    build_openclipart(out, side=16, package=deb)
    return out


@pytest.fixture(scope="module")
def rows(built: Path) -> dict[str, dict]:
    return {row["key"]: row for row in pq.read_table(built / CORPUS).to_pylist()}


@pytest.fixture(scope="module")
def card(built: Path) -> dict:
    return json.loads((built / CARD).read_text())


def test_every_drawing_has_a_row_or_a_reason(rows: dict[str, dict], card: dict) -> None:
    left_out = {key: reason for reason, keys in card["left_out"].items() for key in keys}
    assert list(rows) == sorted({*GOOD, "people/rider"})
    assert left_out == {
        **{key: reason for key, (_, reason) in REFUSED.items()},
        "people/lost": "a link that leads to no drawing",
        "people/nothing": "shows nothing on white",
    }
    assert len(rows) + len(left_out) == card["places"] == len(GOOD) + len(REFUSED) + len(LINKS)
    assert "file:///etc/passwd" in card["left_out"]["declares an external entity"]["bad/external"]


def test_a_row_says_what_its_author_said(rows: dict[str, dict]) -> None:
    said = rows[ORIGINAL]
    assert [said[name] for name in ("caption", "creator", "topic", "language", "keywords", "licence")] == [
        "Tempus Fugit",
        "John Conner",
        "animals",
        "en",
        ["horse", "robot"],
        "http://web.resource.org/cc/PublicDomain",
    ]
    assert rows["computer/latin"]["caption"] == "café"
    assert rows["shapes/stars/star_1"]["topic"] == "shapes/stars"


def test_what_nobody_said_is_null_and_an_empty_keyword_stays(rows: dict[str, dict]) -> None:
    untitled = rows["animals/untitled"]
    assert [untitled[name] for name in ("caption", "description", "creator")] == [None, None, None]
    assert untitled["keywords"] == [""]
    assert rows["animals/horse_conner_02"]["description"] is None


def test_images_are_squares_on_white(rows: dict[str, dict]) -> None:
    images = {key: Image.open(io.BytesIO(row["image"])) for key, row in rows.items()}
    assert {(image.format, image.mode, image.size) for image in images.values()} == {("PNG", "RGB", (16, 16))}
    assert [images[ORIGINAL].getpixel(at) for at in ((8, 8), (8, 1))] == [(255, 0, 0), (255, 255, 255)]


def test_a_link_is_a_copy_under_its_own_key(rows: dict[str, dict]) -> None:
    copy, original = rows["people/rider"], rows[ORIGINAL]
    assert (copy["copy_of"], copy["topic"]) == (ORIGINAL, "people")
    assert copy["image"] == original["image"]
    assert original["copy_of"] is None


def test_what_belongs_together_is_one_cluster_and_nothing_else_is(rows: dict[str, dict]) -> None:
    cluster = {key: row["cluster"] for key, row in rows.items()}
    horses = [ORIGINAL, "animals/horse_conner_02", "people/rider"]  # numbered by one hand; one picture
    stars = ["shapes/stars/star_1", "shapes/stars/star_2"]  # one title
    assert len({cluster[key] for key in horses}) == len({cluster[key] for key in stars}) == 1
    assert len(set(cluster.values())) == len(rows) - 3


def test_the_mess_is_counted(card: dict) -> None:
    mess = card["mess"]
    assert mess["copies"] == 1
    assert mess["without a title"] == 2
    assert mess["with an empty keyword"] == 4
    assert mess["with letters escaped twice"] == 1
    assert mess["with a title beyond ASCII"] == 2
    assert mess["with pictures that are not in the file"] == 1
    assert card["licences"] == {"http://web.resource.org/cc/PublicDomain": 9, "not stated": 2}
    assert card["known"] is False


def test_workers_and_an_interruption_change_no_byte(built: Path, deb: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(openclipart, "_PART", 5)
    told = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_openclipart(tmp_path / "set", side=16, package=deb, workers=2, progress=stop)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "set" / "_parts").iterdir()}
    assert len(kept) >= 2
    with pytest.raises(CorpusError, match="is not built to its end; repeat vergence corpus with --resume"):
        read_source(tmp_path / "set")
    first = sorted(kept)[0]
    monkeypatch.setattr(openclipart, "_drawn", _only_new(first))
    build_openclipart(tmp_path / "set", side=16, package=deb, workers=2, present="resume")
    assert (tmp_path / "set" / CORPUS).read_bytes() == (built / CORPUS).read_bytes()
    assert not (tmp_path / "set" / "_parts").exists()
    assert told[-1] == (10, len(GOOD) + len(REFUSED))


def _only_new(first: Path):
    drawn, done = openclipart._drawn, set(pq.read_table(first)["key"].to_pylist())

    def draw(reader, key, data, side):
        assert key not in done
        return drawn(reader, key, data, side)

    return draw


def test_a_finished_corpus_is_not_built_again(built: Path, deb: Path, monkeypatch) -> None:
    monkeypatch.setattr(openclipart, "_parts", None)
    again = build_openclipart(built, side=16, package=deb, present="resume")
    assert again == json.loads((built / CARD).read_text())
    with pytest.raises(ConfigError, match="pass --resume to continue it, pass --overwrite to replace it"):
        build_openclipart(built, side=16, package=deb)
    with pytest.raises(ConfigError, match="holds a job with another side"):
        build_openclipart(built, side=8, package=deb, present="resume")


def test_a_damaged_part_is_said(deb: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(openclipart, "_rows", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build_openclipart(tmp_path / "set", side=16, package=deb)
    part = tmp_path / "set" / "_parts" / "00000.parquet"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(CorpusError, match=r"Remove .*00000\.parquet and resume"):
        build_openclipart(tmp_path / "set", side=16, package=deb, present="resume")


def test_the_corpus_is_pairs_as_it_is(built: Path) -> None:
    source = read_source(built)
    titled = [number for number, row in enumerate(source.rows) if row.text]
    assert len(source.rows) == len(GOOD) + 1
    assert len(titled) == len(source.rows) - 2
    images, _ = source.images(titled)
    assert images.tensor().shape[1:] == (3, 16, 16)


@pytest.mark.parametrize("column", ["caption", "description", "keywords"])
def test_an_audit_takes_every_column_of_texts(built: Path, column: str) -> None:
    found = audit([str(built / CORPUS)], concepts_146(), options=ReadOptions(columns=(column,))).to_dict()
    assert found["captions"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"side": 4}, "side must be"), ({"workers": 0}, "workers must be >= 1"), ({"workers": 999}, "workers must be")],
)
def test_a_setting_out_of_range_is_refused(deb: Path, tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_openclipart(tmp_path, package=deb, **settings)


def test_another_file_than_the_package_is_refused(deb: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.deb"
    with pytest.raises(CorpusError, match=r"other\.deb does not exist"):
        build_openclipart(tmp_path / "set", package=other)
    other.write_bytes(deb.read_bytes()[:700])
    with pytest.raises(CorpusError, match="no whole package"):
        build_openclipart(tmp_path / "set", package=other)
    other.write_bytes(deb.read_bytes().replace(FOLDER.encode(), FOLDER.upper().encode()))
    with pytest.raises(CorpusError, match=r"holds no files in usr/share/openclipart/svg|no whole package"):
        build_openclipart(tmp_path / "set", package=other)


def test_the_package_is_fetched_once_and_kept(deb: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fetched = []

    def fetch(wanted: Package) -> bytes:
        fetched.append(wanted.name)
        return deb.read_bytes()

    monkeypatch.setattr(packages, "fetch_package", fetch)
    assert openclipart._fetched() == openclipart._fetched() == tmp_path / "cache/vergence/packages/openclipart-svg.deb"
    assert fetched == ["openclipart-svg"]


def test_where_nothing_can_be_fetched_an_own_copy_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match=r"is not installed; install it; or pass --package FILE"):
        build_openclipart(tmp_path / "set")


@pytest.mark.slow
def test_the_real_package_is_the_one_that_is_documented(tmp_path: Path) -> None:
    if not shutil.which("apt-get"):
        pytest.skip("needs apt-get")
    try:
        path = openclipart._fetched()
    except CorpusError as error:
        pytest.skip(f"the package cannot be fetched: {error}")
    card = build_openclipart(tmp_path / "set", package=path, workers=os.cpu_count() or 1)
    assert card["known"]
    assert card["places"] == 8121
    assert {reason: len(keys) for reason, keys in card["left_out"].items()} == {"shows nothing on white": 127}
    assert card["rows"] == 8121 - 127
    assert card["mess"]["copies"] == 661  # two of the 663 repeat a drawing that shows nothing
    assert card["titles"]["frequent"]["gramastar"] == 1375
    rows = pq.read_table(tmp_path / "set" / CORPUS)
    assert rows["key"].to_pylist() == sorted(set(rows["key"].to_pylist()))
    spread = [np.asarray(Image.open(io.BytesIO(image))).std() for image in rows["image"].to_pylist()[::40]]
    assert min(spread) > 0
