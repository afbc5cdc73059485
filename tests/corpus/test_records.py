"""JSON: lines, lists, COCO's and Karpathy's layouts, whatever their size; nothing left out without a word."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.corpus.common import compress, read

from vergence.corpus.records import Records, document
from vergence.errors import CorpusError

COCO = {
    "info": {"year": 2017},
    "images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2}],
    "licenses": [],
    "annotations": [{"id": 1, "image_id": 1, "caption": "a dog"}, {"id": 2, "caption": "a cat"}, {"id": 3}],
}
KARPATHY = {"dataset": "coco", "images": [{"sentences": [{"raw": "one"}, {"raw": "two"}], "split": "train"}]}


def write(path: Path, content: object, **options) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content, **options))
    return path


@pytest.mark.parametrize("indent", [None, 1])
def test_coco_annotations_are_captions_and_its_images_are_not(tmp_path: Path, indent: int | None) -> None:
    path = write(tmp_path / "captions_train2017.json", COCO, indent=indent)
    texts, problems = read(path)
    assert texts == ["a dog", "a cat"]
    assert problems.counts == {"null": 1}
    assert problems.examples["null"][0].unit == "item"
    assert read(path, columns=("annotations.caption",))[0] == texts
    assert read(tmp_path)[0] == texts  # a folder of nothing else


def test_records_of_a_list_nested_sentences_and_mappings_are_read(tmp_path: Path) -> None:
    records = [{"caption": "a"}, {"caption": ["b", ["c"]]}, {"caption": None}]
    texts, problems = read(write(tmp_path / "a.json", records, indent=2))
    assert (texts, problems.counts) == (["a", "b", "c"], {"null": 1})
    assert read(write(tmp_path / "b.json", ["a dog", "a cat"]))[0] == ["a dog", "a cat"]
    path = write(tmp_path / "c.json", KARPATHY)
    assert read(path, columns=("sentences.raw",))[0] == ["one", "two"]
    assert read(path, columns=("images.sentences.raw",))[0] == ["one", "two"]
    assert read(write(tmp_path / "d.json", {"1": {"caption": "x"}, "2": {"caption": "y"}}))[0] == ["x", "y"]
    assert read(write(tmp_path / "e.json", {"caption": "own", "meta": {"caption": "other"}}))[0] == ["own"]


def test_json_lines_are_told_from_a_document_by_content(tmp_path: Path) -> None:
    lines = '{"caption": "a"}\n{"caption": "b"\n\n{"caption": "c"}\n'
    texts, problems = read(write(tmp_path / "a.json", lines))
    assert texts == ["a", "c"]
    assert problems.examples["malformed"][0].number == 2
    assert read(write(tmp_path / "b.json", json.dumps(COCO) + "\n"))[0] == ["a dog", "a cat"]
    assert read(compress(lines.encode(), tmp_path / "c.json.gz"))[0] == ["a", "c"]


@pytest.mark.parametrize(
    ("content", "texts", "counts"),
    [
        ('[{"caption": "a"}, {"capt', ["a"], {"unreadable": 1}),
        ('[{"caption": "a"}, {"caption": b}, {"caption": "c"}]', ["a", "c"], {"malformed": 1}),
        ('[{"caption": "a"} {"caption": "b"}]', ["a"], {"unreadable": 1}),
        ('[{"caption": "a", "caption": "b"}, "c", 3, null]', ["c"], {"malformed": 3}),
        ('[{"caption": {"en": "a"}}, {"caption": 3}, {"caption": true}]', [], {"malformed": 3}),
        ('[{"caption": "\\ud800"}, {"caption": "b"}]', ["b"], {"broken_utf8": 1}),
        ('[{"caption": "' + "x" * 300 + '"}, {"caption": "b"}]', ["b"], {"too_long": 1}),
        ('[{"caption": "a\tb"}]', ["a\tb"], {}),
        ('[{"id": 1}, {"id": 2}, {"caption": "c"}]', ["c"], {"null": 2}),
        ('{"a": "dog", "b": ["cat"]}', [], {"no_column": 1}),
        ("[" * 100_000, [], {"unreadable": 1}),
        ("[]", [], {"empty_file": 1}),
        ("3", [], {"unreadable": 1}),
    ],
)
def test_what_a_document_lacks_is_counted(
    tmp_path: Path, content: str, texts: list[str], counts: dict[str, int]
) -> None:
    path = write(tmp_path / "a.json", content)
    found, problems = read(path, max_caption_bytes=200)
    assert found == texts
    assert problems.counts == counts
    if counts:
        with pytest.raises(CorpusError, match=r"a\.json"):
            read(path, max_caption_bytes=200, strict=True)


def test_a_missing_key_says_what_keys_there_are(tmp_path: Path) -> None:
    _, problems = read(write(tmp_path / "a.json", KARPATHY))
    assert "known: dataset, images.sentences, images.split" in problems.examples["no_column"][0].detail
    _, problems = read(write(tmp_path / "a.jsonl", '{"text": "x"}\n{"text": "y"}\n'))
    assert problems.counts == {"null": 2}
    assert problems.examples["null"][0].detail == "unknown column 'caption'; known: text"


def test_a_key_that_comes_twice_in_a_line_is_counted(tmp_path: Path) -> None:
    texts, problems = read(write(tmp_path / "a.jsonl", '{"caption": "a", "caption": "b"}\n{"caption": "c"}'))
    assert texts == ["c"]
    assert problems.examples["malformed"][0].detail == "the key 'caption' comes 2 times"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["caption", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=8,
)


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 7))


def captions(text: str, limit: int) -> tuple[list[bytes | None], list[str]]:
    met: list[str] = []

    def add(kind: str, *, numbers, **what) -> None:
        met.extend([kind] * len(numbers))

    found = document(Trickle(text.encode()), Records(["caption"]), add, limit=limit, plain=True)
    return [caption for _, captions in found for caption in captions], sorted(met)


@given(records=st.lists(st.dictionaries(st.sampled_from(["caption", "id"]), VALUES, max_size=2), max_size=6))
def test_a_document_in_small_pieces_gives_what_a_whole_one_gives(records: list[dict]) -> None:
    wrapped = {"info": {}, "images": [{"id": 1}], "annotations": records}
    text = json.dumps(wrapped)
    longest = max([len(json.dumps(record)) for record in records], default=0) + 30
    assert captions(text, longest) == captions(text, 1 << 20)
