"""What a sample of captions says beside the lexicon: in other languages, and in words that no concept covers."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence.corpus import Concept, Coverage, Group, Lexicon, concepts_146
from vergence.corpus.stop_words import STOP_WORDS

CAPTIONS = {
    "English": [
        "A man in a blue shirt is standing on a ladder cleaning a window.",
        "two children playing with their dog in the park", "a view of the mountains from our hotel",
        "The cat is asleep on top of an old car", "people waiting for the bus in front of a shop",
    ],
    "German": [
        "Ein Hund läuft über die Straße", "Zwei Kinder spielen mit einem Ball im Park",
        "eine Frau mit rotem Hut sitzt auf der Bank", "Blick auf die Berge und den See",
        "Der Mann und sein Hund sind am Strand",
    ],
    "French": [
        "un chien court dans la rue", "Deux enfants jouent avec un ballon dans le parc",
        "une femme avec un chapeau rouge est assise sur un banc", "vue sur les montagnes et le lac",
        "l'homme et son chien à la plage",
    ],
    "Spanish": [
        "un perro corre por la calle", "dos niños juegan con una pelota en el parque",
        "una mujer con sombrero rojo está sentada en un banco", "vista de las montañas y el lago",
        "el hombre y su perro en la playa",
    ],
    "Italian": [
        "un cane corre per la strada", "due bambini giocano con una palla nel parco",
        "una donna con il cappello rosso è seduta su una panchina", "vista delle montagne e del lago",
        "l'uomo e il suo cane sulla spiaggia",
    ],
    "Portuguese": [
        "um cachorro corre pela rua", "duas crianças brincam com uma bola no parque",
        "uma mulher com chapéu vermelho está sentada em um banco", "vista das montanhas e do lago",
        "o homem e seu cachorro na praia",
    ],
    "Dutch": [
        "een hond rent over de straat", "twee kinderen spelen met een bal in het park",
        "een vrouw met een rode hoed zit op een bank", "uitzicht op de bergen en het meer",
        "de man en zijn hond zijn op het strand",
    ],
    "Polish": ["pies biegnie przez ulicę", "dwoje dzieci bawi się piłką w parku", "mężczyzna i jego pies są na plaży"],
    "Turkish": ["bir köpek sokakta koşuyor", "iki çocuk parkta top ile oynuyor", "kırmızı şapkalı bir kadın"],
    "Chinese": ["一只狗在街上跑", "两个孩子在公园里玩球", "山和湖的景色"],
    "Japanese": ["犬が通りを走っている", "公園で遊ぶ子供たち", "山と湖の眺め"],
    "Korean": ["개가 거리를 달린다", "공원에서 노는 아이들"],
    "Cyrillic (such as Russian)": ["собака бежит по улице", "двое детей играют в парке"],
    "Arabic script (such as Arabic, Persian)": ["كلب يجري في الشارع", "طفلان يلعبان في الحديقة"],
    "Thai": ["สุนัขวิ่งบนถนน"],
    "Greek": ["ένας σκύλος τρέχει στο δρόμο"],
}  # fmt: skip
PETS = Lexicon("pets", (Group("animal", (Concept("dog", ("dog", "hot dog")), Concept("cat", inflect="noun"))),))


def said(texts: list[str], lexicon: Lexicon | None = None, match: str = "word") -> dict[str, Any]:
    coverage = Coverage(lexicon or concepts_146(), match)
    coverage.add(texts)
    return coverage.to_dict()


def words(texts: list[str], lexicon: Lexicon = PETS, match: str = "word") -> dict[str, int]:
    return {row["word"]: row["captions"] for row in said(texts, lexicon, match)["uncovered_words"]}


@pytest.mark.parametrize("language", CAPTIONS)
def test_captions_are_recognised_and_never_taken_for_another_language(language: str) -> None:
    found = said(CAPTIONS[language])["languages"]
    assert [row["language"] for row in found["found"]] == [language]
    assert found["found"][0]["share"] >= 0.6
    assert found["unlike"] == ([] if language == "English" else [language])


@pytest.mark.parametrize(
    "text", ["", "dog", "a", "42", "🐕", "sunset beach", "IMG_0042.JPG", "狗", "Rio de Janeiro", "!?"]
)
def test_short_captions_are_undecided(text: str) -> None:
    languages = said([text])["languages"]
    assert (languages["found"], languages["unlike"]) == ([], [])
    assert languages["undecided"]["captions"] == 1


def test_the_share_of_a_language_is_that_of_all_captions_repetitions_included() -> None:
    languages = said(["ein Hund auf der Straße"] * 34 + ["a dog in the street"] * 66)["languages"]
    row = next(row for row in languages["found"] if row["language"] == "German")
    assert row["share"] == 0.34
    assert row["low"] < 0.34 < row["high"]
    assert (row["mentioning"], row["words"]) == (0, ["auf", "der", "ein"])
    assert (languages["lexicon"], languages["stated"], languages["unlike"]) == ("English", True, ["German"])


def test_a_lexicon_in_the_captions_own_language_is_not_said_to_miss_them() -> None:
    forms = Group("Tier", (Concept("Hund"), Concept("Frau"), Concept("Kinder"), Concept("Mann")))
    unstated = said(CAPTIONS["German"], Lexicon("deutsch", (forms,)))["languages"]
    assert (unstated["lexicon"], unstated["stated"], unstated["unlike"]) == ("English", False, [])
    stated = said(CAPTIONS["German"], Lexicon("deutsch", (forms,), language="German"))["languages"]
    assert (stated["lexicon"], stated["unlike"]) == ("German", [])
    assert said(CAPTIONS["English"], Lexicon("deutsch", (forms,), language="German"))["languages"]["unlike"] == [
        "English"
    ]
    russian = Lexicon("ру", (Group("животное", (Concept("собака"),)),))
    assert said(CAPTIONS["Cyrillic (such as Russian)"], russian)["languages"]["unlike"] == []


def test_words_that_no_concept_covers_are_counted_by_caption_without_stop_words() -> None:
    texts = ["the Zebra and a dog", "a zebra, zebra!", "zebras and cats", "a hot dog", "hot sand of the hot sea", "sea"]
    assert words(texts) == {"sea": 2, "zebra": 2}
    assert words([*texts, "hot"]) == {"hot": 2, "sea": 2, "zebra": 2}  # "hot" within "hot dog" is covered
    assert words(["dogma dogma", "dogma"], match="substring") == {}
    assert words(["ze\xadbra", "zebra", "ZEBRA", "2019 2019", "2019", "__", "__", "x", "x"]) == {"zebra": 3}
    assert words(["一只狗在街上跑"] * 3) == {}


def test_stop_words_are_left_out_by_the_languages_that_captions_are_in() -> None:
    """English "die" stays where captions are English, and goes where some are German."""
    english = ["the flowers die in the heat", "all things die in the end"]
    assert words(english)["die"] == 2
    german = ["die Katze liegt auf der Bank", "die Katze und die Maus"]
    assert words([*english, *german]).keys() == {"katze"}


@given(st.lists(st.text(max_size=30), max_size=12), st.randoms(use_true_random=False))
def test_any_text_is_read_and_shares_are_shares(texts: list[str], random) -> None:
    found = said(texts, PETS)
    json.dumps(found, allow_nan=False)
    rows = [*found["languages"]["found"], found["languages"]["undecided"], *found["uncovered_words"]]
    assert all(0 <= row["low"] <= row["share"] <= row["high"] <= 1 for row in rows)
    assert sum(row["captions"] for row in rows[: len(found["languages"]["found"]) + 1]) == len(texts)
    merged = Coverage(PETS)
    parts = [[], [], []]
    for text in random.sample(texts, len(texts)):
        random.choice(parts).append(text)
    for part in parts:
        coverage = Coverage(PETS)
        coverage.add(part)
        merged.merge(coverage)
    assert merged.to_dict() == found


def test_lists_of_stop_words_are_folded_and_without_repeats() -> None:
    for language, listed in STOP_WORDS.items():
        assert len(listed) >= 20, language
        assert all(word == word.lower() for word in listed), language
        assert max(Counter(listed).values()) == 1, language
