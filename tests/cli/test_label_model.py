"""vergence label by a model whose scores are known by construction, and the way from a sheet to an audit."""

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.browser import check_page, open_page
from tests.data import sources

from vergence.cli.main import main
from vergence.corpus import load_lexicon
from vergence.corpus.detectors import SAMPLED, read_detectors
from vergence.decoding import as_image
from vergence.reports import label_job
from vergence.reports.label_sample import ANSWER_COLUMNS

LEXICON = """
name: small
groups:
  - name: animal
    concepts: {dog: [dog], cat: [cat], "<b>&": [bird]}
  - name: thing
    concepts: {hat: [hat], cup: [cup]}
"""
ANIMALS, THINGS = ("dog", "cat", "<b>&"), ("hat", "cup")
SCALE = 10.0


class Model:
    """Red tells what an image is taken to show, green how surely; blue which things are there."""

    logit_scale, logit_bias, side = SCALE, 1.0, 4

    def state_dict(self):
        return {"scale": torch.tensor([SCALE])}

    def prepared(self, image):
        return np.ascontiguousarray(np.asarray(as_image(image).convert("RGB").resize((4, 4))).transpose(2, 0, 1))

    def embed_pixels(self, pixels):
        red, green, blue = (pixels[:, channel, 0, 0].long() for channel in range(3))
        z = torch.zeros(len(pixels), 8)
        z[torch.arange(len(z)), red] = 1.0
        z[torch.arange(len(z)), (red + 1) % 3] = 1 - green / 255
        for bit in range(2):
            z[:, 3 + bit] = torch.where((blue >> bit) % 2 > 0, 1.0, -1.0)
        return z

    def embed_images(self, images, **_):
        return self.embed_pixels(torch.stack([torch.from_numpy(self.prepared(image)) for image in images]))

    def embed_texts(self, texts, **_):
        names = [*ANIMALS, *THINGS]
        return torch.eye(8)[[names.index(text) for text in texts]]


def pixel(row: dict) -> tuple[int, int, int]:
    return row["told"], row["sure"], row["things"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(label_job, "load_model", lambda *_, **__: Model())
    (tmp_path / "lexicon.yaml").write_text(LEXICON)
    rng = np.random.default_rng(0)
    rows = []
    (tmp_path / "set").mkdir()
    for number in range(120):
        shown = int(rng.integers(3))
        told = (shown + 1) % 3 if rng.random() < 0.2 else shown
        row = {"shown": shown, "told": told, "sure": int(rng.choice([0, 120, 255])), "things": int(rng.integers(4))}
        Image.new("RGB", (4, 4), pixel(row)).save(tmp_path / "set" / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "title": f"a {('dog', 'cat', 'bird')[shown]}", **row})
    table = pd.DataFrame(rows)
    table.to_json(tmp_path / "truth.json")
    sources.write_csv(
        tmp_path / "set" / "pairs.csv", ("file_name", "title"), table[["file_name", "title"]].values.tolist()
    )
    return tmp_path


def label(place: Path, *more: str) -> int:
    command = ["label", str(place / "set" / "pairs.csv"), "--model", "m", "--lexicon", str(place / "lexicon.yaml")]
    return main([*command, "--out", str(place / "out"), "--several", "thing", *more])


def truth(place: Path) -> pd.DataFrame:
    return pd.read_json(place / "truth.json").set_index("file_name")


def refused(capsys: pytest.CaptureFixture[str], place: Path, *more: str) -> str:
    capsys.readouterr()
    assert label(place, *more) == 2
    lines = capsys.readouterr().err.splitlines()
    return lines[-1]


def test_labels_and_margins_are_those_of_the_scores(place: Path, capsys) -> None:
    assert label(place, "--margin", "0.2") == 0
    said = capsys.readouterr().out
    labels = pd.read_parquet(place / "out" / "labels.parquet").set_index("key")
    scores = pd.read_parquet(place / "out" / "scores.parquet").set_index("key")
    assert list(labels) == ["caption", "animal", "hat", "cup"]
    for key, row in truth(place).iterrows():
        z = np.array([0.0] * 8)
        z[row["told"]], z[(row["told"] + 1) % 3] = 1.0, 1 - row["sure"] / 255
        z[3:5] = [1.0 if row["things"] >> bit & 1 else -1.0 for bit in range(2)]
        cosines = z / np.linalg.norm(z)
        p = np.exp(SCALE * cosines[:3]) / np.exp(SCALE * cosines[:3]).sum()
        margin = np.sort(p)[-1] - np.sort(p)[-2]
        assert scores.loc[key, "animal"] == pytest.approx(margin, abs=1e-5)
        found = labels.loc[key, "animal"]
        assert (found if isinstance(found, str) else None) == (ANIMALS[row["told"]] if margin >= 0.2 else None)
        for bit, thing in enumerate(THINGS):
            there = 1 / (1 + np.exp(-(SCALE * cosines[3 + bit] + 1.0)))
            assert labels.loc[key, thing] == (thing if there >= 0.5 else f"no {thing}")
            assert scores.loc[key, thing] == pytest.approx(2 * abs(there - 0.5), abs=1e-5)
    about = json.loads((place / "out" / "labels.json").read_text())
    assert about["unlabelled"]["animal"] == {"the margin is small": int((truth(place)["sure"] == 0).sum())}
    assert "answers needed" in said
    assert "pass --resume and --width W or --ask N" in said
    lexicon = load_lexicon(place / "out" / "lexicon.yaml")
    assert [group.name for group in lexicon.groups] == ["animal", "hat", "cup"]


