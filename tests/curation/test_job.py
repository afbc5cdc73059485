import csv
import json
import os
import tarfile
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vergence.cli.main import main
from vergence.corpus import Concept, Group, Lexicon, ReadOptions, audit, estimate_misalignment
from vergence.curation import Columns, Order, curate, make_plan, target_of, undo
from vergence.curation.diff import turned_back
from vergence.engines import Engine
from vergence.errors import ConfigError, CorpusError

HUES = ("red", "blue", "green")
LEXICON = Lexicon(
    "cups",
    (
        Group("hue", tuple(Concept(hue) for hue in HUES)),
        Group("size", (Concept("big"), Concept("small"))),
    ),
    negation=("no",),
)
N = 2000


def corpus(n: int = N, *, wrong: float = 0.3, silent: float = 0.3) -> pd.DataFrame:
    """Captions that say a hue, at times the wrong one, at times none, in some different ways."""
    rng = np.random.default_rng(0)
    shown, said = rng.integers(0, 3, n), rng.integers(0, 3, n)
    said = np.where(rng.random(n) < wrong, said, shown)
    shapes = (
        "an old {} cup",
        "a cup, {} and shiny",
        "A {} apple on a table.",
        "the {}, round ball",
        'she said "{} tea", naïvely',
    )
    bare = ("an old cup", "a cup, shiny", "An apple on a table.", "the round ball", 'she said "tea", naïvely')
    kind = rng.integers(0, len(shapes), n)
    quiet = rng.random(n) < silent
    texts = [bare[k] if q else shapes[k].format(HUES[s]) for k, q, s in zip(kind, quiet, said, strict=True)]
    keys = [f"k{i}" for i in range(n)]
    return pd.DataFrame({"key": keys, "caption": texts, "n": range(n), "hue": [HUES[s] for s in shown]})


def write(folder: Path, kind: str, table: pd.DataFrame) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"captions.{kind}"
    rows = table[["key", "caption", "n"]].to_dict("records")
    if kind == "parquet":
        kept = pa.Table.from_pandas(table[["key", "caption", "n"]], preserve_index=False)
        pq.write_table(kept, path, row_group_size=700, compression="zstd")
    elif kind == "csv":
        out = StringIO(newline="")
        writer = csv.DictWriter(out, ["key", "caption", "n"], lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
        path.write_bytes(out.getvalue().encode())
    elif kind == "jsonl":
        lines = [json.dumps(row, ensure_ascii=row["n"] % 2 == 0) for row in rows]
        path.write_text("\n".join(lines))
    else:
        with tarfile.open(path, "w") as shard:
            for row in rows:
                for field, content in (("png", os.urandom(3) * 200), ("txt", (row["caption"] + "\n").encode())):
                    member = tarfile.TarInfo(f"{row['key']}.{field}")
                    member.size = len(content)
                    shard.addfile(member, BytesIO(content))
    return path


def captions_of(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return pq.read_table(path)["caption"].to_pylist()
    if path.suffix == ".csv":
        return [row["caption"] for row in csv.DictReader(StringIO(path.read_bytes().decode(), newline=""))]
    if path.suffix == ".jsonl":
        return [json.loads(line)["caption"] for line in path.read_text().splitlines()]
    with tarfile.open(path) as shard:
        return [shard.extractfile(m).read().decode().rstrip("\n") for m in shard if m.name.endswith(".txt")]


def order(path: Path, target: object, labels: Path | None = None) -> Order:
    return Order(
        paths=(str(path),), lexicon=LEXICON, target=target_of(target, LEXICON), columns=Columns(key="key"),
        labels=None if labels is None else str(labels),
    )  # fmt: skip


def carried_out(path: Path, out: Path, target: object, labels: Path | None = None, **how: object) -> list[str]:
    wanted = order(path, target, labels)
    curate(wanted, make_plan(wanted), out, **how)
    return captions_of(out / "captions" / path.name)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.parquet"
    shuffled = corpus()[["key", "hue"]].sample(frac=1, random_state=0)
    pq.write_table(pa.Table.from_pandas(shuffled, preserve_index=False), path)
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "tar"])
def test_omission_is_exact_and_comes_back_byte_for_byte(kind: str, tmp_path: Path) -> None:
    table = corpus()
    path = write(tmp_path / "in", kind, table)
    after = carried_out(path, tmp_path / "out", {"omit": ["hue"]})
    curated = tmp_path / "out" / "captions" / path.name
    coverage = audit([str(curated)], LEXICON, options=ReadOptions(columns=("txt",) if kind == "tar" else ()))
    assert coverage.captions == N
    assert coverage.table().query("group == 'hue'")["captions"].sum() == 0
    edits = pq.read_table(tmp_path / "out" / "edits.parquet").to_pandas()
    changed = dict(list(edits.groupby("key", sort=False)))
    for key, old, new in zip(table["key"], table["caption"], after, strict=True):
        own = changed.get(key)
        if own is None:
            assert new == old
            continue
        rows = [tuple(row) for row in own[["start", "end", "old", "new"]].itertuples(index=False)]
        assert turned_back(new, rows) == old
        assert all(old[start:end] == was for start, end, was, _ in rows)
    assert undo(tmp_path / "out", tmp_path / "back") == 1
    assert (tmp_path / "back" / "captions" / path.name).read_bytes() == path.read_bytes()


