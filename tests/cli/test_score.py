"""vergence score: from files as they come to scores that are those of the functions; what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vergence.cli.main import main
from vergence.corpus import concept_scores, load_lexicon
from vergence.metrics import bleu, cider

LEXICON = "name: cups\ngroups:\n  - name: hue\n    concepts: {red: [red], blue: [blue, azure]}\n"
SAID = ["a red cup", "an azure cup", "a cup", "a red cup on a table", "a blue hat", ""]
TRUTH = ["red", "blue", "red", "blue", "blue", "red"]
REFERENCES = [["a red cup", "the cup is red"], ["a blue cup"], ["a red cup"], ["a blue cup on a table"], ["a blue hat"]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    lines = [json.dumps({"key": f"k{row}", "caption": said}) for row, said in enumerate(SAID)]
    (tmp_path / "said.jsonl").write_text("\n".join([*lines, json.dumps({"key": "stray", "caption": "a dog"})]))
    rows = [(f"k{row}", text) for row, texts in enumerate([*REFERENCES, ["a red jug"], ["lost"]]) for text in texts]
    pd.DataFrame(rows, columns=["key", "text"]).to_csv(tmp_path / "references.csv", index=False)
    keys = [f"k{row}" for row in range(6)]
    pd.DataFrame({"key": keys, "hue": TRUTH, "owner": list("aabbcc")}).to_csv(tmp_path / "labels.csv", index=False)
    (tmp_path / "lexicon.yaml").write_text(LEXICON)
    return tmp_path


def run(place: Path, *more: str, references: str = "references.csv") -> int:
    return main(["score", str(place / "said.jsonl"), str(place / references), "--out", str(place / "out"), *more])


def test_scores_and_what_is_said_rightly_are_those_of_the_functions(place, capsys):
    more = [
        "--lexicon",
        str(place / "lexicon.yaml"),
        "--labels",
        str(place / "labels.csv"),
        "--cluster-column",
        "owner",
    ]
    assert run(place, *more) == 0
    found = json.loads((place / "out" / "scores.json").read_text())
    references = [*REFERENCES, ["a red jug"]]
    values = {row["score"]: row["value"] for row in found["scores"]}
    assert values["bleu_2"] == pytest.approx(bleu(SAID, references, order=2).corpus)
    assert values["cider_d"] == pytest.approx(cider(SAID, references).corpus)
    assert all(row["low"] <= row["value"] <= row["high"] for row in found["scores"])
    assert (found["items"], found["clusters"]) == (6, 3)
    assert found["left_out"] == {"candidates without a reference": 1, "references without a candidate": 1}
    lexicon, labels = load_lexicon(place / "lexicon.yaml"), pd.DataFrame({"hue": TRUTH})
    expected = concept_scores(SAID, labels, lexicon, clusters=list("aabbcc")).factors.iloc[0]
    for name in ("precision", "recall", "wrong", "recall_low", "chance_recall"):
        assert found["concepts"][0][name] == pytest.approx(expected[name])
    assert found["channel"]["factors"][0]["selection"] == pytest.approx(4 / 6)
    items = pd.read_parquet(place / "out" / "items.parquet")
    np.testing.assert_allclose(items["cider_d"], cider(SAID, references).items)
    assert items["key"].tolist() == [f"k{row}" for row in range(6)]
    assert "what captions say rightly" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--lexicon", "lexicon.yaml"], "pass --lexicon and --labels, or neither"),
        (["--cluster-column", "owner"], "--cluster-column is of --labels"),
        (["--caption-column", "words"], "words"),
    ],
)
def test_what_does_not_go_together_is_refused(place, capsys, monkeypatch, more, message):
    monkeypatch.chdir(place)
    assert run(place, *more) == 2
    assert message in capsys.readouterr().err


def test_files_that_do_not_pair_are_refused(place, capsys):
    (place / "other.csv").write_text("key,text\nz1,a cup\n")
    assert run(place, references="other.csv") == 2
    assert "0 candidates have a reference, two are needed; keys of candidates: 'k0'" in capsys.readouterr().err
    (place / "said.jsonl").write_text('{"key": "k0", "caption": "a"}\n{"key": "k0", "caption": "b"}\n')
    assert run(place) == 2
    assert "1 keys have several candidates, the first 'k0'" in capsys.readouterr().err
    (place / "said.jsonl").write_text('{"caption": "a cup"}\n')
    assert run(place) == 2
    assert "it needs a column of keys (key, id, ids)" in capsys.readouterr().err