def answered(place: Path, *, asked: dict | None = None) -> Path:
    """Answers as somebody gives them who sees what is shown."""
    sample = json.loads((place / "out" / "sample.json").read_text())["factors"]
    rows = []
    for factor, of in sample.items():
        for key in of["asked"]:
            row = truth(place).loc[key]
            if factor == "animal":
                answer = ANIMALS[row["shown"]]
            else:
                there = row["things"] >> THINGS.index(factor) & 1
                answer = factor if there else f"no {factor}"
            rows.append((key, factor, (asked or {}).get((key, factor), answer)))
    return sources.write_csv(place / "answers.csv", ANSWER_COLUMNS, rows)


def test_when_every_image_is_answered_every_rate_is_the_true_one_and_certain(place: Path, capsys) -> None:
    assert label(place, "--ask", "1000") == 0
    capsys.readouterr()
    assert label(place, "--answers", str(answered(place))) == 0
    said = capsys.readouterr().out
    found = json.loads((place / "out" / "errors.json").read_text())
    images = truth(place).query("sure > 0")  # the others have no label
    wanted = pd.crosstab(images["shown"], images["told"], normalize="index").to_numpy()
    detectors = read_detectors(place / "out" / "errors.json", load_lexicon(place / "out" / "lexicon.yaml"))
    np.testing.assert_allclose(detectors["animal"].confusion, wanted)
    assert detectors["animal"].errors is None  # who has answered about all images knows
    np.testing.assert_allclose(detectors["hat"].confusion, np.eye(2))
    assert sum(sum(one["answers"].values()) for one in found[SAMPLED]["animal"]) == len(images)
    wrong = (images["shown"] != images["told"]).mean()
    assert f"{wrong:.3f}" in said
    command = next(line for line in said.splitlines() if "vergence audit" in line).partition("vergence ")[2]
    assert "--detector-errors" in command
    assert main([*shlex.split(command), "--out", str(place / "audit")]) == 0
    audited = json.loads((place / "audit" / "coverage.json").read_text())["misalignment"]
    animal = next(row for row in audited if row["factor"] == "animal")
    assert animal["selection"] == 1
    assert animal["wrong_value"] == pytest.approx(0, abs=1e-9)  # captions are right, and the detector was not


def test_a_part_of_the_answers_weighs_what_it_stands_for_and_widens_intervals(place: Path, capsys) -> None:
    assert label(place, "--ask", "30") == 0
    path = answered(place)
    rows = list(csv.reader(path.open()))
    animals = [row for row in rows[1:] if row[1] == "animal"]
    animals[0][2], animals[1][2] = "(cannot tell)", "(none)"
    sources.write_csv(path, ANSWER_COLUMNS, [*animals, *(row for row in rows[1:] if row[1] == "hat")])
    capsys.readouterr()
    assert label(place, "--answers", str(path)) == 0
    said = capsys.readouterr()
    assert "30 of 30" in said.out
    assert "cup: no rates: nothing is answered about" in said.err
    labels = pd.read_parquet(place / "out" / "labels.parquet").set_index("key")["animal"]
    sample = json.loads((place / "out" / "sample.json").read_text())["factors"]["animal"]
    counts = np.zeros((3, 3))
    told = {key: answer for key, _, answer in animals if answer != "(cannot tell)"}
    strata = pd.Series(sample["asked"])
    for key, answer in told.items():
        mates = [other for other in told if strata[other] == strata[key]]
        if answer != "(none)":
            weight = sample["images"][strata[key]] / len(mates)
            counts[ANIMALS.index(answer), ANIMALS.index(labels[key])] += weight
    found = read_detectors(place / "out" / "errors.json", load_lexicon(place / "out" / "lexicon.yaml"))["animal"]
    np.testing.assert_allclose(found.confusion, counts / counts.sum(axis=1, keepdims=True))
    assert found.errors is not None
    np.testing.assert_allclose(found.errors.sum(axis=2), 0, atol=1e-12)
    rates = json.loads((place / "out" / "errors.json").read_text())
    widths = []
    for name, content in (("estimated", rates), ("known", {"animal": rates["animal"]})):
        (place / f"{name}.json").write_text(json.dumps(content))
        table = str(place / "out" / "labels.parquet")
        command = ["audit", table, "--labels", table, "--lexicon", str(place / "out" / "lexicon.yaml")]
        more = ["--detector-errors", str(place / f"{name}.json"), "--out", str(place / name)]
        assert main([*command, *more]) == 0
        audited = json.loads((place / name / "coverage.json").read_text())["misalignment"][0]
        widths.append(audited["wrong_value_high"] - audited["wrong_value_low"])
    assert widths[0] > widths[1]