def test_what_is_beside_the_captions_is_untouched(tmp_path: Path) -> None:
    path = write(tmp_path / "in", "csv", corpus(50))
    carried_out(path, tmp_path / "out", {"omit": ["hue"]})
    old, new = (
        (folder / path.name).read_bytes().split(b"\r\n") for folder in (path.parent, tmp_path / "out" / "captions")
    )
    assert [line.split(b",")[0] for line in old] == [line.split(b",")[0] for line in new]
    assert [line.rsplit(b",")[-1] for line in old] == [line.rsplit(b",")[-1] for line in new]
    assert b'"she said ""tea"", na\xc3\xafvely"' in b"".join(new)


def test_faithful_captions_have_an_exact_channel(tmp_path: Path, labels: Path) -> None:
    path = write(tmp_path / "in", "parquet", corpus())
    after = carried_out(path, tmp_path / "out", {"faithful": ["hue"]}, labels)
    estimate = estimate_misalignment(after, corpus()[["hue"]], LEXICON)
    row = estimate.factors.iloc[0]
    assert (row["selection"], row["wrong_value"]) == (1.0, 0.0)


def test_a_redraw_is_the_channel_that_was_asked_for(tmp_path: Path, labels: Path) -> None:
    path = write(tmp_path / "in", "parquet", corpus(wrong=0))
    after = carried_out(path, tmp_path / "out", {"perturb": {"hue": 0.6}}, labels)
    row = estimate_misalignment(after, corpus()[["hue"]], LEXICON).factors.iloc[0]
    assert row["rho_low"] <= 0.6 <= row["rho_high"]


def test_balance_makes_mention_rates_equal(tmp_path: Path, labels: Path) -> None:
    table = corpus(silent=0)
    hidden = (table["hue"] == "red") & (table["n"] % 2 == 0)
    table.loc[hidden, "caption"] = "a cup"
    path = write(tmp_path / "in", "parquet", table)
    after = carried_out(path, tmp_path / "out", {"balance": ["hue"]}, labels)
    rates = estimate_misalignment(after, table[["hue"]], LEXICON).values.set_index("value")
    assert rates["selection_low"].max() <= rates["selection_high"].min()


