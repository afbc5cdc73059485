"""vergence compare: audits, awareness, embeddings, probes, seeds; what is shared, said and refused; exit codes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vergence.cli.main import main

LEXICON = "name: small\ngroups:\n  - name: color\n    concepts: {red: [red], green: [green]}\n"
COLORS = ("red", "green", "blue")
N = 240


def compare(*arguments: object) -> int:
    return main(["compare", *map(str, arguments)])


def result(folder: Path) -> dict:
    return json.loads((folder / "compare.json").read_text())


def scores(folder: Path, section: str) -> dict[str, dict]:
    (one,) = result(folder)["comparisons"]
    return {f"{row['name']} {row['metric']}": row for row in one["scores"] if row["section"] == section}


def embeddings(folder: Path, *, blind: bool = False, keys: range = range(N), seed: int = 0) -> Path:
    """Images and texts that agree on a colour and on what is theirs alone; or images that show no colour."""
    stream = np.random.default_rng(seed)
    own, color = np.random.default_rng(1).normal(size=(N, 6)), np.eye(3)[np.arange(N) % 3]
    images = np.concatenate([own, 0 * color if blind else 3 * color], 1) + 0.3 * stream.normal(size=(N, 9))
    texts = np.concatenate([own, 3 * color], 1) + 0.3 * stream.normal(size=(N, 9))
    folder.mkdir(parents=True)
    for name, z in (("images", images), ("texts", texts)):
        rows = z[list(keys)].astype(np.float32)
        pq.write_table(
            pa.table({"key": [f"k{k}" for k in keys], "embedding": rows.tolist()}), folder / f"{name}.parquet"
        )
    return folder


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    content = {"key": [f"k{k}" for k in range(N)], "color": [COLORS[k % 3] for k in range(N)]}
    pd.DataFrame(content | {"cluster": [f"c{k // 2}" for k in range(N)]}).to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path / "labels.csv"


def test_embeddings_pair_over_what_both_have_and_a_lost_factor_is_found(tmp_path: Path, labels: Path, capsys) -> None:
    before, after = embeddings(tmp_path / "a"), embeddings(tmp_path / "b", blind=True, keys=range(10, N))
    more = ["--labels", labels, "--factors", "color", "--cluster-column", "cluster", "--out", tmp_path / "out"]
    assert compare(before, after, *more, "--fail-if-worse", 0.02) == 1
    found = result(tmp_path / "out")
    (one,) = found["comparisons"]
    assert (found["kind"], found["failed"]) == ("embeddings", True)
    assert one["shared"]["images"] == {"both": N - 10, "only_before": 10, "only_after": 0}
    color = scores(tmp_path / "out", "factors")["color matthews_corrcoef"]
    assert (color["verdict"], color["paired"], color["floor_is"]) == ("worse", "clusters", "a constant answer")
    assert color["before"] > 0.9
    assert color["after"] < 0.4
    assert color["high"] < -0.4
    assert color["name"] in {row["name"] for row in one["fallen"]}
    assert {row["section"] for row in one["scores"]} == {"factors", "retrieval", "alignment", "spectrum"}
    table = pd.read_parquet(tmp_path / "out" / "compare.parquet")
    assert len(table) == len(one["scores"])
    said = capsys.readouterr().out
    assert "worse in" in said[: said.index("largest differences first")]  # the finding comes first
    assert "10 only before" in said
    page = (tmp_path / "out" / "page.html").read_text()
    assert 'http-equiv="Content-Security-Policy"' in page
    assert "What changed" in page


def test_scores_of_both_sides_are_those_that_probe_gives(tmp_path: Path, labels: Path) -> None:
    folders = [embeddings(tmp_path / "a"), embeddings(tmp_path / "b", seed=3)]
    options = ["--factors", "color", "--cluster-column", "cluster"]
    assert compare(*folders, "--labels", labels, *options, "--out", tmp_path / "out") == 0
    row = scores(tmp_path / "out", "factors")["color matthews_corrcoef"]
    for side, folder in zip(("before", "after"), folders, strict=True):
        to = tmp_path / f"{side}.json"
        assert main(["probe", str(folder / "images.parquet"), str(labels), *options, "--out", str(to)]) == 0
        (alone,) = json.loads(to.read_text())["factors"]
        assert [row[side], row[f"{side}_low"], row[f"{side}_high"]] == [
            alone[name] for name in ("score", "low", "high")
        ]
    assert compare(tmp_path / "before.json", tmp_path / "after.json", "--out", tmp_path / "alone") == 0
    unpaired = scores(tmp_path / "alone", "factors")["color matthews_corrcoef"]
    assert (unpaired["difference"], unpaired["paired"]) == (row["difference"], "")


def test_folders_that_are_the_same_differ_by_nothing(tmp_path: Path, labels: Path) -> None:
    before = embeddings(tmp_path / "a")
    assert compare(before, before, "--labels", labels, "--out", tmp_path / "out", "--fail-if-worse", 0) == 0
    (one,) = result(tmp_path / "out")["comparisons"]
    assert {row["difference"] for row in one["scores"]} == {0}
    assert "differs in none" in one["finding"]


def test_seeds_pair_by_the_name_of_their_folder(tmp_path: Path) -> None:
    for seed in range(3):
        embeddings(tmp_path / "before" / str(seed), seed=seed)
        embeddings(tmp_path / "after" / str(seed), seed=seed + 10, blind=True)
    assert compare(tmp_path / "before", tmp_path / "after", "--out", tmp_path / "out") == 0
    (one,) = result(tmp_path / "out")["comparisons"]
    assert one["shared"]["seeds"] == {"both": 3, "only_before": 0, "only_after": 0}
    row = scores(tmp_path / "out", "retrieval")["image retrieval recall@1"]
    assert (row["paired"], row["n"], row["verdict"]) == ("seeds", 3, "worse")


def audit(folder: Path, captions: list[str], *, shown: list[str] | None = None, lexicon: str = LEXICON) -> Path:
    folder.mkdir()
    (folder / "lexicon.yaml").write_text(lexicon)
    content = {"caption": captions} | ({} if shown is None else {"color": shown})
    pq.write_table(pa.table(content), folder / "captions.parquet")
    more = [] if shown is None else ["--labels", str(folder / "captions.parquet")]
    given = [str(folder / "captions.parquet"), "--lexicon", str(folder / "lexicon.yaml"), "--out", str(folder / "out")]
    assert main(["audit", *given, *more]) == 0
    return folder / "out"


def test_audits_of_original_and_curated_captions(tmp_path: Path, capsys) -> None:
    shown = ["red", "green"] * 200
    original = [f"a {one} car" if k % 4 else "a car" for k, one in enumerate(shown)]
    curated = [f"a {one} car" if k % 5 else "a green car" for k, one in enumerate(shown)]
    before, after = audit(tmp_path / "a", original, shown=shown), audit(tmp_path / "b", curated, shown=shown)
    assert compare(before, after, "--out", tmp_path / "out", "--fail-if-worse", 0.05) == 1
    rates = scores(tmp_path / "out", "factors")
    mention, wrong = rates["color mention rate"], rates["color wrong rate"]
    assert (mention["before"], mention["after"], mention["verdict"]) == (0.75, 1.0, "better")
    assert (wrong["better"], wrong["verdict"]) == ("lower", "worse")
    assert wrong["after"] == pytest.approx(0.1)
    assert {row["name"] for row in result(tmp_path / "out")["comparisons"][0]["fallen"]} >= {"color", "red"}
    assert "independent" in capsys.readouterr().out
    assert compare(after, before, "--fail-if-worse", 0.5) == 0


def test_awareness_pairs_over_images_and_without_their_answers_says_so(tmp_path: Path, capsys) -> None:
    keys, shown = [f"k{k}" for k in range(60)], ["dog", "cat"] * 30
    for name, wrong in (("a", 0), ("b", 20)):
        told = [
            other if k < wrong else one for k, (one, other) in enumerate(zip(shown, shown[1:] + shown[:1], strict=True))
        ]
        write_awareness(tmp_path / name, keys, shown, told)
    assert compare(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out") == 0
    dog = scores(tmp_path / "out", "concepts")["dog f1"]
    assert (dog["before"], dog["paired"], dog["n"], dog["differing"]) == (1.0, "images", 60, 20)
    assert dog["after"] == pytest.approx(2 / 3)
    assert scores(tmp_path / "out", "groups")["animal macro-F1"]["verdict"] == "worse"
    (tmp_path / "b" / "answers.parquet").unlink()
    assert compare(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "alone") == 0
    assert scores(tmp_path / "alone", "concepts")["dog f1"]["paired"] == ""
    assert "images do not pair" in capsys.readouterr().out
    write_awareness(tmp_path / "c", keys, shown[1:] + shown[:1], shown)
    assert compare(tmp_path / "a", tmp_path / "c") == 2
    assert "other labels of 60 images" in capsys.readouterr().err


def write_awareness(folder: Path, keys: list[str], shown: list[str], told: list[str]) -> None:
    """What `vergence awareness` writes, of one group; its own tests say that it does."""
    folder.mkdir()
    ends = []
    for name in ("dog", "cat"):
        right = sum(a == b == name for a, b in zip(shown, told, strict=True))
        f1 = 2 * right / (shown.count(name) + told.count(name))
        row = {"concept": name, "group": "animal", "f1": f1, "f1_low": f1 - 0.1, "f1_high": f1 + 0.1, "chance_f1": 0.5}
        ends.append(row)
    macro = sum(row["f1"] for row in ends) / 2
    group = {"group": "animal", "macro_f1": macro, "low": macro - 0.1, "high": macro + 0.1, "chance_macro_f1": 0.5}
    content = {"groups": [group], "concepts": ends, "models": {"m": {}}, "lexicon": "small"}
    (folder / "awareness.json").write_text(json.dumps(content))
    lists = {"shown": [[one] for one in shown], "told": [[one] for one in told]}
    fixed = {"model": "m", "prompts": "bare", "group": "animal"}
    frame = pd.DataFrame({"key": keys, "cluster": range(len(keys)), **lists}).assign(**fixed)
    frame.to_parquet(folder / "answers.parquet")


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path: Path, labels: Path, capsys) -> None:
    one, plain = embeddings(tmp_path / "a"), audit(tmp_path / "b", ["a red car", "a car"])
    other = audit(tmp_path / "c", ["a red car"], lexicon=LEXICON.replace("green: [green]", "blue: [blue]"))
    strangers = embeddings(tmp_path / "d", keys=range(3))
    (tmp_path / "empty").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    capsys.readouterr()
    for arguments, message in (
        ((one, plain), "holds embeddings and"),
        ((plain, other), "audited with a different lexicon"),
        ((one, tmp_path / "empty"), "holds nothing that can be compared"),
        ((one, tmp_path / "none"), "does not exist"),
        ((plain, plain, "--labels", labels), "these are audit"),
        ((one, one, "--factors", "color"), "need --labels"),
        ((one, one, "--fail-if-worse", "-1"), "--fail-if-worse must be a finite number >= 0"),
        ((tmp_path / "model", tmp_path / "model"), "pass --data SOURCE"),
        ((one, strangers, "--labels", labels, "--factors", "cluster"), "column 'cluster'"),
    ):
        assert compare(*arguments) == 2
        said = capsys.readouterr().err.strip()
        assert message in said
        assert "\n" not in said
