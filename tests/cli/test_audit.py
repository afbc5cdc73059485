"""`vergence audit` and `vergence lexicon` as their users run them."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.browser import check_page, open_page
from tests.corpus.common import tar

from vergence.cli.main import main
from vergence.corpus import load_lexicon

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)> a dog & \"cat\""
LEXICON = """
name: hostile
groups:
  - name: "<b>animal</b> [red]"
    concepts:
      dog: [dog]
      "c++ (.*)": ["c++", "a.*b"]
      "</script><script>alert(2)</script>": [cat]
"""


def corpus(folder: Path) -> Path:
    texts = [HOSTILE, "a puppy", "aXXb", "a.*b and C++", None, "the sea"]
    pq.write_table(pa.table({"caption": texts, "tone": ["a", "b", "a", "b", "a", "b"]}), folder / "a.parquet")
    return folder / "a.parquet"


def test_an_audit_writes_what_its_contract_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(corpus(tmp_path)), "--out", str(tmp_path / "out")]) == 0
    results = json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert results["captions"] == 5
    assert results["skipped"] == {"null": 1}
    dog = next(row for row in results["concepts"] if row["concept"] == "dog")
    assert {"concept", "group", "captions", "share", "low", "high"} <= set(dog)
    assert (dog["group"], dog["captions"], dog["share"]) == ("animal", 2, 0.4)
    table = pd.read_parquet(tmp_path / "out" / "coverage.parquet")
    assert table["captions"].tolist() == [row["captions"] for row in results["concepts"]]
    assert "5 captions; skipped: 1 null" in capsys.readouterr().out


def test_shards_merge_into_the_same_file(tmp_path: Path) -> None:
    for number in range(6):
        pq.write_table(pa.table({"caption": [f"dog {number}", "cat"]}), tmp_path / f"{number}.parquet")
    paths = [str(tmp_path / "*.parquet")]
    for number in range(3):
        shard = ["--shard-id", str(number), "--num-shards", "3", "--out", str(tmp_path / f"s{number}")]
        assert main(["audit", *paths, *shard]) == 0
    assert main(["audit", "--merge", *(str(tmp_path / f"s{n}") for n in range(3)), "--out", str(tmp_path / "m")]) == 0
    assert main(["audit", *paths, "--out", str(tmp_path / "whole")]) == 0
    merged, whole = ((tmp_path / name / "coverage.json").read_bytes() for name in ("m", "whole"))
    assert merged == whole


def test_a_group_below_its_floor_gives_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(corpus(tmp_path))
    assert main(["audit", path, "--fail-under", "animal=0.4", "--fail-under", "food=0"]) == 0
    assert main(["audit", path, "--fail-under", "animal=0.41"]) == 1
    assert "below the floor: animal 0.400000 < 0.41" in capsys.readouterr().out
    assert main(["audit", path, "--fail-under", "animals=0.1"]) == 2
    assert "unknown group 'animals'" in capsys.readouterr().err
    assert main(["audit", path, "--fail-under", "animal"]) == 2
    assert "GROUP=SHARE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name what to audit"),
        (["nowhere.parquet"], "no such file or folder"),
        (["{corpus}", "--caption-column", "captoin"],
         "unknown column 'captoin'; known: caption, tone. Did you mean 'caption'"),
        (["{corpus}", "--strict"], "row 5: captions that are null"),
        (["{corpus}", "--lexicon", "{lexicon}"], "lexicon.yaml:4: unknown key of a group 'concept'"),
        (["{corpus}", "--labels", "{corpus}", "--cluster-column", "image"], "unknown column 'image'"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    lexicon = tmp_path / "lexicon.yaml"
    lexicon.write_text("name: x\ngroups:\n  - name: a\n    concept:\n      dog: [dog]\n")
    named = [a.format(corpus=corpus(tmp_path), lexicon=lexicon) for a in arguments]
    assert main(["audit", *named]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_labels_give_estimates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lexicon = tmp_path / "l.csv"
    lexicon.write_text("group,concept,form\ntone,a,dog\ntone,b,puppy\nhue,red,red\n")
    path = str(corpus(tmp_path))
    assert main(["audit", path, "--lexicon", str(lexicon), "--labels", path, "--out", str(tmp_path / "out")]) == 0
    assert "not assessable without image labels" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert [row["selection"] for row in results["misalignment"]] == [pytest.approx(2 / 5), None]
    assert [row["value"] for row in results["misalignment_by_value"]] == ["a", "b"]
    assert results["forecast"]["encoding_size"] is None


@pytest.mark.parametrize(
    ("size", "statement"), [(None, "not taught at all"), (1, "not taught at all"), (2, "not taught at all")]
)
def test_a_forecast_follows_from_labels_and_the_output_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int | None, statement: str
) -> None:
    """Every caption says what animal there is, and none what color."""
    table = pa.table(
        {"caption": ["a dog", "a cat"] * 200, "animal": ["dog", "cat"] * 200, "hue": ["red"] * 200 + ["blue"] * 200}
    )
    pq.write_table(table, tmp_path / "l.parquet")
    (tmp_path / "l.csv").write_text("group,concept,form\nanimal,dog,dog\nanimal,cat,cat\nhue,red,red\nhue,blue,blue\n")
    command = ["audit", str(tmp_path / "l.parquet"), "--lexicon", str(tmp_path / "l.csv"), "--out", str(tmp_path / "o")]
    sized = ["--encoding-size", str(size)] if size else []
    assert main([*command, "--labels", str(tmp_path / "l.parquet"), *sized]) == 0
    assert statement in capsys.readouterr().out
    said = json.loads((tmp_path / "o" / "coverage.json").read_text())["forecast"]["statements"]
    assert {row["factor"]: row["statement"] for row in said}["hue"] == statement
    assert f'<td data-label="forecast">{statement}<small>' in (tmp_path / "o" / "report.html").read_text()
    assert main([*command, "--encoding-size", "2"]) == 2
    assert "--encoding-size needs labels" in capsys.readouterr().err


def test_a_bottleneck_and_a_temperature_are_given_together_and_change_what_is_taught(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every second caption says what animal there is."""
    table = pa.table({"caption": ["a dog", "a cat", "", ""] * 200, "animal": ["dog", "cat"] * 400})
    pq.write_table(table, tmp_path / "l.parquet")
    (tmp_path / "l.csv").write_text("group,concept,form\nanimal,dog,dog\nanimal,cat,cat\n")
    path = str(tmp_path / "l.parquet")
    command = [
        "audit",
        path,
        "--lexicon",
        str(tmp_path / "l.csv"),
        "--out",
        str(tmp_path / "o"),
        "--encoding-size",
        "4",
    ]
    for beta, statement in ((None, "taught strongly"), ("0.5", "taught weakly"), ("4", "not taught at all")):
        options = ["--labels", path] + (["--bottleneck", beta, "--temperature", "1"] if beta else [])
        assert main([*command, *options]) == 0
        assert statement in capsys.readouterr().out
        said = json.loads((tmp_path / "o" / "coverage.json").read_text())["forecast"]
        assert (said["bottleneck"], said["temperature"]) == (float(beta or 0), 1)
        assert said["statements"][0]["statement"] == statement
        assert "0.71<small>0.6" in (tmp_path / "o" / "report.html").read_text()
    assert "at 4 outputs, β = 4, τ = 1" in (tmp_path / "o" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bottleneck", "1"], "--bottleneck acts together with the temperature; pass --temperature as well"),
        (["--temperature", "1"], "--temperature acts together with the bottleneck; pass --bottleneck as well"),
        (["--bottleneck", "-1", "--temperature", "1"], "bottleneck must be"),
        (["--bottleneck", "1", "--temperature", "0"], "temperature must be"),
        (["--encoding-size", "0"], "encoding_size must be >= 1; got 0"),
    ],
)
def test_a_training_that_cannot_be_is_refused_before_anything_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    path = str(corpus(tmp_path))
    out = tmp_path / "out"
    assert main(["audit", path, "--labels", path, "--out", str(out), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
    assert main(["audit", path, *arguments]) == 2
    assert f"{arguments[0]} needs labels" in capsys.readouterr().err


def test_one_rule_of_matching_serves_shares_and_estimates_also_of_merged_counts(tmp_path: Path) -> None:
    """Every caption mentions its animal, but only inside of words."""
    shown = ["dog", "cat"] * 100
    pq.write_table(pa.table({"caption": ["hotdogs", "concat"] * 100, "animal": shown}), tmp_path / "l.parquet")
    (tmp_path / "l.csv").write_text("group,concept,form\nanimal,dog,dog\nanimal,cat,cat\n")
    lexicon = ["--lexicon", str(tmp_path / "l.csv")]
    labels = ["--labels", str(tmp_path / "l.parquet")]
    counted = ["audit", str(tmp_path / "l.parquet"), *lexicon, "--match", "substring", "--out", str(tmp_path / "a")]
    assert main([*counted, *labels]) == 0
    assert main(["audit", "--merge", str(tmp_path / "a"), *labels, "--out", str(tmp_path / "b")]) == 0
    for folder in "ab":
        results = json.loads((tmp_path / folder / "coverage.json").read_text())
        assert results["groups"][0]["share"] == 1
        assert results["misalignment"][0]["selection"] == 1
        assert results["forecast"]["statements"][0]["statement"] == "not determined"


def test_what_labels_lose_and_what_captions_say_of_them_is_shown_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A swap of all values, a hostile name, captions and labels that are missing."""
    names = ["<b>red</b>", "[bold]blue"]
    table = {"caption": ["azure", "scarlet"] * 200 + ["azure", None], "hue": names * 200 + [None, names[0]]}
    pq.write_table(pa.table(table), tmp_path / "l.parquet")
    lexicon = tmp_path / "l.csv"
    lexicon.write_text(f"group,concept,form\nhue,{names[0]},scarlet\nhue,{names[1]},azure\n")
    path, out = str(tmp_path / "l.parquet"), tmp_path / "out"
    sized = ["--encoding-size", "1", "--out", str(out)]
    assert main(["audit", path, "--lexicon", str(lexicon), "--labels", path, *sized]) == 0
    said = capsys.readouterr().out
    assert "labels: 402 rows; captions left out: 1 null" in said
    assert "hue: 1 captions left out for want of a label, 400 used" in said
    reason = "not determined: captions say another value more often than a uniform redraw could (wrong-value rate 1, at"
    assert reason in " ".join(said.split())
    assert "[bold]blue" in said
    results = json.loads((out / "coverage.json").read_text())
    row = results["misalignment"][0]
    assert (row["images"], row["unlabelled"], row["rho"], row["wrong_value"]) == (400, 1, None, 1)
    assert results["labels"] == {"rows": 402, "lost": {"null": 1}}
    assert results["said_by_shown"] == [
        {"factor": "hue", "shown": names[0], "said": names[1], "captions": 200},
        {"factor": "hue", "shown": names[1], "said": names[0], "captions": 200},
    ]
    assert results["forecast"]["statements"][0]["statement"] == "taught strongly"  # always wrong in one way tells all
    assert [results["spectrum"][0][key] for key in ("factors", "strength", "high")] == [["hue"], 1, 1]
    assert results["spectrum"][0]["low"] > 0.97
    page = (out / "report.html").read_text()
    assert "<td>&lt;b&gt;red&lt;/b&gt;</td><td>0</td><td>200</td>" in page
    assert names[0] not in page
    assert "more often than a uniform redraw could" in page


CONFUSION = {"tone": {"a": {"a": 0.9, "b": 0.1}, "b": {"a": 0.2, "b": 0.8}}}


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_detectors_errors_are_taken_out_of_what_its_labels_say(tmp_path: Path, kind: str) -> None:
    """Of 60 images that show a and 40 that show b, half of the first are captioned, and none of the others."""
    shown = [("a", "a dog", 0.9), ("a", "sea", 0.9), ("b", "sea", 0.8)]
    rows = []
    for (value, text, right), n in zip(shown, (30, 30, 40), strict=True):
        other = "b" if value == "a" else "a"
        rows += [(text, value)] * round(right * n) + [(text, other)] * (n - round(right * n))
    captions, labels = zip(*rows, strict=True)
    pq.write_table(pa.table({"caption": captions, "tone": labels}), tmp_path / "l.parquet")
    (tmp_path / "l.csv").write_text("group,concept,form\ntone,a,dog\ntone,b,puppy\n")
    errors = tmp_path / f"errors.{kind}"
    lines = [f"tone,{v},{w},{rate}" for v, row in CONFUSION["tone"].items() for w, rate in row.items()]
    errors.write_text(json.dumps(CONFUSION) if kind == "json" else "\n".join(["factor,value,label,rate", *lines]))
    command = ["audit", str(tmp_path / "l.parquet"), "--lexicon", str(tmp_path / "l.csv"), "--out", str(tmp_path / "o")]
    assert main([*command, "--labels", str(tmp_path / "l.parquet"), "--detector-errors", str(errors)]) == 0
    factors = json.loads((tmp_path / "o" / "coverage.json").read_text())["misalignment"]
    assert [factors[0][key] for key in ("selection", "wrong_value")] == pytest.approx([0.3, 0.0], abs=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"tome": {"a": {"a": 1}}}', "unknown factor 'tome'; known: tone. Did you mean 'tone'"),
        ('{"tone": {"a": {"c": 1}}}', "unknown value of factor 'tone' 'c'; known: a, b"),
        ('{"tone": {"a": {"a": 1}}}', "each row of confusion must hold probabilities that sum to 1"),
        ('{"tone": {"a": 1}}', "cannot be read as confusion rates"),
        ("{", "not valid JSON"),
    ],
)
def test_confusion_rates_that_cannot_be_used_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path, errors = str(corpus(tmp_path)), tmp_path / "e.json"
    errors.write_text(text)
    (tmp_path / "l.csv").write_text("group,concept,form\ntone,a,dog\ntone,b,puppy\n")
    command = ["audit", path, "--lexicon", str(tmp_path / "l.csv"), "--detector-errors", str(errors)]
    assert main([*command, "--labels", path]) == 2
    assert message in capsys.readouterr().err
    assert main(command) == 2
    assert "pass --labels FILE as well" in capsys.readouterr().err


@pytest.mark.slow
def test_the_report_shows_hostile_captions_and_names_as_text(tmp_path: Path) -> None:
    lexicon = tmp_path / "l.yaml"
    lexicon.write_text(LEXICON)
    out = tmp_path / "out"
    assert main(["audit", str(corpus(tmp_path)), "--lexicon", str(lexicon), "--out", str(out)]) == 0
    counts = {row["concept"]: row["captions"] for row in json.loads((out / "coverage.json").read_text())["concepts"]}
    assert list(counts.values()) == [1, 1, 1]  # "a.*b" is found as written, and not in aXXb
    with open_page(out / "report.html") as (page, complaints):
        assert HOSTILE in page.locator("details li").all_text_contents()
        assert page.locator("script").count() == 1
        order = "[...document.querySelectorAll('table.sortable tbody th')].map(e => e.textContent)"
        before = page.evaluate(order)
        page.get_by_role("button", name="Concept").click()
        assert page.evaluate(order) == sorted(before, key=str.lower) or page.evaluate(order) != before
        assert page.locator("th[aria-sort='ascending']").text_content() == "Concept"
        page.get_by_role("button", name="Concept").click()
        assert page.locator("th[aria-sort='descending']").count() == 1
        assert complaints == []


def test_lexicons_are_printed_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "copy.yaml"
    assert main(["lexicon", "show", "concepts-146", "--out", str(out)]) == 0
    assert load_lexicon(out) == load_lexicon("concepts-146")
    assert main(["lexicon", "from-wordnet", "dog.n.01", "--folder", str(tmp_path)]) == 2
    assert "apt-get install wordnet-base" in capsys.readouterr().err


def test_fields_and_what_lies_beside_the_captions_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.tar").write_bytes(
        tar([("0.txt", b"a dog"), ("0.url.txt", b"http://x"), ("0.\x1b[31m<b>", b""), ("._0.txt", b"a dog")])
    )
    (tmp_path / "notes.md").write_text("")
    assert main(["audit", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "1 captions; skipped: nothing" in said
    assert "fields of samples: 1 \\x1b[31m<b>, 1 txt, 1 url.txt" in said
    assert "not captions: 1 .md, 1 folders of results, 1 members of no sample" in said
    results = json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert results["fields"] == {"\x1b[31m<b>": 1, "txt": 1, "url.txt": 1}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "1 \\x1b[31m&lt;b&gt;, 1 txt, 1 url.txt" in page
    assert "\x1b" not in page


@pytest.mark.parametrize(
    ("name", "content", "flags"),
    [
        ("results.csv", "image| n| comment\n1.jpg| 0| a dog\n", ["--delimiter", "|", "--caption-column", "comment"]),
        ("cc3m.tsv", "a dog\thttp://x\n", ["--no-header", "--caption-column", "1"]),
        ("token.txt", "1.jpg#0\ta dog\n", ["--delimiter", "\\t", "--no-header", "--caption-column", "2"]),
        ("captions.json", '{"images": [{"id": 1}], "annotations": [{"caption": "a dog"}]}', []),
        ("dataset.json", '{"images": [{"sentences": [{"raw": "a dog"}]}]}', ["--caption-column", "sentences.raw"]),
    ],
)
def test_layouts_of_known_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, flags: list[str]
) -> None:
    (tmp_path / name).write_text(content)
    assert main(["audit", str(tmp_path / name), *flags]) == 0
    assert "1 captions; skipped: nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}/x/**.parquet"], "nothing matches"),
        (["{folder}", "--delimiter", "||"], "delimiter must be one ASCII sign"),
        (["{folder}", "--out", "{folder}"], "holds something else than an audit"),
        (["{folder}", "--out", "{folder}/a.parquet"], "cannot be used: Not a directory"),
        (["--merge", "{folder}"], "holds no audit of a corpus"),
        (["{folder}", "--workers", "99999"], "workers must be <= 1024"),
        (["{folder}/zero.jsonl"], "no caption was read; found were only 1 null"),
        (["{folder}/a.parquet", "--fail-under", "nothing=0.5", "--out", "{folder}/new"], "unknown group 'nothing'"),
    ],
)
def test_nothing_is_counted_or_lost_when_the_command_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    corpus(tmp_path)
    (tmp_path / "zero.jsonl").write_text('{"text": "a dog"}\n')
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    assert main(["audit", *(argument.format(folder=tmp_path) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_a_merge_does_not_write_into_what_it_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["audit", str(corpus(tmp_path)), "--out", str(out)]) == 0
    assert main(["audit", "--merge", str(out), "--out", f"{out}/../out"]) == 2
    assert "is one of the folders to add up" in capsys.readouterr().err
    assert main(["audit", "--merge", str(out), "--out", str(tmp_path / "sum")]) == 0
    assert main(["audit", "--merge", str(tmp_path / "sum")]) == 2
    assert "holds no audit of a corpus" in capsys.readouterr().err


def test_a_result_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    command = ["audit", str(corpus(tmp_path)), "--out", str(out)]
    assert main(command) == 0
    before = {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert main(command) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()} == before


@pytest.mark.slow
def test_the_first_screen_says_what_captions_leave_out_and_a_phone_shows_all_of_it(tmp_path: Path) -> None:
    """Labels, a long name, words that do not break, and captions in German."""
    long = "the_colour_of_the_largest_thing_in_the_picture_" * 2
    table = {"caption": ["ein Hund auf der Straße", "a dog in the " + "w" * 200] * 200, long: ["red", "blue"] * 200}
    pq.write_table(pa.table(table), tmp_path / "l.parquet")
    (tmp_path / "l.csv").write_text(f"group,concept,form\n{long},red,red\n{long},blue,blue\npet,dog,dog\npet,cat,cat\n")
    command = ["audit", str(tmp_path / "l.parquet"), "--lexicon", str(tmp_path / "l.csv"), "--encoding-size", "1"]
    assert main([*command, "--labels", str(tmp_path / "l.parquet"), "--out", str(tmp_path / "out")]) == 0
    check_page(tmp_path / "out" / "report.html")
    with open_page(tmp_path / "out" / "report.html", width=1280) as (page, complaints):
        said = page.get_by_text("look German").first
        for place in (page.locator("h1"), said):
            box = place.bounding_box()
            assert box is not None
            assert box["y"] + box["height"] < 800
        assert page.locator("h1").text_content().startswith(f"Captions teach {long}")
        page.set_viewport_size({"width": 400, "height": 800})
        cut = """[...document.querySelectorAll("main *, header *")].filter(e => !e.closest(".scroll, details")
            && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 100))"""
        assert page.evaluate(cut) == []
        assert complaints == []