def test_shards_and_a_killed_job_give_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = corpus(900)
    for part in range(3):
        write(tmp_path / "in", "parquet", table[part * 300 : part * 300 + 300]).rename(
            tmp_path / "in" / f"{part}.parquet"
        )
    wanted = order(tmp_path / "in", {"perturb": {"hue": 0.9}, "omit": ["size"]})
    planned = make_plan(wanted)
    curate(wanted, planned, tmp_path / "whole")
    for number in (1, 0):
        curate(wanted, planned, tmp_path / "sharded", shard=(number, 2))
    real, calls = pq.ParquetWriter.write_table, []

    def killed(*arguments: object, **settings: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            curate(wanted, planned, tmp_path / "killed")
    assert not (tmp_path / "killed" / "edits.parquet").exists()
    curate(wanted, planned, tmp_path / "killed", engine=Engine(workers=2))
    for folder in ("sharded", "killed"):
        for name in ("edits.parquet", *(f"captions/{part}.parquet" for part in range(3))):
            assert (tmp_path / folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    other = order(tmp_path / "in", {"omit": ["hue"]})
    planned = make_plan(other)
    with pytest.raises(ConfigError, match="holds a job with another actions"):
        curate(other, planned, tmp_path / "whole")


def test_odd_captions_are_counted_and_nothing_is_lost(tmp_path: Path) -> None:
    texts = [
        "red", '<font color="red">cup</font>', "a red\r\ncup", "כוס \u200fred\u200f אחת", "❤️ red ❤️", None,
        "no red cup", "r\u00e9d", "", "a red cup",
    ]  # fmt: skip
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"key": [str(k) for k in range(len(texts))], "caption": texts}), path)
    wanted = order(path, {"omit": ["hue"]})
    done = curate(wanted, make_plan(wanted), tmp_path / "out")
    assert captions_of(tmp_path / "out" / "captions" / "in.parquet") == [
        "red", '<font color="red">cup</font>', "a\r\ncup", "כוס \u200f\u200f אחת", "❤️ ❤️",
        None, "no red cup", "réd", "", "a cup",
    ]  # fmt: skip
    assert done.tally.counts["null"] == 1
    assert sorted(reason for _, reason in done.tally.refused) == [
        "it is inside a tag of HTML",
        "the caption would be empty without it",
    ]
    empty = order(path, {"omit": ["hue"], "allow-empty": True})
    curate(empty, make_plan(empty), tmp_path / "empty")
    assert captions_of(tmp_path / "empty" / "captions" / "in.parquet")[0] == ""


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "tar"])
def test_forms_that_are_hard_to_see_are_edited_whole_and_come_back(kind: str, tmp_path: Path) -> None:
    signs = (Concept("light blue"), Concept("heart", ("❤️",)), Concept("אדום"))
    lexicon = Lexicon("signs", (Group("hue", signs),))
    told = {
        "a light\n blue cup": "a cup",
        "a ❤️ cup": "a cup",
        "כוס אדום": "כוס",
        "\u202bכוס אדום\u202c": "\u202bכוס\u202c",
        "<b>a light blue cup</b>": "<b>a cup</b>",
        '<i title="light blue">cup</i>': '<i title="light blue">cup</i>',
        "light blue": "light blue",
    }
    table = pd.DataFrame({"key": [f"k{n}" for n in range(len(told))], "caption": list(told), "n": range(len(told))})
    path = write(tmp_path / "in", kind, table)
    wanted = Order(
        paths=(str(path),), lexicon=lexicon, target=target_of({"omit": ["hue"]}, lexicon), columns=Columns(key="key")
    )
    done = curate(wanted, make_plan(wanted), tmp_path / "out")
    assert captions_of(tmp_path / "out" / "captions" / path.name) == list(told.values())
    assert dict(done.tally.refused) == {
        ("hue", "it is inside a tag of HTML"): 1,
        ("hue", "the caption would be empty without it"): 1,
    }
    assert done.tally.counts["edited"] + sum(done.tally.refused.values()) == len(told)
    undo(tmp_path / "out", tmp_path / "back")
    assert (tmp_path / "back" / "captions" / path.name).read_bytes() == path.read_bytes()


