"""Folders of rendered objects, whole and messy: what is wrong is reported by file and row, and labels never shift."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.data.official import SHAPES, N, latents, png, write_causal, write_multimodal, write_table

from vergence.data import load_scenes, read_scenes
from vergence.errors import ConfigError, CorpusError
from vergence.random import generator
from vergence.scenes import scenes


def edit(path: Path, change: Callable[[list[str]], object]) -> None:
    """Change the lines of a text file in place."""
    lines = path.read_text().splitlines(keepends=True)
    change(lines)
    path.write_text("".join(lines))


@pytest.fixture
def multimodal(tmp_path) -> Path:
    return write_multimodal(tmp_path / "train")


@pytest.fixture
def causal(tmp_path) -> Path:
    return write_causal(tmp_path / "trainset")


def assert_rows_belong_together(pairs, rows: list[int]) -> None:
    """Images, sentences and labels of exactly these rows."""
    values = latents()
    assert [int(np.asarray(image)[0, 0, 0]) for image in pairs.images] == rows
    assert [int(text.split()[-1].rstrip(".")) for text in pairs.texts] == rows
    assert pairs.keys == [f"{row:06d}" for row in rows]
    assert pairs.labels["shape"].tolist() == [SHAPES[row % 7] for row in rows]
    assert pairs.labels["x"].tolist() == [("left", "middle", "right")[row % 3] for row in rows]
    for factor, column in (("object_hue", "object_color"), ("spot_position", "spotlight_pos")):
        assert pairs.labels[factor].tolist() == pytest.approx([values[row][column] for row in rows])


def test_a_whole_part_of_multimodal3dident_is_read_row_by_row(multimodal):
    read = read_scenes(multimodal, check="pixels")
    assert_rows_belong_together(read.pairs, list(range(N)))
    assert (read.left_out, read.problems) == ({}, ())
    assert read.pairs.space == scenes("causal3dident").space
    assert read.pairs.misalignment.selected == {"shape", "x", "y", "object_hue"}
    assert_rows_belong_together(load_scenes(multimodal, rows=[4, 2]), [4, 2])


def remove_image(folder: Path) -> None:
    (folder / "images" / "000005.png").unlink()


def cut_image(folder: Path) -> None:
    (folder / "images" / "000003.png").write_bytes(png(3)[:-20])


def empty_image(folder: Path) -> None:
    (folder / "images" / "000003.png").write_bytes(b"")


def unknown_shape(folder: Path) -> None:
    edit(folder / "latents_image.csv", lambda lines: lines.__setitem__(5, lines[5].replace("4,", "9,", 1)))


def unknown_hue(folder: Path) -> None:
    rows = latents()
    rows[6]["object_color"] = 1.5
    write_table(folder / "latents_image.csv", rows)


def no_hue(folder: Path) -> None:
    rows = latents()
    rows[6]["object_color"] = "nan"
    write_table(folder / "latents_image.csv", rows)


def short_record(folder: Path) -> None:
    edit(folder / "latents_image.csv", lambda lines: lines.__setitem__(8, "0,1,1\n"))


def long_record(folder: Path) -> None:
    edit(folder / "latents_image.csv", lambda lines: lines.__setitem__(8, lines[8].replace("\n", ",0\n")))


def repeated(folder: Path) -> None:
    rows = latents()
    rows[9] = rows[2]
    write_table(folder / "latents_image.csv", rows)
    said = [{"object_shape": row["object_shape"]} for row in rows]
    write_table(folder / "latents_text.csv", said)
    lines = folder / "text" / "text_raw.txt"
    lines.write_text(lines.read_text().replace(f"{SHAPES[2]} is in image 9", f"{SHAPES[2]} is in image 9"))


def no_sentence(folder: Path) -> None:
    edit(folder / "text" / "text_raw.txt", lambda lines: lines.__setitem__(4, " \n"))


ROW_PROBLEMS = [
    (remove_image, 5, "missing image", r"images/000005.png is missing \(row 5\)"),
    (cut_image, 3, "damaged image", r"images/000003.png cannot be read \(row 3\): it does not begin and end as a"),
    (empty_image, 3, "damaged image", r"images/000003.png cannot be read \(row 3\)"),
    (unknown_shape, 4, "unknown value", r"latents_image.csv record 5: object_shape must be in 0..6; got '9'"),
    (unknown_hue, 6, "unknown value", r"latents_image.csv record 7: object_color must be in \[0, 1\]; got '1.5'"),
    (no_hue, 6, "unknown value", r"latents_image.csv record 7: object_color must be in \[0, 1\]; got 'nan'"),
    (short_record, 7, "unknown value", r"latents_image.csv record 8: object_shape must be in 0..6; got ''"),
    (long_record, 7, "unknown value", r"latents_image.csv record 8: object_shape must be in 0..6; got ''"),
    (repeated, 9, "duplicate", r"latents_image.csv record 10 repeats an earlier one"),
    (no_sentence, 4, "no text", r"text_raw.txt line 5 is empty"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "row", "kind", "message"), ROW_PROBLEMS, ids=[one[0].__name__ for one in ROW_PROBLEMS]
)
def test_what_is_wrong_with_one_row_is_reported_by_file_or_left_out_and_counted(multimodal, spoil, row, kind, message):
    spoil(multimodal)
    with pytest.raises(
        CorpusError, match=message + rf".* In all: .*1 {kind}; read with strict=False to leave these out"
    ):
        load_scenes(multimodal)
    read = read_scenes(multimodal, strict=False)
    assert read.left_out == {kind: 1}
    assert any(str(multimodal) in problem for problem in read.problems)
    assert_rows_belong_together(read.pairs, [one for one in range(N) if one != row])


def test_several_problems_are_counted_by_kind_and_a_row_once(multimodal):
    for spoil in (remove_image, cut_image, unknown_hue, no_sentence):
        spoil(multimodal)
    (multimodal / "images" / "000006.png").unlink()  # of the record with the unknown hue
    read = read_scenes(multimodal, strict=False)
    assert read.left_out == {"damaged image": 1, "missing image": 1, "no text": 1, "unknown value": 1}
    assert len(read.problems) == 5
    assert_rows_belong_together(read.pairs, [0, 1, 2, 7, 8, 9, 10, 11])


def test_damage_inside_an_image_is_found_by_decoding_or_reported_by_file_when_it_is_used(multimodal):
    spoiled = bytearray(png(3))
    middle = spoiled.index(b"IDAT")
    spoiled[middle + 4 : middle + 10] = bytes(6)
    (multimodal / "images" / "000003.png").write_bytes(spoiled)
    with pytest.raises(
        CorpusError, match=r"images/000003.png cannot be read \(row 3\): no whole WebP, PNG or JPEG file"
    ):
        read_scenes(multimodal, check="pixels")
    assert read_scenes(multimodal, strict=False, check="pixels").left_out == {"damaged image": 1}
    with pytest.raises(CorpusError, match=r"image cannot be read: .*images/000003.png"):
        load_scenes(multimodal).images[3]
    with pytest.raises(ConfigError, match=r"unknown check 'all'; known: ends, pixels"):
        read_scenes(multimodal, check="all")


def drop_line(path: str, line: int) -> Callable[[Path], None]:
    return lambda folder: edit(folder / path, lambda lines: lines.pop(line))


def repeat_line(path: str, line: int) -> Callable[[Path], None]:
    return lambda folder: edit(folder / path, lambda lines: lines.insert(line, lines[line]))


def turn_lines(folder: Path) -> None:
    """As many lines as there should be, but each a line further up."""
    edit(folder / "latents_image.csv", lambda lines: lines.append(lines.pop(1)))


def turn_sentences(folder: Path) -> None:
    edit(folder / "text" / "text_raw.txt", lambda lines: lines.append(lines.pop(0)))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_line("latents_image.csv", 4), r"latents_image.csv has 11 rows and does not reach .*images/000011.png"),
        (repeat_line("latents_image.csv", 4), r"text_raw.txt has 12 lines and latents_image.csv 13 records; they"),
        (drop_line("text/text_raw.txt", 4), r"text_raw.txt has 11 lines and latents_image.csv 12 records; they"),
        (drop_line("latents_text.csv", 4), r"the table of .*text_raw.txt has 11 records and latents_image.csv 12; "),
        (turn_lines, r"are shifted against each other: in record 1 object_shape is 1 and 0"),
        (turn_sentences, r"text_raw.txt line 1 does not speak of its teapot: it is shifted; got 'A \"xkcd:sea\" hare"),
        (drop_line("latents_image.csv", 0), r"latents_image.csv lacks the columns object_shape, "),
        (lambda folder: (folder / "images" / "5.png").write_bytes(png(5)), r"000005.png and 5.png have the same n"),
        (lambda folder: (folder / "images" / "a.png").write_bytes(png(5)), r"a.png is not called by the number of "),
        (lambda folder: (folder / "latents_text.csv").unlink(), r"latents_text.csv does not exist; name an exis"),
        (lambda folder: (folder / "latents_image.csv").write_text('a,b\n"1,2\n'), r"latents_image.csv is no table: "),
    ],
)  # fmt: skip
def test_what_cannot_be_told_row_by_row_is_refused_in_either_mode(multimodal, spoil, message, strict):
    spoil(multimodal)
    with pytest.raises(CorpusError, match=message):
        read_scenes(multimodal, strict=strict)


def test_one_of_several_texts_is_chosen_by_name(multimodal):
    for name in ("selections_0", "perturbations_6"):
        (multimodal / "text" / name).mkdir()
        (multimodal / "text" / name / "text_raw.txt").write_text((multimodal / "text" / "text_raw.txt").read_text())
        said = [{"object_shape": row["object_shape"], "text_phrasing": 0} for row in latents()]
        write_table(multimodal / f"latents_text_{name}.csv", said)
    (multimodal / "text" / "text_raw.txt").unlink()
    with pytest.raises(CorpusError, match=r"has several texts; name one of them: perturbations_6, selections_0"):
        load_scenes(multimodal)
    assert read_scenes(multimodal, text="selections_0").pairs.misalignment.selected == {"shape"}
    assert read_scenes(multimodal, text="perturbations_6").pairs.misalignment is None
    with pytest.raises(ConfigError, match=r"unknown text 'selections_1'; known: perturbations_6, selections_0"):
        read_scenes(multimodal, text="selections_1")


def test_a_folder_of_parts_says_to_name_one(multimodal, causal):
    with pytest.raises(CorpusError, match=r"holds several parts; name one: .*/train, .*/trainset"):
        load_scenes(multimodal.parent)


def test_a_whole_part_of_causal3dident_is_read_shape_by_shape(causal):
    pairs = load_scenes(causal)
    assert len(pairs) == 35
    assert [int(np.asarray(image)[0, 0, 0]) for image in pairs.images] == [
        10 * s + k for s in range(7) for k in range(5)
    ]
    assert pairs.labels["shape"].tolist() == [shape for shape in SHAPES for _ in range(5)]
    assert pairs.texts[34] == "a picture of the head"
    raw = np.load(causal / "raw_latents_6.npy")
    assert pairs.labels.loc[30:, "background_hue"].tolist() == pytest.approx(((raw[:, 9] + 1) / 2).tolist())
    assert pairs.labels.drop(columns="shape").to_numpy(dtype=float).min() >= 0
    assert pairs.space["x"].is_continuous
    halves = pairs.split({"a": 0.5, "b": 0.5}, generator=generator(0))
    assert sum(map(len, halves.values())) == 35


def test_problems_of_causal3dident_are_reported_by_file_or_left_out_and_counted(causal):
    (causal / "images_2" / "00001.png").unlink()
    (causal / "images_3" / "00000.png").write_bytes(b"no")
    raw = np.load(causal / "raw_latents_4.npy")
    raw[2, 7], raw[4] = 3.0, raw[0]
    np.save(causal / "raw_latents_4.npy", raw)
    (causal / "latents_4.npy").unlink()
    (causal / "raw_latents_6.npy").unlink()
    for image in (causal / "images_6").iterdir():
        image.unlink()
    (causal / "images_6").rmdir()
    with pytest.raises(
        CorpusError, match=r"images_2/000001.png is missing \(row 1\). In all: 1 damaged image, 1 duplicate"
    ):
        load_scenes(causal)
    read = read_scenes(causal, strict=False)
    assert read.left_out == {
        "damaged image": 1, "duplicate": 1, "missing image": 1, "missing shape": 1, "unknown value": 1,
    }  # fmt: skip
    kept = [10 * s + k for s in range(6) for k in range(5) if (s, k) not in {(2, 1), (3, 0), (4, 2), (4, 4)}]
    assert [int(np.asarray(image)[0, 0, 0]) for image in read.pairs.images] == kept
    assert read.pairs.labels["shape"].tolist() == [SHAPES[value // 10] for value in kept]


@pytest.mark.parametrize("strict", [True, False])
def test_tables_of_causal3dident_that_cannot_be_right_are_refused_in_either_mode(causal, strict):
    raw = np.load(causal / "raw_latents_1.npy")
    np.save(causal / "raw_latents_1.npy", raw[::-1])
    with pytest.raises(CorpusError, match=r"latents_1.npy and raw_latents_1.npy are not of the same images"):
        read_scenes(causal, strict=strict)
    (causal / "latents_1.npy").unlink()
    np.save(causal / "raw_latents_1.npy", raw[:4])
    with pytest.raises(CorpusError, match=r"raw_latents_1.npy has 4 rows and does not reach .*images_1/00004.png"):
        read_scenes(causal, strict=strict)
    np.save(causal / "raw_latents_1.npy", raw[:, :9])
    with pytest.raises(
        CorpusError, match=r"raw_latents_1.npy must be float32 or float64 of shape n x 10; got float32 of s"
    ):
        read_scenes(causal, strict=strict)
    with pytest.raises(ConfigError, match=r"Causal3DIdent has no texts to choose from; got 'a'"):
        read_scenes(causal, text="a")
