import numpy as np
import pyarrow as pa
import pytest

from vergence.corpus import Concept, Group, Lexicon, Matcher
from vergence.curation import Rewriter
from vergence.curation.codes import INFLECTED, NONE, OMIT, THINGS
from vergence.curation.mending import REASONS, mend
from vergence.curation.tokens import asks_for_second, asks_for_third
from vergence.errors import ConfigError

COLORS = Group("color", (Concept("red", ("red", "scarlet")), Concept("blue"), Concept("orange"), Concept("white")))
SIZES = Group("size", (Concept("big"), Concept("old")))
ANIMALS = Group(
    "animal",
    (
        Concept("dog", ("dog", "puppy"), ("hot dog",), "noun"),
        Concept("cat", ("cat",), (), "noun"),
        Concept("red panda", (), (), "noun"),
    ),
)
LEXICON = Lexicon("things", (COLORS, SIZES, ANIMALS), negation=("no", "without"))
COLOR = "color"

OMITTED = {
    "an old red cup": "an old cup",
    "a red apple": "an apple",
    "A red apple": "An apple",
    "RED APPLE": "APPLE",
    "An orange cat": "A cat",
    "a red hour, an orange unicorn": "an hour, a unicorn",
    "red and blue ball": "ball",
    "a ball, red and shiny": "a ball, shiny",
    "a ball, shiny and red": "a ball, shiny",
    "a shiny and red ball": "a shiny ball",
    "a big, red ball": "a big ball",
    "a big, red and shiny ball": "a big and shiny ball",
    "the red, shiny ball": "the shiny ball",
    "in the garden, red flowers": "in the garden, flowers",
    "a woman in red": "a woman",
    "a woman in red and white sits": "a woman sits",
    "a woman in red and white shoes": "a woman in shoes",
    "the cup is red": "the cup",
    "the cup is red and the plate is blue": "the cup and the plate",
    "a cup (red)": "a cup",
    "a very red car": "a car",
    "man: red": "man",
    "red: man": "man",
    "man: red, tall": "man: tall",
    "red, cotton, men": "cotton, men",
    "shirt, red, cotton": "shirt, cotton",
    "shirt - red": "shirt",
    "red/white cup": "cup",
    "a picture of red, people": "a picture of people",
    "Red ball. Blue sky.": "Ball. Sky.",
    "Red. A cup.": "A cup.",
    "Apple Red": "Apple",
    "a door painted red.": "a door.",
    "a red\ncup": "a\ncup",
    "❤️ red heart": "❤️ heart",
    "  a red cup \n": "  a cup \n",
}
LEFT_AS_IT_WAS = {
    "red": "the caption would be empty without it",
    "it is red": "it is what the sentence says of its subject",
    "there are red apples": "it is what the sentence says of its subject",
    "a red-haired man": "it is part of a compound word, such as red-haired or dog's",
    "a photo, red.jpg": "it is part of a compound word, such as red-haired or dog's",
    "a red panda": "its words are also another factor's",
    '<font color="red">cup</font>': "it is inside a tag of HTML",
    "never a big red cup": "it is negated",
    "The red in the picture": "it is the noun of its phrase, and nothing would be left to carry the rest",
}


def edited(rewriter: Rewriter, caption: str, *ops: int) -> tuple[str, list[str]]:
    found = rewriter.edit(pa.array([caption], pa.large_string()), np.array([ops], dtype=np.int16))
    return found.captions[0].as_py(), [REASONS[int(code)] for code in found.refused[0] if code]


@pytest.mark.parametrize("caption", OMITTED)
def test_omission_mends_articles_commas_conjunctions_and_capitals(caption: str) -> None:
    rewriter = Rewriter(LEXICON)
    assert edited(rewriter, caption, OMIT, -1, -1) == (OMITTED[caption], [])
    assert rewriter.omit([OMITTED[caption]], [COLOR]) == [OMITTED[caption]]


@pytest.mark.parametrize("caption", LEFT_AS_IT_WAS)
def test_what_cannot_be_mended_stays_with_a_reason(caption: str) -> None:
    assert edited(Rewriter(LEXICON), caption, OMIT, -1, -1) == (caption, [LEFT_AS_IT_WAS[caption]])