def test_a_policy_that_would_empty_every_caption_says_so_and_changes_none(tmp_path: Path) -> None:
    path = write(
        tmp_path / "in", "parquet", pd.DataFrame({"key": ["a", "b"], "caption": ["red", "Blue."], "n": [0, 1]})
    )
    wanted = order(path, {"omit": ["hue"]})
    planned = make_plan(wanted)
    assert planned.policy.unreachable == (
        "hue: 1e+02 % of the captions that it is to change have no safe place for it",
    )
    done = curate(wanted, planned, tmp_path / "out")
    assert dict(done.tally.refused) == {("hue", "the caption would be empty without it"): 2}
    assert (tmp_path / "out" / "captions" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_repeated_captions_are_emptied_in_place_and_come_back(kind: str, tmp_path: Path) -> None:
    table = corpus(300)
    path = write(tmp_path / "in", kind, table)
    after = carried_out(path, tmp_path / "out", {"deduplicate": True, "omit": ["hue"]})
    first = ~table["caption"].duplicated()
    assert [bool(text) for text in after] == first.tolist()
    coverage = audit([str(tmp_path / "out" / "captions" / path.name)], LEXICON)
    assert coverage.captions == first.sum()
    assert undo(tmp_path / "out", tmp_path / "back") == 1
    assert (tmp_path / "back" / "captions" / path.name).read_bytes() == path.read_bytes()


def test_contradictory_labels_count_as_none(tmp_path: Path) -> None:
    table = corpus(20, silent=1)
    path = write(tmp_path / "in", "parquet", table)
    stated = pa.table({"key": ["k0", "k0", "k1"], "hue": ["red", "blue", "green"]})
    pq.write_table(stated, tmp_path / "labels.parquet")
    wanted = order(path, {"insert": ["hue"]}, tmp_path / "labels.parquet")
    planned = make_plan(wanted)
    assert planned.survey.labels.contradictory == {"hue": 1}
    done = curate(wanted, planned, tmp_path / "out")
    assert done.tally.counts["edited"] == 1
    assert done.tally.unlabelled["hue"] == 19


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"omit": ["hue"], "faithful": ["hue"]}, "'hue' is under omit and under faithful; keep one"),
        ({"omit": ["hew"]}, "unknown factor 'hew'; known: hue, size. Did you mean 'hue'"),
        ({"forgte": ["hue"]}, "unknown key 'forgte'"),
        ({"perturb": {"hue": 1.5}}, "must be a probability"),
        ({"perturb": ["hue"]}, "needs a rate"),
        ({"perturb": {"hue": {"red": {"blue": 0.5}}}}, "must sum to 1; got 0.5"),
        ({"nouns": ["hue"]}, "changes no factor"),
        ([], "must be a mapping such as"),
    ],
)
def test_targets_that_cannot_be_are_refused(target: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        target_of(target, LEXICON)


def test_what_needs_labels_or_another_form_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "in", "parquet", corpus(20))
    with pytest.raises(ConfigError, match="hue: to correct and insert it takes labels"):
        make_plan(order(path, {"faithful": ["hue"]}))
    (tmp_path / "a.json").write_text('[{"caption": "a red cup"}]')
    with pytest.raises(CorpusError, match="captions in files of this form are not edited"):
        make_plan(order(tmp_path / "a.json", {"omit": ["hue"]}))
    with pytest.raises(CorpusError, match="holds no curation"):
        undo(tmp_path / "in", tmp_path / "back")


def test_a_changed_result_does_not_turn_back(tmp_path: Path) -> None:
    path = write(tmp_path / "in", "csv", corpus(20))
    carried_out(path, tmp_path / "out", {"omit": ["hue"]})
    (tmp_path / "out" / "captions" / path.name).write_text("key,caption,n\n")
    with pytest.raises(CorpusError, match="is not as it was written"):
        undo(tmp_path / "out", tmp_path / "back")


def test_the_command_plans_without_writing_and_then_does_it(
    tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "in", "parquet", corpus())
    (tmp_path / "lexicon.yaml").write_text(LEXICON.to_yaml())
    (tmp_path / "target.yaml").write_text("perturb: {hue: 0.5}\n")
    command = [
        "curate", str(path), "--key-column", "key", "--labels", str(labels),
        "--lexicon", str(tmp_path / "lexicon.yaml"), "--target", str(tmp_path / "target.yaml"),
        "--out", str(tmp_path / "out"), "--encoding-size", "4",
    ]  # fmt: skip
    assert main([*command, "--plan"]) == 0
    assert "captions that change: about" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert main(command) == 0
    page = (tmp_path / "out" / "page.html").read_text()
    assert "&#34;" in page
    assert "<ins>" in page
    assert main(["curate", str(tmp_path / "out"), "--undo", "--out", str(tmp_path / "back")]) == 0
    assert (tmp_path / "back" / "captions" / path.name).read_bytes() == path.read_bytes()
    assert main([*command, "--plan", "--undo"]) == 2
