"""The automaton against the definition, transcribed."""

import random

import pyarrow as pa
import pytest
from tests.corpus.slow_matching import mentioned, occurrences, trimmed

from vergence.corpus import Concept, Group, Lexicon, Matcher

# Overlapping forms, shared forms, inner and outer boundaries, case pairs of one and of two code points, many scripts,
# combining marks, emoji with and without selectors and joiners, characters that a regular expression would interpret.
FORMS = [
    ("cat", "kitten"), ("cat's cradle", "cat"), ("ice", "ice cream"), ("cream", "ice cream van"), ("t-shirt", "shirt"),
    ("é", "café"), ("cafe\u0301", "e\u0301"), ("straße", "ẞ"), ("strasse", "ss"), ("İzmir", "i"), ("ı", "ısı"),
    ("ſ", "sun"), ("k", "kelvin"), ("σ", "λόγος"), ("猫", "小猫"), ("кот", "кошка"), ("كتاب",),
    ("हिन्दी", "हि"), ("ไทย",),
    ("🐱", "🐱‍👤"), ("❤", "❤️"), ("👍🏽", "👍"),
    ("c++", "c.t"), ("a*", "[b]"), ("_x", "x"), ("३", "3"), ("a a", "a"), ("ab", "b a"),
    ("𐐨", "𝒳"), ("ᾳ", "ǆ"), ("²", "½"), ("'", "-"), ("ᏸ", "ꭰ"), ("hot dog", "ice\xa0\n cream"), ("ham\xadster",),
]  # fmt: skip
PIECES = sorted({piece for forms in FORMS for form in forms for piece in (form, *form, form.upper(), form.title())})
GLUE = [
    " ",
    "",
    "'",
    "-",
    "_",
    "7",
    "z",
    "\u0301",
    "\ufe0f",
    "\u200d",
    "¼",
    ".",
    "\n",
    "İ",
    "K",
    "ſ",
    "\x00",
    "ß",
    "中",
    "\xa0",
    "\xad",
    "\u200b",
    "\u3000",
    "\ufeff",
]


def captions(n: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [
        "".join(draw.choice(draw.choice((PIECES, GLUE))) for _ in range(draw.choice((0, 1, 2, 3, 5, 8, 13))))
        for _ in range(n)
    ]


@pytest.mark.slow
def test_mentions_equal_the_definition_on_100000_generated_captions() -> None:
    check(captions(100_000, seed=4), "word")


@pytest.mark.parametrize("match", ["word", "substring"])
def test_mentions_equal_the_definition_on_generated_captions(match: str) -> None:
    check(captions(3_000, seed=7), match)


def check(texts: list[str], match: str) -> None:
    known = FORMS
    groups = (Group("g", tuple(Concept(f"c{k}", forms) for k, forms in enumerate(known))),)
    found = Matcher(Lexicon("all", groups), match=match).mentions(texts).sets()
    for text, numbers in zip(texts, found, strict=True):
        assert numbers == mentioned(text, known, whole_words=match == "word"), repr(text)


def test_spans_equal_the_definition() -> None:
    known = FORMS
    groups = (Group("g", tuple(Concept(f"c{k}", forms) for k, forms in enumerate(known))),)
    texts = captions(2_000, seed=3)
    spans = Matcher(Lexicon("all", groups)).spans(pa.array(texts))
    found = set(
        zip(spans["caption"], spans["concept"], spans["form"].str.len(), spans["start"], spans["end"], strict=True)
    )
    assert found == {
        (number, f"c{k}", len(trimmed(form)), *place)
        for number, text in enumerate(texts)
        for k, forms in enumerate(known)
        for form in forms
        for place in occurrences(text, form)
    }


PETS = Lexicon("pets", (Group("g", (Concept("dog", ("dog", "hamster"), exclude=("hot  dog",)),)),), negation=("no",))


@pytest.mark.parametrize(
    ("caption", "said", "negated"),
    [
        ("a hot dog", False, False), ("a hot\xa0dog", False, False), ("a hot\n\u3000dog", False, False),
        ("a hot \u200b\u2009dog", False, False), ("a hot\u202f\xaddog", False, False),
        ("a hot\u200e dog", False, False),
        ("a hot-dog", True, False), ("a hot\x1fdog", True, False),
        ("a ham\xadster", True, False), ("ham\xad\xadster\xad", True, False), ("ham\u200dster", False, False),
        ("dog\xadma", False, False), ("dogma\xad", False, False), ("bull\xaddog", False, False),
        ("\ufeffdog", True, False),
        ("no\xa0dog", False, True), ("no\u2028a\tdog", False, True), ("no\xad dog", False, True),
        ("no\x1fdog", True, False),
    ],
)  # fmt: skip
def test_white_space_and_soft_hyphens_of_real_captions(caption: str, said: bool, negated: bool) -> None:
    found = Matcher(PETS).mentions([caption])
    assert (len(found.hits) == 1, len(found.negated) == 1) == (said, negated)


def test_spans_are_places_of_the_caption_as_it_is() -> None:
    caption = "x ham\xadster\xad  and hot\xa0\n dog"
    lexicon = Lexicon("x", (Group("g", (Concept("a", ("ham\xadster",)), Concept("b", ("hot dog",)))),))
    spans = Matcher(lexicon).spans([caption])
    assert [caption[a:b] for a, b in zip(spans["start"], spans["end"], strict=True)] == ["ham\xadster", "hot\xa0\n dog"]
    assert spans["form"].tolist() == ["hamster", "hot dog"]