def test_a_larger_sample_holds_the_smaller_one(place: Path) -> None:
    asked = []
    for n in (20, 40):
        assert label(place, *(["--resume"] if asked else []), "--ask", str(n)) == 0
        asked.append(set(json.loads((place / "out" / "sample.json").read_text())["factors"]["animal"]["asked"]))
    assert len(asked[0]) == 20
    assert asked[0] < asked[1]


def test_a_person_answers_the_sheet_by_the_keyboard_and_the_answers_come_back(place: Path, capsys) -> None:
    assert label(place, "--ask", "18") == 0
    sheet = place / "out" / "sheet.html"
    assert "<b>&" not in sheet.read_text()
    check_page(sheet)
    with open_page(sheet) as (page, complaints):
        assert "0 answered" in page.inner_text("#progress")
        question = page.inner_text("#question")
        page.keyboard.press("1")
        page.keyboard.press("0")
        page.keyboard.press("-")
        page.keyboard.press("ArrowLeft")
        assert page.get_attribute("#choices button:last-child", "aria-pressed") == "true"
        page.keyboard.press("2")  # thinks better of it
        assert "3 answered" in page.inner_text("#progress")
        page.reload()
        assert page.inner_text("#progress").startswith("Question 4 of ")  # goes on where it was
        with page.expect_download() as downloaded:
            page.click("#download")
        downloaded.value.save_as(place / "answers.csv")
        assert [one for one in complaints if "blob:" not in one] == []
    rows = list(csv.DictReader((place / "answers.csv").open()))
    assert [row["answer"] for row in rows][1] == "(none)"
    assert len(rows) == 3
    assert rows[0]["factor"] in question
    assert "no rates can be estimated" in refused(capsys, place, "--answers", str(place / "answers.csv"))


def test_answers_of_another_form_are_one_line(place: Path, capsys) -> None:
    assert "nobody was asked; pass --ask N or --width W first" in refused(capsys, place, "--answers", "none.csv")
    assert label(place, "--resume", "--ask", "20") == 0
    key = next(iter(json.loads((place / "out" / "sample.json").read_text())["factors"]["animal"]["asked"]))
    path = place / "a.csv"
    for text, message in (
        ("a,b\n", "a.csv: the header must be key,factor,answer; got 'a,b'"),
        ("key,factor,answer\n", "holds no answer"),
        (f"key,factor,answer\n{key},anmal,dog\n", "a.csv:2: unknown factor 'anmal'; known: animal, hat, cup. Did you"),
        ("key,factor,answer\nx.png,animal,dog\n", "a.csv:2: 'x.png' is no image that was asked about for factor"),
        (f"key,factor,answer\n{key},animal,dgo\n", "a.csv:2: unknown answer about factor 'animal' 'dgo'; known: dog"),
        (f"key,factor,answer\n{key},animal\n", "a.csv:2: a row needs 3 fields; got 2"),
        (f"key,factor,answer\n{key},animal,dog\n{key},animal,cat\n", "a.csv:3: "),
        (f'key,factor,answer\n{key},animal,"dog\n', "not valid CSV"),
    ):
        path.write_text(text)
        assert message in refused(capsys, place, "--answers", str(path))
    assert not (place / "out" / "errors.json").exists()


def test_what_does_not_go_together_is_refused_before_anything_is_read(place: Path, capsys) -> None:
    for more, message in (
        (["--pixels", "color"], "two ways to label; pass one of them"),
        (["--ask", "9", "--width", "0.1"], "pass one of them"),
        (["--ask", "0"], "ask must be >= 1"),
        (["--width", "1"], "width must be inside (0, 1)"),
        (["--several", "thong"], "unknown group 'thong'; known: animal, thing. Did you mean 'thing'?"),
        (["--margin", "2"], "margin must be a probability in [0, 1]; got 2.0"),
    ):
        assert message in refused(capsys, place, *more)
    assert main(["label", "x", "--out", "y", "--lexicon", "z"]) == 2
    assert "--lexicon is about labels by a model" in capsys.readouterr().err
