"""Matching: independent of order and division, equal to the definition, safe on bytes that are no text."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpus.slow_matching import ABSENT, SPACES, mentioned, occurrences, said_and_denied, trimmed

from vergence.corpus import Concept, Group, Lexicon, Matcher
from vergence.corpus.matching import text_buffers
from vergence.corpus.measures import ill_formed


def forms(letters: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.text(letters, min_size=1, max_size=5).filter(lambda form: bool(trimmed(form)))


LETTERS = st.sampled_from([*"aAbß_-' éÉİiıſsSK\u0301\u200d🐱猫9½", "\xa0", "\xad", "\u200b"])
FEW = st.one_of(st.sampled_from("aab-  "), st.sampled_from("ab "), st.sampled_from([*SPACES, *ABSENT]))
lexicons = st.lists(st.lists(forms(LETTERS), min_size=1, max_size=3).map(tuple), min_size=1, max_size=6)
texts = st.lists(st.text(LETTERS, max_size=12), max_size=12)


def matcher(concepts: list[tuple[str, ...]], match: str = "word") -> Matcher:
    groups = (Group("g", tuple(Concept(f"c{number}", found) for number, found in enumerate(concepts))),)
    return Matcher(Lexicon("x", groups), match=match)


@given(lexicons, texts, st.booleans())
def test_mentions_equal_the_definition(concepts: list[tuple[str, ...]], captions: list[str], whole: bool) -> None:
    found = matcher(concepts, "word" if whole else "substring").mentions(captions).sets()
    assert found == [mentioned(caption, concepts, whole_words=whole) for caption in captions]


@given(
    st.lists(forms(FEW), min_size=1, max_size=3, unique_by=trimmed),
    st.lists(forms(FEW), max_size=2),
    st.lists(forms(FEW), max_size=2),
    st.lists(st.text(FEW, max_size=12), max_size=12),
    st.booleans(),
)
@settings(max_examples=200)
def test_white_space_is_one_space_and_invisible_characters_are_not_there(found, exclude, cues, captions, whole) -> None:
    exclude = [phrase for phrase in exclude if trimmed(phrase) not in map(trimmed, found)]
    concept = Concept("c", tuple(found), tuple(exclude))
    ours = Matcher(Lexicon("x", (Group("g", (concept,)),), tuple(cues)), match="word" if whole else "substring")
    told = ours.mentions(captions)
    expected = [
        said_and_denied(text, tuple(found), tuple(exclude), tuple(cues), whole_words=whole) for text in captions
    ]
    assert told.sets() == [frozenset({0} if said else ()) for said, _ in expected]
    assert (told.negated >> 32).tolist() == [number for number, (_, denied) in enumerate(expected) if denied]
    spans = ours.spans(captions)
    assert set(zip(spans["caption"], spans["form"], spans["start"], spans["end"], strict=True)) == {
        (number, trimmed(form), *place)
        for number, text in enumerate(captions)
        for form in found
        for place in occurrences(text, form, whole_words=whole)
    }


@given(lexicons, texts, st.randoms(use_true_random=False))
def test_order_of_captions_and_forms_does_not_matter(concepts, captions, random) -> None:
    expected = matcher(concepts).mentions(captions).sets()
    shuffled = [tuple(random.sample(found, len(found))) for found in concepts]
    order = random.sample(range(len(captions)), len(captions))
    again = matcher(shuffled).mentions([captions[place] for place in order]).sets()
    assert again == [expected[place] for place in order]


@given(lexicons, texts, st.data())
def test_any_arrow_layout_gives_the_same(concepts, captions, data) -> None:
    ours = matcher(concepts)
    expected = ours.mentions(captions).sets()
    array = pa.array(captions, type=pa.string())
    cut = data.draw(st.integers(0, len(captions)))
    chunked = pa.chunked_array([array.slice(0, cut), array.slice(cut)])
    padded = pa.array(["pad a b", *captions, None], type=pa.large_string()).slice(1)
    for layout in (
        array,
        chunked,
        array.cast(pa.large_binary()),
        array.cast(pa.string_view()),
        array.dictionary_encode(),
    ):
        assert ours.mentions(layout).sets() == expected
    assert ours.mentions(padded).sets() == [*expected, frozenset()]


@given(lexicons, st.lists(st.binary(max_size=12), max_size=12))
@settings(max_examples=30)
def test_bytes_that_are_no_text_never_reach_beyond_their_caption(concepts, blobs: list[bytes]) -> None:
    ours = matcher(concepts)
    alone = [ours.mentions(pa.array([blob], type=pa.binary())).sets()[0] for blob in blobs]
    assert ours.mentions(pa.array(blobs, type=pa.binary())).sets() == alone


PIECES = st.one_of(
    st.binary(max_size=4), st.text(max_size=3).map(str.encode), st.integers(0, 20).map(lambda n: b"a" * n)
)


@given(st.lists(st.lists(PIECES, max_size=4).map(b"".join), max_size=20), st.integers(0, 2))
@settings(max_examples=300)
def test_well_formedness_is_what_python_decodes(blobs: list[bytes], first: int) -> None:
    def decodes(blob: bytes) -> bool:
        try:
            blob.decode()
        except UnicodeDecodeError:
            return False
        return True

    array = pa.array(blobs, type=pa.binary())[first:]
    assert ill_formed(*text_buffers(array)).tolist() == [not decodes(blob) for blob in blobs[first:]]
