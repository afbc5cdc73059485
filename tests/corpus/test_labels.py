"""Files of captions with labels: read as the audit reads captions, or refused with the row and the reason."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vergence.corpus import Concept, Group, Lexicon, ReadOptions
from vergence.corpus.labels import estimate_from_file
from vergence.errors import CorpusError, FactorError

LEXICON = Lexicon("pets", (Group("animal", (Concept("dog"), Concept("cat"))), Group("tone", (Concept("red"),))))
SHOWN = ["dog", "cat", "dog"]


def written(folder: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), folder / "labels.parquet")
    return folder / "labels.parquet"


@pytest.mark.parametrize(("match", "selection"), [("word", 0.0), ("substring", 1.0)])
def test_labels_are_matched_as_the_audit_matches(tmp_path: Path, match: str, selection: float) -> None:
    path = written(tmp_path, caption=["hotdogs", "concat", "dogma"], animal=SHOWN)
    assert estimate_from_file(path, LEXICON, match=match).factors["selection"][0] == selection


@pytest.mark.parametrize(
    "captions",
    [
        pa.array(["a dog", "a dog", None]).dictionary_encode(),
        pa.array([b"a dog", b"a dog", None]),
        pa.array(["a dog", "a dog", None], pa.large_string()),
        pa.array([["a dog"], ["a dog"], None]),
        pa.array([[["a dog"]], [["a dog"]], [[None]]]),
        pa.array([["a dog", None], ["a dog"], []]),
    ],
    ids=lambda column: str(column.type),
)
def test_captions_of_every_type_are_read(tmp_path: Path, captions: pa.Array) -> None:
    found = estimate_from_file(written(tmp_path, caption=captions, animal=SHOWN), LEXICON)
    row = found.factors.iloc[0]
    assert (row["images"], row["selection"], row["wrong_value"]) == (2, 1, 0.5)
    assert (found.rows, found.lost) == (3, {"null": 1})


def test_captions_in_structs_are_read_by_the_names_that_the_audit_takes(tmp_path: Path) -> None:
    texts = pa.array([{"raw": "a dog"}, {"raw": "a cat"}, {"raw": "sea"}])
    path = written(tmp_path, text=texts, animal=SHOWN)
    found = estimate_from_file(path, LEXICON, options=ReadOptions(columns=("text.raw",)))
    assert found.factors["selection"][0] == 2 / 3


def test_all_caption_columns_count_and_captions_of_a_row_belong_together(tmp_path: Path) -> None:
    path = written(tmp_path, a=["a dog", "a cat", "a dog"], b=["sea", None, ""], animal=SHOWN)
    row = estimate_from_file(path, LEXICON, options=ReadOptions(columns=("a", "b"))).factors.iloc[0]
    assert (row["images"], row["clusters"], row["selection"]) == (5, 3, 3 / 5)


def test_captions_that_the_audit_leaves_out_are_left_out_and_counted(tmp_path: Path) -> None:
    captions = pa.array([b"a dog", b"\xff dog", b"x" * 50])
    path = written(tmp_path, caption=captions, animal=SHOWN)
    found = estimate_from_file(path, LEXICON, options=ReadOptions(max_caption_bytes=40))
    assert found.factors["images"][0] == 1
    assert found.lost == {"broken_utf8": 1, "too_long": 1}
    with pytest.raises(CorpusError, match=r"labels.parquet, row 3: records longer than the limit"):
        estimate_from_file(path, LEXICON, options=ReadOptions(max_caption_bytes=40, strict=True))


def test_a_missing_label_loses_its_row_for_that_factor_and_is_counted(tmp_path: Path) -> None:
    path = written(
        tmp_path, caption=["dog"] * 3, animal=pa.array(["dog", None, "cat"]).dictionary_encode(), tone=[None] * 3
    )
    found = estimate_from_file(path, LEXICON)
    assert found.factors[["images", "unlabelled"]].values.tolist() == [[2, 1], [0, 3]]
    assert found.not_assessable == ("tone",)


def test_large_numbers_of_clusters_are_not_rounded(tmp_path: Path) -> None:
    ids = pa.array([2**53, 2**53 + 1, 2**53])
    path = written(tmp_path, caption=["dog"] * 3, animal=SHOWN, image=ids)
    assert estimate_from_file(path, LEXICON, cluster_column="image").factors["clusters"][0] == 2


@pytest.mark.parametrize(
    ("columns", "options", "error", "message"),
    [
        ({"caption": ["x"] * 3, "animal": SHOWN, "image": ["p", None, None]}, {"cluster_column": "image"}, CorpusError,
         "column 'image' must say for every row what it belongs to; 2 of 3 are missing, the first in row 2"),
        ({"caption": ["x"] * 3, "animal": SHOWN, "image": [float("nan"), 1.0, 2.0]}, {"cluster_column": "image"},
         CorpusError, "1 of 3 are missing, the first in row 1"),
        ({"caption": ["x"] * 3, "animal": SHOWN, "image": [["p"], ["p"], ["q"]]}, {"cluster_column": "image"},
         CorpusError, r"column 'image' must be text or numbers; got \['p'\] in row 1"),
        ({"caption": ["x"] * 3, "animal": SHOWN}, {"cluster_column": "imag"}, CorpusError, "unknown column 'imag'"),
        ({"caption": ["x"] * 3, "animl": SHOWN}, {}, CorpusError,
         "labels no factor: .*; columns: caption, animl; groups: animal, tone"),
        ({"animal": SHOWN}, {"options": ReadOptions(columns=("animal",))}, CorpusError,
         "column 'animal' would be both the captions and the labels"),
        ({"caption": ["x"] * 3, "animal": SHOWN}, {"cluster_column": "animal"}, CorpusError,
         "column 'animal' would be both the clusters and the labels"),
        ({"caption": pa.array([], pa.string()), "animal": pa.array([], pa.string())}, {}, CorpusError, "holds no rows"),
        ({"caption": [None] * 3, "animal": SHOWN}, {}, CorpusError, r"no caption can be used \(3 null\)"),
        ({"caption": [1, 2, 3], "animal": SHOWN}, {}, CorpusError, r"no caption can be used \(3 malformed\)"),
        ({"text": ["x"] * 3, "animal": SHOWN}, {}, CorpusError, "without the caption column: unknown column 'caption'"),
        ({"caption": ["x"] * 3, "animal": [0, 1, 0]}, {}, FactorError, "must be names of values; got 0 in row 1"),
        ({"caption": [None, "x", "x"], "animal": ["dog", "cat", "dgo"]}, {}, FactorError,
         "unknown value of factor 'animal' 'dgo'; known: dog, cat. Did you mean 'dog'"),
        ({"caption": ["x"] * 3, "animal": [["dog"]] * 3}, {}, FactorError, r"got \['dog'\] in row 1"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used_are_refused(tmp_path: Path, columns, options, error, message: str) -> None:
    with pytest.raises(error, match=message):
        estimate_from_file(written(tmp_path, **columns), LEXICON, **options)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays(
        [pa.array(["x"]), pa.array(["dog"]), pa.array(["cat"])], ["caption", "animal", "animal"]
    )
    pq.write_table(table, tmp_path / "l.parquet")
    with pytest.raises(CorpusError, match="two columns are called 'animal'"):
        estimate_from_file(tmp_path / "l.parquet", LEXICON)