def test_what_the_audit_does_not_count_is_not_edited() -> None:
    captions = ["a hot dog", "no dog here", "redder than infrared", "without a dog"]
    assert Rewriter(LEXICON).omit(captions, ["animal", "color"]) == captions
    assert Rewriter(LEXICON).tell(["no dog, a puppy"], "animal", ["cat"]) == ["no dog, a cat"]


def test_factors_that_stand_together_go_together() -> None:
    rewriter = Rewriter(LEXICON)
    assert rewriter.omit(["an old red cup", "a big old, red apple", "big and red"], ["color", "size"]) == [
        "a cup", "an apple", "big and red",
    ]  # fmt: skip


def test_what_is_told_keeps_case_number_and_article() -> None:
    rewriter = Rewriter(LEXICON)
    told = {
        "a dog on a mat": "a cat on a mat",
        "Puppies run": "Cats run",
        "two dogs": "two cats",
        "a DOG": "a CAT",
        "a dog and a cat": "a cat",
        "a cat and dog": "a cat",
        "a mat": "a mat, cat",
        "On a mat!": "On a mat, cat!",
        "": "",
    }
    assert rewriter.tell(list(told), "animal", ["cat"] * len(told)) == list(told.values())
    hues = ["a red cup", "An old cup and a red and blue one", "blue cup, red plate", "a scarlet egg"]
    assert rewriter.tell(hues, "color", ["orange", "orange", "red", "white"]) == [
        "an orange cup", "An old cup and an orange one", "cup, red plate", "a white egg",
    ]  # fmt: skip


def test_a_generic_word_carries_what_a_noun_carried() -> None:
    rewriter = Rewriter(LEXICON, generic={"animal": "animal"})
    assert rewriter.omit(["a dog on a mat", "Puppies run", "cats and dogs", "an old cat"], ["animal"]) == [
        "an animal on a mat", "Animals run", "animals", "an old animal",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="cannot stand for any animal: it mentions 'dog'"):
        Rewriter(LEXICON, generic={"animal": "a dog"})


def test_edits_are_the_only_difference_and_turn_back() -> None:
    rewriter, rng = Rewriter(LEXICON), np.random.default_rng(0)
    words = [
        "red",
        "blue",
        "a",
        "an",
        "old",
        "cup",
        "dog",
        "and",
        ",",
        "in",
        "is",
        "the",
        "é",
        "כוס",
        "❤️",
        ".",
        "no",
        "-",
    ]
    captions = [" ".join(rng.choice(words, rng.integers(1, 9))) for _ in range(3000)]
    ops = rng.integers(-2, 2, (len(captions), 3)).astype(np.int16)
    found = rewriter.edit(pa.array(captions, pa.large_string()), ops)
    after = found.captions.to_pylist()
    rebuilt = [[] for _ in captions]
    ends = [0] * len(captions)
    for (row, *_, text, _, _), (start, end) in zip(found.edits.tolist(), found.points.tolist(), strict=True):
        assert ends[row] <= start <= end <= len(captions[row])
        rebuilt[row] += [captions[row][ends[row] : start], rewriter.phrases.texts[text]]
        ends[row] = end
    assert ["".join([*parts, text[end:]]) for parts, text, end in zip(rebuilt, captions, ends, strict=True)] == after
    said = Matcher(LEXICON).mentions(after).sets()
    for row, concepts in enumerate(said):
        for factor, values in enumerate((range(4), range(4, 6), range(6, 9))):
            if found.refused[row, factor] == 0 and ops[row, factor] == OMIT:
                assert not concepts & set(values), (captions[row], after[row])
            elif found.refused[row, factor] == 0 and ops[row, factor] >= 0:
                assert concepts & set(values) == {values[ops[row, factor]]}, (captions[row], after[row])


def test_tokens_that_no_rule_asks_for_change_no_mending() -> None:
    rng = np.random.default_rng(0)
    for what, *classes in rng.integers(0, [THINGS + 1, *[INFLECTED + 1] * 5], (20_000, 6)).tolist():
        left, right = tuple(classes[:3]), (*classes[3:], NONE)
        third = left[2] if asks_for_third(left[0], left[1]) else NONE
        second = right[1] if asks_for_second(right[0]) else NONE
        fewer = mend.__wrapped__(what, (left[0], left[1], third), (right[0], second, NONE))
        assert fewer == mend.__wrapped__(what, left, right), (what, left, right)
