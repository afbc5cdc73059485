"""WordNet's files, whole and damaged."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence.corpus import lexicon_from_wordnet
from vergence.errors import ConfigError, CorpusError

DATA = (
    "  1 This software and database is being provided to you\n"
    "00000010 03 n 02 animal 0 beast 0 001 ~ 00000020 n 0000 | a living thing  \n"
    "00000020 03 n 01 guide_dog 0 001 @ 00000010 n 0000 | a dog that leads  \n"
)
INDEX = "  1 This software\nanimal n 1 1 ~ 1 1 00000010  \nguide_dog n 1 1 @ 1 0 00000020  \n"


def placed(folder: Path, data: bytes = DATA.encode(), index: bytes = INDEX.encode()) -> Path:
    (folder / "data.noun").write_bytes(data)
    (folder / "index.noun").write_bytes(index)
    return folder


def test_a_whole_one_is_read(tmp_path: Path) -> None:
    concepts = lexicon_from_wordnet("animal.n.01", folder=placed(tmp_path)).concepts
    assert {concept.name: concept.forms for concept in concepts} == {
        "animal": ("animal", "beast", "guide dog"), "guide dog": ("guide dog",)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "index", "message"),
    [
        (b"\x00\xff" * 100, INDEX.encode(), "data.noun: not UTF-8 text"),
        (DATA.encode().replace(b"02 animal", b"zz animal"), INDEX.encode(), r"data.noun:2 is not of WordNet's form"),
        (DATA[: DATA.index("@") + 6].encode(), INDEX.encode(), r"data.noun:3 is not of WordNet's form"),
        (DATA.encode().replace(b"00000020 03", b"00000030 03"), INDEX.encode(), "names 00000020, which is not there"),
        (DATA.encode(), INDEX.encode().replace(b"1 1 00000010", b"1 1 00000011"), "its index names 00000011"),
        (DATA.encode(), b"animal\n", "the line of 'animal' is not of WordNet's form"),
        (DATA.encode(), b"\xff", "index.noun: not UTF-8 text"),
        (b"", INDEX.encode(), "its index names 00000010 for 'animal.n.01', which is not there"),
    ],
)
def test_a_damaged_one_is_refused_with_the_place(tmp_path: Path, data: bytes, index: bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message) as caught:
        lexicon_from_wordnet("animal.n.01", folder=placed(tmp_path, data, index))
    assert "\n" not in str(caught.value)


@given(position=st.integers(0, len(DATA) - 1), byte=st.integers(0, 255))
def test_whatever_byte_is_damaged_only_documented_errors_come(tmp_path_factory, position: int, byte: int) -> None:
    data = bytearray(DATA.encode())
    data[position] = byte
    try:
        lexicon_from_wordnet("animal.n.01", folder=placed(tmp_path_factory.mktemp("wordnet"), bytes(data)))
    except (CorpusError, ConfigError) as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("synset", ["dog", "", "dog.n.0", "dog.n.x", "dog.n." + "9" * 5000, "dog.q.1", "a.n.²"])
def test_what_names_no_synset_is_refused(tmp_path: Path, synset: str) -> None:
    with pytest.raises(CorpusError, match=r"a synset is written lemma.pos.number"):
        lexicon_from_wordnet(synset, folder=placed(tmp_path))


def test_a_folder_that_is_none_and_a_depth_below_0_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path / ("a" * 300)):
        with pytest.raises(CorpusError, match="install it with: apt-get install wordnet-base"):
            lexicon_from_wordnet("animal.n.01", folder=folder)
    with pytest.raises(ConfigError, match="depth must be"):
        lexicon_from_wordnet("animal.n.01", depth=-1, folder=placed(tmp_path))
    assert len(lexicon_from_wordnet("animal.n.01", depth=10**9, folder=placed(tmp_path)).concepts) == 2
