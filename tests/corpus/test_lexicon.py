"""Lexicons: what a file may say, and how a wrong one is answered."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence import Factor, FactorSpace
from vergence.corpus import (
    Concept,
    Group,
    Lexicon,
    Matcher,
    concepts_146,
    lexicon_from_factors,
    lexicon_from_wordnet,
    load_lexicon,
)
from vergence.corpus.inflection import inflected
from vergence.corpus.lexicon import with_inflection
from vergence.corpus.lexicon_files import parse_csv, parse_yaml
from vergence.corpus.unicode import compared
from vergence.errors import ConfigError, CorpusError, FactorError

HEAD = "name: x\ngroups:\n  - name: g\n    concepts:\n"


def test_the_shipped_lexicon_has_its_groups_and_shared_forms() -> None:
    lexicon = concepts_146()
    assert (len(lexicon.groups), len(lexicon.concepts)) == (15, 146)
    assert lexicon.source == "cai2025"
    shared = {c.name for c in lexicon.concepts if "bike" in c.forms}
    assert shared == {"motorcycle", "bicycle"}
    assert parse_yaml(lexicon.to_yaml(), where="copy") == lexicon


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^f\.yaml:1: the file is empty"),
        ("- a\n", "f.yaml:1: a lexicon must be a mapping"),
        ("name: x\n", "f.yaml:1: a lexicon needs the key 'groups'; it has: name"),
        ("name: x\ngroups: []\n", "f.yaml:1: lexicon 'x' needs at least one group"),
        (HEAD + "      dog: [dog]\n      dog: [cat]\n", "f.yaml:6: 'dog' comes twice in one mapping"),
        (HEAD + "      dog: [dog, '']\n", "f.yaml:5: an item of forms must be text that is not empty"),
        (HEAD + "      dog: dog\n", "f.yaml:5: forms must be a list"),
        (HEAD + "      dog: {form: [dog]}\n",
         "f.yaml:5: unknown key of concept 'dog' 'form'; known: forms, exclude"),
        (HEAD + "      dog: {inflect: nuon}\n",
         "f.yaml:5: unknown inflection 'nuon'; known: noun, verb. Did you mean 'noun'"),
        (HEAD + "      dog: [dog\n", "f.yaml:6: not valid YAML"),
        (HEAD + "      dog: [[dog]]\n", "f.yaml:5: an item of forms must be text"),
        (HEAD + "      dog: !!python/object/apply:os.system [echo]\n", "f.yaml:5: the tag"),
        (HEAD + '      dog: ["\\ud800"]\n', "f.yaml:5: holds a lone surrogate"),
        (HEAD + '      "d\\0g": []\n', "f.yaml:5: a concept's name holds a control character, '.x00'"),
        (HEAD + '      dog: ["\\u00ad\\u3000"]\n', "f.yaml:5: a phrase in forms of concept 'dog' must not be empty"),
        (HEAD + '      dog: {exclude: ["dog "]}\n', "f.yaml:5: concept 'dog' excludes its own form 'dog'"),
        ('source: "\\udc00"\n' + HEAD + "      dog: []\n", "f.yaml:1: holds a lone surrogate"),
    ],
)  # fmt: skip
def test_a_wrong_yaml_file_is_answered_with_its_line(text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        parse_yaml(text, where="f.yaml")


def test_unquoted_words_that_yaml_reads_as_something_else_mean_themselves() -> None:
    lexicon = parse_yaml(HEAD + "      no: [no, on, 3]\n      true: []\n", where="f")
    assert [(c.name, c.forms) for c in lexicon.concepts] == [("no", ("no", "on", "3")), ("true", ("true",))]


PHRASE = st.text(st.sampled_from("ab :#'\"-\n\t\r\xa0\xad\u2028\u200b\ufeff\x85é猫"), min_size=1, max_size=6).filter(
    compared
)


@given(st.lists(PHRASE, min_size=1, max_size=4), st.lists(PHRASE, max_size=2))
def test_a_lexicon_written_and_read_back_is_the_same_one(forms: list[str], cues: list[str]) -> None:
    lexicon = Lexicon("x", (Group("g", (Concept("c", tuple(forms)),), tier="a\nb"),), tuple(cues), source=forms[0])
    again = parse_yaml(lexicon.to_yaml(), where="copy")
    assert again == lexicon
    assert again.fingerprint == lexicon.fingerprint


def test_forms_that_are_compared_alike_are_one() -> None:
    concept = Concept("x", ("Hot\xa0 dog", "hot dog", "hot\n\u00addog"), inflect="noun")
    assert concept.surface_forms == ("hot dog", "hot dogs")
    assert concept.forms == ("Hot\xa0 dog", "hot dog", "hot\n\u00addog")


def test_a_lexicon_too_large_for_one_table_is_refused_before_it_is_built() -> None:
    letters = [chr(code) for code in range(0x10000, 0x110000) if unicodedata.category(chr(code)) == "Lo"]
    letters += [chr(code) for code in range(0xE000, 0xF8FF)]
    many = tuple("".join(letters[start : start + 4000]) for start in range(0, len(letters), 4000))
    with pytest.raises(ConfigError, match=r"the forms use \d+ different characters; at most 65531 are supported"):
        Matcher(Lexicon("x", (Group("g", (Concept("c", many),)),)))
    few = Lexicon("x", (Group("g", (Concept("c", ("".join(letters[:4000]), *many[:12])),)),))
    with pytest.raises(
        ConfigError, match=r"12 forms of \d+ characters need more than the \d+ states .*; split the lexicon"
    ):
        Matcher(few)


def test_csv_lexicons_and_their_mistakes() -> None:
    lexicon = parse_csv("group,concept,form\npets,dog,dog\npets,dog,puppy\npets,cat,cat\n", where="pets.csv")
    assert [concept.forms for concept in lexicon.concepts] == [("dog", "puppy"), ("cat",)]
    with pytest.raises(CorpusError, match=r"p\.csv:1: .* missing: form"):
        parse_csv("group,concept\na,b\n", where="p.csv")
    with pytest.raises(CorpusError, match=r"p\.csv:3: the form must not be empty"):
        parse_csv("group,concept,form\na,b,c\na,b,\n", where="p.csv")


def test_files_that_are_no_lexicon_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"a lexicon is a \.yaml or \.csv file"):
        load_lexicon(tmp_path / "x.json")
    (tmp_path / "x.yaml").write_bytes(b"\xff")
    with pytest.raises(CorpusError, match="not UTF-8 text"):
        load_lexicon(tmp_path / "x.yaml")


def test_a_factor_space_becomes_a_lexicon() -> None:
    space = FactorSpace((Factor("size", ("small", "large")), Factor("hue")))
    with pytest.raises(FactorError, match="factor 'hue' is continuous"):
        lexicon_from_factors(space)
    with pytest.raises(FactorError, match="unknown value of factor 'size' 'big'"):
        lexicon_from_factors(space.subset(["size"]), phrases={"size": {"big": ["big"]}})


@pytest.mark.parametrize(
    ("form", "kind", "others"),
    [
        ("puppy", "noun", "puppies"), ("box", "noun", "boxes"), ("fireman", "noun", "firemen"),
        ("human", "noun", "humans"),
        ("pants", "noun", ""), ("bus", "noun", "buses"), ("glass", "noun", "glasses"),
        ("ice cream", "noun", "ice creams"),
        ("t-shirt", "noun", ""), ("plan", "verb", "plans planning planned"), ("try", "verb", "tries trying tried"),
        ("die", "verb", "dies dying died")
    ],
)  # fmt: skip
def test_inflection_follows_its_rules(form: str, kind: str, others: str) -> None:
    expected = [part for part in ([others] if kind == "noun" else others.split()) if part]
    assert inflected(form, kind) == (form, *expected)


def test_inflection_is_only_on_request() -> None:
    assert concepts_146().concepts[0].surface_forms == ("dog", "puppy", "canine")
    assert "dogs" in with_inflection(concepts_146(), "noun").concepts[0].surface_forms
    with pytest.raises(ConfigError, match="unknown inflection 'plural'"):
        Concept("dog", inflect="plural")
    with pytest.raises(ConfigError, match="a phrase in forms of concept 'dog' must not be empty; got ' '"):
        Concept("dog", (" ",))


WORDNET = {
    "index.noun": "  1 licence\nanimal n 1 1 ~ 1 0 00000100\ndog n 2 1 ~ 2 0 00000200 00000900\n",
    "data.noun": (
        "  1 licence\n"
        "00000100 03 n 01 animal 0 002 ~ 00000200 n 0000 ~ 00000300 n 0000 | a living thing\n"
        "00000200 05 n 02 dog 0 domestic_dog 0 003 @ 00000100 n 0000 ~ 00000400 n 0000 ~ 00000500 n 0000 | barks\n"
        "00000300 05 n 01 cat 0 001 @ 00000100 n 0000 | meows\n"
        "00000400 05 n 01 poodle 0 001 @ 00000200 n 0000 | curly\n"
        "00000500 05 n 01 dog 0 001 @ 00000200 n 0000 | same name\n"
        "00000900 05 n 01 dog 0 000 | another sense\n"
    ),
}


def test_a_lexicon_from_wordnet_counts_a_kind_as_what_it_is_a_kind_of(tmp_path: Path) -> None:
    for name, text in WORDNET.items():
        (tmp_path / name).write_text(text)
    lexicon = lexicon_from_wordnet("animal.n.01", depth=1, folder=tmp_path)
    assert [(g.name, [c.name for c in g.concepts]) for g in lexicon.groups] == [
        ("animal", ["animal"]), ("dog", ["dog"]), ("cat", ["cat"]),
    ]  # fmt: skip
    assert lexicon.concepts[1].forms == ("dog", "domestic dog", "poodle")
    deeper = lexicon_from_wordnet("animal.n.01", depth=2, folder=tmp_path)
    assert [c.name for c in deeper.groups[1].concepts] == ["dog (n00000200)", "poodle", "dog (n00000500)"]
    assert lexicon_from_wordnet("dog.n.02", depth=3, folder=tmp_path).concepts[0].forms == ("dog",)
    with pytest.raises(CorpusError, match=r"'dog' has 2 senses; got 'dog\.n\.03'"):
        lexicon_from_wordnet("dog.n.03", folder=tmp_path)
    with pytest.raises(CorpusError, match="unknown lemma 'doog'"):
        lexicon_from_wordnet("doog.n.01", folder=tmp_path)
    with pytest.raises(CorpusError, match=r"written lemma\.pos\.number"):
        lexicon_from_wordnet("dog", folder=tmp_path)
    with pytest.raises(CorpusError, match="install it with: apt-get install wordnet-base"):
        lexicon_from_wordnet("dog.n.01", folder=tmp_path / "none")
